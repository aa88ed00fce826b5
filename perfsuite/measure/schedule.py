"""The order of work on one case: alone, or base and head in lockstep. Pure: tested with fake players.

Source of the protocol: blocks with everything allocated anew are the unit of noise, pairs of fresh
processes the unit above it; rounds alternate A B, B A, so that drift cancels (docs in the README,
"How it measures").
"""

from __future__ import annotations

from dataclasses import dataclass

from perfsuite.measure.player import BlockInfo, BlockPlan, Player
from perfsuite.model import Block, Round

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
        shape = (
            BlockPlan(pair, number) if info is None else BlockPlan(pair, number, info.sets, info.iterations)
        )
        info = player.block(shape)
        wanted, rounds, order = rounds_for(info, effort), list[Round](), 0
        while _clean(rounds) < wanted and len(rounds) < wanted + THROTTLE_RETRIES:
            rounds.append(player.round(len(rounds), order))
            order += 1
        player.release()
        blocks.append(Block(pair, number, info.sets, info.iterations, tuple(rounds)))
    assert info is not None, "an effort has at least one block"
    return tuple(blocks), info


def measure_lockstep(
    base: Player, head: Player, pair: int, effort: Effort
) -> tuple[tuple[Block, ...], tuple[Block, ...], BlockInfo]:
    """All blocks of one case of one pair of processes, rounds alternating A B, B A, ….

    Both sides walk over graphs of the same form: base calibrates, head follows.
    """
    blocks: tuple[list[Block], list[Block]] = ([], [])
    info = None
    for number in range(effort.blocks):
        shape = (
            BlockPlan(pair, number) if info is None else BlockPlan(pair, number, info.sets, info.iterations)
        )
        # The side that allocates first alternates too, so that neither always gets the older memory.
        first, second = (base, head) if number % 2 == 0 or info is None else (head, base)
        info = first.block(shape)
        info = second.block(BlockPlan(pair, number, info.sets, info.iterations))
        rounds = _alternate(base, head, rounds_for(info, effort))
        base.release()
        head.release()
        for side, measured in zip(blocks, rounds, strict=True):
            side.append(Block(pair, number, info.sets, info.iterations, tuple(measured)))
    assert info is not None, "an effort has at least one block"
    return tuple(blocks[0]), tuple(blocks[1]), info


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
