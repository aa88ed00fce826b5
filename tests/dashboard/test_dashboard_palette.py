"""Colours that are seen on both backgrounds, labels that are only words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dashboard
from dashboard.charts import palette
from dashboard.charts.palette import chart_config, faint, plain_label, unit_of
from perfsuite.model import Verdict

WHITE, BLACK = "#ffffff", "#171614"
"""Streamlit's backgrounds."""
LINE, WORDS = 3.0, 4.5
"""Least contrast of lines and of words: WCAG 2.2, 1.4.11 and 1.4.3."""
STYLES = Path(dashboard.__file__).with_name("styles")


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", ["BLUE", "ORANGE", "GREEN", "RED", "PURPLE", "GREY"])
def test_lines_are_seen_on_white_and_on_black(name: str) -> None:
    color = getattr(palette, name)
    assert min(contrast(color, WHITE), contrast(color, BLACK)) >= LINE


def test_words_in_colour_are_read_on_white_and_on_black() -> None:
    common = (STYLES / "common.css").read_text(encoding="utf-8")
    pairs = re.findall(r"light-dark\((#\w{6}), (#\w{6})\)", common)
    assert len(pairs) >= 6
    for light, dark in pairs:
        assert contrast(light, WHITE) >= WORDS
        assert contrast(dark, BLACK) >= WORDS


def test_verdicts_are_told_apart_without_colour() -> None:
    assert set(palette.VERDICTS) == set(Verdict)
    symbols = [symbol for _, symbol in palette.VERDICTS.values()]
    assert len(set(symbols)) == len(symbols)


@pytest.mark.parametrize(
    ("values", "name"),
    [([], "ns"), ([None, float("nan")], "ns"), ([0.2], "ns"), ([None, 5e3, 7e3], "µs"), ([2e9, 3e9], "s")],
)
def test_the_unit_of_an_axis_is_that_of_its_middle(values: list[float | None], name: str) -> None:
    assert unit_of(values).name == name


def test_labels_hold_no_tags_and_end() -> None:
    label = plain_label("<b>&\n\u202egemm" + "x" * 4000)
    assert label.startswith("&lt;b&gt;&amp; gemmx")
    assert len(label) < 200


def test_a_picture_is_named_and_of_the_chosen_format() -> None:
    options = chart_config("trend of gemm", "svg")["toImageButtonOptions"]
    assert (options["filename"], options["format"]) == ("trend of gemm", "svg")
    assert faint("#102030", 0.5) == "rgba(16, 32, 48, 0.5)"
