"""The GPU side: device time per iteration, from replays of a CUDA graph that walks over many buffer sets.

One set would measure where its buffers happened to land (an A/A spread of 6 % for a 4 µs kernel, 0.04 % with
many sets), and a working set that stays in L2, which a model's decode step never sees.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from perfsuite.measure.nvml import Nvml
from perfsuite.measure.player import BlockInfo, BlockPlan, CompiledCode, Gate, PlayerError
from perfsuite.model import Round, Telemetry, Timer
from perfsuite.plugin.ahead import compile_case
from perfsuite.plugin.buffers import Buffers, Memory
from perfsuite.plugin.facts import Spent, host_ns, peak_bytes
from perfsuite.plugin.gate import check
from perfsuite.plugin.spec import Spec

LEAST_ROUND_NS = 500_000
"""A graph is long against its own launch (4 µs) and the events' steps (32 ns)."""
LONG_ROUND_NS, WARM_NS = 5_000_000, 2_000_000
"""A round shorter than the first is replayed whole, untimed, before it is timed; of a longer one only so much
of its end that the caches, the TLBs and the clocks are this side's again."""
PAD_BYTES, SMALL_PAD_BYTES = 8 << 20, 1 << 20
"""Offsets inside torch's large and small segments are moved by up to this much."""
PAGE_BYTES, PAD_PAGES = 2 << 20, (10, 32)
"""So many pages of the driver are held back: it would hand out the ones just freed, in the same order."""
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
    _buffers: Buffers = field(init=False)
    _timer: Timer | None = field(default=None, init=False)
    _once_ns: float = field(default=0.0, init=False)
    """About the time of one call, once it is known."""
    _facts: dict[str, Any] = field(default_factory=dict, init=False)
    """Host time and memory of a call, measured in the first block."""
    _sets: list[Any] = field(default_factory=list, init=False)
    _replay: Callable[[], None] | None = field(default=None, init=False)
    _warm_up: Callable[[], None] | None = field(default=None, init=False)
    _iterations: int = field(default=1, init=False)
    _spin_cycles: int = field(default=SPIN_CYCLES, init=False)
    _kept: list[Any] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._buffers = Buffers(self.spec)

    def compile(self) -> CompiledCode:
        """Compile on meta tensors for the GPU at hand; the compiled kernels are then in the cache."""
        return compile_case(self.spec, None)

    def gate(self) -> Gate:
        import torch

        from perfsuite.static.capture import Recorder, record_launches

        recorded: list[Recorder] = []

        @contextmanager
        def watching() -> Iterator[None]:
            with record_launches() as recorder:
                recorded.append(recorder)
                yield

        try:
            answer = check(self.spec, "cuda", watching=watching())
            torch.cuda.synchronize()
            torch.cuda.empty_cache()  # the other side's turn
        except Exception as error:
            raise self._wrapped(error) from error
        return replace(answer, launches=recorded[0].launches())

    def block(self, plan: BlockPlan) -> BlockInfo:
        try:
            return self._block(plan)
        except Exception as error:
            wrapped = self._wrapped(error)
            if not wrapped.lost:
                self.close()
            raise wrapped from error

    def round(self, index: int, order: int) -> Round:
        assert self._replay is not None and self._warm_up is not None, "block() comes before round()"
        try:
            self._warm_up()  # untimed: the other side has just had the GPU
            # Asking for everything takes NVML milliseconds: once a block.
            total_ns, telemetry = self._timed(self._replay, self._telemetry if index == 0 else self._throttle)
        except Exception as error:
            raise self._wrapped(error) from error
        throttled = telemetry is not None and any(reason in WORRYING for reason in telemetry.throttle)
        return Round(total_ns / self._iterations, order, index, throttled, telemetry)

    def release(self) -> None:
        import gc

        import torch

        if not (self._replay or self._sets or self._kept):
            return
        self._replay = self._warm_up = None
        self._sets = []
        self._kept.clear()
        gc.collect()
        torch.cuda.empty_cache()

    def close(self) -> None:
        import torch

        self._buffers.drop()
        self.release()
        torch.cuda.empty_cache()

    def _block(self, plan: BlockPlan) -> BlockInfo:
        import torch

        self.release()
        spent = Spent()
        self._make_inputs(plan, spent)
        with spent.on("place"):
            torch.cuda.empty_cache()
            self._kept.extend(pads(plan))
            self._sets = self._buffers.take()
            if self._timer is None:
                # What is set up lazily cannot be captured.
                self.spec.call(self._sets[0])
            torch.cuda.synchronize()
        with spent.on("capture"):
            info = self._prepare(plan)
        if not self._facts:
            with spent.on("facts"):
                self._facts = self._measured_facts(info)
        return replace(info, **self._facts, spent=spent.ns)

    def _make_inputs(self, plan: BlockPlan, spent: Spent) -> None:
        """Make the sets, unless an earlier block has; find out how many where nobody says."""
        import torch

        if len(self._buffers) and plan.sets in (None, len(self._buffers)):
            return
        memory = memory_now()
        if plan.sets is None and not self._once_ns:
            with spent.on("inputs"):
                sample = self._buffers.sample()
            with spent.on("calibrate"):
                self._once_ns = self._calibrate(sample)
                del sample
        with spent.on("inputs"):
            if plan.sets is None:
                self._buffers.extend_for(self._once_ns, memory)
            else:
                self._buffers.drop()
                self._buffers.extend(plan.sets)
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            self._buffers.copying = self._buffers.copying and self._buffers.fit_twice(memory_now())

    def _calibrate(self, sample: Any) -> float:
        """About how long one call takes; also whether the op captures into a graph."""
        import torch

        self.spec.call(sample)
        torch.cuda.synchronize()
        replay = self._repeat([sample], range(CALIBRATION_CALLS))
        replay()
        once_ns = self._timed(replay)[0] / CALIBRATION_CALLS
        self._kept.clear()
        return once_ns

    def _prepare(self, plan: BlockPlan) -> BlockInfo:
        """Capture what a round replays, and replay it once."""
        sets = self._sets
        walks = max(1, math.ceil(LEAST_ROUND_NS / (self._once_ns * len(sets)))) if self._once_ns else 1
        count = self._iterations = plan.iterations or len(sets) * walks
        self._replay = self._warm_up = self._repeat(sets, range(count))
        if self._timer is Timer.EVENTS:
            self._spin_cycles = min(MOST_SPIN_CYCLES, max(SPIN_CYCLES, count * SPIN_CYCLES_PER_CALL))
        round_ns = self._timed(self._replay)[0]
        self._once_ns = self._once_ns or round_ns / count
        warm = plan.warm or warm_calls(round_ns, count)
        if warm < count:
            # The last sets: then the caches are left as a whole replay leaves them.
            self._warm_up = self._repeat(sets, range(count - warm, count))
            self._warm_up()
        assert self._timer is not None
        return BlockInfo(len(sets), count, self._timer, round_ns, warm=warm)

    def _measured_facts(self, info: BlockInfo) -> dict[str, Any]:
        import torch

        def call() -> Any:
            return self.spec.call(self._sets[0])

        once_ns = info.round_ns / info.iterations
        return {
            "host_ns": host_ns(call, torch.cuda.synchronize, once_ns),
            "peak_bytes": peak_bytes(call),
        }

    def _repeat(self, sets: list[Any], calls: range) -> Callable[[], None]:
        """Something that makes these calls, each on the next set: a graph, or a loop of the host."""
        import torch

        if self._timer is not Timer.EVENTS:
            try:
                replay = self._capture(sets, calls)
                self._timer = Timer.GRAPH
                return replay
            except Exception as error:
                if self._timer is Timer.GRAPH or isinstance(error, torch.OutOfMemoryError):
                    raise
                # An op that synchronizes or allocates outside of torch does not capture: the host times it.
                _forget_capture()
                self._timer = Timer.EVENTS

        def queue() -> None:
            for call in calls:
                self.spec.call(sets[call % len(sets)])

        return queue

    def _capture(self, sets: list[Any], calls: range) -> Callable[[], None]:
        """A graph of calls over the sets in turn, the first on each set with an output of its own."""
        import torch

        torch.cuda.synchronize()
        graph, outputs = torch.cuda.CUDAGraph(), [None] * len(sets)
        with torch.cuda.graph(graph):
            for call in calls:
                number = call % len(sets)
                outputs[number] = self.spec.call(sets[number])
        self._kept.extend(outputs)
        return graph.replay

    def _timed(
        self, replay: Callable[[], None], ask: Callable[[], Telemetry | None] = lambda: None
    ) -> tuple[float, Telemetry | None]:
        """Device time of one replay in ns, and what `ask` says meanwhile."""
        import torch

        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        # The spinning kernel covers the host's queueing, so that launches do not wait between the events.
        torch.cuda._sleep(self._spin_cycles)
        start.record()
        replay()
        end.record()
        telemetry = ask()
        end.synchronize()
        return start.elapsed_time(end) * 1e6, telemetry

    def _telemetry(self) -> Telemetry | None:
        return self.nvml.telemetry(self.device) if self.nvml is not None else None

    def _throttle(self) -> Telemetry | None:
        reasons = self.nvml.throttle(self.device) if self.nvml is not None else ()
        return Telemetry(throttle=reasons) if reasons else None

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


def warm_calls(round_ns: float, count: int) -> int:
    """Calls of the untimed replay before a timed one of `count` calls."""
    return count if round_ns < LONG_ROUND_NS else max(1, math.ceil(WARM_NS / (round_ns / count)))


def pads(plan: BlockPlan) -> list[Any]:
    """Memory that is only held, so that a block's buffers land elsewhere than the last one's."""
    import torch

    chosen = random.Random(plan.pair * 1009 + plan.block)
    sizes = [chosen.randrange(512, limit, 512) for limit in (PAD_BYTES, SMALL_PAD_BYTES)]
    sizes.append(chosen.randint(*PAD_PAGES) * PAGE_BYTES)
    return [torch.empty(size, dtype=torch.uint8, device="cuda") for size in sizes]


def memory_now() -> Memory:
    import torch

    free, total = torch.cuda.mem_get_info()
    l2_bytes = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    return Memory(int(free), int(total), int(l2_bytes))


def _forget_capture() -> None:
    """After a failed capture torch leaves its generator capturing, and random inputs would fail."""
    import torch

    torch.cuda.synchronize()
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    generator.graphsafe_set_state(torch.Generator(device="cuda").graphsafe_get_state())
