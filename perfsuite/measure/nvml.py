"""The sole importer of pynvml: facts about GPUs without a CUDA context. Every question may go unanswered."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from perfsuite.model import Telemetry

_THROTTLE_REASONS = {
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x200: "board_limit",
    0x400: "reliability",
}
"""Bits of NVML's clock event reasons that slow a GPU down. Idle (0x1), locked clocks (0x2) and the display
setting (0x100) are left out: they are states and policies, which `clocks_policy` tells, not throttling."""

_CLOCK_SM, _CLOCK_MEMORY = 1, 2
_TEMPERATURE_GPU = 0
_CUDA_MAJOR, _CUDA_MINOR = 1000, 10
_NO_DEVICE = "-1"


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """What does not change while a GPU is measured; None where NVML does not tell."""

    index: int
    """Position in NVML's order, which is the order of PCI addresses."""
    name: str
    uuid: str | None
    memory_bytes: int | None
    compute_capability: str | None
    clocks: str
    """ "default", or what is set otherwise, power limit included."""
    power_limit_w: float | None
    sm_mhz_max: int | None
    memory_mhz_max: int | None
    mig: bool


class GpuProcess(NamedTuple):
    """Another process that holds memory on a GPU."""

    pid: int
    name: str
    bytes: int
    graphics: bool = False
    """It draws, and computes nothing."""


class Nvml:
    """NVML, initialized. `open` it; it needs no closing: the driver frees what a process held."""

    def __init__(self, library: Any) -> None:
        """Args: library: pynvml, or what answers like it in a test."""
        self._library = library

    @classmethod
    def open(cls) -> Nvml | None:
        """NVML, or None on a machine without an NVIDIA driver (or without pynvml)."""
        try:
            library = importlib.import_module("pynvml")
        except ImportError:
            return None
        try:
            library.nvmlInit()
        except library.NVMLError:
            return None
        return cls(library)

    @property
    def driver(self) -> str | None:
        """`580.95.05`."""
        return _text(self._ask("nvmlSystemGetDriverVersion"))

    @property
    def cuda(self) -> str | None:
        """Newest CUDA that the driver supports: `13.0`."""
        version = self._ask("nvmlSystemGetCudaDriverVersion_v2")
        return None if version is None else f"{version // _CUDA_MAJOR}.{version % _CUDA_MAJOR // _CUDA_MINOR}"

    def count(self) -> int:
        return int(self._ask("nvmlDeviceGetCount") or 0)

    def visible(self, cuda_visible_devices: str | None) -> list[int]:
        """Indexes of the GPUs that CUDA shows a process, in its order.

        Args:
            cuda_visible_devices: the variable's value (indexes, or UUIDs or their beginnings, separated by
                commas), None where it is not set. As in CUDA, what follows an invalid entry is ignored.
        """
        if cuda_visible_devices is None:
            return list(range(self.count()))
        indexes: list[int] = []
        for entry in cuda_visible_devices.split(","):
            index = self._index(entry.strip())
            if index is None or index in indexes:
                break
            indexes.append(index)
        return indexes

    def facts(self, index: int) -> GpuFacts | None:
        """Facts of one GPU, None where it does not exist."""
        handle = self._handle(index)
        if handle is None:
            return None
        memory = self._ask("nvmlDeviceGetMemoryInfo", handle)
        capability = self._ask("nvmlDeviceGetCudaComputeCapability", handle)
        mode = self._ask("nvmlDeviceGetMigMode", handle)
        return GpuFacts(
            index=index,
            name=_text(self._ask("nvmlDeviceGetName", handle)) or "unknown GPU",
            uuid=_text(self._ask("nvmlDeviceGetUUID", handle)),
            memory_bytes=int(memory.total) if memory is not None else None,
            compute_capability=f"{capability[0]}.{capability[1]}" if capability else None,
            clocks=self._clocks_policy(handle),
            power_limit_w=self._watts("nvmlDeviceGetEnforcedPowerLimit", handle),
            sm_mhz_max=self._ask("nvmlDeviceGetMaxClockInfo", handle, _CLOCK_SM),
            memory_mhz_max=self._ask("nvmlDeviceGetMaxClockInfo", handle, _CLOCK_MEMORY),
            mig=bool(mode and mode[0]),
        )

    def telemetry(self, index: int) -> Telemetry:
        """What the GPU does at this moment."""
        handle = self._handle(index)
        if handle is None:
            return Telemetry()
        return Telemetry(
            sm_mhz=self._ask("nvmlDeviceGetClockInfo", handle, _CLOCK_SM),
            memory_mhz=self._ask("nvmlDeviceGetClockInfo", handle, _CLOCK_MEMORY),
            power_w=self._watts("nvmlDeviceGetPowerUsage", handle),
            temperature_c=self._ask("nvmlDeviceGetTemperature", handle, _TEMPERATURE_GPU),
            throttle=self._throttle(handle),
        )

    def throttle(self, index: int) -> tuple[str, ...]:
        """Names of the throttle reasons at this moment: one question, where `telemetry` asks five."""
        handle = self._handle(index)
        return () if handle is None else self._throttle(handle)

    def other_processes(self, index: int, own: Collection[int] = ()) -> list[GpuProcess]:
        """Processes on the GPU, but for those in `own`.

        In a container the pids are the host's: whoever calls compares what is there before and during its
        own work instead of relying on pids alone.
        """
        handle = self._handle(index)
        if handle is None:
            return []
        found: dict[int, GpuProcess] = {}
        questions = {
            "nvmlDeviceGetGraphicsRunningProcesses": True,
            "nvmlDeviceGetComputeRunningProcesses": False,
        }
        # Those that do both count as computing: they are asked for last.
        for question, graphics in questions.items():
            for process in self._ask(question, handle) or ():
                if process.pid not in own:
                    name = _text(self._ask("nvmlSystemGetProcessName", process.pid)) or "unknown"
                    held = int(process.usedGpuMemory or 0)
                    found[process.pid] = GpuProcess(process.pid, name, held, graphics)
        return sorted(found.values())

    def _index(self, entry: str) -> int | None:
        if entry.isdigit():
            return int(entry) if int(entry) < self.count() else None
        if not entry or entry == _NO_DEVICE:
            return None
        matching = [
            index
            for index in range(self.count())
            if (_text(self._ask("nvmlDeviceGetUUID", self._handle(index))) or "").startswith(entry)
        ]
        return matching[0] if len(matching) == 1 else None

    def _handle(self, index: int) -> Any:
        return self._ask("nvmlDeviceGetHandleByIndex", index)

    def _throttle(self, handle: Any) -> tuple[str, ...]:
        mask = self._ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
        if mask is None:  # drivers before 535 know it by its former name only
            mask = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle) or 0
        return tuple(name for bit, name in _THROTTLE_REASONS.items() if mask & bit)

    def _clocks_policy(self, handle: Any) -> str:
        """What is set otherwise than the maker's default. Clocks locked by `-lgc` NVML does not tell."""
        parts = []
        for name, clock in (("SM", _CLOCK_SM), ("memory", _CLOCK_MEMORY)):
            chosen = self._ask("nvmlDeviceGetApplicationsClock", handle, clock)
            default = self._ask("nvmlDeviceGetDefaultApplicationsClock", handle, clock)
            if chosen is not None and default is not None and chosen != default:
                parts.append(f"{name} {chosen} MHz")
        limit = self._watts("nvmlDeviceGetEnforcedPowerLimit", handle)
        default_limit = self._watts("nvmlDeviceGetPowerManagementDefaultLimit", handle)
        if limit is not None and default_limit is not None and round(limit) != round(default_limit):
            parts.append(f"power limit {limit:.0f} of {default_limit:.0f} W")
        return ", ".join(parts) or "default"

    def _watts(self, question: str, handle: Any) -> float | None:
        milliwatts = self._ask(question, handle)
        return None if milliwatts is None else milliwatts / 1000

    def _ask(self, question: str, *arguments: Any) -> Any:
        """The answer, or None: what a GPU, a MIG slice or an older driver does not tell is not an error."""
        function: Callable[..., Any] | None = getattr(self._library, question, None)
        if function is None or None in arguments:
            return None
        with contextlib.suppress(self._library.NVMLError):
            return function(*arguments)
        return None


def _text(value: Any) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
