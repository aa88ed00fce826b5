"""Which cases two trees have in common, and what an interrupted comparison knows of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from perfsuite.cases import NoCases, match_cases
from perfsuite.measure.process import Collected, CollectedCase
from perfsuite.measure.settings import Previous
from perfsuite.model import REUSED, Result, Status

FULL = "full"
"""The profile that measures every case."""


@dataclass(slots=True)
class Matched:
    """A case that both trees have, and what is known of it so far."""

    case: CollectedCase
    base: Result | None = None
    head: Result | None = None
    veto: bool = True
    """Whether equal machine code is not timed."""

    @property
    def right(self) -> bool:
        """Whether both sides passed their gates so far."""
        return (
            self.base is not None
            and self.head is not None
            and self.base.status is Status.OK
            and self.head.status is Status.OK
        )

    @property
    def to_time(self) -> bool:
        """Whether both sides are right and their machine code differs, or cannot be told to be the same."""
        if not self.right or self.base is None or self.head is None:
            return False
        return not (self.veto and self.base.launches.same_code(self.head.launches))

    @property
    def reused(self) -> bool:
        """Whether an earlier comparison's blocks were taken over."""
        return self.head is not None and REUSED in self.head.extra

    def pairs_done(self) -> int:
        if self.base is None or self.head is None:
            return 0
        return len({b.pair for b in self.base.blocks} & {b.pair for b in self.head.blocks})


@dataclass(frozen=True, slots=True)
class Matching:
    """The chosen cases of two trees."""

    common: tuple[CollectedCase, ...] = ()
    new: tuple[CollectedCase, ...] = ()
    """Only in head, or with another definition there."""
    removed: tuple[CollectedCase, ...] = ()
    unreadable: Mapping[str, CollectedCase] = field(default_factory=dict)
    """Cases of base whose file head cannot import: they are failed, not removed."""


def chosen_ids(cases: Iterable[CollectedCase], pattern: str, profile: str) -> set[str]:
    """The ids that a pattern chooses; those marked `full` wait for that profile, or to be named alone."""
    known = {case.id: case.full for case in cases}
    reserved = {case for case, full in known.items() if full and profile != FULL}
    return set(match_cases(pattern, known, reserved))


def match_suites(base: Collected, head: Collected, pattern: str, profile: str) -> Matching:
    """Raises: NoCases, the pattern chooses nothing on either side."""
    # Head last: its marks are the ones that count.
    everything = (*base.cases, *head.cases)
    chosen = chosen_ids(everything, pattern, profile)
    if not chosen and not head.errors:
        raise NoCases(pattern, list(dict.fromkeys(case.id for case in (*head.cases, *base.cases))))
    old = {case.id: case for case in base.cases if case.id in chosen}
    now = {case.id: case for case in head.cases if case.id in chosen}
    same = {case.id for case in now.values() if case.id in old and old[case.id].version == case.version}
    gone = [case for case in old.values() if case.id not in now]
    return Matching(
        common=tuple(case for case in now.values() if case.id in same),
        new=tuple(case for case in now.values() if case.id not in same),
        removed=tuple(case for case in gone if case.file not in head.errors),
        unreadable={case.id: case for case in gone if case.file in head.errors},
    )


def resumed(case: CollectedCase, earlier: Mapping[str, Previous], *, veto: bool) -> Matched:
    """A case with what an interrupted comparison has of it, where that is of the same version."""
    known = earlier.get(case.id, Previous())
    if any(result is None or result.version != case.version for result in (known.base, known.head)):
        return Matched(case, veto=veto)
    return Matched(case, known.base, known.head, veto)
