"""What differs between the kernels of two results of one case: one sentence a kernel, worst news first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from perfsuite.model import Kernel
from perfsuite.stats.why_mix import lost_and_gained, mix_changes
from perfsuite.units import format_bytes

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


@dataclass(frozen=True, slots=True)
class KernelChange:
    """One kernel that differs.

    Attributes:
        name: of the kernel.
        sentence: all that is to say.
        parts: the single changes, `registers 168 → 190`.
        grave: it spills more, or lost its matrix instructions: said before anything else.
    """

    name: str
    sentence: str
    parts: tuple[str, ...]
    grave: bool = False


def kernel_changes(base: Sequence[Kernel], head: Sequence[Kernel]) -> list[KernelChange]:
    """The kernels that differ, grave ones first, else in order of launch.

    Kernels are matched by name; among equal names, equal ones first, then by position. The instruction mix
    and the listing follow from the machine code and may be unknown on a side: they make no difference of
    their own.
    """
    return sorted(_changes(_by_name(base), _by_name(head)), key=lambda change: not change.grave)


def _changes(before: dict[str, list[Kernel]], after: dict[str, list[Kernel]]) -> Iterator[KernelChange]:
    renamed = _renamed(before, after)
    for name in before:
        if name in after:
            yield from _same_name(name, before[name], after[name])
        elif name in renamed:
            sentence = f"{name} is now called {renamed[name]}, same machine code"
            yield KernelChange(name, sentence, ())
        else:
            yield KernelChange(name, f"kernel {name} removed", ("removed",))
    for name in after:
        if name not in before and name not in renamed.values():
            sentence = f"kernel {name} added ({_resources(after[name][0])})"
            yield KernelChange(name, sentence, ("added",))


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


def _same_name(name: str, base: list[Kernel], head: list[Kernel]) -> Iterator[KernelChange]:
    only_base, only_head = _without(base, head), _without(head, base)
    several = len(base) > 1 or len(head) > 1
    said = set()
    for before, after in zip(only_base, only_head, strict=False):
        label = f"{name}[{','.join(map(str, before.grid))}]" if several else name
        change = _change(label, before, after)
        if change.sentence not in said:
            yield change
        said.add(change.sentence)
    for extra in only_head[len(only_base) :]:
        sentence = f"{name} also launched as another variant ({_resources(extra)})"
        yield KernelChange(name, sentence, ("another variant",))
    if len(only_base) > len(only_head):
        gone = len(only_base) - len(only_head)
        yield KernelChange(name, f"{name}: {gone} of its variants no longer launched", ("fewer variants",))


def _without(kernels: Iterable[Kernel], others: Iterable[Kernel]) -> list[Kernel]:
    known = [_launched(other) for other in others]
    return [kernel for kernel in kernels if _launched(kernel) not in known]


def _launched(kernel: Kernel) -> Kernel:
    """The kernel without what was only read off its machine code and may be unknown on a side."""
    return replace(kernel, instructions={}, listing="")


def _change(label: str, base: Kernel, head: Kernel) -> KernelChange:
    lost = lost_and_gained(base.instructions, head.instructions)
    parts = [*lost, *_attribute_changes(base, head), *_argument_changes(base, head)]
    if base.grid != head.grid:
        parts.append(f"grid {_grid(base)} → {_grid(head)}")
    parts += mix_changes(base.instructions, head.instructions)
    if base.hash == head.hash:
        sentence = f"{label}: {', '.join(parts)}, same machine code"
    elif not parts:
        mix = ", nearly the same instructions" if base.instructions and head.instructions else ""
        sentence = f"machine code of {label} differs, same registers/spills/shared memory{mix}"
        parts = ["other machine code"]
    else:
        sentence = f"{label}: {', '.join(parts)}"
    grave = (head.spills or 0) > (base.spills or 0) or any(part.startswith("lost ") for part in lost)
    return KernelChange(base.name, sentence, tuple(parts), grave)


def _attribute_changes(base: Kernel, head: Kernel) -> list[str]:
    return [
        f"{word} {_value(attribute, base)} → {_value(attribute, head)}"
        for attribute, word in _ATTRIBUTES
        if getattr(base, attribute) != getattr(head, attribute)
    ]


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
