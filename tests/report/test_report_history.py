"""One case's history as people and programs read it."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import pytest

from perfsuite.report.history import (
    History,
    histories_text,
    history_json,
    history_text,
    sparkline,
)
from perfsuite.stats.change_points import change_points
from perfsuite.stats.rules import Series

START = datetime(2026, 1, 1, tzinfo=UTC)


def history(values: list[float], boundaries: dict[int, str] | None = None) -> History:
    series = Series(
        id="moe/decode[m=1]",
        values=tuple(values),
        times=tuple((START + timedelta(days=day)).timestamp() for day in range(len(values))),
        commits=tuple(f"{day:04x}" * 10 for day in range(len(values))),
        boundaries=tuple(boundaries or ()),
    )
    subjects = tuple(f"change {day}" for day in range(len(values)))
    points = tuple(change_points(series))
    return History(
        "moe/decode[m=1]", "team/kernels", "NVIDIA H200", series, points, boundaries or {}, subjects
    )


def test_a_change_is_shown_with_its_commits_and_size() -> None:
    text = history_text(history([10_000.0] * 20 + [11_000.0] * 20))
    assert "moe/decode[m=1]" in text and "NVIDIA H200" in text
    assert "40 points from 2026-01-01 to 2026-02-09, 1 change, now 11.00 µs." in text
    assert "+10.00 %" in text and "10.00 µs → 11.00 µs" in text
    assert "0013001300..0014001400 change 20" in text


def test_a_quiet_history_says_so() -> None:
    assert "12 points from 2026-01-01 to 2026-01-12, no change, now 1.000 µs." in history_text(
        history([1000.0] * 12)
    )
    assert "1 point " in history_text(history([1000.0]))


def test_a_boundary_stands_where_it_is_with_what_changed() -> None:
    given = history([1000.0] * 20 + [1500.0] * 20 + [1800.0] * 20, {20: "driver 580.1 → 590.2"})
    lines = history_text(given).splitlines()
    (boundary,) = (i for i, line in enumerate(lines) if "driver 580.1 → 590.2" in line)
    assert "no verdict" in lines[boundary] and "+50.0 %" in lines[boundary]
    assert "+20.0 %" in lines[boundary + 1]
    assert "1 change, now 1.800 µs" in lines[1]


def test_several_histories_are_a_line_each() -> None:
    text = histories_text([history([1000.0] * 20 + [1100.0] * 20), history([1000.0] * 5)])
    lines = text.splitlines()
    assert len(lines) == 4
    assert "+10.00 % 0013001300..0014001400 change 20" in lines[2] and "–" in lines[3]


def test_json_has_what_the_text_has() -> None:
    given = history([1000.0] * 20 + [math.nan] + [1100.0] * 20 + [900.0] * 20, {41: "torch 2.11 → 2.12"})
    document = json.loads(json.dumps(history_json([given]), allow_nan=False))
    assert document["schema"] == 1
    (found,) = document["histories"]
    assert found["values_ns"][20] is None and found["level_ns"] == 900.0
    (point,) = found["change_points"]
    assert (point["index"], point["kind"]) == (21, "step")
    assert (point["after_commit"], point["until_commit"]) == ("0013" * 10, "0015" * 10)
    assert point["change"] == pytest.approx(0.1) and point["low"] <= 0.1 <= point["high"] + 1e-12
    (boundary,) = found["boundaries"]
    assert (boundary["index"], boundary["what"]) == (41, "torch 2.11 → 2.12")


def test_text_from_outside_steers_no_terminal() -> None:
    given = history([1000.0] * 20 + [1100.0] * 20, {30: "driver \x1b[31m580\n590"})
    assert "\x1b" not in history_text(given) and "580 590" in history_text(given)


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([], 10, ""),
        ([math.nan] * 3, 10, ""),
        ([5.0] * 4, 10, "▅▅▅▅"),
        ([1.0, 8.0], 10, "▁█"),
        ([1.0, math.nan, 8.0], 10, "▁ █"),
        ([1.0] * 50 + [2.0] * 50, 10, "▁▁▁▁▁█████"),
    ],
)
def test_the_picture(values: list[float], width: int, drawn: str) -> None:
    assert sparkline(values, width) == drawn


def test_the_picture_keeps_to_its_width_and_marks_boundaries() -> None:
    drawn = sparkline([1.0] * 100 + [2.0] * 100, 40, (100,))
    assert len(drawn) <= 40 and drawn.count("│") == 1
    assert drawn.partition("│")[0] == "▁" * len(drawn.partition("│")[0])


def test_one_outlier_does_not_flatten_the_picture() -> None:
    drawn = sparkline([1.0] * 60 + [1.1] * 39 + [90.0], 100)
    assert drawn[0] == "▁" and drawn[70] == "█"
