"""The forest plot and the why table: where marks lie, what links hold, what hostile names become."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import Markup
from sample_history import DECODE, GPU, PREFILL, START, sample_run

from dashboard.charts.forest import forest, short_name
from dashboard.charts.why import both, why_frame, why_table
from dashboard.markup import text
from dashboard.sections import compare as sections
from perfsuite.model import CaseComparison, Comparison, ComparisonReport, Verdict
from perfsuite.report.forest import Axis
from perfsuite.stats.families import findings, worst_first

AXIS = Axis(-0.10, 0.30)
HOSTILE = 'evil/<script>alert(1)</script>[שלום="x"]'


def compared(
    case: str, verdict: Verdict, change: float | None = None, half: float = 0.01, *why: str
) -> CaseComparison:
    made = CaseComparison(case, case.partition("[")[0], {}, verdict, threshold=0.02, why=why)
    if change is None:
        return made
    times = {"base_ns": 1e6, "head_ns": 1e6 * (1 + change), "change": change}
    return replace(made, **times, low=change - half, high=change + half)  # type: ignore[arg-type]


def reported(*cases: CaseComparison, **changes: object) -> ComparisonReport:
    base, head = sample_run("base", 1), sample_run("head", 2)
    comparison = Comparison("c" * 32, base, head, 0.02, START, START, **changes)  # type: ignore[arg-type]
    ordered = worst_first(cases)
    return ComparisonReport(comparison, ordered, findings(ordered), 0.008)


def label(compared: CaseComparison, shown: str) -> Markup:
    return Markup('<a href="case">{}</a>').format(text(shown))


def draw(*cases: CaseComparison) -> str:
    return str(forest(cases, AXIS, label))


def test_marks_band_and_interval_lie_where_the_axis_says() -> None:
    drawn = draw(compared(PREFILL, Verdict.REGRESSED, 0.10, 0.02))
    assert '<b class="ps-m-triangle-right" style="left:50.00%">' in drawn
    assert 'ps-forest-interval" style="left:45.00%;width:10.00%"' in drawn
    assert 'ps-forest-band" style="left:20.00%;width:10.00%"' in drawn
    assert 'ps-forest-zero" style="left:25.00%;width:0.00%"' in drawn


def test_every_verdict_has_a_sign_of_its_own() -> None:
    verdicts = [
        Verdict.REGRESSED,
        Verdict.IMPROVED,
        Verdict.LESS_ACCURATE,
        Verdict.INCONCLUSIVE,
        Verdict.UNCHANGED,
        Verdict.IDENTICAL,
    ]
    signs = [re.findall("ps-m-([a-z-]+)", draw(compared("a[m=1]", one, 0.01))) for one in verdicts]
    assert len({sign for (sign,) in signs}) == len(verdicts)
    style = (Path(sections.__file__).parents[1] / "styles" / "compare.css").read_text()
    assert all(f".ps-m-{sign} " in style for (sign,) in signs)


@pytest.mark.parametrize(("change", "sign", "place"), [(0.9, "above", "100.00%"), (-0.6, "below", "0.00%")])
def test_what_is_beyond_the_axis_is_marked_at_its_end(change: float, sign: str, place: str) -> None:
    drawn = draw(compared("a[m=1]", Verdict.REGRESSED, change))
    assert f'<b class="ps-m-{sign}" style="left:{place}">' in drawn
    assert "ps-forest-interval" not in drawn


def test_a_case_without_a_change_is_not_drawn_and_without_an_interval_has_none() -> None:
    assert draw(compared("a[m=1]", Verdict.IDENTICAL)) == ""
    drawn = draw(replace(compared("a[m=1]", Verdict.INCONCLUSIVE, 0.01), low=None, high=None))
    assert "ps-forest-interval" not in drawn
    assert "no interval" in drawn


def test_numbers_are_told_to_screen_readers() -> None:
    drawn = draw(compared(PREFILL, Verdict.REGRESSED, 0.10))
    assert 'aria-label="regressed: +10.0 % [+9.00 … +11.0]"' in drawn


def test_names_of_others_stay_text() -> None:
    one = compared(HOSTILE, Verdict.REGRESSED, 0.10, 0.01, "<img src=x onerror=alert(1)>")
    drawn = draw(one) + str(why_table([one], {}, {}, label))
    drawn += str(sections.findings(reported(one)))
    drawn += str(sections.families(reported(one), [one], sections.case_address(reported().comparison), {}))
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert "&lt;img src=x" in drawn


@pytest.mark.parametrize(
    ("case", "shown"),
    [
        (DECODE, "qwen3.5-35b-a3b,m=8,g=128"),
        ("plain/name", "plain/name"),
        ("family[]", "family[]"),
    ],
)
def test_a_line_is_named_without_its_family(case: str, shown: str) -> None:
    assert short_name(compared(case, Verdict.UNCHANGED, 0.0)) == shown


def test_the_why_table_says_machine_code_of_both_sides() -> None:
    assert both("168/0/96.0 KiB", "190/2/96.0 KiB") == "168/0/96.0 KiB → 190/2/96.0 KiB"
    assert both("168/0/96.0 KiB", "168/0/96.0 KiB") == "168/0/96.0 KiB"
    assert both(None, "1/0/0 B") == "– → 1/0/0 B"
    assert both(None, None) == "–"


def test_the_why_table_has_one_row_a_case_and_hides_what_nobody_knows() -> None:
    cases = [
        compared(PREFILL, Verdict.REGRESSED, 0.041, 0.002, "one", "two", "three"),
        compared("b", Verdict.NEW),
    ]
    table = str(why_table(cases, {PREFILL: "1/0/8 B"}, {PREFILL: "2/0/8 B"}, label))
    assert table.count("<tr>") == 3
    assert ">sees<" not in table
    assert "+4.10 %" in table and "+3.90 … +4.30" in table
    assert "1.000 ms" in table and "1.041 ms" in table
    assert "<summary>1 more</summary>three" in table
    with_floor = str(why_table([replace(cases[0], floor=0.004)], {}, {}, label))
    assert ">sees<" in with_floor and "0.40 %" in with_floor
    assert str(why_table([], {}, {}, label)) == ""


def test_the_saved_table_has_all_cases_and_plain_numbers() -> None:
    frame = why_frame(
        [compared(PREFILL, Verdict.REGRESSED, 0.041), compared("b[m=1]", Verdict.NEW)],
        {PREFILL: "1/0/8 B"},
        {},
    )
    assert list(frame["case"]) == [PREFILL, "b[m=1]"]
    assert frame["change (%)"][0] == pytest.approx(4.1)
    assert frame["base (µs)"][0] == pytest.approx(1000.0)
    assert frame["head (µs)"].isna().tolist() == [False, True]


def many(number: int, moved: int) -> ComparisonReport:
    quiet = [compared(f"f{n % 30}/x[m={n}]", Verdict.UNCHANGED, 0.001) for n in range(number - moved)]
    loud = [compared(f"g{n % 3}/x[m={n}]", Verdict.REGRESSED, 0.05) for n in range(moved)]
    return reported(*quiet, *loud)


def test_all_of_a_small_comparison_is_drawn() -> None:
    report = many(sections.ALL, 2)
    assert sections.select(report, None) == report.comparisons


def test_of_a_large_one_what_moved_and_the_family_that_is_asked_for() -> None:
    report = many(3000, 40)
    assert {one.verdict for one in sections.select(report, None)} == {Verdict.REGRESSED}
    asked = sections.select(report, "f7/x")
    assert len(asked) > 40
    assert {one.family for one in asked if one.verdict is Verdict.UNCHANGED} == {"f7/x"}
    assert len(sections.select(many(3000, 2900), None)) == sections.MOST
    assert sections.select(report, "no such family") == sections.select(report, None)


def test_large_comparisons_fold_quiet_families_and_lead_to_them() -> None:
    report = many(3000, 40)
    address = sections.case_address(report.comparison)
    drawn = sections.select(report, None)
    page = str(sections.families(report, drawn, address, {"comparison": "c" * 32}))
    assert page.count("<details") == 33
    assert page.count('<details class="ps-fold" open>') == 3
    assert page.count("ps-forest-plot") == 40
    assert f"compare?comparison={'c' * 32}&amp;family=f7%2Fx" in page
    assert len(page) < 300_000
    asked = sections.select(report, "f7/x")
    page = str(sections.families(report, asked, address, {"comparison": "c" * 32, "family": "f7/x"}))
    assert page.index("<b>f7/x</b>") < page.index("<b>g0/x</b>")
    rest = str(sections.cases(report, drawn, {}, {}, address))
    assert "2960 more cases" in rest


def test_a_comparison_of_stored_runs_is_found_again_by_its_runs() -> None:
    report = reported(compared(PREFILL, Verdict.REGRESSED, 0.05), kind="stored")
    link = str(sections.case_address(report.comparison)(report.comparisons[0], "x"))
    assert f"base={report.comparison.base.id}&amp;head={report.comparison.head.id}" in link
    assert f"machine={GPU.fingerprint}" in link
    assert "comparison=" not in link
    assert "noise between runs" in str(sections.answer(report))


def test_the_answer_names_the_gate_and_its_doubts() -> None:
    red = reported(compared(PREFILL, Verdict.REGRESSED, 0.05))
    assert "✕</span> red" in str(sections.answer(red))
    green = reported(compared(PREFILL, Verdict.UNCHANGED, 0.001))
    assert "✓</span> green" in str(sections.answer(green))
    doubtful = replace(green, machine="the machine changed: compute +2.10 %")
    assert "the machine changed" in str(sections.answer(doubtful))
    unfinished = replace(green, comparison=replace(green.comparison, finished_at=None))
    assert "Not finished" in str(sections.answer(unfinished))


@pytest.mark.parametrize("name", ["kernels", "a/b/c", "a/b?x", "javascript:alert(1)", "-a/b", "a b/c"])
def test_only_names_of_repositories_become_outside_links(name: str) -> None:
    assert sections.github(name, "pull/7", "on GitHub") == ""
    assert 'href="https://github.com/acme/kernels/pull/7"' in sections.github("acme/kernels", "pull/7", "x")
