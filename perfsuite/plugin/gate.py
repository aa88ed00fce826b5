"""The correctness gate: no speed on a red gate.

Outputs are poisoned (every `torch.empty` and relative is filled with NaN), inputs are fresh, maximum and
RMS relative error are told apart, and NaN never passes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from perfsuite.measure.player import Gate
from perfsuite.plugin.spec import GATE_SEED, Spec

if TYPE_CHECKING:
    import torch


def check(spec: Spec, device: str, *, small: bool = False) -> Gate:
    """Run the op and its reference on fresh inputs and compare every output."""
    with poisoned_allocations():
        output = spec.call(spec.make(GATE_SEED, device, small=small))
    # The op may have written into its inputs: the reference gets its own.
    truth = spec.truth(spec.make(GATE_SEED, device, small=small))
    digest = output_hash(output) if spec.hash_output else None
    return compare(output, truth, spec.tolerance, digest)


def compare(output: Any, truth: Any, tolerance: float, digest: str | None = None) -> Gate:
    """Compare an op's outputs (a tensor or a tuple of them) with the reference's."""
    outputs, truths = _as_tuple(output), _as_tuple(truth)
    if not outputs:
        return Gate(False, "the benchmarked function returned nothing to compare: return its output")
    if len(outputs) != len(truths):
        return Gate(False, f"{len(outputs)} outputs where the reference has {len(truths)}")
    worst_rms = worst_max = 0.0
    for number, (got, want) in enumerate(zip(outputs, truths, strict=True)):
        if got.shape != want.shape:
            message = f"output {number} has shape {tuple(got.shape)}, the reference {tuple(want.shape)}"
            return Gate(False, message)
        if not got.numel():
            return Gate(False, f"output {number} has no elements: there is nothing to compare")
        rms, largest, bad = _errors(got, want)
        if bad:
            message = f"output {number}: {bad} of {got.numel()} values are not finite or were never written"
            return Gate(False, message, output_hash=digest)
        worst_rms, worst_max = max(worst_rms, rms), max(worst_max, largest)
    if worst_rms > tolerance:
        message = f"RMS relative error {worst_rms:.3%} above the tolerance {tolerance:.3%}"
        return Gate(False, message, worst_rms, worst_max, digest)
    return Gate(True, "", worst_rms, worst_max, digest)


def _errors(got: torch.Tensor, want: torch.Tensor) -> tuple[float, float, int]:
    """RMS relative error, maximum relative error, number of values that are not finite but should be."""
    import torch

    got, want = got.detach(), want.detach().to(got.device)
    if got.is_complex() or want.is_complex():
        wide = torch.complex128
        got, want = torch.view_as_real(got.to(wide)), torch.view_as_real(want.to(wide))
    if got.is_floating_point() or want.is_floating_point():
        got, want = got.double(), want.double()
        difference = got - want
    else:
        # In whole numbers: neighbours beyond 2⁵³ are equal as floats.
        difference = (got.long() - want.long()).double()
        got, want = got.double(), want.double()
    bad = int((~torch.isfinite(got) & torch.isfinite(want)).sum())
    # Relative to the largest value first, so that squares neither overflow nor vanish.
    peak = float(want.abs().max()) or 1.0
    difference, want = difference / peak, want / peak
    norm = float(want.norm()) or 1.0
    rms, largest = float(difference.norm()) / norm, float(difference.abs().max())
    if not (math.isfinite(rms) and math.isfinite(largest)):
        bad = max(bad, 1)
    return rms, largest, bad


def output_hash(output: Any) -> str:
    """16 hex digits over the bits of all outputs."""
    import torch

    digest = hashlib.sha256()
    for tensor in _as_tuple(output):
        digest.update(tensor.detach().contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _as_tuple(output: Any) -> tuple[Any, ...]:
    from perfsuite.plugin.tensors import tensors_of

    return tuple(tensors_of(output))


@contextmanager
def poisoned_allocations() -> Iterator[None]:
    """Fill whatever `torch.empty`, `empty_like`, … allocate with NaN (integers: their maximum)."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Poison(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if "empty" in func.name() and isinstance(result, torch.Tensor) and result.numel():
                _fill(result)
            return result

    with Poison():  # type: ignore[no-untyped-call]
        yield


def _fill(tensor: torch.Tensor) -> None:
    import torch

    if tensor.is_meta:
        return
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
        tensor.fill_(math.nan)
    elif tensor.dtype != torch.bool:
        tensor.fill_(torch.iinfo(tensor.dtype).max)
