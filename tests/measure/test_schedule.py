"""The order of rounds and blocks, with players that only take notes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from perfsuite.measure.player import BlockInfo, BlockPlan, Gate
from perfsuite.measure.schedule import (
    LEAST_ROUNDS,
    ROUND_BUDGET_NS,
    THROTTLE_RETRIES,
    Effort,
    measure_alone,
    measure_lockstep,
)
from perfsuite.model import Launches, Round, Timer


@dataclass
class Noting:
    name: str
    log: list[str]
    round_ns: float = 1e6
    throttled: frozenset[int] = frozenset()
    plans: list[BlockPlan] = field(default_factory=list)
    held: bool = False

    def compile(self) -> Launches:
        return Launches()

    def gate(self) -> Gate:
        return Gate(True)

    def block(self, plan: BlockPlan) -> BlockInfo:
        self.log.append(f"{self.name} block {plan.block}")
        self.plans.append(plan)
        self.held = True
        return BlockInfo(plan.sets or 16, plan.iterations or 32, Timer.GRAPH, self.round_ns)

    def round(self, index: int, order: int) -> Round:
        assert self.held, "a round needs a block"
        self.log.append(f"{self.name}{index}")
        return Round(100.0 + order, order, index, index in self.throttled)

    def release(self) -> None:
        self.held = False


def rounds_of(log: list[str]) -> list[str]:
    return [entry for entry in log if "block" not in entry]


def test_lockstep_alternates_within_a_block() -> None:
    log: list[str] = []
    measure_lockstep(Noting("A", log), Noting("B", log), 0, Effort(1, 1, 4))
    assert rounds_of(log) == ["A0", "B0", "B1", "A1", "A2", "B2", "B3", "A3"]


def test_lockstep_allocates_in_alternating_order_and_releases() -> None:
    log: list[str] = []
    base, head = Noting("A", log), Noting("B", log)
    measure_lockstep(base, head, 0, Effort(1, 3, 1))
    assert [e for e in log if "block" in e] == [
        "A block 0",
        "B block 0",
        "B block 1",
        "A block 1",
        "A block 2",
        "B block 2",
    ]
    assert not base.held
    assert not head.held


def test_head_gets_the_form_that_base_calibrated() -> None:
    log: list[str] = []
    base, head = Noting("A", log), Noting("B", log)
    paired = measure_lockstep(base, head, 3, Effort(1, 2, 2))
    assert head.plans[0] == BlockPlan(3, 0, 16, 32)
    blocks = [(b.pair, b.block, b.sets, b.iterations) for b in paired.base]
    assert blocks == [(3, 0, 16, 32), (3, 1, 16, 32)]
    assert [[r.index for r in b.rounds] for b in paired.head] == [[0, 1], [0, 1]]


def test_later_pairs_keep_the_form_of_the_first() -> None:
    log: list[str] = []
    base, head = Noting("A", log), Noting("B", log)
    first = measure_lockstep(base, head, 0, Effort(1, 1, 1)).base_info
    measure_lockstep(base, head, 1, Effort(1, 2, 1), replace(first, sets=24, iterations=48))
    assert [p for p in base.plans if p.pair == 1] == [BlockPlan(1, 0, 24, 48), BlockPlan(1, 1, 24, 48)]
    assert [e for e in log if "block" in e][2:] == ["B block 0", "A block 0", "A block 1", "B block 1"]


def test_orders_tell_the_timeline() -> None:
    log: list[str] = []
    paired = measure_lockstep(Noting("A", log), Noting("B", log), 0, Effort(1, 1, 3))
    assert [r.order for r in paired.base[0].rounds] == [0, 3, 4]
    assert [r.order for r in paired.head[0].rounds] == [1, 2, 5]


def test_throttled_rounds_are_kept_marked_and_repeated_on_both_sides() -> None:
    log: list[str] = []
    paired = measure_lockstep(
        Noting("A", log, throttled=frozenset({1})), Noting("B", log), 0, Effort(1, 1, 4)
    )
    assert [r.throttled for r in paired.base[0].rounds] == [False, True, False, False, False]
    assert len(paired.head[0].rounds) == 5


def test_endless_throttling_ends() -> None:
    blocks, _ = measure_alone(Noting("A", [], throttled=frozenset(range(999))), 0, Effort(1, 1, 4))
    assert len(blocks[0].rounds) == 4 + THROTTLE_RETRIES


def test_long_rounds_are_fewer() -> None:
    blocks, _ = measure_alone(Noting("A", [], round_ns=ROUND_BUDGET_NS / 8), 0, Effort(1, 1, 30))
    assert len(blocks[0].rounds) == 8
    blocks, _ = measure_alone(Noting("A", [], round_ns=ROUND_BUDGET_NS * 9), 0, Effort(1, 1, 30))
    assert len(blocks[0].rounds) == LEAST_ROUNDS


def test_alone_keeps_the_form_over_blocks() -> None:
    player = Noting("A", [])
    blocks, info = measure_alone(player, 0, Effort(1, 3, 2))
    assert [b.block for b in blocks] == [0, 1, 2]
    assert player.plans[1:] == [BlockPlan(0, 1, 16, 32), BlockPlan(0, 2, 16, 32)]
    assert info.timer is Timer.GRAPH
