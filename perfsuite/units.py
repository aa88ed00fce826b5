"""Units: conversion and formatting in one place. Times are ns, shares are fractions, slower is positive."""

from __future__ import annotations

import math
import re

NS_PER_US = 1e3
NS_PER_MS = 1e6
NS_PER_S = 1e9
MIB = 1 << 20
_TIME_STEPS = ((NS_PER_S, "s"), (NS_PER_MS, "ms"), (NS_PER_US, "µs"), (1.0, "ns"))
_TIME_UNITS = {unit: scale for scale, unit in _TIME_STEPS} | {"us": NS_PER_US, "\u03bcs": NS_PER_US}
"""Keyboards have no micro sign, and Unicode has two."""
_TIME = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-z\u00b5\u03bc]+)")


def format_ns(value_ns: float) -> str:
    """`1234567.0` → `1.235 ms`: four significant digits in the largest unit that keeps them above 1."""
    for scale, unit in _TIME_STEPS:
        if abs(value_ns) >= scale or unit == "ns":
            return f"{_significant(value_ns / scale, 4)} {unit}"
    raise AssertionError("unreachable: the last unit always returns")


def format_share(value: float, *, signed: bool = True) -> str:
    """`0.0213` → `+2.13 %`: two significant decimals, more for what is below 0.1 %."""
    percent = value * 100
    decimals = 1 if abs(percent) >= 10 else 2
    sign = "+" if signed and percent > 0 else ""
    return f"{sign}{percent:.{decimals}f} %"


def parse_share(text: str | float | int) -> float:
    """`"2%"`, `"0.5 %"`, `0.02` → a fraction.

    Raises:
        ValueError: not a number, or not between 0 and 1.
    """
    if isinstance(text, str) and text.strip().endswith("%"):
        value = float(text.strip()[:-1]) / 100
    else:
        value = float(text)
    if not 0 <= value < 1:
        raise ValueError(f"{text!r} is not between 0 % and 100 %")
    return value


def parse_time_ns(text: str) -> float:
    """`"0.25 ms"`, `"250 µs"`, `"250us"` → 250000.0.

    Raises:
        ValueError: not a number with one of the units s, ms, µs (us) and ns, or not more than 0.
    """
    match = _TIME.fullmatch(text.strip())
    scale = _TIME_UNITS.get(match[2]) if match else None
    if match is None or scale is None:
        raise ValueError(f"{text!r} is no time with a unit")
    # Rounded: 0.29 ms shall be 290000 ns, not 289999.99999999994.
    value_ns = round(float(match[1]) * scale, 6)
    if not 0 < value_ns < math.inf:
        raise ValueError(f"{text!r} is not more than 0")
    return value_ns


def format_bytes(count: float) -> str:
    """`1536` → `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable: the last unit always returns")


def _significant(value: float, digits: int) -> str:
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, digits - whole)}f}"
