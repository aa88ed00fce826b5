"""Continuous performance regression for GPU kernels."""

__version__ = "0.2.0"
