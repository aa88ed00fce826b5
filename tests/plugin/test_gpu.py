"""The GPU player on a real GPU: `pytest -m gpu` on a GPU machine."""

from __future__ import annotations

import math

import pytest
import torch

from perfsuite.measure.player import BlockPlan, PlayerError
from perfsuite.measure.schedule import Effort, measure_alone, measure_lockstep
from perfsuite.model import Timer
from perfsuite.plugin.buffers import SETS, SETS_OF_SHORT
from perfsuite.plugin.gpu import GpuPlayer
from perfsuite.plugin.spec import Spec

pytestmark = pytest.mark.gpu


def pair(size: int):  # type: ignore[no-untyped-def]
    def inputs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(seed)
        return torch.randn(size), torch.randn(size)

    return inputs


def add(size: int, function=torch.add, **more) -> GpuPlayer:  # type: ignore[no-untyped-def]
    return GpuPlayer(Spec(function, pair(size), torch.add, 1e-6, **more))


def median(values: tuple[float, ...]) -> float:
    return sorted(values)[len(values) // 2]


def test_gate_and_time_of_a_copy_sized_op() -> None:
    size = 64 << 20
    player = add(size)
    gate = player.gate()
    assert gate.passed
    assert gate.launches is not None
    assert gate.launches.order
    blocks, info = measure_alone(player, 0, Effort(1, 2, 5))
    assert info.timer is Timer.GRAPH
    assert info.sets == SETS
    bytes_per_s = 12 * size / (median(blocks[0].samples_ns) / 1e9)
    assert 1e12 < bytes_per_s < 6e12, "an add of 768 MiB runs at the memory's bandwidth"


def test_short_ops_walk_over_many_sets() -> None:
    player = add(256 << 10)
    info = player.block(BlockPlan(0, 0))
    assert info.sets >= SETS_OF_SHORT
    total_bytes = info.sets * 2 * 4 * (256 << 10)
    assert total_bytes > 2 * torch.cuda.get_device_properties(0).L2_cache_size
    assert info.iterations % info.sets == 0
    assert info.round_ns >= 0.4e6
    player.release()


def test_lockstep_of_the_same_op_agrees() -> None:
    paired = measure_lockstep(add(4 << 20), add(4 << 20), 0, Effort(1, 3, 12))
    ratios = [
        math.log(median(b.samples_ns) / median(a.samples_ns))
        for a, b in zip(paired.base, paired.head, strict=True)
    ]
    assert abs(sum(ratios) / len(ratios)) < 0.03


def test_an_op_that_synchronizes_is_timed_by_events() -> None:
    def synchronizing(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y if float(x[0]) < 100 else x

    blocks, info = measure_alone(add(1 << 20, synchronizing), 0, Effort(1, 1, 3))
    assert info.timer is Timer.EVENTS
    assert all(sample > 1000 for sample in blocks[0].samples_ns)


def test_out_of_memory_costs_the_case_not_the_context() -> None:
    def greedy(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 45, device=x.device)

    with pytest.raises(PlayerError) as caught:
        add(1 << 20, greedy).gate()
    assert not caught.value.lost
    assert add(1 << 20).gate().passed


def test_rotate_overrides_the_number_of_sets() -> None:
    player = add(1 << 20, rotate=3)
    assert player.block(BlockPlan(0, 0)).sets == 3
    player.release()


def test_blocks_get_new_memory_and_the_inputs_are_made_once() -> None:
    made: list[int] = []
    places: set[int] = set()

    def inputs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        made.append(seed)
        return pair(1 << 20)(seed)

    def watched(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        places.add(x.data_ptr())
        return x + y

    player = GpuPlayer(Spec(watched, inputs, torch.add, 1e-6, rotate=16))
    info = player.block(BlockPlan(0, 0))
    seen = []
    for number in range(1, 4):
        places.clear()
        player.block(info.plan(0, number))
        seen.append(frozenset(places))
    assert len(made) == 16
    assert len(set(seen)) > 1, "offsets inside segments differ from block to block"
    assert info.host_ns is not None
    assert 1e3 < info.host_ns < 1e6
    assert info.peak_bytes == 4 << 20
    player.close()
    assert torch.cuda.memory_allocated() == 0


def test_a_long_round_has_a_short_warm_up() -> None:
    player = add(64 << 20)
    info = player.block(BlockPlan(0, 0))
    assert info.warm is not None
    assert 0 < info.warm <= info.iterations
    whole = [player.round(index, index).sample_ns for index in range(3)]
    assert max(whole) < 1.1 * min(whole)
    player.close()
