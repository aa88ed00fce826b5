"""The environment and NVML: a fake driver at the seam, the real machine below it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from perfsuite.measure.environment import gpu_index, read_environment
from perfsuite.measure.nvml import GpuProcess, Nvml
from perfsuite.model import Telemetry


class FakeError(Exception):
    """What pynvml raises for whatever a GPU does not tell."""


class FakeDriver:
    """Two GPUs as pynvml tells them; `lacking` are the questions that raise."""

    NVMLError = FakeError

    def __init__(self, *, lacking: tuple[str, ...] = (), **answers: Any) -> None:
        self.answers = {
            "nvmlSystemGetDriverVersion": b"580.95.05",
            "nvmlSystemGetCudaDriverVersion_v2": 13010,
            "nvmlDeviceGetCount": 2,
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=150 << 30),
            "nvmlDeviceGetCudaComputeCapability": (9, 0),
            "nvmlDeviceGetMigMode": (0, 0),
            "nvmlDeviceGetApplicationsClock": 1980,
            "nvmlDeviceGetDefaultApplicationsClock": 1980,
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
            "nvmlDeviceGetPowerManagementDefaultLimit": 700_000,
            "nvmlDeviceGetMaxClockInfo": 1980,
            "nvmlDeviceGetClockInfo": 1755,
            "nvmlDeviceGetPowerUsage": 412_500,
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetCurrentClocksEventReasons": 0x0,
            "nvmlDeviceGetComputeRunningProcesses": [],
            "nvmlDeviceGetGraphicsRunningProcesses": [],
            **answers,
        }
        for question in lacking:
            self.answers.pop(question)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if not 0 <= index < 2:
            raise FakeError
        return index

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return f"NVIDIA H{handle + 1}00"

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return ("GPU-aaaa-0000", "GPU-abbb-1111")[handle]

    def nvmlSystemGetProcessName(self, pid: int) -> bytes:  # noqa: N802
        return b"python train.py"

    def __getattr__(self, question: str) -> Any:
        def answer(*_: Any) -> Any:
            if question not in self.answers:
                raise FakeError
            return self.answers[question]

        return answer


def fake(**answers: Any) -> Nvml:
    return Nvml(FakeDriver(**answers))


def test_reads_the_first_gpu() -> None:
    environment = read_environment({}, fake())
    assert (environment.gpu, environment.gpu_uuid) == ("NVIDIA H100", "GPU-aaaa-0000")
    assert (environment.driver, environment.cuda) == ("580.95.05", "13.1")
    assert (environment.compute_capability, environment.clocks) == ("9.0", "default")
    assert environment.gpu_memory_bytes == 150 << 30
    assert environment.details["power_limit_w"] == 700


@pytest.mark.parametrize(
    ("variable", "indexes"),
    [
        (None, [0, 1]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1", [1]),
        ("1,0", [1, 0]),
        ("1, 0", [1, 0]),
        ("0,7,1", [0]),
        ("0,0", [0]),
        ("GPU-abbb-1111", [1]),
        ("GPU-abbb", [1]),
        ("GPU-a", []),
    ],
)
def test_cuda_visible_devices_as_cuda_reads_it(variable: str | None, indexes: list[int]) -> None:
    assert fake().visible(variable) == indexes


def test_the_visible_gpu_is_the_one_told_about() -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "GPU-abbb-1111"}
    assert read_environment(environ, fake()).gpu == "NVIDIA H200"
    assert gpu_index(environ, fake()) == 1


def test_a_hidden_gpu_is_no_gpu() -> None:
    environment = read_environment({"CUDA_VISIBLE_DEVICES": ""}, fake())
    assert (environment.gpu, environment.driver, environment.clocks) == (None, None, None)
    assert gpu_index({"CUDA_VISIBLE_DEVICES": ""}, fake()) is None


def test_changed_clocks_and_power_change_the_fingerprint() -> None:
    default = read_environment({}, fake())
    locked = read_environment({}, fake(nvmlDeviceGetApplicationsClock=1200))
    capped = read_environment({}, fake(nvmlDeviceGetEnforcedPowerLimit=500_000))
    assert locked.clocks == "SM 1200 MHz, memory 1200 MHz"
    assert capped.clocks == "power limit 500 of 700 W"
    assert len({default.fingerprint, locked.fingerprint, capped.fingerprint}) == 3


def test_telemetry() -> None:
    assert fake().telemetry(0) == Telemetry(1755, 1755, 412.5, 61, ())


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        (0x1, ()),
        (0x2, ()),
        (0x4, ("sw_power_cap",)),
        (0x68, ("hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown")),
    ],
)
def test_throttle_reasons_by_name_without_idle_and_policies(mask: int, names: tuple[str, ...]) -> None:
    nvml = fake(nvmlDeviceGetCurrentClocksEventReasons=mask)
    assert nvml.telemetry(0).throttle == nvml.throttle(0) == names


def test_an_older_driver_knows_throttling_by_its_former_name() -> None:
    nvml = fake(
        lacking=("nvmlDeviceGetCurrentClocksEventReasons",), nvmlDeviceGetCurrentClocksThrottleReasons=0x4
    )
    assert nvml.telemetry(0).throttle == ("sw_power_cap",)


def test_what_a_gpu_does_not_tell_is_none() -> None:
    silent = Nvml(FakeDriver(lacking=tuple(FakeDriver().answers)))
    assert silent.telemetry(0) == Telemetry()
    assert silent.throttle(0) == silent.throttle(7) == ()
    assert silent.facts(7) is None
    facts = silent.facts(0)
    assert facts is not None
    assert (facts.memory_bytes, facts.compute_capability, facts.clocks) == (None, None, "default")
    assert (silent.driver, silent.cuda, silent.count()) == (None, None, 0)


def test_other_processes_without_our_own() -> None:
    processes = [SimpleNamespace(pid=7, usedGpuMemory=3 << 30), SimpleNamespace(pid=9, usedGpuMemory=None)]
    nvml = fake(nvmlDeviceGetComputeRunningProcesses=processes)
    assert nvml.other_processes(0, own={9}) == [GpuProcess(7, "python train.py", 3 << 30)]
    assert [process.bytes for process in nvml.other_processes(0)] == [3 << 30, 0]


def test_who_only_draws_is_told_apart() -> None:
    drawing, both = (SimpleNamespace(pid=pid, usedGpuMemory=1 << 20) for pid in (3, 7))
    nvml = fake(
        nvmlDeviceGetComputeRunningProcesses=[both], nvmlDeviceGetGraphicsRunningProcesses=[both, drawing]
    )
    assert [(one.pid, one.graphics) for one in nvml.other_processes(0)] == [(3, True), (7, False)]


def test_the_real_machine_is_read_without_torch_or_triton() -> None:
    script = (
        "import sys; from perfsuite.measure.environment import read_environment; e = read_environment();"
        "print(e.host, e.torch, e.triton, e.python, e.cpu, sep='|');"
        "sys.exit(bool({'torch', 'triton'} & set(sys.modules)))"
    )
    done = subprocess.run((sys.executable, "-c", script), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(part not in ("", "None") for part in done.stdout.strip().split("|"))
