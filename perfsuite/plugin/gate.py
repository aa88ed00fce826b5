"""The correctness gate: no speed on a red gate.

Outputs are poisoned (every `torch.empty` and relative is filled with NaN), inputs are fresh, maximum and
RMS relative error are told apart, and NaN never passes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perfsuite.measure.player import Gate
from perfsuite.plugin.buffers import copies
from perfsuite.plugin.spec import GATE_SEED, Spec

if TYPE_CHECKING:
    import torch

PARTS = 16
"""Of the outputs, for their errors' own noise: 16 values bound a median change at 99.9 % confidence."""
LEAST_OF_PART = 64
"""Values: the RMS of fewer scatters by more than a tenth from part to part."""


def check(
    spec: Spec, device: str, *, small: bool = False, watching: AbstractContextManager[object] | None = None
) -> Gate:
    """Run the op and its reference on fresh inputs and compare every output.

    Args:
        watching: entered around the op's call alone.
    """
    made = spec.make(GATE_SEED, device, small=small)
    # The op may write into its inputs: the reference gets its own. Copying is cheap, making is not.
    given = copies([made])
    arguments = given[0] if given is not None else spec.make(GATE_SEED, device, small=small)
    with poisoned_allocations(), watching or nullcontext():
        output = spec.call(arguments)
    truth = spec.truth(made)
    digest = output_hash(output) if spec.hash_output else None
    return compare(output, truth, spec.tolerance, digest)


def compare(output: Any, truth: Any, tolerance: float, digest: str | None = None) -> Gate:
    """Compare an op's outputs (a tensor or a tuple of them) with the reference's."""
    outputs, truths = _as_tuple(output), _as_tuple(truth)
    if not outputs:
        return Gate(False, "the benchmarked function returned nothing to compare: return its output")
    if len(outputs) != len(truths):
        return Gate(False, f"{len(outputs)} outputs where the reference has {len(truths)}")
    errors: list[_Errors] = []
    for number, (got, want) in enumerate(zip(outputs, truths, strict=True)):
        if got.shape != want.shape:
            message = f"output {number} has shape {tuple(got.shape)}, the reference {tuple(want.shape)}"
            return Gate(False, message)
        if not got.numel():
            return Gate(False, f"output {number} has no elements: there is nothing to compare")
        found = _errors(got, want)
        if found.bad:
            message = (
                f"output {number}: {found.bad} of {got.numel()} values are not finite or were never written"
            )
            return Gate(False, message, output_hash=digest)
        errors.append(found)
    rms, largest = max(found.rms for found in errors), max(found.largest for found in errors)
    if rms > tolerance:
        message = f"RMS relative error {rms:.3%} above the tolerance {tolerance:.3%}"
        return Gate(False, message, rms, largest, digest)
    return Gate(True, "", rms, largest, digest, error_parts=_together([found.parts for found in errors]))


@dataclass(frozen=True, slots=True)
class _Errors:
    """Of one output, relative to the reference."""

    rms: float
    largest: float
    bad: int
    """Values that are not finite but should be."""
    parts: tuple[float, ...]


def _errors(got: torch.Tensor, want: torch.Tensor) -> _Errors:
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
    return _Errors(rms, largest, bad, _parts(difference, norm))


def _parts(difference: torch.Tensor, norm: float) -> tuple[float, ...]:
    """RMS error of contiguous parts, relative to the RMS of the *whole* reference.

    A part of the reference may be next to nothing (a masked row, an expert without tokens): relative to
    itself, its error would be anything. Between two sides the divisor cancels, and so the parts add up:
    the mean of their squares is the square of the whole's.
    """
    import torch

    flat = difference.reshape(-1)
    count = min(PARTS, flat.numel() // LEAST_OF_PART)
    if count < 2:
        return ()
    norms = torch.stack([part.norm() / math.sqrt(part.numel()) for part in flat.tensor_split(count)])
    shares: list[float] = (norms / (norm / math.sqrt(flat.numel()))).tolist()
    return tuple(shares)


def _together(outputs: list[tuple[float, ...]]) -> tuple[float, ...]:
    """Part by part over the outputs: the root of the sum of squares, so that a loss in any of them shows.

    Outputs too small to be cut into as many parts as the others are left out.
    """
    most = max(map(len, outputs))
    return tuple(math.hypot(*values) for values in zip(*(p for p in outputs if len(p) == most), strict=True))


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

    from perfsuite.static.torch_ops import dynamo_is_loaded

    class Poison(TorchDispatchMode):
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return dynamo_is_loaded()

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
