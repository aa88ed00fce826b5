"""Times as people write them."""

from __future__ import annotations

import pytest

from perfsuite.units import parse_time_ns


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [
        ("0.25 ms", 250_000.0),
        ("0.29 ms", 290_000.0),
        ("0.0192ms", 19_200.0),
        (" 12 µs ", 12_000.0),
        ("12 \u03bcs", 12_000.0),
        ("12us", 12_000.0),
        ("500 ns", 500.0),
        ("1.5 s", 1.5e9),
        ("1e3 µs", 1e6),
    ],
)
def test_times(text: str, value_ns: float) -> None:
    assert parse_time_ns(text) == value_ns


@pytest.mark.parametrize(
    "text", ["", "12", "ms", "0.25 m", "0.25 MS", "1.2.3 ms", "0 ms", "-1 ms", "1e999 s"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time_ns(text)
