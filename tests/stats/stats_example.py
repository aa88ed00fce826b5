"""Results with planted times, for the tests of the statistics."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

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

CASE = "moe/prefill[m=8,g=128]"
GPU = Environment("node", gpu="NVIDIA H200", driver="580.1", torch="2.11.0", triton="3.6.0")
WHEN = datetime(2026, 1, 2, tzinfo=UTC)
KERNEL = Kernel("_gemm1", "a" * 16, "sm_90", 128, 0, 0, 65536, 8, 3, (132,), {"BLOCK_N": 128, "M": 8})


def run(sha: str, environment: Environment = GPU) -> Run:
    return Run(sha * 32, Commit(sha * 40), "us/kernels", environment, "quick", WHEN)


def comparison(threshold: float = 0.02, **case_thresholds: float) -> Comparison:
    return Comparison("c" * 32, run("a"), run("b"), threshold, WHEN, case_thresholds=case_thresholds)


def launches(*kernels: Kernel, opaque: Sequence[str] = ()) -> Launches:
    order = tuple(f"{k.name}#{k.hash}{list(k.grid)}({dict(k.arguments)})" for k in kernels)
    return Launches(kernels, order, tuple(opaque))


def blocks(log_ratios: Sequence[Sequence[float]], time_ns: float = 1000.0) -> tuple[Block, ...]:
    """One block of three equal rounds for every log ratio, by pair."""
    return tuple(
        block(pair, number, [time_ns * math.exp(ratio)] * 3)
        for pair, ratios in enumerate(log_ratios)
        for number, ratio in enumerate(ratios)
    )


def block(pair: int, number: int, samples: Sequence[float], throttled: Sequence[int] = ()) -> Block:
    rounds = tuple(
        Round(sample, 2 * index, index, index in throttled) for index, sample in enumerate(samples)
    )
    return Block(pair, number, 16, 100, rounds)


def result(
    timed: tuple[Block, ...] = (), *, code: str = "a", timer: Timer = Timer.GRAPH, **changes: object
) -> Result:
    plain = Result(
        CASE,
        "v1",
        "moe/prefill",
        {"m": 8, "g": 128},
        "cuda",
        Status.OK,
        timer,
        blocks=timed,
        error_rms=0.004,
        tolerance=0.02,
        launches=launches(replace(KERNEL, hash=code * 16)),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def sides(log_ratios: Sequence[Sequence[float]]) -> tuple[Result, Result]:
    """Base at 1 µs and head off by the ratios, with machine code that differs."""
    equal = [[0.0] * len(ratios) for ratios in log_ratios]
    return result(blocks(equal)), result(blocks(log_ratios), code="b")


def simulated(
    seed: int, change: float, noise: Mapping[str, float], shape: tuple[int, int]
) -> list[list[float]]:
    """Log ratios of pairs and blocks: what a process and an allocation add, drawn with a seed."""
    draw = random.Random(seed)
    pairs, count = shape
    return [
        [math.log1p(change) + offset + draw.gauss(0, noise["block"]) for _ in range(count)]
        for offset in [draw.gauss(0, noise["pair"]) for _ in range(pairs)]
    ]
