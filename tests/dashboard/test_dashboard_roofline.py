"""The roofs that stored results tell, and where cases stand below them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sample_history import PREFILL, result

from dashboard.charts.roofline import Roofs, Standing, roofline, roofs_of, standing_of
from perfsuite.model import Result, Status

BANDWIDTH, RATES = 4.8e12, {"int8": 1979e12, "fp32": 67e12}


def standing(name: str, moved: float, operations: float, precision: str = "int8") -> Standing:
    """As a measurement stores it, at half of the roofline."""
    bound_ns = max(moved / BANDWIDTH, operations / RATES[precision]) * 1e9
    return Standing(name, "family", 2 * bound_ns, int(moved), int(operations), precision, 0.5)


LIGHT, LIGHTER = standing("light", 1e9, 4e9), standing("lighter", 1e8, 2e8)
HEAVY, WIDE = standing("heavy", 1e6, 1e12), standing("wide", 1e6, 1e10, "fp32")
COPY = standing("copy", 1e9, 0)


def test_the_roofs_are_those_that_the_measurement_went_by() -> None:
    roofs = roofs_of([LIGHT, LIGHTER, HEAVY, WIDE])
    assert roofs.bytes_per_s == pytest.approx(BANDWIDTH, rel=1e-6)
    assert roofs.operations_per_s == pytest.approx(RATES, rel=1e-6)
    assert [roofs.bound_by(each) for each in (LIGHT, HEAVY, WIDE)] == ["memory", "operations", "operations"]


def test_a_case_without_operations_tells_the_bandwidth_alone() -> None:
    assert roofs_of([COPY]).bytes_per_s == pytest.approx(BANDWIDTH, rel=1e-6)


def test_one_case_alone_tells_no_roof() -> None:
    assert roofs_of([HEAVY]) == Roofs()
    assert roofs_of([LIGHT]) == Roofs()
    assert roofs_of([]) == Roofs()


def test_two_cases_bound_by_operations_tell_their_rate_and_no_bandwidth() -> None:
    roofs = roofs_of([HEAVY, standing("heavier", 1e6, 3e12)])
    assert roofs.bytes_per_s is None
    assert roofs.operations_per_s == {"int8": pytest.approx(RATES["int8"], rel=1e-6)}


def test_no_case_is_drawn_above_its_roof() -> None:
    figure = roofline(
        [("head", HEAVY)], [LIGHT, LIGHTER], [WIDE, COPY], roofs_of([LIGHT, LIGHTER, HEAVY, WIDE])
    )
    names = [trace.name for trace in figure.data]
    assert names == [
        "4.8 TB/s",
        "67 T/s fp32",
        "1979 T/s int8",
        "other cases",
        "same family",
        "this case, head",
    ]
    slope, here = figure.data[0], figure.data[-1]
    assert slope.y[1] / slope.x[1] == pytest.approx(4.8)
    assert here.y[0] == pytest.approx(1979 / 2)
    # COPY counts no operations: it has no place on logarithmic axes.
    assert len(figure.data[3].x) == 1
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


def test_unknown_roofs_draw_points_alone() -> None:
    figure = roofline([("", LIGHT)], [], [], Roofs())
    assert [trace.name for trace in figure.data] == ["this case"]
    assert not roofline([("", COPY)], [], [], Roofs()).data


def test_names_of_others_are_no_markup() -> None:
    figure = roofline([("", replace(LIGHT, case="<b>x"))], [], [], Roofs())
    assert "&lt;b&gt;x" in figure.data[0].text[0]


def test_a_red_gate_or_unknown_work_has_no_place() -> None:
    good = result(PREFILL, 1e6, 1)
    known = standing_of(good)
    assert known is not None
    assert known.median_ns == pytest.approx(1e6, rel=0.01)
    nothing: list[Result] = [
        replace(good, status=Status.INCORRECT),
        replace(good, bytes=None, operations=None),
        replace(good, blocks=()),
    ]
    assert [standing_of(each) for each in nothing] == [None, None, None]
    unmeasured = standing_of(nothing[2], 5.0)
    assert unmeasured is not None
    assert unmeasured.median_ns == 5.0
