"""A stand-in for the fixture of the measuring side: only its gate, at the small shape, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode


@pytest.fixture
def gpu_benchmark() -> Callable[..., None]:
    def run(
        function: Any, *, inputs: Any, reference: Any, tolerance: float, small: Any = None, **_: Any
    ) -> None:
        arguments = (small or inputs)(10_007)
        with poisoned():
            out = function(**arguments)
        error = rms_error(out, reference(**arguments))
        assert error <= tolerance

    return run


def rms_error(got: Any, want: Any) -> float:
    """The largest ‖got − want‖ / ‖want‖ of all outputs; infinite where something is not finite."""
    pairs = zip(got, want, strict=True) if isinstance(got, tuple) else [(got, want)]
    worst = 0.0
    for one, other in pairs:
        assert one.shape == other.shape
        error = float((one.double() - other.double()).norm() / other.double().norm())
        worst = max(worst, error if error == error else float("inf"))
    return worst


@contextmanager
def poisoned() -> Iterator[None]:
    """Whatever is allocated without being filled is NaN, or an integer's maximum."""

    class Poison(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if "empty" in func.name():
                out.fill_(float("nan") if out.is_floating_point() else torch.iinfo(out.dtype).max)
            return out

    with Poison():
        yield
