"""One case, one pair of processes, both sides: the gate, rounds in lockstep, whom a failure is blamed on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from perfsuite.measure import outcome
from perfsuite.measure.matching import Matched
from perfsuite.measure.player import BlockInfo, PlayerError
from perfsuite.measure.process import CollectedCase, Ended, RemotePlayer, TrialFailed
from perfsuite.measure.schedule import Effort, measure_lockstep
from perfsuite.measure.session import ended, settle, uncompiled
from perfsuite.measure.settings import Settings, Timed
from perfsuite.measure.side import TreeSide
from perfsuite.model import Result, Side, Status

Sink = Callable[[Side, Result], None]


@dataclass(slots=True)
class Pairing:
    """Two living sides, and where their results go."""

    base: TreeSide
    head: TreeSide
    settings: Settings
    sink: Sink

    @property
    def device(self) -> str:
        return "cuda" if self.settings.gpu else "cpu"

    def side(self, name: Side) -> TreeSide:
        return self.base if name is Side.BASE else self.head

    def restart(self) -> None:
        """Fresh processes on both sides."""
        with self.settings.timings.phase("processes"):
            self.base.restart()
            self.head.restart()

    def prepare(self) -> None:
        """Start the processes of the next pair, which wait without touching the GPU."""
        self.base.prepare()
        self.head.prepare()

    def check(self, matched: Matched, *, same: bool, timed: Timed | None = None) -> bool:
        """Both gates; of equal machine code head's alone, base's result then only carries its launches.

        Args:
            timed: what was measured of this machine code before: taken over where head's gate passes.

        Returns:
            `same`, unless head was seen to launch other kernels than were compiled.
        """
        case = matched.case
        with self.settings.timings.phase("gate"):
            matched.head = self._gated(Side.HEAD, case)
            compiled = self.base.compiled(case)
            if not outcome.agrees(matched.head, self.head.compiled(case)):
                same, timed = False, None
            if same:
                matched.base = outcome.with_launches(outcome.empty(case, self.device, Status.OK), compiled)
            elif timed is not None and matched.head.status is Status.OK:
                # Base's gate passed then, on the same code and inputs.
                gated = outcome.with_launches(timed.base, compiled)
                matched.base = outcome.with_blocks_of(gated, timed.base, timed.comparison)
                matched.head = outcome.with_blocks_of(matched.head, timed.head, timed.comparison)
            else:
                matched.base = self._gated(Side.BASE, case)
        return same

    def look(self) -> None:
        """Ask who else uses the GPU: the former processes are gone, the new ones have not touched it yet."""
        with self.settings.timings.phase("processes"), contextlib.suppress(TrialFailed):
            self.base.trial()
            self.head.trial()
        self.settings.look()

    def lockstep(self, matched: Matched, pair: int, effort: Effort) -> None:
        """One pair's blocks of one case, both sides, saved."""
        assert matched.base is not None and matched.head is not None
        case, timings = matched.case, self.settings.timings
        try:
            with timings.phase("begin and end a case"):
                players = self._served(Side.BASE, case), self._served(Side.HEAD, case)
            paired = measure_lockstep(*players, pair, effort, _form(matched.base), timings)
            with timings.phase("begin and end a case"):
                ends = self.base.trial().finish(), self.head.trial().finish()
        except PlayerError as error:
            self._blame(matched, error)
        else:
            environment = self.settings.environment
            matched.base = outcome.with_blocks(matched.base, paired.base, paired.base_info, environment)
            matched.head = outcome.with_blocks(matched.head, paired.head, paired.head_info, environment)
            matched.base, matched.head = ended(matched.base, ends[0]), ended(matched.head, ends[1])
        self.save(matched)

    def save(self, matched: Matched) -> None:
        assert matched.base is not None and matched.head is not None
        with self.settings.timings.phase("save"):
            self.sink(Side.BASE, matched.base)
            self.sink(Side.HEAD, matched.head)

    def plain(self, matched: Matched, pair: int, effort: Effort) -> None:
        """Whole tests in turn: they time themselves. Each repetition is a block."""
        for block in range(effort.blocks):
            # As in lockstep: the side that goes first alternates over blocks and pairs.
            order = (Side.BASE, Side.HEAD) if (pair + block) % 2 == 0 else (Side.HEAD, Side.BASE)
            for name in order:
                with self.settings.timings.phase("wall clock"):
                    result = self._plain_once(name, matched.case, pair, block)
                known = matched.base if name is Side.BASE else matched.head
                blocks = known.blocks if known is not None else ()
                # What an interruption left of this block on one side alone is measured again.
                kept = tuple(b for b in blocks if (b.pair, b.block) != (pair, block))
                result = replace(result, blocks=kept + result.blocks)
                if name is Side.BASE:
                    matched.base = result
                else:
                    matched.head = result
            assert matched.base is not None and matched.head is not None
            # A later repetition that passes does not make a failure undone.
            if not matched.base.status is matched.head.status is Status.OK:
                break
        self.save(matched)

    def _plain_once(self, name: Side, case: CollectedCase, pair: int, block: int) -> Result:
        side = self.side(name)
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

    def _gated(self, name: Side, case: CollectedCase) -> Result:
        side = self.side(name)
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
                outcome.empty(case, self.device, Status.FAILED, error.message), compiled
            )
        except TrialFailed as error:
            return outcome.empty(case, self.device, Status.FAILED, f"no trial could be started: {error}")
        result = outcome.with_gate(outcome.from_facts(case, self.device, started), gate)
        result = ended(outcome.with_launches(result, compiled, gate.launches), end)
        passed = result.status is Status.OK and not self.settings.gpu
        return uncompiled(result, compiled, self.settings) if passed else result

    def _served(self, name: Side, case: CollectedCase) -> RemotePlayer:
        """A case that its trial has begun to serve. Raises: PlayerError, of this side."""
        try:
            trial = self.side(name).trial()
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
        # What was measured before stays: raw samples are never thrown away.
        if error.side is Side.BASE:
            matched.base = replace(matched.base, status=Status.FAILED, message=str(error))
        else:
            matched.head = replace(matched.head, status=Status.FAILED, message=str(error))


def _form(base: Result) -> BlockInfo | None:
    """The graph's form of the pairs before: it stays, so that all blocks measure the same."""
    if not base.blocks:
        return None
    first = base.blocks[0]
    return BlockInfo(first.sets, first.iterations, base.timer, first.rounds[0].sample_ns * first.iterations)
