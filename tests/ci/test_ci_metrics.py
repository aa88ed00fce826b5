"""Headline metrics, and their lines in the configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from comment_views import HEADLINES, compared, h200, h200_report, report

from ci.body.words import metric_row
from ci.metrics import TIME, TOKENS_PER_SECOND, Metric, Quantity, metrics
from perfsuite.config import Headline, load_config
from perfsuite.errors import UsageError
from perfsuite.model import Verdict

PREFILL = Headline("Prefill", "prefill", "m", 40)


def one(*cases: object, headline: Headline = PREFILL) -> Metric:
    (found,) = metrics(report(*cases), [headline])  # type: ignore[arg-type]
    return found


def test_tokens_a_second_of_the_whole_stack() -> None:
    case = replace(compared("prefill[m=1696]", Verdict.REGRESSED, 0.25), params={"m": 1696}, base_ns=1e6)
    found = one(replace(case, head_ns=1.25e6, low=0.24, high=0.26))
    assert found.unit == TOKENS_PER_SECOND
    assert found.baseline == Quantity(pytest.approx(1696 / (40 * 1e-3)))
    assert found.optimized == Quantity(pytest.approx(1696 / (40 * 1.25e-3)))
    assert found.speedup == Quantity(0.8, pytest.approx(1 / 1.26), pytest.approx(1 / 1.24))
    assert found.name == "Prefill", "one case needs no axes"


def test_without_tokens_it_is_the_time() -> None:
    case = compared("prefill[m=1]", Verdict.UNCHANGED, 0.0)
    assert one(case, headline=Headline("x", "prefill")).unit == TIME
    assert one(case, headline=Headline("x", "prefill", layers=3)).baseline == Quantity(3000.0)
    for wrong in ("many", None, True, 0, -1):
        assert one(replace(case, params={"m": wrong})).unit == TIME, wrong


def test_several_cases_are_told_apart_by_the_axes_that_differ_fewest_tokens_first() -> None:
    cases = [
        replace(compared(f"prefill[m={m}]", Verdict.UNCHANGED, 0.0), params={"m": m, "g": 128})
        for m in (64, 8, 512)
    ]
    assert [m.name for m in metrics(report(*cases), [PREFILL])] == [
        "Prefill, m=8", "Prefill, m=64", "Prefill, m=512",
    ]  # fmt: skip


def test_what_was_not_timed_says_so() -> None:
    same, wrong = compared("prefill", Verdict.IDENTICAL), compared("prefill", Verdict.INCORRECT)
    assert one(same).speedup is None and one(same).remark == "identical"
    assert one(wrong).baseline is None and one(wrong).remark == "incorrect"
    assert metric_row(one(wrong)) == "| Prefill | – | – | incorrect |"
    assert metrics(report(same), [Headline("x", "decode")]) == ()


def test_the_ranges_of_an_h200() -> None:
    _, base, head = h200()
    found = metrics(h200_report(), HEADLINES, base=base, head=head)
    assert [metric.name.rpartition(", ")[2] for metric in found[1:]] == ["m=1", "m=8", "m=64"]
    by_case = {compared.case: compared for compared in h200_report().comparisons}
    for metric in found:
        assert metric.baseline and metric.optimized and metric.speedup
        for side in (metric.baseline, metric.optimized, metric.speedup):
            assert side.low is not None and side.high is not None
            assert side.low <= side.value <= side.high
        assert metric.speedup.value == pytest.approx(1 / (1 + (by_case[metric.case].change or 0)))
        assert metric.optimized.value < metric.baseline.value
    assert metric_row(found[0]).replace("\u00a0", " ") == (
        "| Prefill, Qwen3.5-35B-A3B MoE layers | 146.7k tok/s [146.6 … 146.7] | "
        "115.5k tok/s [115.5 … 115.5] | 0.788× [0.784 … 0.791] |"
    )


@pytest.mark.parametrize(
    ("quantity", "unit", "shown"),
    [
        (Quantity(1500.0, 1400.0, 1600.0), TIME, "1.500 µs [1.400 … 1.600]"),
        (Quantity(2.5e9), TOKENS_PER_SECOND, "2.500G tok/s"),
        (Quantity(7.0), TOKENS_PER_SECOND, "7.000 tok/s"),
        (Quantity(0.5), TIME, "0.5000 ns"),
    ],
)
def test_numbers_have_four_digits_in_one_unit(quantity: Quantity, unit: str, shown: str) -> None:
    row = metric_row(Metric("x", "c", unit, quantity, None, None, "new"))
    assert row.replace("\u00a0", " ") == f"| x | {shown} | – | new |"


def configured(folder: Path, lines: str) -> tuple[Headline, ...]:
    (folder / "pyproject.toml").write_text(f'[tool.perfsuite]\nsuite = "."\n{lines}', encoding="utf-8")
    return load_config(folder, {}).headlines


def test_headlines_are_configured(tmp_path: Path) -> None:
    assert configured(tmp_path, "") == ()
    lines = '[[tool.perfsuite.headline]]\nname = "Prefill"\nmatch = "moe/*"\ntokens = "m"\nlayers = 40\n'
    short = '[[tool.perfsuite.headline]]\nname = "x"\nmatch = "y"\n'
    assert configured(tmp_path, lines + short) == (Headline("Prefill", "moe/*", "m", 40), Headline("x", "y"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('match = "a"', "headline.name = None is wrong"),
        ('name = "a"', "headline.match = None is wrong"),
        ('name = "a"\nmatch = "b"\nlayers = 0', "headline.layers = 0 is wrong"),
        ('name = "a"\nmatch = "b"\nlayers = true', "headline.layers = True is wrong"),
        ('name = "a"\nmatch = "b"\ntokens = 3', "headline.tokens = 3 is wrong"),
        ('name = "a"\nmatch = "b"\ntoken = "m"', "headline.token is not a key; did you mean 'tokens'?"),
    ],
)
def test_a_wrong_headline_is_named(tmp_path: Path, line: str, expected: str) -> None:
    with pytest.raises(UsageError) as raised:
        configured(tmp_path, f"[[tool.perfsuite.headline]]\n{line}\n")
    assert expected in str(raised.value)
