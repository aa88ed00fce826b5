"""Measuring two trees: machine code first, then the gate, then lockstep pairs until every case is decided."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from perfsuite.measure import outcome
from perfsuite.measure.matching import Matched, match_suites, resumed
from perfsuite.measure.pairing import Pairing, Sink
from perfsuite.measure.process import CollectedCase
from perfsuite.measure.session import collect, collection_failures, measure_case, require_suite
from perfsuite.measure.settings import (
    BUDGETS,
    LEAST_PAIRS,
    RUN_EFFORT,
    Budget,
    Known,
    Previous,
    Progress,
    Settings,
    Tree,
    nothing_known,
)
from perfsuite.measure.side import SidePlan, TreeSide
from perfsuite.model import REUSED, Result, Side, Status

REMOVED = "not in head"
CANARY_PAIRS = 2
"""Enough to tell that the machine moved; more would cost every comparison seconds."""


def compare_suites(
    base: Tree,
    head: Tree,
    settings: Settings,
    sink: Sink,
    progress: Progress,
    earlier: Mapping[str, Previous] | None = None,
) -> None:
    """Measure both trees and give each side's result of a case to `sink` whenever it grew.

    Args:
        earlier: results of an interrupted comparison (`--resume`).

    Raises:
        NoCases: the pattern chooses nothing on either side.
        UsageError: a suite is missing or cannot be collected.
    """
    started_s = time.monotonic()
    require_suite(base)
    require_suite(head)
    caches = settings.state / "triton"
    with (
        TreeSide(SidePlan(base, settings, 2, caches / "base", Side.BASE)) as of_base,
        TreeSide(SidePlan(head, settings, 2, caches / "head", Side.HEAD)) as of_head,
    ):
        pairing = Pairing(of_base, of_head, settings, sink)
        _Comparing(pairing, base, head, settings, progress, dict(earlier or {}), started_s).run()


@dataclass(slots=True)
class _Comparing:
    pairing: Pairing
    base_tree: Tree
    head_tree: Tree
    settings: Settings
    progress: Progress
    earlier: dict[str, Previous]
    started_s: float
    _canaries: list[Matched] = field(default_factory=list, init=False)
    _common: list[Matched] = field(default_factory=list, init=False)
    """All cases of both trees, those that an interrupted comparison had decided too."""
    _case_s: float = field(default=0.0, init=False)
    """How long a case took in the newest pair, on average."""

    def run(self) -> None:
        waiting, new = self._begin()
        for case in new:
            self._measure_new(case)
        start = time.monotonic()
        for matched in waiting:
            self._first_pair(matched)
        self._time_canaries([m for m in waiting if self._times(m) and not m.reused])
        self._case_s = (time.monotonic() - start) / max(1, len(waiting))
        while due := self._due(waiting):
            self._further_pair(due)

    def _begin(self) -> tuple[list[Matched], list[CollectedCase]]:
        """The cases to compare and those only head has; what needs no measuring is told at once."""
        base, head = self.pairing.base, self.pairing.head
        with self.settings.timings.phase("processes"):
            in_base, in_head = collect(base, self.base_tree), collect(head, self.head_tree)
        found = match_suites(in_base, in_head, self.settings.pattern, self.settings.profile)
        for result in collection_failures(in_head, self.settings):
            self.pairing.sink(Side.HEAD, result)
        for case in found.unreadable.values():
            self.pairing.sink(Side.BASE, self._absent(case, ""))
            text = in_head.errors[case.file]
            self.pairing.sink(Side.HEAD, outcome.empty(case, self.pairing.device, Status.FAILED, text))
        for case in found.removed:
            self.pairing.sink(Side.BASE, self._absent(case, REMOVED))
        self._common = [resumed(case, self.earlier, veto=self.settings.veto) for case in found.common]
        waiting = [m for m in self._common if not self._is_done(m)]
        new = [case for case in found.new if case.id not in self.earlier]
        self._canaries = self._common_canaries() if self.settings.gpu else []
        self.progress.total(len(waiting) + len(new))
        base.compile_ahead([m.case for m in (*waiting, *self._canaries)])
        head.compile_ahead([*(m.case for m in (*waiting, *self._canaries)), *new])
        return waiting, new

    def _common_canaries(self) -> list[Matched]:
        in_head = {case.id: case for case in self.pairing.head.collected.canaries}
        return [
            resumed(case, self.earlier, veto=False)
            for case in self.pairing.base.collected.canaries
            if case.id in in_head and in_head[case.id].version == case.version
        ]

    @property
    def _budget(self) -> Budget:
        return BUDGETS[self.settings.profile]

    def _most_pairs(self) -> int:
        if self.settings.pairs is not None:
            return self.settings.pairs
        return self._budget.effort.pairs

    def _is_done(self, matched: Matched) -> bool:
        if matched.base is None or matched.head is None:
            return False
        return not self._times(matched) or self._need(matched, self._family()) == 0

    def _family(self) -> int:
        """Cases that are judged together by their times, as far as known."""
        return sum(self._times(m) for m in self._common)

    def _times(self, matched: Matched) -> bool:
        return matched.to_time and (self.settings.gpu or matched.case.plain)

    def _need(self, matched: Matched, family: int) -> int:
        """About how many more pairs; 0 when the case is decided, or has the most."""
        left = self._most_pairs() - matched.pairs_done()
        if self.settings.pairs is not None or left <= 0:
            return max(0, left)
        assert matched.base is not None and matched.head is not None
        if not matched.pairs_done():
            return 1
        return self.settings.needs(matched.base, matched.head, family)

    def _absent(self, case: CollectedCase, message: str) -> Result:
        return outcome.empty(case, self.pairing.device, Status.SKIPPED, message)

    def _measure_new(self, case: CollectedCase) -> None:
        self.progress.case(case.id, "new")
        of_base = self.pairing.base.collected
        changed = next((c for c in of_base.cases if c.id == case.id), None)
        if changed is not None:
            self.pairing.sink(Side.BASE, self._absent(changed, REMOVED))
        elif case.file in of_base.errors:
            text = f"base cannot import it: {of_base.errors[case.file]}"
            self.pairing.sink(Side.BASE, outcome.empty(case, self.pairing.device, Status.FAILED, text))
        result = measure_case(self.pairing.head, case, None, self.settings, RUN_EFFORT["quick"])
        self.pairing.sink(Side.HEAD, result)
        self.progress.done(case.id, result.status)

    def _first_pair(self, matched: Matched) -> None:
        """Machine code, gates, and the first pair's blocks where they are needed."""
        case = matched.case
        if matched.base is not None and matched.head is not None:
            return  # resumed: its first pair is done, the others follow
        if case.plain:
            self._pair(matched)
            self.progress.done(case.id, matched.head.status if matched.head else Status.FAILED)
            return
        same = self._compile_and_check(matched, self.settings.known)
        if self._times(matched) and not matched.reused:
            self._pair(matched)
        else:
            self.pairing.save(matched)
        assert matched.head is not None
        untimed = REUSED if matched.reused else "identical" if same and matched.veto else None
        ok = matched.head.status is Status.OK
        self.progress.done(case.id, untimed if untimed and ok else matched.head.status)

    def _compile_and_check(self, matched: Matched, known: Known = nothing_known) -> bool:
        """Whether the machine code is provably the same."""
        case = matched.case
        self.progress.case(case.id, "compiling")
        with self.settings.timings.phase("wait for the compiler"):
            base, head = self.pairing.base.compiled(case), self.pairing.head.compiled(case)
        same = base.same_code(head)
        timed = None
        if not same and base.launches is not None and head.launches is not None:
            timed = known(case.id, case.version, base.launches, head.launches)
        stage = "identical, checking" if same else "timed before, checking" if timed else "checking"
        self.progress.case(case.id, stage)
        return self.pairing.check(matched, same=same, timed=timed)

    def _pair(self, matched: Matched) -> None:
        """The next pair of one case: the processes are fresh for it."""
        pair, effort = matched.pairs_done(), self._budget.effort
        if matched.case.plain:
            self.progress.case(matched.case.id, f"wall clock, pair {pair + 1}")
            self.pairing.plain(matched, pair, effort)
            return
        self.progress.case(matched.case.id, f"timing, pair {pair + 1}")
        if pair + 1 < LEAST_PAIRS and self.settings.gpu:
            self.pairing.prepare()
        self.pairing.lockstep(matched, pair, effort)

    def _time_canaries(self, timed: list[Matched]) -> None:
        """One pair of the pinned kernels, beside whatever is timed: they tell the machine from the code."""
        if not any(not m.case.plain for m in timed):
            return
        for canary in self._canaries:
            if canary.head is None:
                self._compile_and_check(canary)
                if not self._times(canary):
                    # Pinned code that does not work any more accuses the machine: the report has to know.
                    self.pairing.save(canary)
            if self._times(canary) and canary.pairs_done() < CANARY_PAIRS:
                self._pair(canary)

    def _due(self, waiting: list[Matched]) -> list[Matched]:
        """The cases of the next pair, those nearest to a verdict first, as far as the budget goes."""
        family = self._family()
        needs = [(self._need(m, family), m) for m in waiting if self._times(m)]
        open_ = sorted((n for n in needs if n[0]), key=lambda n: n[0])
        if self.settings.pairs is not None:
            return [m for _, m in open_]
        left_s = self._budget.seconds - (time.monotonic() - self.started_s)
        affordable = int(left_s / self._case_s) if self._case_s else len(open_)
        must = [m for _, m in open_ if m.pairs_done() < LEAST_PAIRS]
        others = [m for _, m in open_ if m.pairs_done() >= LEAST_PAIRS]
        return must + others[: max(0, affordable - len(must))]

    def _further_pair(self, due: list[Matched]) -> None:
        pair = min(m.pairs_done() for m in due)
        noun = "case" if len(due) == 1 else "cases"
        self.progress.note(f"pair {pair + 1}: {len(due)} {noun} in fresh processes")
        start = time.monotonic()
        self.pairing.restart()
        self.pairing.look()
        for matched in due:
            self._pair(matched)
        self._time_canaries(due)
        self._case_s = (time.monotonic() - start) / len(due)
