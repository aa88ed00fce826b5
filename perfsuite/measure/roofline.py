"""The fastest a GPU could be, from its data sheet."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peak:
    """Data-sheet rates, dense. Sources: NVIDIA's data sheets of the SXM parts."""

    bytes_per_s: float
    operations_per_s: dict[str, float]


_HOPPER = {"int8": 1979e12, "fp8": 1979e12, "bf16": 989e12, "fp32": 67e12}
_AMPERE = {"int8": 624e12, "bf16": 312e12, "fp32": 19.5e12}
PEAKS = {
    "H200": Peak(4.8e12, _HOPPER),
    "H100 80GB HBM3": Peak(3.35e12, _HOPPER),
    "H100 PCIe": Peak(2.0e12, {"int8": 1513e12, "fp8": 1513e12, "bf16": 756e12, "fp32": 51e12}),
    "A100-SXM4-80GB": Peak(2.039e12, _AMPERE),
    "A100-SXM4-40GB": Peak(1.555e12, _AMPERE),
    "L4": Peak(0.3e12, {"int8": 242e12, "fp8": 242e12, "bf16": 121e12, "fp32": 30.3e12}),
    "B200": Peak(8.0e12, {"int8": 4500e12, "fp8": 4500e12, "bf16": 2250e12, "fp32": 80e12}),
}


def roofline_ns(gpu: str | None, bytes_: int | None, operations: int | None, precision: str) -> float | None:
    """max(bytes / bandwidth, operations / rate) in ns; None for an unknown GPU or nothing to go by."""
    # As words: an L40S is no L4, a GH200 no H200.
    peak = next((peak for name, peak in PEAKS.items() if re.search(rf"\b{name}\b", gpu or "")), None)
    if peak is None:
        return None
    bound = (bytes_ or 0) / peak.bytes_per_s
    if operations and precision in peak.operations_per_s:
        bound = max(bound, operations / peak.operations_per_s[precision])
    return bound * 1e9 or None
