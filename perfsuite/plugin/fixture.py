"""What the fixture does with a benchmark: serve a conductor, or measure by itself under plain pytest."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from perfsuite.config import process_environ
from perfsuite.measure.environment import gpu_index
from perfsuite.measure.nvml import Nvml
from perfsuite.measure.player import LocalPlayer
from perfsuite.measure.schedule import Effort, measure_alone
from perfsuite.plugin.recorded import RecordedClock, replay_samples
from perfsuite.plugin.serve import CaseStopped, serve
from perfsuite.plugin.spec import Spec
from perfsuite.plugin.trial import TrialPlugin

NO_GPU = "no GPU, and Triton's interpreter is off: `perfsuite run` checks and compiles a suite without a GPU"


class GpuBenchmark:
    """Callable once a test."""

    def __init__(self, request: pytest.FixtureRequest, benchmark: Any, clock: RecordedClock) -> None:
        self._config = request.config
        self._benchmark, self._clock = benchmark, clock
        self._used = False

    def __call__(self, function: Any, **arguments: Any) -> None:
        if self._used:
            raise RuntimeError("gpu_benchmark was called twice in one test: one test is one case")
        self._used = True
        spec = Spec(function, **arguments)
        trial = next(
            (p for p in self._config.pluginmanager.get_plugins() if isinstance(p, TrialPlugin)), None
        )
        if trial is not None:
            self._serve(trial, spec)
        else:
            self._measure(spec)

    def _serve(self, trial: TrialPlugin, spec: Spec) -> None:
        try:
            serve(trial.link, player_for(trial.mode, spec, trial.target), spec)
        except CaseStopped as stopped:
            pytest.fail(str(stopped), pytrace=False)

    def _measure(self, spec: Spec) -> None:
        mode = _local_mode()
        player = player_for(mode, spec, "")
        gate = player.gate()
        self._benchmark.extra_info.update(error_rms=gate.error_rms, error_max=gate.error_max, mode=mode)
        if not gate.passed:
            pytest.fail(f"incorrect: {gate.message}", pytrace=False)
        options = self._config.option
        effort = Effort(1, max(1, options.perfsuite_blocks), max(1, options.perfsuite_rounds))
        blocks, info = measure_alone(player, 0, effort)
        player.close()
        self._benchmark.extra_info.update(timer=str(info.timer), sets=info.sets, iterations=info.iterations)
        self._benchmark.extra_info.update(bytes=spec.bytes, operations=spec.operations)
        replay_samples(self._benchmark, self._clock, [s for block in blocks for s in block.samples_ns])


def player_for(mode: str, spec: Spec, target: str) -> LocalPlayer:
    """The side that measures in this mode."""
    if mode == "gpu":
        from perfsuite.plugin.gpu import GpuPlayer

        return GpuPlayer(spec, *_nvml())
    if mode == "interpret":
        from perfsuite.plugin.interpret import InterpreterPlayer

        return InterpreterPlayer(spec)
    from perfsuite.plugin.ahead import AheadPlayer

    return AheadPlayer(spec, target)


@cache
def _nvml() -> tuple[Nvml | None, int]:
    """NVML and its index of the GPU that trials use, the first visible; opened once a process."""
    nvml = Nvml.open()
    return nvml, gpu_index(process_environ(), nvml) or 0


def _local_mode() -> str:
    import torch

    if torch.cuda.is_available():
        return "gpu"
    import triton

    if triton.knobs.runtime.interpret:
        return "interpret"
    pytest.skip(NO_GPU)
