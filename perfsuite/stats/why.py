"""Why a case moved: what its launches, its host time, its memory and its accuracy say, one sentence each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from perfsuite.model import Launches, Result
from perfsuite.stats.accuracy import accuracy_sentence, less_accurate
from perfsuite.stats.why_kernels import kernel_changes
from perfsuite.units import NS_PER_S, format_bytes, format_ns

__all__ = ["changed_kernels", "differences", "is_torch_op", "less_accurate", "why"]

LEAST_HOST_SHARE, LEAST_HOST_NS = 0.10, 500.0
"""Host time is measured once a process, not in lockstep: a median of 20 calls wanders by several percent,
and by what one look at a clock costs. Less than this is that."""
LEAST_MEMORY_SHARE, LEAST_MEMORY_BYTES = 0.01, 1 << 20
"""The allocator rounds to 512 bytes, large blocks to 2 MiB; less matters to nobody."""
LEAST_COMPILE_SHARE, LEAST_COMPILE_S = 0.30, 1.0
"""Compiling shares its cores with whatever else compiles."""


def why(base: Result, head: Result) -> tuple[str, ...]:
    """Everything besides device time that differs between two results of one case, most telling first."""
    accuracy = accuracy_sentence(base, head)
    accuracies = [accuracy] if accuracy else []
    worse = less_accurate(base, head)
    sentences = [*(accuracies if worse else []), *differences(base.launches, head.launches)]
    if base.timer != head.timer:
        sentences.append(f"timer {base.timer} → {head.timer}")
    sentences += [] if worse else accuracies
    if base.output_hash and head.output_hash and base.output_hash != head.output_hash:
        sentences.append("the output's bits differ for the same inputs")
    return (*sentences, *_costs(base, head))


def differences(base: Launches, head: Launches) -> tuple[str, ...]:
    """One sentence a kernel that differs, then the numbers of launches, torch ops and their order."""
    changes = kernel_changes(base.kernels, head.kernels)
    sentences = [*(change.sentence for change in changes), *_launch_sentences(base, head)]
    if not sentences and base.order != head.order:
        sentences.append("the same launches in another order or with other arguments")
    return tuple(sentences)


def changed_kernels(base: Launches, head: Launches) -> dict[str, tuple[str, ...]]:
    """Name of each kernel and torch op that differs → how: `{"_gemm1": ("registers 168 → 190",)}`."""
    found: dict[str, tuple[str, ...]] = {}
    for change in kernel_changes(base.kernels, head.kernels):
        if change.parts:
            found[change.name] = tuple(dict.fromkeys((*found.get(change.name, ()), *change.parts)))
    before, after = (Counter(map(_launched, side.order)) for side in (base, head))
    for name in dict.fromkeys((*before, *after)):
        # A kernel that came or went has been told above; so has a renamed one, by its silence.
        if before[name] != after[name] and (is_torch_op(name) or (before[name] and after[name])):
            counts = f"launched {_times(before[name])} → {_times(after[name])}"
            found[name] = (*found.get(name, ()), counts)
    return found


def is_torch_op(name: str) -> bool:
    """Whether a launch is a torch op's (`aten.mm`), not a kernel's."""
    return name.startswith(("aten.", "torch.")) or "::" in name


def _costs(base: Result, head: Result) -> Iterator[str]:
    """What a call costs beside device time, and the case beside its calls."""
    before, after = _fact(base, "host_ns"), _fact(head, "host_ns")
    if _moved(before, after, LEAST_HOST_SHARE, LEAST_HOST_NS):
        yield f"host time per call {format_ns(before)} → {format_ns(after)}"
    before, after = _fact(base, "peak_bytes"), _fact(head, "peak_bytes")
    if _moved(before, after, LEAST_MEMORY_SHARE, LEAST_MEMORY_BYTES):
        yield f"peak memory {format_bytes(before)} → {format_bytes(after)}"
    before, after = _fact(base, "compile_s"), _fact(head, "compile_s")
    if _moved(before, after, LEAST_COMPILE_SHARE, LEAST_COMPILE_S):
        yield f"compile time {format_ns(before * NS_PER_S)} → {format_ns(after * NS_PER_S)}"


def _fact(result: Result, name: str) -> float:
    """A number of `Result.extra`; NaN where there is none."""
    value = result.extra.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _moved(before: float, after: float, share: float, amount: float) -> bool:
    """By at least that share of the smaller and that amount, either way. Never where one is unknown."""
    if not (math.isfinite(before) and math.isfinite(after)):
        return False
    return abs(after - before) >= max(share * min(before, after), amount)


def _launch_sentences(base: Launches, head: Launches) -> Iterator[str]:
    if len(base.order) != len(head.order):
        yield f"launches {len(base.order)} → {len(head.order)}"
    before, after = Counter(map(_launched, base.order)), Counter(map(_launched, head.order))
    both_sides = {kernel.name for kernel in base.kernels} & {kernel.name for kernel in head.kernels}
    for name in dict.fromkeys((*before, *after)):
        old, new = before[name], after[name]
        if name in both_sides or (old and new):
            if old != new:
                yield f"{name} launched {_times(old)} → {_times(new)}"
        elif is_torch_op(name):
            yield f"torch op {name} {'added' if new else 'removed'} ({_times(old or new)})"
    if _torch_launches(base) != _torch_launches(head) and _torch_names(before) == _torch_names(after):
        yield "torch ops run on other shapes or types"


def _launched(entry: str) -> str:
    """`_gemm1` of `_gemm1#hash[grid](…)`, `aten.mm` of `aten.mm(…)`."""
    return entry.split("#", 1)[0].split("(", 1)[0]


def _torch_launches(launches: Launches) -> Counter[str]:
    return Counter(entry for entry in launches.order if is_torch_op(_launched(entry)))


def _torch_names(counted: Counter[str]) -> Counter[str]:
    return Counter({name: count for name, count in counted.items() if is_torch_op(name)})


def _times(count: int) -> str:
    return f"{count}×"
