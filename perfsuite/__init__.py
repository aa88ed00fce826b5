"""Continuous performance regression for GPU kernels."""

__version__ = "0.5.0"
