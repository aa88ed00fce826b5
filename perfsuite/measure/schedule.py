"""The order of work on one case: alone, or base and head in lockstep. Pure: tested with fake players.

Source of the protocol: blocks with everything allocated anew are the unit of noise, pairs of fresh
processes the unit above it; rounds alternate A B, B A, so that drift cancels (docs in the README,
"How it measures").
"""

from __future__ import annotations

from dataclasses import dataclass

from perfsuite.measure.player import BlockInfo, BlockPlan, Player
from perfsuite.measure.timings import Timings
from perfsuite.model import Block, Round, Side

ROUND_BUDGET_NS = 150e6
"""A block's rounds take at most about this long on each side; slow cases get fewer rounds."""
LEAST_ROUNDS = 5
THROTTLE_RETRIES = 8
"""Throttled rounds are kept, marked, and repeated at most so often a block."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    pairs: int
    blocks: int
    rounds: int
    least_rounds: int = LEAST_ROUNDS


def rounds_for(info: BlockInfo, effort: Effort) -> int:
    """Rounds of a block: the effort's, fewer where a round is long."""
    affordable = int(ROUND_BUDGET_NS / max(info.round_ns, 1.0))
    return max(min(effort.rounds, affordable), min(effort.least_rounds, effort.rounds))


def measure_alone(player: Player, pair: int, effort: Effort) -> tuple[tuple[Block, ...], BlockInfo]:
    """All blocks of one case on one side."""
    blocks = []
    info = None
    for number in range(effort.blocks):
        info = player.block(BlockPlan(pair, number) if info is None else info.plan(pair, number))
        wanted, rounds, order = rounds_for(info, effort), list[Round](), 0
        while _clean(rounds) < wanted and len(rounds) < wanted + THROTTLE_RETRIES:
            rounds.append(player.round(len(rounds), order))
            order += 1
        player.release()
        blocks.append(Block(pair, number, info.sets, info.iterations, tuple(rounds)))
    assert info is not None, "an effort has at least one block"
    return tuple(blocks), info


@dataclass(frozen=True, slots=True)
class Paired:
    """One pair's blocks of one case, and what each side said when it allocated the first."""

    base: tuple[Block, ...]
    head: tuple[Block, ...]
    base_info: BlockInfo
    head_info: BlockInfo


def measure_lockstep(
    base: Player,
    head: Player,
    pair: int,
    effort: Effort,
    form: BlockInfo | None = None,
    timings: Timings | None = None,
) -> Paired:
    """All blocks of one case of one pair of processes, rounds alternating A B, B A, ….

    Both sides walk over graphs of the same form: base calibrates, head follows, and later pairs follow the
    first (`form`).
    """
    timings = timings or Timings()
    sides = {Side.BASE: base, Side.HEAD: head}
    first: dict[Side, BlockInfo] = {}
    blocks: dict[Side, list[Block]] = {Side.BASE: [], Side.HEAD: []}
    for number in range(effort.blocks):
        # The side that allocates first alternates too, so that neither always gets the older memory.
        for name in (
            (Side.BASE, Side.HEAD) if (pair + number) % 2 == 0 or form is None else (Side.HEAD, Side.BASE)
        ):
            with timings.phase("allocate"):
                form = sides[name].block(BlockPlan(pair, number) if form is None else form.plan(pair, number))
            timings.split("allocate", form.spent)
            first.setdefault(name, form)
        assert form is not None, "both sides have allocated"
        with timings.phase("rounds"):
            rounds = _alternate(base, head, rounds_for(form, effort))
        with timings.phase("release"):
            base.release()
            head.release()
        for name, measured in zip((Side.BASE, Side.HEAD), rounds, strict=True):
            blocks[name].append(Block(pair, number, form.sets, form.iterations, tuple(measured)))
    return Paired(tuple(blocks[Side.BASE]), tuple(blocks[Side.HEAD]), first[Side.BASE], first[Side.HEAD])


def _alternate(base: Player, head: Player, wanted: int) -> tuple[list[Round], list[Round]]:
    of_base: list[Round] = []
    of_head: list[Round] = []
    clean = 0
    while clean < wanted and len(of_base) < wanted + THROTTLE_RETRIES:
        index = len(of_base)
        order = 2 * index
        if index % 2 == 0:
            of_base.append(base.round(index, order))
            of_head.append(head.round(index, order + 1))
        else:
            of_head.append(head.round(index, order))
            of_base.append(base.round(index, order + 1))
        clean += not (of_base[-1].throttled or of_head[-1].throttled)
    return of_base, of_head


def _clean(rounds: list[Round]) -> int:
    return sum(not r.throttled for r in rounds)
