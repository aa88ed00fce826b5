"""Model values for tests: plain ones, and random ones made from the model's type hints."""

from __future__ import annotations

import dataclasses
import math
import random
import types
import typing
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from perfsuite.model import (
    Alert,
    Block,
    Command,
    Commit,
    Comparison,
    Environment,
    Job,
    JobKind,
    Kernel,
    Launches,
    Result,
    Round,
    Run,
    Status,
    Timer,
    Worker,
)

NOON = datetime(2025, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
H200 = Environment(
    "node-1", gpu="NVIDIA H200", driver="580.1", torch="2.11.0", triton="3.6.0", clocks="default"
)
ALERT = Alert(
    id="ab" * 16,
    repository="owner/name",
    case="moe/decode[m=1]",
    fingerprint="f" * 16,
    kind="slower",
    before="1" * 40,
    after="2" * 40,
    change=0.05,
    low=0.04,
    high=0.06,
    raised_at=NOON,
)
COMMAND = Command("owner/name", "comment/1", "run", 7, "1" * 40, "ada", NOON, {"pattern": "decode"})
WORKER = Worker("node-1/gpu0", "owner/name", NOON, NOON, gpu="NVIDIA H200")
# \udcff: what Python makes of a byte that is not UTF-8, in a commit's subject or a crash's output.
_LETTERS = "ab[]=,%'\"\\ \n\t/_\x00\x1aµ€😀\udcff{}:"
_FLOATS = (0.0, -0.0, 1.5, 1e300, 5e-324, 0.1, math.nan, math.inf, -math.inf)
_INTS = (0, 1, -1, 2**31, 2**63 - 1, -(2**63))


def make_run(number: int = 1, **changes: Any) -> Run:
    """Run `number` of a history: ids, shas and times follow the number."""
    sha = f"{number:08x}" + "c" * 32
    run = Run(
        id=f"{number:08x}" + "0" * 24,
        commit=Commit(sha, f"change {number}", "Ada", NOON + timedelta(hours=number), "main"),
        repository="owner/name",
        environment=H200,
        profile="standard",
        started_at=NOON + timedelta(days=number),
    )
    return replace(run, **changes)


def make_result(case: str = "moe/prefill[m=1]", samples_ns: tuple[float, ...] = (10.0, 12.0, 11.0)) -> Result:
    rounds = tuple(Round(sample, order, order) for order, sample in enumerate(samples_ns))
    kernel = Kernel(
        "_gemm", "0123456789abcdef", "sm_90", registers=128, grid=(4, 1, 1), arguments={"BLOCK": 64}
    )
    return Result(
        case=case,
        version="v1",
        family=case.partition("[")[0],
        params={"m": 1},
        device="cuda",
        status=Status.OK,
        timer=Timer.GRAPH,
        blocks=(Block(0, 0, 16, 100, rounds),),
        launches=Launches((kernel,), ("_gemm#0123456789abcdef[4,1,1]",)),
    )


def make_comparison(number: int = 1, **changes: Any) -> Comparison:
    base, head = make_run(2 * number, kind="base"), make_run(2 * number + 1, kind="head")
    comparison = Comparison(f"{number:08x}" + "d" * 24, base, head, 0.02, head.started_at)
    return replace(comparison, **changes)


def make_job(number: int = 1, **changes: Any) -> Job:
    """Job `number`: its id, key, head, pull request and time follow the number."""
    job = Job(
        id=f"{number:08x}" + "e" * 24,
        repository="owner/name",
        kind=JobKind.COMPARE,
        key=f"pull/{number}/{number:040x}",
        head=f"{number:040x}",
        created_at=NOON + timedelta(minutes=number),
        pull=number,
    )
    return replace(job, **changes)


def random_value(rng: random.Random, hint: Any) -> Any:
    """Any value that the type hint allows, nasty ones often."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return random_value(rng, rng.choice(arguments))
    if origin is tuple:
        return tuple(random_value(rng, arguments[0]) for _ in range(rng.randrange(4)))
    if origin is not None and issubclass(origin, Mapping):
        return {_text(rng): random_value(rng, arguments[1]) for _ in range(rng.randrange(4))}
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{name: random_value(rng, hints[name]) for name in hints})  # type: ignore[operator]
    if issubclass(hint, Enum):
        return rng.choice(list(hint))
    return _plain(rng, hint)


def random_run(rng: random.Random) -> Run:
    run: Run = random_value(rng, Run)
    return replace(run, id=f"{rng.getrandbits(128):032x}")


def random_results(rng: random.Random, number: int) -> list[Result]:
    results = [random_value(rng, Result) for _ in range(number)]
    return [replace(result, case=f"{result.case}{index}") for index, result in enumerate(results)]


def _plain(rng: random.Random, hint: Any) -> Any:
    if hint is types.NoneType:
        return None
    if hint is bool:
        return rng.random() < 0.5
    if hint is int:
        return rng.choice(_INTS)
    if hint is float:
        return rng.choice((*_FLOATS, rng.uniform(1, 1e6)))
    if hint is datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=rng.randrange(10**17))
    assert hint is str, hint
    return _text(rng)


def _text(rng: random.Random) -> str:
    return "".join(rng.choice(_LETTERS) for _ in range(rng.randrange(8)))
