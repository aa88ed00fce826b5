"""Two listings of machine code laid beside each other, and what differs but in name. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

import numpy as np
import numpy.typing as npt

MOST_LINES = 3_000
"""Aligned: the table of the alignment has the square of it as entries, 36 MB. Listings are shorter
(`perfsuite.static.loop`); a longer one is of another program."""
_ADDRESS = re.compile(r"\s*(?:([0-9a-f]{4,})\s+)?(.*?)\s*")
_REGISTER = re.compile(r"\b(UR|UP|SB|R|P|B)\d+\b")
_REUSE = ".reuse"
"""A hint to the register cache: the allocator's, like the names of registers."""
_GUARD = re.compile(r"@!?\S+\s+")
_OPCODE = re.compile(r"(?:\w+:\s*)?([A-Z][A-Z0-9_]*)")
_LEAD = re.compile(r"(?:\w+:\s*)?(?:@!?\S+\s+)?")
"""A label and a guard."""
_WORD = re.compile(r"[\w.]+|\s+|.")
_EQUAL, _SHAPE, _OPERATION = 8, 6, 3
"""Worth of two lines side by side: the same text; the same but for registers; the same operation. A line
of another shape is worth less than half of one that is the same, so that no equal line is given up for it."""


class Kind(StrEnum):
    """How the lines of a row relate."""

    EQUAL = "="
    REGISTERS = "~"
    """Only the names of registers differ."""
    CHANGED = "≠"
    """The same operation with other operands or modifiers."""
    REMOVED = "−"
    ADDED = "+"


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction."""

    text: str
    address: str = ""
    """Relative to the listing's start, as it was printed."""

    @property
    def shape(self) -> str:
        """The instruction with all registers of a file taken for one."""
        return _REGISTER.sub(r"\1", self.text.replace(_REUSE, ""))

    @property
    def operation(self) -> str:
        """`LDG` of `@!P0 LDG.E.128 R4, [R2.64]`."""
        found = _OPCODE.match(_GUARD.sub("", self.text, count=1))
        return found[1] if found else self.text


@dataclass(frozen=True, slots=True)
class Row:
    """What stands side by side."""

    kind: Kind
    base: Line | None
    head: Line | None


@dataclass(frozen=True, slots=True)
class Diff:
    """Two listings, aligned."""

    rows: tuple[Row, ...]
    renamed: bool
    """Only names of registers differ, and each register of one side is one of the other throughout."""

    @property
    def counts(self) -> Counter[Kind]:
        """Rows of each kind."""
        return Counter(row.kind for row in self.rows)

    @property
    def equal(self) -> bool:
        return set(self.counts) <= {Kind.EQUAL}

    @property
    def only_registers(self) -> bool:
        """The same instructions in the same order; not equal."""
        return set(self.counts) <= {Kind.EQUAL, Kind.REGISTERS} and not self.equal


def parse(listing: str) -> list[Line]:
    """Lines of a listing `0010  @!P0 LDG.E.128 R4, [R2.64]`; the address may be missing."""
    lines = []
    for line in listing.splitlines():
        found = _ADDRESS.fullmatch(line)
        if found and found[2]:
            lines.append(Line(found[2], found[1] or ""))
    return lines


def compare(base: Sequence[Line], head: Sequence[Line]) -> Diff:
    """Aligns two listings so that as much as possible of what is alike stands side by side."""
    rows = tuple(_rows(base[:MOST_LINES], head[:MOST_LINES]))
    return Diff(rows, _renamed(rows))


def worded(text: str) -> tuple[str, list[str]]:
    """The label and guard of an instruction, and its words, of which the first is the operation."""
    found = _LEAD.match(text)
    lead = found[0] if found else ""
    return lead, _WORD.findall(text[len(lead) :])


def is_register(word: str) -> bool:
    return _REGISTER.match(word) is not None


def differing(words: Sequence[str], other: Sequence[str]) -> frozenset[int]:
    """Places of the words that the other side has not, or has otherwise."""
    if len(words) == len(other):
        return frozenset(at for at, pair in enumerate(zip(words, other, strict=True)) if pair[0] != pair[1])
    codes = SequenceMatcher(None, other, words, autojunk=False).get_opcodes()
    return frozenset(at for tag, _, _, low, high in codes if tag != "equal" for at in range(low, high))


def operations(lines: Sequence[Line]) -> Mapping[str, int]:
    """How often each operation stands there, the most frequent first."""
    counts = Counter(line.operation for line in lines)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _rows(base: Sequence[Line], head: Sequence[Line]) -> Iterator[Row]:
    i = j = 0
    for matched_base, matched_head in [*_aligned(base, head), (len(base), len(head))]:
        yield from (Row(Kind.REMOVED, line, None) for line in base[i:matched_base])
        yield from (Row(Kind.ADDED, None, line) for line in head[j:matched_head])
        i, j = matched_base + 1, matched_head + 1
        if matched_base < len(base):
            yield _row(base[matched_base], head[matched_head])


def _row(base: Line, head: Line) -> Row:
    if base.text == head.text:
        return Row(Kind.EQUAL, base, head)
    return Row(Kind.REGISTERS if base.shape == head.shape else Kind.CHANGED, base, head)


def _aligned(base: Sequence[Line], head: Sequence[Line]) -> list[tuple[int, int]]:
    """Pairs of places, ascending on both sides: the heaviest common subsequence.

    Not difflib: its search is quadratic for each block that it finds, and loops of machine code repeat a few
    lines hundreds of times. Here one row of the table is a few operations on whole arrays.
    """
    worth = _worth(base, head)
    best = np.zeros((len(base) + 1, len(head) + 1), dtype=np.int32)
    for i, row in enumerate(worth):
        np.maximum(best[i, 1:], best[i, :-1] + row, out=best[i + 1, 1:])
        np.maximum.accumulate(best[i + 1], out=best[i + 1])
    pairs = []
    i, j = len(base), len(head)
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _worth(base: Sequence[Line], head: Sequence[Line]) -> npt.NDArray[np.int32]:
    """[base, head] → what it is worth to lay these lines side by side, 0 where they are not alike."""
    worth = np.zeros((len(base), len(head)), dtype=np.int32)
    for points, name in ((_OPERATION, "operation"), (_SHAPE, "shape"), (_EQUAL, "text")):
        numbers: dict[str, int] = {}
        ours, theirs = (
            np.array(
                [numbers.setdefault(getattr(line, name), len(numbers)) for line in lines], dtype=np.int32
            )
            for lines in (base, head)
        )
        worth[ours[:, None] == theirs[None, :]] = points
    return worth


def _renamed(rows: Sequence[Row]) -> bool:
    """Whether the registers of one side map one to one to those of the other."""
    if any(row.kind not in (Kind.EQUAL, Kind.REGISTERS) for row in rows):
        return False
    there: dict[str, str] = {}
    back: dict[str, str] = {}
    for row in rows:
        assert row.base is not None and row.head is not None, "both sides of an equal row"
        names = (_REGISTER.finditer(line.text) for line in (row.base, row.head))
        for ours, theirs in zip(*names, strict=True):
            if there.setdefault(ours[0], theirs[0]) != theirs[0]:
                return False
            if back.setdefault(theirs[0], ours[0]) != ours[0]:
                return False
    return any(row.kind is Kind.REGISTERS for row in rows)
