"""Choosing cases by a pattern: what `-k` means, the same everywhere. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from perfsuite.errors import UsageError

_SHOWN = 3


def match_cases(pattern: str, ids: Iterable[str], reserved: Collection[str] = ()) -> list[str]:
    """The ids that the pattern chooses, in their order.

    A pattern is a substring of the case id (`decode`, `m=64`), or, with `*` or `?`, a glob of the whole id
    (`moe_w4a8/prefill*g=128]`); several are separated by ` or `. Brackets stand for themselves, because ids
    are full of them. An empty pattern chooses everything.

    Args:
        reserved: ids that are chosen only by a part of the pattern that chooses nothing else.
    """
    ids = list(ids)
    parts = [part.strip() for part in pattern.split(" or ")]
    chosen: set[str] = set()
    for part in [part for part in parts if part] or [""]:
        found = [case for case in ids if _matches(part, case)]
        chosen.update([case for case in found if case not in reserved] or (found if part else ()))
    return [case for case in ids if case in chosen]


def nearest_cases(pattern: str, ids: Sequence[str]) -> list[str]:
    """Up to three ids that look most like what the pattern may have meant."""
    words = [word for word in re.split(r" or |[*?]", pattern) if word.strip()] or [pattern]
    return sorted(ids, key=lambda case: -max(_likeness(word.strip(), case) for word in words))[:_SHOWN]


class NoCases(UsageError):
    """A pattern that chooses nothing, or a suite without benchmarks.

    Args:
        pattern: what was asked for, empty for everything.
        available: ids of all cases there are.
    """

    def __init__(self, pattern: str, available: Sequence[str]) -> None:
        self.pattern = pattern
        self.available = tuple(available)
        if not available:
            super().__init__("the suite has no benchmarks", "add a test that uses gpu_benchmark or benchmark")
            return
        if not pattern:
            every = f"all {len(self.available)} cases are marked full"
            super().__init__(every, "measure them with --profile full")
            return
        near = "\n    ".join(nearest_cases(pattern, self.available))
        super().__init__(
            f"no case matches {pattern!r} (of {len(self.available)} cases)", f"the nearest are\n    {near}"
        )


def _matches(part: str, case: str) -> bool:
    if "*" in part or "?" in part:
        return fnmatchcase(case, part.replace("[", "[[]"))
    return part in case


def _likeness(word: str, case: str) -> float:
    """Share of the word that the case has in common with it, word parts compared one by one."""
    pieces = [piece for piece in re.split(r"[/\[\],=_]", case) if piece]
    whole = difflib.SequenceMatcher(None, word, case, autojunk=False)
    in_whole = sum(block.size for block in whole.get_matching_blocks() if block.size > 1) / max(1, len(word))
    best_piece = max((difflib.SequenceMatcher(None, word, piece).ratio() for piece in pieces), default=0.0)
    return in_whole + best_piece
