"""Measuring: trials in fresh processes, driven in lockstep. Knows neither the kernels nor the store."""
