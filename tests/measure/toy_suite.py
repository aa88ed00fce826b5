"""A small real suite: Triton kernels that are right, wrong, slow to end, or deadly."""

from __future__ import annotations

from pathlib import Path

OPS = """
import torch, triton
import triton.language as tl

@triton.jit
def _add(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < n) + tl.load(y + i, mask=i < n), mask=i < n)

def add(x, y):
    out = torch.empty_like(x)
    _add[(triton.cdiv(x.numel(), 512),)](x, y, out, x.numel(), BLOCK=512)
    return out
"""
SUITE = """
import os, time
import pytest, torch
from ops import add

def inputs(seed):
    torch.manual_seed(seed)
    return torch.randn(1000), torch.randn(1000)

COMMON = dict(inputs=inputs, reference=torch.add, tolerance=1e-6, bytes=12_000)

@pytest.mark.parametrize("n", [1, 2], ids="n={}".format)
def test_right(gpu_benchmark, n):
    gpu_benchmark(add, **COMMON)
"""
WRONG = """
def test_wrong(gpu_benchmark):
    gpu_benchmark(add, **{**COMMON, "reference": torch.sub})
"""
RAISES = """
def test_raises(gpu_benchmark):
    def broken(x, y):
        raise ValueError("the op is broken")
    gpu_benchmark(broken, **COMMON)
"""
DIES = """
def test_dies(gpu_benchmark):
    def deadly(x, y):
        if not x.is_meta:
            os.kill(os.getpid(), 11)
        return x
    gpu_benchmark(deadly, **COMMON)
"""
LOSES_CONTEXT = """
def test_loses_context(gpu_benchmark):
    from perfsuite.measure.player import PlayerError
    def losing(x, y):
        if not x.is_meta:
            raise PlayerError("illegal memory access: the GPU context is lost", lost=True)
        return x
    gpu_benchmark(losing, **COMMON)
"""
FAILS_LATER = """
def test_fails_later(gpu_benchmark):
    gpu_benchmark(add, **COMMON)
    raise AssertionError("after the measurement")
"""
FAILS_ONCE = """
def test_fails_once(benchmark):
    from pathlib import Path
    runs = Path(__file__).with_name("runs")
    runs.write_text((runs.read_text() if runs.exists() else "") + "x")
    assert runs.read_text() != "xx", "the second time it fails"
    benchmark.pedantic(sum, args=([1],), rounds=3)
"""
HANGS = """
def test_hangs(gpu_benchmark):
    def endless(x, y):
        if not x.is_meta:
            time.sleep(1000)
        return x
    gpu_benchmark(endless, **COMMON)
"""
PLAIN = """
def test_plain(benchmark):
    benchmark.pedantic(sum, args=([1, 2, 3],), rounds=6, iterations=50)
"""
ENDS_BADLY = """
@pytest.fixture
def deadly():
    yield
    os._exit(7)

def test_ends_badly(gpu_benchmark, deadly):
    def broken(x, y):
        raise ValueError("the op is broken")
    gpu_benchmark(broken, **COMMON)
"""
TWICE = """
def bench_plain(benchmark):
    benchmark(len, "")

def test_plain(benchmark):
    benchmark(len, "")
"""
ONE_TENSOR = """
def test_one_tensor(gpu_benchmark):
    twice = dict(inputs=lambda seed: torch.randn(500), reference=lambda x: x + x, tolerance=1e-6)
    gpu_benchmark(lambda x: add(x, x), **twice)
"""
EMPTY = """
def test_empty(benchmark):
    pass
"""


def write_tree(root: Path, *parts: str, ops: str = OPS) -> Path:
    """A tree with `ops.py` and a suite folder `bench` that holds the given tests."""
    (root / "bench").mkdir(parents=True)
    (root / "ops.py").write_text(ops)
    (root / "bench" / "test_toy.py").write_text(SUITE + "".join(parts))
    return root
