"""A stand-in for what the GPU player uses of `torch.cuda`: time passes only with calls and replays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from perfsuite.plugin import gpu
from perfsuite.plugin.spec import Spec


class FakeCuda:
    """A GPU on which a call of an op takes `call_ns`; `replays` are the calls of each graph replay."""

    def __init__(self, call_ns: float = 10_000.0, *, captures: bool = True) -> None:
        self.call_ns, self.captures = call_ns, captures
        self.now_ns, self.calls = 0.0, 0
        self.replays: list[int] = []
        self.memory = (1 << 36, 1 << 37)
        self._capturing: list[int] | None = None

    def op(self, *tensors: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self._capturing is not None:
            if not self.captures:
                raise RuntimeError("operation not permitted when stream is capturing")
            self._capturing.append(1)
        else:
            self.now_ns += self.call_ns
        return tensors[0] + 1

    def spec(self, **more: Any) -> Spec:
        more.setdefault("inputs", lambda seed: (torch.full((4,), float(seed)),))
        return Spec(self.op, reference=lambda x: x + 1, tolerance=0.0, **more)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fakes: dict[str, Any] = {
            name: lambda *_: None
            for name in ("synchronize", "empty_cache", "reset_peak_memory_stats", "_sleep", "current_device")
        }
        fakes |= {
            "mem_get_info": lambda: self.memory,
            "memory_allocated": lambda: 100,
            "max_memory_allocated": lambda: 164,
            "get_device_properties": lambda _: SimpleNamespace(L2_cache_size=0),
            "Event": lambda **_: _Event(self),
            "CUDAGraph": lambda: _Graph(self),
            "graph": self._capture,
        }
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)
        monkeypatch.setattr(gpu, "_forget_capture", lambda: None)
        monkeypatch.setattr(gpu, "pads", lambda plan: [object()])
        make: Callable[..., Any] = Spec.make
        monkeypatch.setattr(Spec, "make", lambda spec, seed, device, **more: make(spec, seed, "cpu", **more))

    @contextmanager
    def _capture(self, graph: _Graph) -> Iterator[None]:
        self._capturing = []
        try:
            yield
            graph.size = len(self._capturing)
        finally:
            self._capturing = None


class _Event:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda, self.at_ns = cuda, 0.0

    def record(self) -> None:
        self.at_ns = self._cuda.now_ns

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, end: _Event) -> float:
        return (end.at_ns - self.at_ns) / 1e6


class _Graph:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda, self.size = cuda, 0

    def replay(self) -> None:
        self._cuda.replays.append(self.size)
        self._cuda.now_ns += self.size * self._cuda.call_ns
