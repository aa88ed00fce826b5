"""The benchmarks. They know the measuring side only as the fixture `gpu_benchmark`."""
