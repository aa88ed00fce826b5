"""What the figures of samples, clocks, machine code and errors hold."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from sample_history import PREFILL, result

from dashboard.charts import code, samples, telemetry
from perfsuite.model import Block, Kernel, Launches, Round, Telemetry

HOT = Telemetry(1200, None, 690.0, 81, ("sw_power_cap",))


def block(pair: int, number: int, *orders: int, throttled: bool = False) -> Block:
    rounds = tuple(
        Round(1000.0 + order, order, index, throttled, HOT if throttled else None)
        for index, order in enumerate(orders)
    )
    return Block(pair, number, 16, 8, rounds)


def lockstep() -> samples.Timeline:
    base = (block(0, 0, 0, 3), block(0, 1, 0, 3), block(1, 0, 0, 3))
    head = (block(0, 0, 1, 2), block(0, 1, 1, 2, throttled=True), block(1, 0, 1, 2))
    return samples.timeline({"base": base, "head": head}, lockstep=True)


def test_rounds_in_lockstep_interleave_as_they_ran() -> None:
    line = lockstep()
    assert [sample.side[0] for sample in line.samples] == list("bhhb" * 3)
    places = [sample.place for sample in line.samples]
    assert places == sorted(set(places))
    assert len(line.stretches) == 3


def test_runs_of_different_moments_follow_each_other() -> None:
    line = samples.timeline({"base": (block(0, 0, 0, 1),), "head": (block(0, 0, 0, 1),)}, lockstep=False)
    assert [sample.side for sample in line.samples] == ["base", "base", "head", "head"]


def test_throttled_rounds_are_crossed_and_named() -> None:
    figure = samples.in_order(lockstep())
    marks = {trace.name: trace.marker.symbol for trace in figure.data}
    assert marks == {"base": "circle", "head": "diamond", "head, throttled": "x"}
    texts = [note.text for note in figure.layout.annotations]
    assert texts == ["pair 1", "pair 2"]


def test_many_samples_are_thinned_but_no_throttled_one() -> None:
    rounds = tuple(Round(1.0, i, i, throttled=i == 7) for i in range(3 * samples.MOST_POINTS))
    line = samples.timeline({"": (Block(0, 0, 1, 1, rounds),)}, lockstep=False)
    drawn = line.of("")
    assert len(drawn) <= samples.MOST_POINTS + 1
    assert any(sample.round.throttled for sample in drawn)
    assert samples.in_order(line).data[0].type == "scattergl"


def test_the_distribution_rises_to_one_without_throttled_rounds() -> None:
    base, head = samples.distribution(lockstep()).data
    assert base.y[-1] == head.y[-1] == 1
    assert (len(base.x), len(head.x)) == (6, 4)
    assert list(base.x) == sorted(base.x)
    assert base.line.dash != head.line.dash


def test_block_ratios_are_changes_in_percent_on_interval_and_threshold() -> None:
    figure = samples.block_ratios([[math.log(1.1), 0.0], [math.log(0.9)]], (0.01, 0.03), 0.02)
    assert [list(trace.y) for trace in figure.data] == [pytest.approx([10, 0]), pytest.approx([-10])]
    bands = [(shape.y0, shape.y1) for shape in figure.layout.shapes]
    assert bands == [pytest.approx((-2, 2)), pytest.approx((1, 3))]
    assert not samples.block_ratios([[0.1]], None, None).layout.shapes


def test_only_what_was_told_is_drawn_below_the_samples() -> None:
    line = lockstep()
    known, missing = telemetry.told(line)
    assert [quantity.name for quantity in known] == ["SM clock", "power", "temperature"]
    assert [quantity.name for quantity in missing] == ["memory clock"]
    figure = telemetry.beside(line)
    clock = next(trace for trace in figure.data if trace.yaxis == "y2" and len(trace.x))
    assert set(clock.y) == {1200}
    assert set(clock.marker.symbol) == {"x"}
    assert "sw_power_cap" in clock.text[0]
    # The same axis of time as the samples above.
    assert set(clock.x) <= {sample.place for sample in line.samples}
    assert telemetry.throttle_reasons(line) == {"sw_power_cap": 2}


def test_the_sample_case_draws() -> None:
    blocks = result(PREFILL, 1e6, 1).blocks
    assert len(samples.in_order(samples.timeline({"": blocks}, lockstep=False)).data) == 2


def step(at: int, *kernels: Kernel) -> code.Step:
    return code.Step(at, f"c{at} <b>", Launches(kernels, tuple(k.hash for k in kernels)))


GEMM = Kernel("_gemm", "a", "sm_90", 128, 0, shared_bytes=2048, instructions={"total": 9, "matrix.HGMMA": 2})


def test_resources_are_stairs_that_hold_to_the_newest_run() -> None:
    steps = [step(0, GEMM), step(2, replace(GEMM, registers=168, spills=4))]
    figure = code.resources(steps, ["a", "b", "c", "d"])
    registers, spills, shared, instructions = figure.data
    assert (list(registers.x), list(registers.y)) == ([0, 2, 3], [128, 168, 168])
    assert list(spills.y) == [0, 4, 4]
    assert list(shared.y) == [2.0, 2.0, 2.0]
    assert list(instructions.y) == [9, 9, 9]
    assert registers.line.shape == "hv"
    assert "&lt;b&gt;" in registers.text[0]


def test_variants_of_a_kernel_and_kernels_that_come_and_go() -> None:
    variants = Launches((GEMM, replace(GEMM, hash="b")), ("a", "b"))
    assert list(code.named_kernels(variants)) == ["_gemm", "_gemm (2)"]
    steps = [step(0, GEMM), step(1, replace(GEMM, name="_other"))]
    gone = code.resources(steps, ["a", "b"]).data[0]
    assert list(gone.y) == [128, None]


def test_a_mix_names_matrix_instructions_first_and_sums_the_rest() -> None:
    many = {f"class{i}": 10 + i for i in range(20)}
    kernel = replace(GEMM, instructions={"total": 999, "matrix.HGMMA": 2, **many})
    figure = code.mix([step(0, kernel), step(1, replace(GEMM, instructions={}))], "_gemm", ["a", "b"])
    names = [trace.name for trace in figure.data]
    assert (names[0], names[-1], len(names)) == ("matrix.HGMMA", code.OTHERS, code.MOST_CLASSES)
    assert sum(trace.y[0] for trace in figure.data) == 2 + sum(many.values())
    assert all(trace.y[1] is None for trace in figure.data)


def test_errors_stand_below_the_gate_on_a_logarithmic_axis() -> None:
    points = [
        code.ErrorPoint(0, "a", 0.2, 0.004, passed=True),
        code.ErrorPoint(1, "b", 20.0, 0.4, passed=False),
        code.ErrorPoint(2, "c", 0.0, 0.0, passed=True),
    ]
    figure = code.margin(points, ["a", "b", "c"])
    good, red, gate = figure.data
    assert (list(good.y), list(red.y), list(gate.y)) == ([0.2], [20.0], [1, 1])
    assert good.marker.symbol != red.marker.symbol
    assert figure.layout.yaxis.type == "log"
    low, high = figure.layout.yaxis.range
    assert low < math.log10(0.2) < math.log10(20) < high
