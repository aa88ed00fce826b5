"""Measuring two trees: machine code first, then the gate, then lockstep pairs of fresh processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from perfsuite.cases import NoCases, match_cases
from perfsuite.measure import outcome
from perfsuite.measure.player import PlayerError
from perfsuite.measure.process import CollectedCase, Ended, RemotePlayer, TrialFailed
from perfsuite.measure.schedule import Effort, measure_lockstep
from perfsuite.measure.session import (
    collect,
    collection_failures,
    ended,
    measure_case,
    require_suite,
    settle,
    uncompiled,
)
from perfsuite.measure.settings import COMPARE_EFFORT, RUN_EFFORT, Previous, Progress, Settings, Tree
from perfsuite.measure.side import SidePlan, TreeSide
from perfsuite.model import Result, Side, Status

Sink = Callable[[Side, Result], None]
REMOVED = "not in head"


@dataclass(slots=True)
class Matched:
    """A case that both trees have, and what is known of it so far."""

    case: CollectedCase
    base: Result | None = None
    head: Result | None = None

    @property
    def to_time(self) -> bool:
        """Whether both sides are right and their machine code differs, or cannot be told to be the same."""
        return (
            self.base is not None
            and self.head is not None
            and self.base.status is Status.OK
            and self.head.status is Status.OK
            and not self.base.launches.same_code(self.head.launches)
        )

    def pairs_done(self) -> int:
        if self.base is None or self.head is None:
            return 0
        return len({b.pair for b in self.base.blocks} & {b.pair for b in self.head.blocks})


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
    require_suite(base)
    require_suite(head)
    caches = settings.state / "triton"
    with (
        TreeSide(SidePlan(base, settings, 2, caches / "base", Side.BASE)) as of_base,
        TreeSide(SidePlan(head, settings, 2, caches / "head", Side.HEAD)) as of_head,
    ):
        _Comparing(of_base, of_head, base, head, settings, sink, progress, dict(earlier or {})).run()


@dataclass(slots=True)
class _Comparing:
    base: TreeSide
    head: TreeSide
    base_tree: Tree
    head_tree: Tree
    settings: Settings
    sink: Sink
    progress: Progress
    earlier: dict[str, Previous]

    def run(self) -> None:
        common, new, removed = self._match()
        effort = COMPARE_EFFORT[self.settings.profile]
        waiting = [m for m in common if not self._is_done(m, effort)]
        self.progress.total(len(waiting) + len(new))
        self.base.compile_ahead([m.case for m in waiting])
        self.head.compile_ahead([m.case for m in waiting] + new)
        for case in removed:
            self.sink(Side.BASE, self._absent(case))
        for case in new:
            self._measure_new(case)
        for matched in waiting:
            self._first_pair(matched, effort)
        for pair in range(1, effort.pairs if self.settings.gpu else 1):
            self._further_pair(waiting, pair, effort)
        self._further_plain(waiting, effort)

    def _match(self) -> tuple[list[Matched], list[CollectedCase], list[CollectedCase]]:
        """Cases of both sides, only of head (or with a new definition), and only of base."""
        in_base, in_head = collect(self.base, self.base_tree), collect(self.head, self.head_tree)
        everything = [case.id for case in (*in_head.cases, *in_base.cases)]
        chosen = set(match_cases(self.settings.pattern, everything))
        if not chosen and not in_head.errors:
            raise NoCases(self.settings.pattern, list(dict.fromkeys(everything)))
        for result in collection_failures(in_head, self.settings):
            self.sink(Side.HEAD, result)
        old = {case.id: case for case in in_base.cases if case.id in chosen}
        now = {case.id: case for case in in_head.cases if case.id in chosen}
        self._fail_unreadable(old, now, in_head.errors)
        common = [self._matched(case) for case in now.values() if self._same_version(old, case)]
        new = [case for case in now.values() if not self._same_version(old, case)]
        gone = [case for case in old.values() if case.id not in now and case.file not in in_head.errors]
        return common, [case for case in new if case.id not in self.earlier], gone

    @staticmethod
    def _same_version(old: Mapping[str, CollectedCase], case: CollectedCase) -> bool:
        return case.id in old and old[case.id].version == case.version

    def _matched(self, case: CollectedCase) -> Matched:
        known = self.earlier.get(case.id, Previous())
        if any(result is None or result.version != case.version for result in (known.base, known.head)):
            return Matched(case)
        return Matched(case, known.base, known.head)

    def _fail_unreadable(
        self, old: Mapping[str, CollectedCase], now: Mapping[str, CollectedCase], errors: Mapping[str, str]
    ) -> None:
        """Cases of a file that head cannot import are failed, not removed."""
        for case in old.values():
            if case.id not in now and case.file in errors:
                self.sink(Side.BASE, outcome.empty(case, self._device, Status.SKIPPED))
                self.sink(Side.HEAD, outcome.empty(case, self._device, Status.FAILED, errors[case.file]))

    @property
    def _device(self) -> str:
        return "cuda" if self.settings.gpu else "cpu"

    def _is_done(self, matched: Matched, effort: Effort) -> bool:
        if matched.base is None or matched.head is None:
            return False
        return not self._times(matched) or matched.pairs_done() >= effort.pairs

    def _times(self, matched: Matched) -> bool:
        return matched.to_time and (self.settings.gpu or matched.case.plain)

    def _absent(self, case: CollectedCase) -> Result:
        return outcome.empty(case, self._device, Status.SKIPPED, REMOVED)

    def _measure_new(self, case: CollectedCase) -> None:
        self.progress.case(case.id, "new")
        changed = next((c for c in self.base.collected.cases if c.id == case.id), None)
        if changed is not None:
            self.sink(Side.BASE, self._absent(changed))
        elif case.file in self.base.collected.errors:
            text = f"base cannot import it: {self.base.collected.errors[case.file]}"
            self.sink(Side.BASE, outcome.empty(case, self._device, Status.FAILED, text))
        result = measure_case(self.head, case, None, self.settings, RUN_EFFORT["quick"])
        self.sink(Side.HEAD, result)
        self.progress.done(case.id, result.status)

    def _first_pair(self, matched: Matched, effort: Effort) -> None:
        """Machine code, gates, and the first pair's blocks where they are needed."""
        case = matched.case
        if matched.base is not None and matched.head is not None:
            return  # resumed: its first pair is done, the others follow
        if case.plain:
            self._plain_pair(matched, 0, effort)
            return
        self.progress.case(case.id, "compiling")
        compiled = self.base.compiled(case)
        same = compiled.same_code(self.head.compiled(case))
        self.progress.case(case.id, "identical, checking" if same else "checking")
        # The same machine code needs no second check: base's result only carries its launches.
        matched.head = self._gated(Side.HEAD, case)
        matched.base = (
            outcome.with_launches(outcome.empty(case, self._device, Status.OK), compiled)
            if same
            else self._gated(Side.BASE, case)
        )
        if self._times(matched):
            self.progress.case(case.id, "timing, pair 1")
            self._lockstep(matched, 0, effort)
        else:
            self._save(matched)
        self.progress.done(
            case.id, "identical" if same and matched.head.status is Status.OK else matched.head.status
        )

    def _gated(self, name: Side, case: CollectedCase) -> Result:
        side = self.base if name is Side.BASE else self.head
        compiled = side.compiled(case)
        try:
            trial = side.trial()
            started = trial.start(case.id)
            if isinstance(started, Ended):
                return outcome.of_plain(case, started, 0, 0)
            gate = RemotePlayer(trial).gate()
            end = trial.finish()
        except PlayerError as error:
            settle(side, error)
            return outcome.with_launches(
                outcome.empty(case, self._device, Status.FAILED, error.message), compiled
            )
        except TrialFailed as error:
            return outcome.empty(case, self._device, Status.FAILED, f"no trial could be started: {error}")
        result = outcome.with_gate(outcome.from_facts(case, self._device, started), gate)
        result = ended(outcome.with_launches(result, compiled, gate.launches), end)
        passed = result.status is Status.OK and not self.settings.gpu
        return uncompiled(result, compiled, self.settings) if passed else result

    def _further_pair(self, waiting: list[Matched], pair: int, effort: Effort) -> None:
        timed = [m for m in waiting if not m.case.plain and self._times(m) and m.pairs_done() <= pair]
        if not timed:
            return
        self.progress.note(f"pair {pair + 1} of {effort.pairs}: {len(timed)} cases in fresh processes")
        self.base.restart()
        self.head.restart()
        for matched in timed:
            self.progress.case(matched.case.id, f"timing, pair {pair + 1}")
            self._lockstep(matched, pair, effort)

    def _lockstep(self, matched: Matched, pair: int, effort: Effort) -> None:
        """One pair's blocks of one case, both sides, saved."""
        assert matched.base is not None and matched.head is not None
        case = matched.case
        try:
            players = self._served(Side.BASE, case), self._served(Side.HEAD, case)
            of_base, of_head, info = measure_lockstep(players[0], players[1], pair, effort)
            self.base.trial().finish()
            self.head.trial().finish()
        except PlayerError as error:
            self._blame(matched, error)
        else:
            environment = self.settings.environment
            matched.base = outcome.with_blocks(matched.base, of_base, info, environment)
            matched.head = outcome.with_blocks(matched.head, of_head, info, environment)
        self._save(matched)

    def _served(self, name: Side, case: CollectedCase) -> RemotePlayer:
        """A case that its trial has begun to serve. Raises: PlayerError, of this side."""
        side = self.base if name is Side.BASE else self.head
        try:
            trial = side.trial()
            started = trial.start(case.id)
        except TrialFailed as error:
            raise PlayerError(f"no trial could be started: {error}", lost=True, side=name) from error
        if isinstance(started, Ended):
            text = started.message or "the test ended without measuring"
            raise PlayerError(f"{text}\n(it was measured before: its outcome changes)", side=name)
        return RemotePlayer(trial)

    def _blame(self, matched: Matched, error: PlayerError) -> None:
        """The side whose step failed has failed. Both go on in fresh processes, whose state is known."""
        assert matched.base is not None and matched.head is not None
        self.base.abandon()
        self.head.abandon()
        if error.side is Side.BASE:
            matched.base = replace(matched.base, status=Status.FAILED, message=str(error), blocks=())
        else:
            matched.head = replace(matched.head, status=Status.FAILED, message=str(error), blocks=())

    def _plain_pair(self, matched: Matched, pair: int, effort: Effort) -> None:
        """Whole tests in turn: they time themselves. Each repetition is a block."""
        self.progress.case(matched.case.id, f"wall clock, pair {pair + 1}")
        for block in range(effort.blocks):
            order = (Side.BASE, Side.HEAD) if block % 2 == 0 else (Side.HEAD, Side.BASE)
            for name in order:
                result = self._plain(name, matched.case, pair, block)
                known = matched.base if name is Side.BASE else matched.head
                blocks = known.blocks if known is not None and result.status is Status.OK else ()
                result = replace(result, blocks=blocks + result.blocks)
                if name is Side.BASE:
                    matched.base = result
                else:
                    matched.head = result
            assert matched.base is not None and matched.head is not None
            # A later repetition that passes does not make a failure undone.
            if not matched.base.status is matched.head.status is Status.OK:
                break
        self._save(matched)
        self.progress.done(matched.case.id, matched.head.status if matched.head else "failed")

    def _plain(self, name: Side, case: CollectedCase, pair: int, block: int) -> Result:
        side = self.base if name is Side.BASE else self.head
        try:
            ended = side.trial().start(case.id)
        except PlayerError as error:
            settle(side, error)
            return outcome.empty(case, "cpu", Status.FAILED, error.message)
        except TrialFailed as error:
            return outcome.empty(case, "cpu", Status.FAILED, str(error))
        assert isinstance(ended, Ended), "a plain benchmark is not served"
        result = outcome.of_plain(case, ended, pair, block)
        return outcome.with_launches(result, side.compiled(case))

    def _further_plain(self, waiting: list[Matched], effort: Effort) -> None:
        plain = [m for m in waiting if m.case.plain and m.to_time]
        for pair in range(1, effort.pairs if plain else 1):
            self.base.restart()
            self.head.restart()
            for matched in plain:
                if matched.pairs_done() <= pair:
                    self._plain_pair(matched, pair, effort)

    def _save(self, matched: Matched) -> None:
        assert matched.base is not None and matched.head is not None
        self.sink(Side.BASE, matched.base)
        self.sink(Side.HEAD, matched.head)
