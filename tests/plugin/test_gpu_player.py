"""What the GPU player does in which order, on a stand-in for the GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fake_cuda import FakeCuda

from perfsuite.measure.nvml import Nvml
from perfsuite.measure.player import BlockPlan, PlayerError
from perfsuite.measure.schedule import Effort, measure_alone
from perfsuite.model import Telemetry, Timer
from perfsuite.plugin.gpu import GpuPlayer, warm_calls


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    fake.install(monkeypatch)
    return fake


def counting() -> tuple[Any, list[int]]:
    made: list[int] = []

    def inputs(seed: int) -> tuple[torch.Tensor]:
        made.append(seed)
        return (torch.full((4,), float(seed)),)

    return inputs, made


def test_inputs_are_made_once_and_calibrated_once(cuda: FakeCuda) -> None:
    inputs, made = counting()
    player = GpuPlayer(cuda.spec(inputs=inputs))
    first = player.block(BlockPlan(0, 0))
    second = player.block(first.plan(0, 1))
    assert made == list(range(64))
    assert (first.sets, first.iterations, first.timer) == (64, 64, Timer.GRAPH)
    assert (second.sets, second.iterations, second.warm) == (64, 64, first.warm)
    assert first.round_ns == 640_000
    assert set(first.spent) == {"inputs", "calibrate", "place", "capture", "facts"}
    assert set(second.spent) == {"place", "capture"}
    assert player.round(0, 0).sample_ns == cuda.call_ns


def test_the_other_side_follows_without_calibrating(cuda: FakeCuda) -> None:
    info = GpuPlayer(cuda.spec()).block(BlockPlan(0, 0))
    head = GpuPlayer(cuda.spec())
    followed = head.block(info.plan(0, 0))
    assert "calibrate" not in followed.spent
    assert (followed.sets, followed.iterations, followed.timer) == (info.sets, info.iterations, info.timer)


def test_host_time_and_memory_are_measured_once_a_process(cuda: FakeCuda) -> None:
    player = GpuPlayer(cuda.spec())
    first = player.block(BlockPlan(0, 0))
    second = player.block(first.plan(0, 1))
    assert first.host_ns is not None
    assert first.host_ns > 0
    assert first.peak_bytes == 64
    assert (second.host_ns, second.peak_bytes) == (first.host_ns, first.peak_bytes)


def test_a_long_round_is_preceded_by_a_short_one(cuda: FakeCuda) -> None:
    cuda.call_ns = 900_000
    player = GpuPlayer(cuda.spec())
    info = player.block(BlockPlan(0, 0))
    assert (info.sets, info.iterations, info.warm) == (16, 16, 3)
    cuda.replays.clear()
    player.round(0, 0)
    assert cuda.replays == [3, 16]
    # The other side is given the same, whatever it measures itself.
    cuda.call_ns = 100_000
    other = GpuPlayer(cuda.spec())
    assert other.block(info.plan(0, 0)).warm == 3


def test_warm_calls() -> None:
    assert warm_calls(4.9e6, 16) == 16
    assert warm_calls(16e6, 16) == 2
    assert warm_calls(160e6, 16) == 1


def test_what_does_not_capture_is_called_from_the_host(cuda: FakeCuda) -> None:
    cuda.captures = False
    player = GpuPlayer(cuda.spec(rotate=2))
    info = player.block(BlockPlan(0, 0))
    assert info.timer is Timer.EVENTS
    cuda.calls = 0
    assert player.round(0, 0).sample_ns == cuda.call_ns
    assert cuda.calls == 2 * info.iterations
    assert GpuPlayer(cuda.spec(rotate=2)).block(info.plan(0, 0)).timer is Timer.EVENTS


def test_every_block_starts_from_fresh_inputs(cuda: FakeCuda) -> None:
    seen: list[float] = []

    def writes(x: torch.Tensor) -> torch.Tensor:
        seen.append(float(x[0]))
        x.add_(100.0)
        return cuda.op(x)

    spec = cuda.spec(rotate=2)
    player = GpuPlayer(type(spec)(writes, spec.inputs, spec.reference, 0.0, rotate=2))
    info = player.block(BlockPlan(0, 0))
    seen.clear()
    player.block(info.plan(0, 1))
    assert seen[:2] == [0.0, 1.0]


def test_short_of_memory_blocks_make_their_own(cuda: FakeCuda) -> None:
    cuda.memory = (1 << 36, 64)
    inputs, made = counting()
    player = GpuPlayer(cuda.spec(inputs=inputs, rotate=2))
    measure_alone(player, 0, Effort(1, 3, 2))
    assert made == [0, 1] * 3


def test_closing_frees_what_was_made(cuda: FakeCuda) -> None:
    inputs, made = counting()
    player = GpuPlayer(cuda.spec(inputs=inputs, rotate=2))
    info = player.block(BlockPlan(0, 0))
    player.close()
    player.block(info.plan(0, 1))
    assert made == [0, 1, 0, 1]


def test_a_failing_op_is_the_case_s_error_and_frees_everything(cuda: FakeCuda) -> None:
    def broken(x: torch.Tensor) -> torch.Tensor:
        raise ValueError("no")

    spec = cuda.spec()
    player = GpuPlayer(type(spec)(broken, spec.inputs, spec.reference, 0.0))
    with pytest.raises(PlayerError, match="ValueError: no") as caught:
        player.block(BlockPlan(0, 0))
    assert not caught.value.lost
    assert len(player._buffers) == 0


class Asked(Nvml):
    """Counts the questions; the second round is throttled by heat."""

    def __init__(self) -> None:
        self.whole = self.short = 0

    def telemetry(self, index: int) -> Telemetry:
        self.whole += 1
        return Telemetry(sm_mhz=1980)

    def throttle(self, index: int) -> tuple[str, ...]:
        self.short += 1
        return ("hw_thermal_slowdown",) if self.short == 1 else ()


def test_nvml_is_asked_everything_once_a_block(cuda: FakeCuda) -> None:
    nvml = Asked()
    player = GpuPlayer(cuda.spec(), nvml)
    player.block(BlockPlan(0, 0))
    rounds = [player.round(index, index) for index in range(4)]
    assert (nvml.whole, nvml.short) == (1, 3)
    assert [r.throttled for r in rounds] == [False, True, False, False]
    assert rounds[0].telemetry == Telemetry(sm_mhz=1980)
    assert rounds[1].telemetry == Telemetry(throttle=("hw_thermal_slowdown",))
    assert rounds[2].telemetry is None
