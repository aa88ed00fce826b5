"""Arguments of launches and torch ops as short, stable text: no addresses, no devices."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from perfsuite.model import Scalar


def is_tensor(value: object) -> bool:
    """Whether Triton passes it as a pointer."""
    return hasattr(value, "data_ptr") and hasattr(value, "dtype")


def tensor_text(tensor: Any) -> str:
    """`bf16[8,64]`; strides follow where the memory is not contiguous: `bf16[8,64]{1,8}`."""
    # The shortest names that the field uses: bf16, f32, i8, u8, f8_e4m3fn.
    dtype = str(tensor.dtype).removeprefix("torch.")
    for long, short in (("bfloat", "bf"), ("float", "f"), ("uint", "u"), ("int", "i")):
        if dtype.startswith(long):
            dtype = short + dtype.removeprefix(long)
            break
    if not hasattr(tensor, "shape"):
        return dtype
    shape = [int(size) for size in tensor.shape]
    text = f"{dtype}[{','.join(map(str, shape))}]"
    if math.prod(shape) and not _contiguous(shape, strides := _strides(tensor)):
        text += f"{{{','.join(map(str, strides))}}}"
    return text


def _strides(tensor: Any) -> list[int]:
    try:
        return [int(stride) for stride in tensor.stride()]
    except (AttributeError, RuntimeError):
        return []


def _contiguous(shape: list[int], strides: list[int]) -> bool:
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=False):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def scalar(value: object) -> Scalar:
    """A value that is not a pointer, as the model stores it."""
    value = getattr(value, "value", value) if type(value).__name__ == "constexpr" else value
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if type(value).__module__.startswith("numpy") and hasattr(value, "item"):
        return scalar(value.item())
    return text(value)


def text(value: object) -> str:
    """Any argument as text that is the same in every process."""
    if is_tensor(value):
        return tensor_text(value)
    if isinstance(value, list | tuple):
        return f"({','.join(text(item) for item in value)})"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}={text(item)}' for key, item in value.items())}}}"
    if is_tensor(getattr(value, "base", None)):
        return _descriptor_text(value)
    for name in ("fn", "func", "__wrapped__"):
        # A jitted function or a partial passed as an argument: its name; its code is in the kernel's hash.
        inner = getattr(value, name, None)
        if callable(inner):
            return text(inner)
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return str(getattr(value, "__qualname__", value))
    if isinstance(value, str | bool | int | float) or value is None:
        return repr(value)
    shown = str(scalar_or_self(value))
    # A default repr holds an address, which differs in every process.
    return type(value).__qualname__ if " at 0x" in shown else shown


def scalar_or_self(value: object) -> object:
    return getattr(value, "value", value) if type(value).__name__ == "constexpr" else value


def _descriptor_text(value: Any) -> str:
    """A tensor descriptor (TMA): its tensor, how that is cut, and its block."""
    # The host makes it: with other strides, the same machine code copies other elements.
    parts = [text(value.base)]
    parts += [
        f"{name}={list(getattr(value, name))}"
        for name in ("shape", "strides", "block_shape")
        if hasattr(value, name)
    ]
    return f"{type(value).__name__}({','.join(parts)})"


_IRRELEVANT = frozenset({"device", "layout", "pin_memory", "non_blocking", "generator"})


def op_text(op: Any, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
    """`aten.mm(bf16[8,64],bf16[64,32])` of a torch op; where it runs is left out."""
    shown = [_op_argument(value) for value in args]
    shown += [f"{name}={_op_argument(value)}" for name, value in kwargs.items() if name not in _IRRELEVANT]
    return f"{op_name(op)}({','.join(shown)})"


def _op_argument(value: object) -> str:
    kind = type(value)
    if kind.__module__ == "torch" and kind.__name__ == "device":
        return "device"
    return text(value)


@functools.cache
def op_name(op: Any) -> str:
    """`aten.mm`, `aten.add.Tensor`."""
    name = getattr(op, "name", None)
    full = str(name() if callable(name) else op).replace("::", ".")
    return full.removesuffix(".default")
