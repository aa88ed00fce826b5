"""How a kernel's static instruction mix differs, in few words: `matrix.HGMMA 64 → 0`, `local_load 0 → 12`.

The classes are those of `perfsuite.static.mix`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

Mix = Mapping[str, int]

MOST_CLASSES = 3
"""Named of one kernel; the rest is in the JSON."""
LEAST_SHARE = 0.10
"""A class that grew or shrank by less is the compiler's scheduling, not another program."""
LEAST_OF_TOTAL = 0.02
"""Nor is one whose change is a smaller part of the kernel."""
_LOCAL = ("local_load", "local_store")
"""Spills and arrays in local memory, at work."""
_MATRIX = "matrix."
_GENERATIONS = (("tcgen05", re.compile(r"UTC\w*MMA")), ("WGMMA", re.compile(r"[A-Z]GMMA")))
"""What people call the matrix instructions that read their operands from shared memory by themselves."""
_TENSOR_CORES = "tensor cores"


def lost_and_gained(base: Mix, head: Mix) -> list[str]:
    """`lost WGMMA`, `gained tensor cores`; what is lost comes first. Empty where a mix is unknown."""
    if not (base and head):
        return []
    before, after = _generations(base), _generations(head)
    lost = [f"lost {name}" for name in before if name not in after]
    return [*lost, *(f"gained {name}" for name in after if name not in before)]


def mix_changes(base: Mix, head: Mix) -> list[str]:
    """The classes that changed most: matrix instructions and local memory, the size of the code, others."""
    if not (base and head):
        return []
    return [f"{word} {base.get(name, 0)} → {head.get(name, 0)}" for name, word in _told(base, head)][
        :MOST_CLASSES
    ]


def _told(base: Mix, head: Mix) -> Iterator[tuple[str, str]]:
    """Classes worth telling with their words, most telling first."""
    names = sorted(
        (name for name in {**base, **head} if base.get(name, 0) != head.get(name, 0)),
        key=lambda name: (-abs(head.get(name, 0) - base.get(name, 0)), name),
    )
    yield from ((name, name) for name in names if name.startswith(_MATRIX))
    yield from ((name, name) for name in _LOCAL if name in names)
    if "total" in names and _large(base["total"], head["total"]):
        yield "total", "instructions"
    least = LEAST_OF_TOTAL * max(base.get("total", 0), head.get("total", 0))
    for name in names:
        before, after = base.get(name, 0), head.get(name, 0)
        told = name == "total" or name in _LOCAL or name.startswith(_MATRIX)
        if not told and _large(before, after) and abs(after - before) >= least:
            yield name, name


def _large(before: int, after: int) -> bool:
    return abs(after - before) >= LEAST_SHARE * max(before, after)


def _generations(mix: Mix) -> dict[str, None]:
    found: dict[str, None] = {}
    for name, count in mix.items():
        if name.startswith(_MATRIX) and count:
            opcode = name.removeprefix(_MATRIX)
            found.update((word, None) for word, pattern in _GENERATIONS if pattern.fullmatch(opcode))
            found[_TENSOR_CORES] = None
    return found
