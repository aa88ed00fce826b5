"""The GPU side: device time per iteration, from replays of a CUDA graph that walks over many buffer sets.

One set would measure where its buffers happened to land (an A/A spread of 6 % for a 4 µs kernel, 0.04 % with
many sets), and a working set that stays in L2, which a model's decode step never sees.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from perfsuite.measure.nvml import Nvml
from perfsuite.measure.player import BlockInfo, BlockPlan, Gate, PlayerError
from perfsuite.model import Launches, Round, Telemetry, Timer
from perfsuite.plugin.gate import check
from perfsuite.plugin.spec import Spec
from perfsuite.plugin.tensors import storage_bytes

LEAST_ROUND_NS = 500_000
"""A graph is long against its own launch (4 µs) and the events' steps (32 ns)."""
SHORT_NS = 20_000
SETS, SETS_OF_SHORT = 16, 64
L2_MULTIPLE = 2
MEMORY_SHARE = 0.35
"""Of the free memory: base and head live side by side, each with intermediates."""
MOST_SETS = 256
"""Of ops so small that no number of sets leaves the L2: enough placements, and quickly made."""
PAD_BYTES = 8 << 20
CALIBRATION_CALLS = 4
SPIN_CYCLES = 400_000
"""About 0.2 ms of spinning, behind which the host queues a graph."""
SPIN_CYCLES_PER_CALL, MOST_SPIN_CYCLES = 100_000, 20_000_000
"""For an op that does not capture: about 50 µs a call, at most 10 ms."""
WORRYING = ("hw_slowdown", "hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake_slowdown")
"""Throttling that makes a round worthless. Not the software power cap: an ordinary matmul reaches it."""


@dataclass(slots=True)
class GpuPlayer:
    """Times one benchmark on the current CUDA device."""

    spec: Spec
    nvml: Nvml | None = None
    device: int = 0
    _sets: list[Any] = field(default_factory=list, init=False)
    _replay: Callable[[], None] | None = field(default=None, init=False)
    _iterations: int = field(default=1, init=False)
    _spin_cycles: int = field(default=SPIN_CYCLES, init=False)
    _kept: list[Any] = field(default_factory=list, init=False)

    def compile(self) -> Launches:
        """Compile on meta tensors for the GPU at hand; the compiled kernels are then in the cache."""
        from perfsuite.static.offline import compile_launches

        return compile_launches(self.spec.function, self.spec.make(0, "meta"), None)

    def gate(self) -> Gate:
        import torch

        from perfsuite.static.capture import record_launches

        try:
            answer = check(self.spec, "cuda")
            arguments = self.spec.make(0, "cuda")
            with record_launches() as recorder:
                self.spec.call(arguments)
            torch.cuda.synchronize()
            del arguments
            torch.cuda.empty_cache()  # the other side's turn
        except Exception as error:
            raise self._wrapped(error) from error
        return Gate(
            answer.passed,
            answer.message,
            answer.error_rms,
            answer.error_max,
            answer.output_hash,
            recorder.launches(),
        )

    def block(self, plan: BlockPlan) -> BlockInfo:
        try:
            return self._block(plan)
        except Exception as error:
            wrapped = self._wrapped(error)
            if not wrapped.lost:
                self.release()
            raise wrapped from error

    def round(self, index: int, order: int) -> Round:
        assert self._replay is not None, "block() comes before round()"
        try:
            self._replay()  # untimed: the other side has just had the GPU
            total_ns, telemetry = self._timed(self._replay)
        except Exception as error:
            raise self._wrapped(error) from error
        throttled = telemetry is not None and any(reason in WORRYING for reason in telemetry.throttle)
        return Round(total_ns / self._iterations, order, index, throttled, telemetry)

    def release(self) -> None:
        import gc

        import torch

        self._replay = None
        self._sets.clear()
        self._kept.clear()
        gc.collect()
        torch.cuda.empty_cache()

    def _block(self, plan: BlockPlan) -> BlockInfo:
        import torch

        self.release()
        shift = random.Random(plan.pair * 1009 + plan.block).randrange(1, PAD_BYTES // 512) * 512
        self._kept.append(torch.empty(shift, dtype=torch.uint8, device="cuda"))
        self._sets.append(self.spec.make(0, "cuda"))
        self.spec.call(self._sets[0])
        torch.cuda.synchronize()
        timer, once_ns = self._calibrate()
        if plan.sets:
            self._sets.extend(self.spec.make(seed, "cuda") for seed in range(1, plan.sets))
        else:
            self._sets.extend(more_sets(self.spec, once_ns, self._sets[0], *_memory()))
        walk_ns = once_ns * len(self._sets)
        count = plan.iterations or len(self._sets) * max(1, math.ceil(LEAST_ROUND_NS / walk_ns))
        self._iterations = count
        self._replay = self._capture(count) if timer is Timer.GRAPH else self._queue(count)
        self._replay()
        torch.cuda.synchronize()
        return BlockInfo(len(self._sets), count, timer, once_ns * count)

    def _calibrate(self) -> tuple[Timer, float]:
        """Whether the op captures into a graph, and about how long one call takes."""

        try:
            timer, replay = Timer.GRAPH, self._capture(CALIBRATION_CALLS)
        except Exception:
            # An op that synchronizes or allocates outside of torch does not capture: time it from the host.
            _forget_capture()
            timer, replay = Timer.EVENTS, self._queue(CALIBRATION_CALLS)
        replay()
        return timer, self._timed(replay)[0] / CALIBRATION_CALLS

    def _capture(self, count: int) -> Callable[[], None]:
        """A graph of `count` calls over the sets in turn, each of the first with an output of its own."""
        import torch

        torch.cuda.synchronize()
        graph, outputs = torch.cuda.CUDAGraph(), [None] * len(self._sets)
        with torch.cuda.graph(graph):
            for call in range(count):
                number = call % len(self._sets)
                outputs[number] = self.spec.call(self._sets[number])
        self._kept.extend(outputs)
        return graph.replay

    def _queue(self, count: int) -> Callable[[], None]:
        """Calls from the host, each queued behind the one before."""
        self._spin_cycles = min(MOST_SPIN_CYCLES, max(SPIN_CYCLES, count * SPIN_CYCLES_PER_CALL))

        def replay() -> None:
            for call in range(count):
                self.spec.call(self._sets[call % len(self._sets)])

        return replay

    def _timed(self, replay: Callable[[], None]) -> tuple[float, Telemetry | None]:
        """Device time of one replay in ns, and what NVML said meanwhile."""
        import torch

        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        # The spinning kernel covers the host's queueing, so that launches do not wait between the events.
        torch.cuda._sleep(self._spin_cycles)
        start.record()
        replay()
        end.record()
        telemetry = self.nvml.telemetry(self.device) if self.nvml is not None else None
        end.synchronize()
        return start.elapsed_time(end) * 1e6, telemetry

    @staticmethod
    def _wrapped(error: Exception) -> PlayerError:
        """Tell a failure of the case from a GPU context that is gone."""
        import torch

        if isinstance(error, PlayerError):
            return error
        text = f"{type(error).__name__}: {error}"
        try:
            torch.cuda.synchronize()
        except Exception as sticky:
            return PlayerError(f"{text}\nthe GPU context is lost: {sticky}", lost=True)
        return PlayerError(text)


def more_sets(spec: Spec, once_ns: float, first: Any, free_bytes: int, l2_bytes: int) -> list[Any]:
    """The further buffer sets of a graph: in sum beyond twice the L2 and at least 16 (64 of short ops).

    Sets may share big tensors, so distinct storages are counted. The end of the memory's share ends the list.
    """
    least = spec.rotate or (SETS_OF_SHORT if once_ns < SHORT_NS else SETS)
    most = spec.rotate or MOST_SETS
    storages, added = storage_bytes(first), list[Any]()
    while len(added) + 1 < most:
        total = sum(storages.values())
        if len(added) + 1 >= least and total > L2_MULTIPLE * l2_bytes:
            break
        if total * (len(added) + 2) / (len(added) + 1) > free_bytes * MEMORY_SHARE:
            break
        added.append(spec.make(len(added) + 1, "cuda"))
        storages.update(storage_bytes(added[-1]))
    return added


def _forget_capture() -> None:
    """After a failed capture torch leaves its generator capturing, and random inputs would fail."""
    import torch

    torch.cuda.synchronize()
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    generator.graphsafe_set_state(torch.Generator(device="cuda").graphsafe_get_state())


def _memory() -> tuple[int, int]:
    import torch

    free, _ = torch.cuda.mem_get_info()
    return int(free), int(torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size)
