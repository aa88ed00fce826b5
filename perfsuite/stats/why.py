"""Why a case moved: what its launches, its timer and its accuracy say, one sentence each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from perfsuite.model import Kernel, Launches, Result
from perfsuite.units import format_bytes

ACCURACY_FACTOR = 1.5
"""An RMS error that grows or shrinks by less is the luck of the inputs, not another computation."""
MOST_ARGUMENTS = 8
"""Named in one sentence; more are counted."""
_ATTRIBUTES = (
    ("registers", "registers"),
    ("spills", "spills"),
    ("stack_bytes", "stack"),
    ("shared_bytes", "shared memory"),
    ("warps", "warps"),
    ("stages", "stages"),
    ("target", "target"),
)


def why(base: Result, head: Result) -> tuple[str, ...]:
    """Everything besides time that differs between two results of one case."""
    sentences = list(differences(base.launches, head.launches))
    if base.timer != head.timer:
        sentences.append(f"timer {base.timer} → {head.timer}")
    accuracy = _accuracy(base, head)
    if accuracy:
        sentences.append(accuracy)
    if base.output_hash and head.output_hash and base.output_hash != head.output_hash:
        sentences.append("the output's bits differ for the same inputs")
    return tuple(sentences)


def less_accurate(base: Result, head: Result) -> bool:
    """Whether head's RMS error is larger by more than luck."""
    before, after = base.error_rms, head.error_rms
    return before is not None and after is not None and after > before * ACCURACY_FACTOR


def differences(base: Launches, head: Launches) -> tuple[str, ...]:
    """One sentence a kernel that differs, then the numbers of launches, torch ops and their order."""
    sentences = [*_kernel_sentences(base.kernels, head.kernels), *_launch_sentences(base, head)]
    if not sentences and base.order != head.order:
        sentences.append("the same launches in another order or with other arguments")
    return tuple(sentences)


def _accuracy(base: Result, head: Result) -> str | None:
    before, after = base.error_rms, head.error_rms
    if before is None or after is None:
        return None
    if not (less_accurate(base, head) or before > after * ACCURACY_FACTOR):
        return None
    tolerance = "" if head.tolerance is None else f", tolerance {head.tolerance:.3g}"
    return f"error (RMS) {before:.3g} → {after:.3g}{tolerance}"


def _kernel_sentences(base: Sequence[Kernel], head: Sequence[Kernel]) -> Iterator[str]:
    """Kernels are matched by name; among equal names, equal ones first, then by position."""
    before, after = _by_name(base), _by_name(head)
    renamed = _renamed(before, after)
    for name in before:
        if name in after:
            yield from _same_name(name, before[name], after[name])
        elif name in renamed:
            yield f"{name} is now called {renamed[name]}, same machine code"
        else:
            yield f"kernel {name} removed"
    for name in after:
        if name not in before and name not in renamed.values():
            yield f"kernel {name} added ({_resources(after[name][0])})"


def _by_name(kernels: Iterable[Kernel]) -> dict[str, list[Kernel]]:
    grouped: dict[str, list[Kernel]] = defaultdict(list)
    for kernel in kernels:
        grouped[kernel.name].append(kernel)
    return dict(grouped)


def _renamed(before: dict[str, list[Kernel]], after: dict[str, list[Kernel]]) -> dict[str, str]:
    """Names that vanished → names that appeared with the same machine code."""
    appeared = {after[name][0].hash: name for name in reversed(after) if name not in before}
    pairs: dict[str, str] = {}
    for name in before:
        other = appeared.get(before[name][0].hash)
        if name not in after and other is not None and other not in pairs.values():
            pairs[name] = other
    return pairs


def _same_name(name: str, base: list[Kernel], head: list[Kernel]) -> Iterator[str]:
    only_base = [kernel for kernel in base if kernel not in head]
    only_head = [kernel for kernel in head if kernel not in base]
    several = len(base) > 1 or len(head) > 1
    said = set()
    for before, after in zip(only_base, only_head, strict=False):
        label = f"{name}[{','.join(map(str, before.grid))}]" if several else name
        sentence = _change(label, before, after)
        if sentence not in said:
            yield sentence
        said.add(sentence)
    for extra in only_head[len(only_base) :]:
        yield f"{name} also launched as another variant ({_resources(extra)})"
    if len(only_base) > len(only_head):
        yield f"{name}: {len(only_base) - len(only_head)} of its variants no longer launched"


def _change(label: str, base: Kernel, head: Kernel) -> str:
    changes = [
        f"{word} {_value(attribute, base)} → {_value(attribute, head)}"
        for attribute, word in _ATTRIBUTES
        if getattr(base, attribute) != getattr(head, attribute)
    ]
    changes += _argument_changes(base, head)
    if base.grid != head.grid:
        changes.append(f"grid {_grid(base)} → {_grid(head)}")
    if base.hash == head.hash:
        return f"{label}: {', '.join(changes)}, same machine code"
    if not changes:
        return f"machine code of {label} differs, same registers/spills/shared memory"
    return f"{label}: {', '.join(changes)}"


def _argument_changes(base: Kernel, head: Kernel) -> list[str]:
    names = [*base.arguments, *(name for name in head.arguments if name not in base.arguments)]
    changed = [
        f"{name} {base.arguments.get(name, 'absent')} → {head.arguments.get(name, 'absent')}"
        for name in names
        if base.arguments.get(name, "absent") != head.arguments.get(name, "absent")
    ]
    left = len(changed) - MOST_ARGUMENTS
    return changed if left <= 0 else [*changed[:MOST_ARGUMENTS], f"{left} more arguments"]


def _value(attribute: str, kernel: Kernel) -> str:
    value = getattr(kernel, attribute)
    if value is None:
        return "unknown"
    return format_bytes(value) if attribute.endswith("_bytes") else str(value)


def _grid(kernel: Kernel) -> str:
    return f"({', '.join(map(str, kernel.grid))})"


def _resources(kernel: Kernel) -> str:
    shared = "unknown" if kernel.shared_bytes is None else format_bytes(kernel.shared_bytes)
    return (
        f"registers {_value('registers', kernel)}, spills {_value('spills', kernel)}, shared memory {shared}"
    )


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
        elif _is_torch_op(name):
            yield f"torch op {name} {'added' if new else 'removed'} ({_times(old or new)})"
    if _torch_launches(base) != _torch_launches(head) and _torch_names(before) == _torch_names(after):
        yield "torch ops run on other shapes or types"


def _launched(entry: str) -> str:
    """`_gemm1` of `_gemm1#hash[grid](…)`, `aten.mm` of `aten.mm(…)`."""
    return entry.split("#", 1)[0].split("(", 1)[0]


def _is_torch_op(name: str) -> bool:
    return name.startswith(("aten.", "torch.")) or "::" in name


def _torch_launches(launches: Launches) -> Counter[str]:
    return Counter(entry for entry in launches.order if _is_torch_op(_launched(entry)))


def _torch_names(counted: Counter[str]) -> Counter[str]:
    return Counter({name: count for name, count in counted.items() if _is_torch_op(name)})


def _times(count: int) -> str:
    return f"{count}×"
