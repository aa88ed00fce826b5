"""Facts beside time: host time, memory and compile time of a case, as its steps tell them."""

from __future__ import annotations

import json
from dataclasses import replace

from perfsuite.codec import encode
from perfsuite.measure import outcome
from perfsuite.measure.ahead import Compiled
from perfsuite.measure.link import LONGEST_LINE
from perfsuite.measure.player import BlockInfo, CompiledCode
from perfsuite.measure.process import CollectedCase
from perfsuite.model import Block, Environment, Kernel, Launches, Result, Round, Status, Timer
from perfsuite.static.instructions import LISTINGS_BYTES

CASE = CollectedCase("f/a", "f/a", "v", {}, "f", False)
ENVIRONMENT = Environment("here", gpu="NVIDIA H200")
INFO = BlockInfo(64, 64, Timer.GRAPH, 640_000.0, host_ns=21_000.0, peak_bytes=4096)
LAUNCHES = Launches((Kernel("k", "0" * 16, "sm_90"),), ("k",))


def result() -> Result:
    return outcome.from_facts(CASE, "cuda", {"precision": "bf16", "tolerance": 0.01})


def blocks(pair: int) -> tuple[Block, ...]:
    return (Block(pair, 0, 64, 64, (Round(10_000.0, 0, 0), Round(10_100.0, 2, 1))),)


def test_host_time_and_memory_go_with_the_blocks() -> None:
    found = outcome.with_blocks(result(), blocks(0), INFO, ENVIRONMENT)
    assert found.extra == {"precision": "bf16", "host_ns": 21_000.0, "peak_bytes": 4096}


def test_of_several_processes_the_least_disturbed_host_time_is_kept() -> None:
    found = outcome.with_blocks(result(), blocks(0), INFO, ENVIRONMENT)
    slower = outcome.with_blocks(found, blocks(1), replace(INFO, host_ns=30_000.0), ENVIRONMENT)
    assert slower.extra["host_ns"] == 21_000.0
    silent = outcome.with_blocks(found, blocks(1), replace(INFO, host_ns=None, peak_bytes=None), ENVIRONMENT)
    assert (silent.extra["host_ns"], silent.extra["peak_bytes"]) == (21_000.0, 4096)
    faster = outcome.with_blocks(found, blocks(1), replace(INFO, host_ns=20_000.0), ENVIRONMENT)
    assert faster.extra["host_ns"] == 20_000.0
    assert len(faster.blocks) == 2


def test_compile_time_is_told_only_where_everything_was_compiled() -> None:
    compiled = outcome.with_launches(result(), Compiled(LAUNCHES, compile_s=1.5))
    assert compiled.extra["compile_s"] == 1.5
    assert "compile_s" not in outcome.with_launches(result(), Compiled(LAUNCHES)).extra
    failed = outcome.with_launches(result(), Compiled(None, "no"))
    assert failed.extra["compile_message"] == "no"
    assert failed.status is Status.OK


def test_what_is_no_listing_is_dropped_and_the_rest_of_the_launches_kept() -> None:
    (kernel,) = LAUNCHES.kernels
    good = replace(kernel, listing="0000  BRA .L_0000")
    told = Launches((good, replace(kernel, listing="\x1b[2J"), replace(kernel, listing="x" * 10**6)), ("k",))
    wanted = Launches((good, kernel, kernel), ("k",))
    assert outcome.with_launches(result(), Compiled(told)).launches == wanted
    assert outcome.with_launches(result(), Compiled(None, "no"), told).launches == wanted


def test_launches_that_were_seen_count_where_they_are_of_other_kernels() -> None:
    ahead = Launches(LAUNCHES.kernels, ("aten.sort()", "_gemm#1[2](M=3)", "_silu#2[2]()"))
    choice = Launches(LAUNCHES.kernels, ("_gemm#7[4](M=3)", "_silu#2[2](#)", "aten.topk()"))
    assert outcome.with_launches(result(), Compiled(ahead), choice).launches == ahead
    other = Launches(LAUNCHES.kernels, ("_ring#1[2](M=3)",), ("a stream",))
    seen = outcome.with_launches(result(), Compiled(ahead), other)
    assert seen.launches.order == other.order
    assert seen.launches.opaque[0] == "a stream"
    assert "the device ran _ring, compiled ahead were _gemm, _silu:" in seen.launches.opaque[1]
    assert not outcome.agrees(seen, Compiled(ahead))
    assert outcome.agrees(outcome.with_launches(result(), Compiled(ahead)), Compiled(ahead))
    assert outcome.agrees(result(), Compiled(ahead)), "a trial that could not be started contradicts nothing"


def test_the_longest_listings_fit_into_what_a_trial_may_say_at_once() -> None:
    # Line ends take the most room.
    kernel = replace(LAUNCHES.kernels[0], listing="\n" * LISTINGS_BYTES)
    said = json.dumps(encode(CompiledCode(Launches((kernel,), ("k",)))))
    assert 2 * LISTINGS_BYTES < len(said) <= LONGEST_LINE
