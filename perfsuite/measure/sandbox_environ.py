"""Which variables a trial is given: an allow-list, of which nothing that may be a secret."""

from __future__ import annotations

from collections.abc import Mapping

PASSED_ON = ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "USER", "LOGNAME")
PASSED_PREFIXES = (
    "LC_",
    "CUDA_",
    "NVIDIA_",
    "TRITON_",
    "TORCH_",
    "PYTORCH_",
    "OMP_",
    "MKL_",
    "HIP_",
    "ROCR_",
)
SECRET = ("TOKEN", "SECRET", "PASS", "PWD", "CREDENTIAL", "KEY", "AUTH", "PRIVATE")
SHARED_CACHE = ("REMOTE", "REDIS")
"""Triton's settings of a cache that others fill: a trial has its own."""


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """What a trial needs of the host: paths, language, GPU settings. An address with a password is not."""
    return {
        name: value
        for name, value in environ.items()
        if (name in PASSED_ON or name.startswith(PASSED_PREFIXES))
        and not any(word in name.upper() for word in (*SECRET, *SHARED_CACHE))
        and not ("://" in value and "@" in value)
    }
