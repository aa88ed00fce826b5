"""Continuous performance regression for GPU kernels."""

__version__ = "0.4.0"
