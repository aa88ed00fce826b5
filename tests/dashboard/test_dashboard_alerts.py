"""The alerts page: what is listed, what belongs together, what one alert shows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from sample_history import DECODE, GPU, MATVEC, PREFILL, REPOSITORY, sample_alert, sample_alerts, sample_sha
from visiting import markup, refused, shown, visit_page

from dashboard.charts.around import around_change
from dashboard.reads.alerts import AROUND
from dashboard.sections.alert_groups import Wanted, groups
from dashboard.sections.alerts import MOST_TOGETHER
from perfsuite.model import AlertState, Commit, Status
from perfsuite.store import open_store

SLOWER = sample_alerts()[0]


def cases(text: str) -> list[str]:
    """Cases of the rows, in order."""
    return [case for case in re.findall(r'title="">([^<]*)</a></td>', text) if "/" in case]


def dots(text: str) -> int:
    """Runs with a time in the picture."""
    return text.count("border-radius:50%")


def test_open_alerts_are_listed_by_commit_range_the_newest_first(history: str) -> None:
    text = shown(visit_page(history, "alerts"))
    assert cases(text) == [
        "worker gpu-box/0",
        PREFILL,
        "dequant_gemm/gemm[m=2,g=64]",
        PREFILL,
        DECODE,
    ]
    titles = re.findall(r"<strong>([^<]*)</strong>", text)
    assert titles == [
        "worker gpu-box/0 fell silent",
        "1 case faster, -3.10 %",
        "1 case stopped arriving",
        "2 cases slower, +3.80 to +4.10 %",
    ]
    assert "Change day 5 <b>of</b> the kernels" in text


def test_subjects_of_others_are_escaped(history: str) -> None:
    assert "<b>of" not in markup(visit_page(history, "alerts", state="all"))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"state": "all"}, 9),
        ({"state": "acknowledged"}, 1),
        ({"state": "nonsense"}, 5),
        ({"state": "all", "kind": "slower"}, 6),
        ({"state": "all", "kind": "nonsense"}, 9),
        ({"state": "all", "q": "PREFILL moe"}, 3),
        ({"state": "all", "q": "grace traded"}, 1),
        ({"state": "all", "q": sample_sha("day 5")[:10]}, 3),
        ({"state": "all", "repository": REPOSITORY}, 9),
    ],
)
def test_the_address_says_what_is_listed(history: str, query: dict[str, str], count: int) -> None:
    assert len(cases(shown(visit_page(history, "alerts", **query)))) == count


def test_nothing_found_is_said_with_what_was_asked_for(history: str) -> None:
    text = shown(visit_page(history, "alerts", state="fixed", kind="faster", repository="no/such", q="x"))
    assert "There is no fixed alert of the kind faster in no/such with these words." in text


def test_a_search_is_written_into_the_address(history: str) -> None:
    page = visit_page(history, "alerts", state="all", page="7")
    page.text_input(key="q").input("decode").run()
    assert page.query_params["q"] == "decode"
    assert page.query_params["state"] == "all"
    assert "page" not in page.query_params
    assert set(cases(shown(page))) == {DECODE}
    page.text_input(key="q").input("").run()
    assert "q" not in page.query_params


def test_one_alert_shows_its_change_its_commits_and_what_else_moved(history: str) -> None:
    text = shown(visit_page(history, "alerts", alert=SLOWER.id[:12]))
    assert f"<h2>{PREFILL}</h2>" in text
    assert "+4.10 % [+3.80 … +4.40]" in text
    assert GPU.label in text
    assert "Change day 5 <b>of</b> the kernels" in text
    # The eight runs on this driver, and the range between the fifth and the sixth of them.
    assert dots(text) == 8
    assert f"https://github.com/{REPOSITORY}/compare/{SLOWER.before}...{SLOWER.after}" in text
    assert cases(text) == [MATVEC, DECODE]
    assert "triage the 3 that are open or acknowledged together" in text
    zoom = f"from={sample_sha('day 0')}&to={sample_sha('day 7')}"
    assert zoom in text
    assert f"base={SLOWER.before}&head={SLOWER.after}" in text


def test_a_link_leads_to_exactly_the_alerts_of_a_finding(history: str) -> None:
    (address,) = re.findall(
        r'href="alerts\?([^"]*)" title="">triage these 2', shown(visit_page(history, "alerts"))
    )
    ids = re.findall(r"alert=(\w+)", address)
    text = shown(visit_page(history, "alerts", alert=ids))
    assert "2 cases slower" in text
    assert cases(text) == [PREFILL, DECODE]


def test_an_alert_that_is_not_here_is_named(history: str) -> None:
    said = refused(history, "alerts", alert="ffffffffffff")
    assert "there is no alert 'ffffffffffff'" in said
    assert "choose one" in said
    assert "there is no alert ''" in refused(history, "alerts", alert="")
    first = sample_alerts()[0].id[:12]
    assert "there is no alert 'x'" in refused(history, "alerts", alert=[first, "x"])


def test_silence_and_missing_series_have_no_picture_and_no_comparison(history: str) -> None:
    for alert in sample_alerts():
        if alert.kind in ("silent", "missing"):
            text = shown(visit_page(history, "alerts", alert=alert.id))
            assert dots(text) == 0
            assert "compare?" not in text
            assert "github.com" not in text


def test_an_alert_of_commits_that_are_gone_still_shows(tmp_path: Path) -> None:
    path = str(tmp_path / "gone.db")
    with open_store(path) as store:
        store.save_alerts([replace(SLOWER, before="0" * 40, after="f" * 40)])
    text = shown(visit_page(path, "alerts", alert=SLOWER.id))
    assert "not in this store" in text
    assert "+4.10 %" in text


def test_without_alerts_it_says_where_they_come_from(tmp_path: Path) -> None:
    path = str(tmp_path / "empty.db")
    open_store(path).close()
    assert "perfsuite alerts update" in shown(visit_page(path, "alerts"))


def test_a_thousand_alerts_of_one_range_are_one_finding_and_of_many_are_paged(tmp_path: Path) -> None:
    path = str(tmp_path / "many.db")
    one = [sample_alert(f"a/b[n={n}]", "slower", (1, 2), 0.03) for n in range(1000)]
    many = [sample_alert("a/b[n=1]", "slower", (n, n + 1), 0.03) for n in range(10, 70)]
    with open_store(path) as store:
        store.save_alerts([*one, *many])
    text = shown(visit_page(path, "alerts", page="3"))
    assert "page 3 of 3, 61 findings" in text
    assert "1000 cases slower" in text
    assert len(cases(text)) == 60 - 2 * 25 + 5
    (address,) = re.findall(r'href="alerts\?([^"]*)" title="">triage these 1000', text)
    assert len(re.findall(r"alert=(\w+)", address)) == MOST_TOGETHER


def test_groups_are_of_one_repository_and_range_and_silences_stand_alone() -> None:
    other = replace(SLOWER, id="0" * 32, repository="other/project")
    silent = [replace(sample_alerts()[-1], id=digit * 32, case=digit) for digit in "12"]
    found = groups([SLOWER, other, *silent, sample_alerts()[1]])
    assert [[alert.case for alert in group.alerts] for group in found] == [
        [PREFILL, DECODE],
        [PREFILL],
        ["1"],
        ["2"],
    ]


def test_all_words_of_a_search_count() -> None:
    assert Wanted(words="prefill M=1696").takes(SLOWER)
    assert not Wanted(words="prefill m=8").takes(SLOWER)
    assert not Wanted(state=AlertState.NOISE.value).takes(SLOWER)


def test_the_picture_shows_both_levels_the_range_and_what_has_no_time() -> None:
    values = [1.0e6, 1.1e6, None, 2.0e6, 2.1e6]
    statuses = [Status.OK, Status.OK, Status.INCORRECT, Status.OK, Status.OK]
    commits = [Commit(f"{n:040x}", "<script>") for n in range(5)]
    picture = str(around_change(values, statuses, commits, 1, 3))
    assert dots(picture) == 4
    assert picture.count("✕") == 1
    assert picture.count("dashed") == 2
    assert "1.000 ms to 2.100 ms" in picture
    assert "<script>" not in picture
    assert "incorrect" in picture


def test_one_point_or_none_is_no_error() -> None:
    commit = [Commit("a" * 40)]
    assert dots(str(around_change([5.0], [Status.OK], commit, 0, 0))) == 1
    assert around_change([None], [Status.FAILED], commit, 0, 0) == ""


def test_only_the_runs_about_the_change_are_read(tmp_path: Path) -> None:
    from sample_history import result, sample_run

    path = str(tmp_path / "long.db")
    with open_store(path) as store:
        runs = [sample_run(f"day {day}", day) for day in range(80)]
        store.save_all(runs, {run.id: [result(PREFILL, 1e6, 1)] for run in runs})
        store.save_alerts([sample_alert(PREFILL, "slower", (40, 42), 0.02)])
    text = shown(visit_page(path, "alerts", alert=sample_alert(PREFILL, "slower", (40, 42), 0.02).id))
    assert dots(text) == 2 * AROUND + 3
