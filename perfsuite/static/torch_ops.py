"""The torch ops that work on the device, as they are dispatched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from perfsuite.static.describe import is_tensor, op_name
from perfsuite.static.patching import replaced

# Namespaces whose ops are torch's own: the version of torch, part of the environment, is their code.
_TORCH_NAMESPACES = frozenset({"aten", "prims", "prim", "profiler", "debugprims", "rngprims"})

# Ops beside views that only ask, allocate, or change what the host knows of a tensor.
_NO_DEVICE_WORK = frozenset(
    {
        "_reshape_alias",
        "_unsafe_view",
        "_version",
        "alias",
        "as_strided_",
        "detach",
        "detach_",
        "empty",
        "empty_like",
        "empty_permuted",
        "empty_strided",
        "is_contiguous",
        "is_non_overlapping_and_dense",
        "is_pinned",
        "is_same_size",
        "is_strides_like_format",
        "lift",
        "lift_fresh",
        "new_empty",
        "new_empty_strided",
        "numel",
        "record_stream",
        "resize_",
        "resize_as_",
        "set_",
        "size",
        "squeeze_",
        "storage_offset",
        "stride",
        "sym_is_contiguous",
        "sym_numel",
        "sym_size",
        "sym_storage_offset",
        "sym_stride",
        "t_",
        "transpose_",
        "unsqueeze_",
    }
)


class Sink(Protocol):
    """Who is told of each op."""

    def position(self) -> int: ...

    def op(self, position: int, op: Any, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None: ...

    def note(self, why: str) -> None: ...


def custom_op(op: Any) -> str | None:
    """The name of an op that is not torch's own, whose code we do not know; None of torch's."""
    return None if getattr(op, "namespace", "") in _TORCH_NAMESPACES else op_name(op)


@contextmanager
def torch_ops(sink: Sink) -> Iterator[None]:
    """Inside, `sink` is told of each torch op that works on a device, host tensors' ops left out."""
    from torch.utils._python_dispatch import TorchDispatchMode

    def dispatch(self: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # The op's own launches, a custom op's, come behind it.
        position = sink.position()
        result = func(*args, **kwargs)
        if _works_on_device(func, args, kwargs, result):
            sink.op(position, func, args, kwargs)
        return result

    # Without the second member torch refuses higher-order ops (flex attention) inside the mode. A class
    # statement would be an untyped call to mypy with some versions of torch and not with others.
    members = {
        "__torch_dispatch__": dispatch,
        "supports_higher_order_operators": True,
        "_should_skip_dynamo": classmethod(lambda cls: dynamo_is_loaded()),
    }
    mode: Any = type("ListOps", (TorchDispatchMode,), members)
    with _compiled_functions(sink), mode():
        yield


def dynamo_is_loaded() -> bool:
    """What a dispatch mode's `_should_skip_dynamo` answers: guarding it against torch.compile imports
    torch._dynamo, a second or more, which nobody needs who has not compiled anything."""
    return "torch._dynamo" in sys.modules


@contextmanager
def _compiled_functions(sink: Sink) -> Iterator[None]:
    """Notes calls of functions that went through `torch.compile`: inside the mode they run uncompiled."""
    eval_frame = sys.modules.get("torch._dynamo.eval_frame")
    if eval_frame is None or not hasattr(eval_frame, "_callback_from_stance"):
        yield
        return

    def noting(original: Callable[..., Any]) -> Callable[..., Any]:
        def callback_from_stance(callback: Any) -> Any:
            if callable(callback):
                sink.note("torch.compile: what a compiled function launches cannot be seen")
            return original(callback)

        return callback_from_stance

    with replaced(eval_frame, "_callback_from_stance", noting):
        yield


def _works_on_device(op: Any, args: Any, kwargs: Any, result: Any) -> bool:
    if custom_op(op) is None:
        name = op_name(op).split(".")[1]
        if name in _NO_DEVICE_WORK or getattr(op, "is_view", False):
            return False
    return _on_device((args, tuple(kwargs.values()), result))


def _on_device(values: Any) -> bool:
    """Whether any tensor among the values is not in the host's memory."""
    if isinstance(values, list | tuple):
        return any(_on_device(value) for value in values)
    device = getattr(values, "device", None) if is_tensor(values) else None
    return device is not None and device.type != "cpu"
