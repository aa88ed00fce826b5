"""A small history in a real SQLite store: what the dashboard is tested on.

Twelve runs of main on a GPU, one a day, with a slow-down at day 5, a red gate at day 3 and a new driver at
day 8; a laptop without a GPU; an imported run; a comparison; a pull request of two pushes; a comparison of
unchanged code; alerts of every state.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from perfsuite.model import (
    CANARY_FAMILY,
    Alert,
    AlertState,
    Block,
    Commit,
    Comparison,
    Environment,
    Job,
    JobKind,
    JobState,
    Kernel,
    Launches,
    Noise,
    Result,
    Round,
    Run,
    Status,
    Telemetry,
    Timer,
    Worker,
)
from perfsuite.store import Store, open_store

START = datetime(2025, 3, 1, 9, 0, tzinfo=UTC)
REPOSITORY = "acme/kernels"
GPU = Environment("gpu-box", "NVIDIA H200", driver="580.10", cuda="13.0", torch="2.11.0", triton="3.6.0")
NEW_DRIVER = replace(GPU, driver="590.20")
LAPTOP = Environment("laptop", cpu="Some CPU", torch="2.13.0", triton="3.7.1", python="3.11.7")
PREFILL = "moe_w4a8/prefill[qwen3.5-35b-a3b,m=1696,g=128]"
DECODE = "moe_w4a8/decode[qwen3.5-35b-a3b,m=8,g=128]"
MATVEC = "matvec_w4/matvec[n=4096]"
CANARY = f"{CANARY_FAMILY}[kind=1]"
IMPORTED = "test_parse.py::test_parse_large"
PULL = 7
_TIMES_NS = {PREFILL: 1.2e6, DECODE: 48e3, MATVEC: 9.1e3}
_EXTRA_CASES = 9
_DAYS = 12
_SLOWER, _DRIVER = 5, 8
"""Days at which main became slower, and at which its machine got another driver."""
_WORK = {PREFILL: (212_000_000, 640_000_000_000), DECODE: (190_000_000, 3_000_000_000)}
"""Case → bytes and operations."""
_LOOP = """\
L0: HGMMA.64x128x16.F32 R24, gdesc[UR8], R24
    LDGSTS.E.128 [R2], desc[UR6][R4.64]
    LDS.128 R8, [R3+0x400]
    IADD3 R2, R2, 0x1000, RZ
    BAR.SYNC 0x0
    ISETP.NE.AND P0, PT, R2, R5, PT
    @P0 BRA L0
"""


def sample_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def sample_sha(name: str) -> str:
    """Of the commit of `sample_run(name, …)`."""
    return sample_id(name) + "0" * 8


def fill(path: Path | str) -> str:
    """Writes the history into a new database; returns its path as the command line takes it."""
    with open_store(str(path)) as store:
        for day in range(_DAYS):
            _main_run(store, day)
        _laptop_run(store)
        _imported_run(store)
        _comparison(store)
        _pull(store)
        _noise(store)
        store.save_alerts(sample_alerts())
    return str(path)


def sample_run(name: str, day: int, environment: Environment = GPU, **changes: object) -> Run:
    at = START + timedelta(days=day)
    commit = Commit(sample_sha(name), f"Change {name} <b>of</b> the kernels", "Ada", at, "main")
    run = Run(
        sample_id("run " + name), commit, REPOSITORY, environment, "quick", at, at + timedelta(minutes=3)
    )
    return replace(run, **changes)  # type: ignore[arg-type]


def result(case: str, median_ns: float, seed: int, code: int | None = None, **changes: object) -> Result:
    """Twelve blocks of ten rounds, half a percent apart.

    Args:
        seed: of the noise, and of the machine code where `code` is None.
    """
    code = seed if code is None else code
    noise = random.Random(seed)
    blocks = tuple(
        Block(
            pair,
            block,
            16,
            8,
            tuple(
                Round(
                    median_ns * (1 + noise.gauss(0, 0.002)),
                    order=2 * index,
                    index=index,
                    throttled=(pair, block, index) == (1, 2, 7),
                    telemetry=_telemetry(pair, block) if index == 0 else None,
                )
                for index in range(10)
            ),
        )
        for pair in range(3)
        for block in range(4)
    )
    kernel = Kernel(
        "_gemm",
        f"{code:016x}",
        "sm_90",
        128 + 8 * (code % 3),
        2 * (code % 2),
        0,
        98304,
        8,
        3,
        (264,),
        {"BLOCK_M": 64, "BLOCK_N": 128},
        {"HGMMA": 32, "LDGSTS": 12 + code % 3, "LDS": 18, "other": 140},
        _LOOP.replace("R2", f"R{30 + code % 7}"),
    )
    family, _, axes = case.partition("[")
    moved, operations = _WORK.get(case, (None, None))
    made = Result(
        case,
        "v1",
        family,
        _params(axes),
        "cuda",
        Status.OK,
        Timer.GRAPH,
        blocks=blocks,
        error_rms=0.004,
        tolerance=0.02,
        bytes=moved,
        operations=operations,
        roofline_fraction=0.61,
        launches=Launches((kernel,), (f"_gemm#{kernel.hash}",)),
        extra={"precision": "int8"},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def sample_alerts() -> list[Alert]:
    """One of every kind and state; three of the slow-down's commit range, of which one is acknowledged."""
    return [
        sample_alert(PREFILL, "slower", (4, 5), 0.041),
        sample_alert(DECODE, "slower", (4, 5), 0.038),
        sample_alert(MATVEC, "slower", (4, 5), 0.04, AlertState.ACKNOWLEDGED, "Ada", "looking into it"),
        sample_alert(MATVEC, "slower", (1, 2), 0.021, AlertState.NOISE, "perfsuite", "not confirmed"),
        sample_alert(DECODE, "slower", (1, 2), 0.018, AlertState.EXPECTED, "Grace", "traded for accuracy"),
        sample_alert(PREFILL, "slower", (9, 10), 0.025, AlertState.FIXED, "Ada", "reverted in #9"),
        sample_alert(PREFILL, "faster", (7, 8), -0.031, AlertState.OPEN, environment=NEW_DRIVER),
        sample_alert("dequant_gemm/gemm[m=2,g=64]", "missing", (6, None), None),
        sample_alert("worker gpu-box/0", "silent", (None, None), None),
    ]


def sample_alert(
    case: str,
    kind: str,
    days: tuple[int | None, int | None],
    change: float | None,
    state: AlertState = AlertState.OPEN,
    by: str = "",
    reason: str = "",
    environment: Environment = GPU,
) -> Alert:
    """An alert between the commits of two days."""
    before, after = (sample_sha(f"day {day}") if day is not None else "" for day in days)
    raised = START + timedelta(days=(days[1] or days[0] or _DAYS), hours=1)
    silent = kind == "silent"
    return Alert(
        sample_id(f"alert {case} {kind} {days}"),
        REPOSITORY,
        case,
        "" if silent else environment.fingerprint,
        kind,
        raised.isoformat() if silent else before,
        after,
        change,
        None if change is None else change - 0.003,
        None if change is None else change + 0.003,
        raised,
        state,
        reason,
        by,
        raised + timedelta(hours=2) if by else None,
    )


def _params(axes: str) -> Mapping[str, str | int]:
    pairs = [part.partition("=") for part in axes.rstrip("]").split(",") if part]
    return {key: int(value) if value.isdecimal() else value or key for key, _, value in pairs}


def _telemetry(pair: int, block: int) -> Telemetry:
    hot = (pair, block) == (1, 2)
    return Telemetry(1830 if hot else 1980, 3201, 480.5 + block, 41 + pair, ("sw_power_cap",) if hot else ())


def _main_run(store: Store, day: int) -> None:
    run = sample_run(f"day {day}", day, NEW_DRIVER if day >= _DRIVER else GPU)
    store.start_run(run)
    code = 1 + (day >= _SLOWER) + (day >= _DRIVER)
    for case, median_ns in _TIMES_NS.items():
        level = 1.04 if day >= _SLOWER else 1.0
        red = case == DECODE and day == 3
        measured = result(case, median_ns * level * (0.97 if day >= _DRIVER else 1), seed=day, code=code)
        if red:
            measured = replace(
                measured, status=Status.INCORRECT, timer=Timer.NONE, blocks=(), message="error_rms 0.4 > 0.02"
            )
        store.save_result(run.id, measured)
    store.save_result(run.id, result(CANARY, 5.8e3, seed=50 + day, code=9))
    _finish(store, run)


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
    changes = {PREFILL: 1.052, DECODE: 0.93, MATVEC: 1.001}
    changes |= {f"dequant_gemm/gemm[m={2**n},g=64]": 1 + 0.001 * (n % 3) for n in range(_EXTRA_CASES)}
    _compared(store, "comparison", ("base", "head"), 14, changes)


def _pull(store: Store) -> None:
    """The pull request's first push made decode slower, its second mended that; a third is being measured."""
    _compared(store, "push 1", ("merge base", "push 1"), 14.2, {PREFILL: 1.0, DECODE: 1.08})
    _compared(store, "push 2", ("merge base", "push 2"), 14.4, {PREFILL: 0.97, DECODE: 1.0})
    for number, state in enumerate((JobState.SUCCEEDED, JobState.SUCCEEDED, JobState.RUNNING), start=1):
        name = f"push {number}"
        at = START + timedelta(days=14, hours=5 * number)
        over = state.over
        job = Job(
            sample_id(f"job {name}"),
            REPOSITORY,
            JobKind.COMPARE,
            f"pull/{PULL}/{sample_sha(name)}",
            sample_sha(name),
            at,
            base=sample_sha("merge base"),
            pull=PULL,
            state=state,
            worker="gpu-box/0",
            attempts=1,
            started_at=at,
            seen_at=at + timedelta(minutes=4),
            finished_at=at + timedelta(minutes=4) if over else None,
            comparison=sample_id(name) if over else "",
            done=2 if over else 1,
            total=2,
        )
        store.jobs.add(job)
    store.jobs.beat(Worker("gpu-box/0", REPOSITORY, START, START + timedelta(days=15), gpu="NVIDIA H200"))


def _noise(store: Store) -> None:
    """The same commit on both sides: what the gate can see."""
    _compared(store, "noise", ("same", "same again"), 11, dict.fromkeys(_TIMES_NS, 1.0), kind="noise")
    shown = {case: ("v1", Noise(4e-5, 3, 9e-5, 9, 1)) for case in _TIMES_NS}
    store.save_noise(sample_id("noise"), shown)


def _compared(
    store: Store,
    name: str,
    sides: Sequence[str],
    day: float,
    changes: Mapping[str, float],
    kind: str = "compare",
) -> None:
    """A finished comparison; `changes`: case → head's time over base's."""
    at = START + timedelta(days=day)
    base, head = (
        sample_run(side, int(day), NEW_DRIVER, kind=which)
        for side, which in zip(sides, ("base", "head"), strict=True)
    )
    base, head = (replace(run, started_at=at, finished_at=None) for run in (base, head))
    if base.commit.subject.startswith("Change merge base"):
        # Every push is compared with the same commit, measured anew.
        base = replace(base, id=sample_id(f"run base of {name}"))
    if kind == "noise":
        head = replace(head, commit=base.commit)
    comparison = Comparison(sample_id(name), base, head, 0.02, at, kind=kind)
    store.start_comparison(comparison)
    for number, (case, change) in enumerate(changes.items()):
        median_ns = _TIMES_NS.get(case, 20e3)
        store.save_result(base.id, result(case, median_ns, 100 + number))
        store.save_result(head.id, result(case, median_ns * change, 200 + number))
    for run in (base, head):
        store.finish_run(run.id, at + timedelta(minutes=4))
    store.finish_comparison(comparison.id, at + timedelta(minutes=4))


def _finish(store: Store, run: Run) -> None:
    assert run.finished_at is not None
    store.finish_run(run.id, run.finished_at)
