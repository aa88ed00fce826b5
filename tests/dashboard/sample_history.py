"""A small history in a real SQLite store: what the dashboard and the comment are tested on."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from perfsuite.model import (
    Block,
    Commit,
    Comparison,
    Environment,
    Kernel,
    Launches,
    Result,
    Round,
    Run,
    Status,
    Timer,
)
from perfsuite.store import Store, open_store

START = datetime(2025, 3, 1, 9, 0, tzinfo=UTC)
GPU = Environment("gpu-box", "NVIDIA H200", driver="580.10", cuda="13.0", torch="2.11.0", triton="3.6.0")
NEW_DRIVER = replace(GPU, driver="590.20")
LAPTOP = Environment("laptop", cpu="Some CPU", torch="2.13.0", triton="3.7.1", python="3.11.7")
PREFILL = "moe_w4a8/prefill[qwen3.5-35b-a3b,m=1696,g=128]"
DECODE = "moe_w4a8/decode[qwen3.5-35b-a3b,m=8,g=128]"
MATVEC = "matvec_w4/matvec[n=4096]"
IMPORTED = "test_parse.py::test_parse_large"
_TIMES_NS = {PREFILL: 1.2e6, DECODE: 48e3, MATVEC: 9.1e3}
_EXTRA_CASES = 9


def sample_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def fill(path: Path) -> str:
    """Writes the history into a new database; returns its path as the command line takes it."""
    with open_store(str(path)) as store:
        for day in range(12):
            _main_run(store, day)
        _laptop_run(store)
        _imported_run(store)
        _comparison(store)
    return str(path)


def sample_run(name: str, day: int, environment: Environment = GPU, **changes: object) -> Run:
    at = START + timedelta(days=day)
    commit = Commit(sample_id(name) + "0" * 8, f"Change {name} <b>of</b> the kernels", "Ada", at, "main")
    run = Run(
        sample_id("run " + name), commit, "acme/kernels", environment, "quick", at, at + timedelta(minutes=3)
    )
    return replace(run, **changes)  # type: ignore[arg-type]


def result(case: str, median_ns: float, seed: int, **changes: object) -> Result:
    """Twelve blocks of ten rounds, half a percent apart."""
    noise = random.Random(seed)
    blocks = tuple(
        Block(
            pair,
            block,
            16,
            8,
            tuple(
                Round(median_ns * (1 + noise.gauss(0, 0.002)), order=2 * index, index=index)
                for index in range(10)
            ),
        )
        for pair in range(3)
        for block in range(4)
    )
    kernel = Kernel("_gemm", f"{seed:016x}", "sm_90", 128, 0, 0, 98304, 8, 3, (264,))
    family, _, axes = case.partition("[")
    return replace(
        Result(case, "v1", family, _params(axes), "cuda", Status.OK, Timer.GRAPH, blocks=blocks),
        error_rms=0.004,
        tolerance=0.02,
        roofline_fraction=0.61,
        launches=Launches((kernel,), (f"_gemm#{kernel.hash}",)),
        **changes,  # type: ignore[arg-type]
    )


def _params(axes: str) -> Mapping[str, str | int]:
    pairs = [part.partition("=") for part in axes.rstrip("]").split(",") if part]
    return {key: int(value) if value else key for key, _, value in pairs}


def _main_run(store: Store, day: int) -> None:
    run = sample_run(f"day {day}", day, NEW_DRIVER if day >= 8 else GPU)
    store.start_run(run)
    for case, median_ns in _TIMES_NS.items():
        level = 1.04 if day >= 5 else 1.0
        red = case == DECODE and day == 3
        measured = result(case, median_ns * level * (0.97 if day >= 8 else 1), seed=day)
        if red:
            measured = replace(
                measured, status=Status.INCORRECT, timer=Timer.NONE, blocks=(), message="error_rms 0.4 > 0.02"
            )
        store.save_result(run.id, measured)
    assert run.finished_at is not None
    store.finish_run(run.id, run.finished_at)


def _laptop_run(store: Store) -> None:
    run = sample_run("laptop", 12, LAPTOP, finished_at=None)
    store.start_run(run)
    store.save_result(run.id, replace(result(PREFILL, 3e7, 1), timer=Timer.REFERENCE, device="cpu"))
    failed = Result(MATVEC, "v1", "matvec_w4/matvec", {}, "cpu", Status.FAILED, message="RuntimeError: boom")
    store.save_result(run.id, failed)


def _imported_run(store: Store) -> None:
    run = sample_run("imported", 13, replace(LAPTOP, host="elsewhere", cpu="Other"), kind="import")
    run = replace(run, repository="other/project")
    store.start_run(run)
    store.save_result(run.id, replace(result(IMPORTED, 2.5e9, 3), timer=Timer.IMPORTED, device="cpu"))


def _comparison(store: Store) -> None:
    base = sample_run("base", 14, NEW_DRIVER, kind="base")
    head = sample_run("head", 14, NEW_DRIVER, kind="head")
    at = base.started_at
    comparison = Comparison(sample_id("comparison"), base, head, 0.02, at)
    store.start_comparison(comparison)
    changes = {PREFILL: 1.052, DECODE: 0.93, MATVEC: 1.001}
    changes |= {f"dequant_gemm/gemm[m={2**n},g=64]": 1 + 0.001 * (n % 3) for n in range(_EXTRA_CASES)}
    for number, (case, change) in enumerate(changes.items()):
        median_ns = _TIMES_NS.get(case, 20e3)
        store.save_result(base.id, result(case, median_ns, 100 + number))
        store.save_result(head.id, result(case, median_ns * change, 200 + number))
    for run in (base, head):
        store.finish_run(run.id, at + timedelta(minutes=4))
    store.finish_comparison(comparison.id, at + timedelta(minutes=4))
