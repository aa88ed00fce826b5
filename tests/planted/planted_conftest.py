"""Put into a copy of the suite: its cases only say what they would launch, or what they return.

Environment: PLANTED_REPORT, where the JSON goes; PLANTED_CHOSEN, the cases that are compiled, too, or run in
Triton's interpreter, which only runs those.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from triton import knobs
from triton.runtime.jit import JITFunction

from perfsuite.plugin.cases import case_of
from perfsuite.static.offline import absent_gpu, compile_op
from perfsuite.static.patching import replaced

TARGET = "sm_90"
Launch = tuple[str, int | None]
"""Kernel, and its planted steps; None without the machinery."""
found: dict[str, Any] = {}


@pytest.fixture
def gpu_benchmark(request: pytest.FixtureRequest) -> Any:
    def benchmark(function: Any, *, inputs: Any, small: Any, **_: Any) -> None:
        case = case_of(request.node, Path(__file__).parent)
        assert case is not None
        chosen = case.id in os.environ["PLANTED_CHOSEN"].split()
        if knobs.runtime.interpret:
            if chosen:
                found[case.id] = digest(function(**small(0)))
            return
        with torch.device("meta"):
            arguments = inputs(0)
        codes: dict[str, list[str]] = {}
        if chosen:
            for kernel in compile_op(function, arguments, TARGET).launches.kernels:
                codes.setdefault(kernel.name, []).append(kernel.hash)
        found[case.id] = {"launches": launches(function, arguments), "codes": codes}

    return benchmark


def digest(result: Any) -> str:
    """Of the bits of one tensor or several."""
    tensors = result if isinstance(result, tuple) else (result,)
    return hashlib.sha256(b"".join(t.view(torch.uint8).numpy().tobytes() for t in tensors)).hexdigest()


def launches(function: Any, arguments: Any) -> list[Launch]:
    """In order; nothing is compiled."""
    seen: list[Launch] = []

    def run(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        held = dict(zip(kernel.arg_names, args, strict=False)) | options
        seen.append((kernel.fn.__name__, held.get("EXTRA")))

    with absent_gpu(TARGET), replaced(JITFunction, "run", lambda _: run), torch.device("meta"):
        function(**arguments)
    return seen


def pytest_sessionfinish() -> None:
    Path(os.environ["PLANTED_REPORT"]).write_text(json.dumps(found))
