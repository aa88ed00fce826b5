"""Mixture-of-experts kernels with INT4 weights and INT8 activations (W4A8): the first repository under watch.

Torch and Triton only. Names are imported on first use, so that `import kernels` costs nothing. An op with a
module of its own is imported from there: `from kernels.moe_w4a8 import moe_w4a8`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "PackedWeight": "kernels.quantize",
    "Routing": "kernels.routing",
    "align_experts": "kernels.routing",
    "pack_int4": "kernels.quantize",
    "quantize_rows": "kernels.quantize",
    "random_weight": "kernels.quantize",
    "route_and_quantize": "kernels.routing",
    "silu_mul": "kernels.quantize",
    "silu_mul_quantize": "kernels.quantize",
    "unpack_int4": "kernels.quantize",
}

__all__ = [  # noqa: PLE0604 (names of `_HOMES`, resolved by `__getattr__`)
    *sorted(_HOMES)
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(
            f"module 'kernels' has no attribute {name!r}; its ops are {', '.join(__all__)}, and those with a "
            "module of their own, as `from kernels.moe_w4a8 import moe_w4a8`"
        )
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
