from dataclasses import replace
from xml.etree import ElementTree

import pytest
from report_example import compared, mixed, report
from rich.cells import cell_len

from perfsuite.model import Verdict
from perfsuite.report.forest import TEXT_WIDTH, forest_svg, forest_text

SVG = "{http://www.w3.org/2000/svg}"
BARS = """\
      -5.20 %        0                      +10.0 %
moe/prefill
  m=2          ······│······                     ●┤  +9.80 %
  m=1          ······│······    ├●                   +4.10 %
  m=4          ······●┤·····                         +0.10 %
moe/decode
  m=1 ├●       ······│······                         -5.00 %"""


def test_the_bars_of_a_report() -> None:
    assert forest_text(mixed(), 60) == BARS


def test_no_times_no_bars() -> None:
    untimed = report(compared("a", Verdict.IDENTICAL))
    assert forest_text(untimed) == ""
    assert "No case was timed." in forest_svg(untimed)


def test_the_change_lies_where_the_axis_says() -> None:
    wide = report(compared("a", Verdict.REGRESSED, 0.10), compared("b", Verdict.IMPROVED, -0.10))
    up, down = (line for line in forest_text(wide, 100).split("\n") if "●" in line)
    zero = up.index("│")
    assert down.index("│") == zero
    assert abs((up.index("●") - zero) - (zero - down.index("●"))) <= 1, "equally far from zero"
    assert up.count("·") % 2 == 0, "the band of the threshold is even"


def test_one_that_is_far_off_is_an_arrow_and_the_others_stay_apart() -> None:
    cases = [compared(f"a[{n}]", Verdict.REGRESSED, 0.03 + n / 100) for n in range(5)]
    far = report(*cases, compared("far", Verdict.REGRESSED, 4.0), compared("near", Verdict.IMPROVED, -0.9))
    lines = forest_text(far).split("\n")
    assert sum("▶" in line for line in lines) == 1 and sum("◀" in line for line in lines) == 1
    assert len({line.index("●") for line in lines if "●" in line}) == 5
    # Where most are far off they are what is shown.
    most = report(*(compared(f"a[{n}]", Verdict.REGRESSED, 4.0 + n) for n in range(3)))
    assert forest_text(most).count("●") >= 2


def test_a_change_without_an_interval_is_a_dot() -> None:
    one = replace(compared("a", Verdict.INCONCLUSIVE, 0.01), low=None, high=None)
    text = forest_text(report(one))
    assert "●" in text and "├" not in text


@pytest.mark.parametrize("rows", [3, 10, 25])
def test_rows_and_width_are_kept_and_the_rest_is_counted(rows: int) -> None:
    cases = [compared(f"family{n % 7}/x[{'m' * n},宽={n}]", Verdict.REGRESSED, n / 100) for n in range(1, 60)]
    lines = forest_text(report(*cases), rows=rows).split("\n")
    assert len(lines) <= rows
    assert max(map(cell_len, lines)) <= TEXT_WIDTH
    shown = sum("%" in line for line in lines[1:])
    assert lines[-1] == f"… {59 - shown} more"


def test_the_picture_is_well_formed_whatever_the_cases_are_called() -> None:
    evil = 'a"</text></svg><script>alert(1)</script>&\x00\x1b\u202e[m=1]'
    cases = [compared(evil, Verdict.REGRESSED, 0.1), compared("b", Verdict.UNCHANGED, 0.001)]
    root = ElementTree.fromstring(forest_svg(report(*cases)))
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags == {"svg", "title", "path", "text", "rect", "circle"}
    assert not any(name.startswith("on") or "href" in name for e in root.iter() for name in e.attrib)
    words = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert any("<script>" in word for word in words), "it is shown as text"
    assert not any("\u202e" in word for word in words)


def test_the_picture_groups_families_limits_rows_and_shows_each_interval() -> None:
    cases = [compared(f"f{n % 2}[{n}]", Verdict.REGRESSED, 0.03 + n / 1000) for n in range(50)]
    root = ElementTree.fromstring(forest_svg(report(*cases), limit=10))
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert sum(element.tag == f"{SVG}circle" for element in root.iter()) == 10
    assert words.count("f0") == words.count("f1") == 1
    assert "… 40 more" in words
    assert "+7.90 % [+7.70 … +8.10]" in words
    assert float(root.attrib["height"]) > 13 * 20, "a row for each case and family"


def test_the_same_report_is_the_same_picture() -> None:
    assert forest_svg(mixed()) == forest_svg(mixed())
    assert "prefers-color-scheme" not in forest_svg(mixed()), "one set of colours for both pages"
