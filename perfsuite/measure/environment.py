"""Where a run is measured, told without importing torch or Triton: package metadata, NVML, /proc."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from perfsuite.config import process_environ
from perfsuite.measure.nvml import GpuFacts, Nvml
from perfsuite.model import Environment, Scalar

# From cuda.h; an ABI, so these never change.
_CU_SM_COUNT, _CU_L2_BYTES = 16, 38


def read_environment(environ: Mapping[str, str] | None = None, nvml: Nvml | None = None) -> Environment:
    """Reads this machine: the first GPU that CUDA would show this process, or none.

    Args:
        environ: for `CUDA_VISIBLE_DEVICES`; default: this process's.
        nvml: default: opened here.
    """
    environ = process_environ() if environ is None else environ
    nvml = nvml or Nvml.open()
    gpu = _first_visible(nvml, environ)
    sm_count, l2_bytes = _driver_attributes() if gpu else (None, None)
    return Environment(
        host=platform.node(),
        gpu=gpu.name if gpu else None,
        gpu_uuid=gpu.uuid if gpu else None,
        gpu_memory_bytes=gpu.memory_bytes if gpu else None,
        gpu_sm_count=sm_count,
        gpu_l2_bytes=l2_bytes,
        compute_capability=gpu.compute_capability if gpu else None,
        driver=nvml.driver if nvml and gpu else None,
        cuda=nvml.cuda if nvml and gpu else None,
        torch=package_version("torch"),
        triton=package_version("triton"),
        python=platform.python_version(),
        cpu=_cpu_model(),
        clocks=gpu.clocks if gpu else None,
        details=_details(gpu),
    )


def gpu_index(environ: Mapping[str, str] | None = None, nvml: Nvml | None = None) -> int | None:
    """NVML's index of the GPU that `read_environment` tells about: for telemetry. None without a GPU."""
    gpu = _first_visible(nvml or Nvml.open(), process_environ() if environ is None else environ)
    return gpu.index if gpu else None


def package_version(name: str) -> str | None:
    """Version of an installed distribution without importing it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_visible(nvml: Nvml | None, environ: Mapping[str, str]) -> GpuFacts | None:
    if nvml is None:
        return None
    indexes = nvml.visible(environ.get("CUDA_VISIBLE_DEVICES"))
    return nvml.facts(indexes[0]) if indexes else None


def _driver_attributes() -> tuple[int | None, int | None]:
    """SM count and L2 bytes, which NVML does not tell, from the driver; makes no context on the GPU."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        device, answers = ctypes.c_int(), []
        if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
            return None, None
        for attribute in (_CU_SM_COUNT, _CU_L2_BYTES):
            value = ctypes.c_int()
            failed = driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
            answers.append(None if failed else value.value)
        return answers[0], answers[1]
    except (OSError, AttributeError):
        return None, None


def _cpu_model() -> str:
    """Model name of the processor."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(errors="replace"), re.MULTILINE)
        name = match[1].strip() if match else name
    return name


def _details(gpu: GpuFacts | None) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "torch_cuda": _torch_cuda(),
        "python_implementation": sys.implementation.name,
    }
    if gpu:
        found |= {
            "gpu_index": gpu.index,
            "power_limit_w": gpu.power_limit_w,
            "sm_mhz_max": gpu.sm_mhz_max,
            "memory_mhz_max": gpu.memory_mhz_max,
            "mig": gpu.mig,
        }
    return {name: value for name, value in found.items() if value is not None}


def _torch_cuda() -> str | None:
    """CUDA that torch was built for, read from its version file; the package itself is not imported."""
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder, "version.py")
        if file.is_file():
            match = re.search(r"^cuda\b.*=\s*'([\d.]+)'", file.read_text(errors="replace"), re.MULTILINE)
            return match[1] if match else None
    return None
