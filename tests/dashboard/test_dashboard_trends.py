"""The trends page: its figures, its tables, and the page over a real store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import plotly.graph_objects as go
import pytest
from browser import PHONE, query, settled, sideways, visitor
from playwright.sync_api import Browser, expect
from sample_history import (
    DECODE,
    GPU,
    LAPTOP,
    MATVEC,
    NEW_DRIVER,
    PREFILL,
    REPOSITORY,
    result,
    sample_run,
    sample_sha,
)
from streamlit.testing.v1 import AppTest
from trend_example import CASE, axis, info, lines, place, point
from visiting import markup, shown, visit_page

from dashboard.charts.trend import MOST_DRAWN, trend
from dashboard.charts.trend_view import Note, View
from dashboard.derive.trend_lines import Axis, Line, make_axis, make_lines
from dashboard.derive.trend_units import UNITS, Facts, scales
from dashboard.links import href
from dashboard.pages.trends import MOST_CASES
from dashboard.sections.trends import frame
from perfsuite.store import open_store

HERE = {"repository": REPOSITORY, "machine": NEW_DRIVER.fingerprint}
STEP = [
    (100e3 if n < 20 else 104e3) * (1 + e)
    for n, e in enumerate(np.random.default_rng(1).normal(0, 1e-3, 40).tolist())
]


def draw(
    drawn: Sequence[Line],
    along: Axis,
    unit: str = "time",
    notes: Sequence[Note] = (),
    window: tuple[int, int] | None = None,
) -> go.Figure:
    first, last = window or (0, len(along) - 1)
    facts = {(line.case, part.version): Facts(tokens=8) for line in drawn for part in line.parts}
    found, values, _ = scales(drawn, UNITS[unit], facts, first, last)
    view = View(along, first, last, values, values, UNITS[unit].bigger, unit == "relative")
    return trend(view, list(zip(drawn, found, strict=True)), notes)


def traces(figure: go.Figure, kind: str) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.meta == kind]


def words(figure: go.Figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def test_few_points_have_whiskers_of_their_interval() -> None:
    (line,) = traces(draw(lines([1.0e6, 1.5e6]), axis(2)), "case")
    assert list(line.y) == [1.0, 1.5]
    assert list(line.error_y.array) == pytest.approx([0.01, 0.015])
    assert list(line.customdata) == [sample_sha("day 0"), sample_sha("day 1")]


def test_a_step_is_shaded_between_its_commits_and_labelled_with_its_size() -> None:
    figure = draw(lines(STEP), axis(40))
    (shade,) = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert shade.x0 <= 19 < 20 <= shade.x1
    (label,) = words(figure)
    assert label == "slower: +4.0 %"
    (change,) = traces(figure, "change")
    assert (change.name, change.marker.symbol) == ("slower", "triangle-up")
    noise, level = traces(figure, "noise")[0], traces(figure, "level")[0]
    assert np.nanmax(level.y) == pytest.approx(104, rel=1e-3)
    assert np.nanmax(noise.y) > np.nanmax(level.y)


def test_where_bigger_is_better_the_line_falls_and_the_word_stays() -> None:
    figure = draw(lines(STEP), axis(40), "tokens")
    assert words(figure)[0].startswith("slower: -3.")
    (change,) = traces(figure, "change")
    assert (change.name, change.marker.symbol) == ("slower", "triangle-down")
    (line,) = traces(figure, "case")
    assert line.y[0] > line.y[-1]
    assert min(line.error_y.array) > 0 and min(line.error_y.arrayminus) > 0


def test_an_environment_breaks_the_line_with_words_along_it() -> None:
    along = make_axis([(GPU, [place(0), place(1)]), (NEW_DRIVER, [place(2), place(3)])])
    infos = [info(1), info(2, fingerprint=NEW_DRIVER.fingerprint)]
    drawn = make_lines(CASE, along, infos, [point(n, 1e3, series=1 + n // 2) for n in range(4)])
    figure = draw(drawn, along)
    (line,) = traces(figure, "case")
    assert np.isnan(line.x[2]) and list(line.x[3:]) == [2, 3]
    (boundary,) = [shape for shape in figure.layout.shapes if shape.type == "line"]
    assert (boundary.x0, boundary.line.dash) == (1.5, "dash")
    assert words(figure) == ["driver 580.10 → 590.20"]


def test_red_gates_and_notes_are_marks_with_words() -> None:
    note = Note(CASE, 1, "expected", "expected: a <b>bug</b> (Ada)")
    figure = draw(lines([1e3, 1e3, None, 1e3]), axis(4), notes=[note])
    (mark,) = traces(figure, "mark")
    assert (mark.name, list(mark.x), list(mark.y)) == ("incorrect", [2], [1.0])
    (said,) = traces(figure, "note")
    assert list(said.text) == ["expected"] and "&lt;b&gt;" in said.hovertext[0]


def test_subjects_of_others_are_not_markup() -> None:
    (line,) = traces(draw(lines([1e6]), axis(1)), "case")
    assert "&lt;b&gt;of&lt;/b&gt;" in line.text[0] and "Ada" in line.text[0]


def test_ten_thousand_points_are_drawn_as_their_outline_and_zoomed_in_detail() -> None:
    times = np.random.default_rng(3).normal(100e3, 300, 10_000)
    times[[4000, 4001]] = 150e3, 50e3
    along = axis(10_000)
    whole = draw(lines(times.tolist(), along), along)
    (line,) = traces(whole, "case")
    assert 1000 < len(line.x) <= MOST_DRAWN + 10
    assert line.type == "scattergl"
    assert {4000.0, 4001.0, 0.0, 9999.0} <= set(line.x)
    assert len(whole.to_json()) < 600_000
    part = draw(lines(times.tolist(), along), along, window=(3900, 4100))
    (line,) = traces(part, "case")
    assert len(line.x) == 203 and line.type == "scatter"
    assert list(part.layout.xaxis.range) == [3899.4, 4100.6]


def test_twelve_cases_differ_in_more_than_colour_and_stay_small() -> None:
    along = axis(3000)
    times = np.random.default_rng(4).normal(100e3, 300, 3000).tolist()
    drawn = [
        make_lines(f"case {n}", along, [info(case=f"case {n}")], [point(i, t) for i, t in enumerate(times)])[
            0
        ]
        for n in range(MOST_CASES)
    ]
    figure = draw(drawn, along)
    looks = {(t.line.color, t.marker.symbol) for t in traces(figure, "case")}
    assert len(looks) == MOST_CASES
    assert len({(t.line.color, t.line.dash) for t in traces(figure, "level")}) == MOST_CASES
    assert sum(len(t.x) for t in traces(figure, "case")) < 2 * MOST_DRAWN
    assert len(figure.to_json()) < 900_000


def test_cases_of_different_size_share_a_logarithmic_axis() -> None:
    along = axis(3)
    small, large = (
        make_lines(name, along, [info(case=name)], [point(n, time) for n in range(3)])[0]
        for name, time in (("small", 1e3), ("large", 1e6))
    )
    assert draw([small, large], along).layout.yaxis.type == "log"
    assert draw([small, large], along, "relative").layout.yaxis.type == "linear"
    assert draw([small], along).layout.yaxis.type == "linear"


def test_the_saved_table_is_what_is_visible() -> None:
    (line,) = lines([1e3, 2e3, 3e3])
    found, values, _ = scales([line], UNITS["time"], {}, 1, 2)
    saved = frame(View(axis(3), 1, 2, values, values), [(line, found[0])])
    assert list(saved["shown"]) == [2.0, 3.0]
    assert list(saved["commit"]) == [sample_sha("day 1"), sample_sha("day 2")]


def figures(page: AppTest) -> list[dict[str, object]]:
    return [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]


def link(page: AppTest, label: str) -> dict[str, list[str]]:
    """Parameters of the first link with this label."""
    before = markup(page).partition(f">{label}</a>")[0]
    address = before.rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    return parse_qs(urlsplit(address).query)


def test_the_page_shows_cases_with_what_moved(history: str) -> None:
    page = visit_page(history, "trends", case=[DECODE, PREFILL], **HERE)
    assert len(figures(page)) == 1
    said = shown(page)
    assert "slower: +4.0 %" in said and "driver 580.10 → 590.20" in said
    assert "Runs 1 to 12 of 12" in said
    assert f"https://github.com/{REPOSITORY}/compare/{sample_sha('day 4')}...{sample_sha('day 5')}" in said
    assert 'rel="noopener noreferrer"' in markup(page)
    assert link(page, "pin")["case"] == [DECODE, PREFILL]
    why = link(page, "why")
    assert why["machine"] == [NEW_DRIVER.fingerprint] and {"base", "head"} <= set(why)
    assert "<b>of</b>" not in markup(page)


def test_every_unit_is_drawn_and_says_what_it_lacks(history: str) -> None:
    for unit in UNITS:
        page = visit_page(history, "trends", case=[DECODE, MATVEC], unit=unit, **HERE)
        assert len(figures(page)) == 1
    said = shown(visit_page(history, "trends", case=MATVEC, unit="tokens", **HERE))
    assert f"{MATVEC} has no axis `m` or `tokens`" in said


def test_the_address_says_what_is_visible_and_pinned(history: str) -> None:
    ends = {"from": sample_sha("day 2"), "to": sample_sha("day 5")}
    pinned = sample_sha("day 4")
    page = visit_page(history, "trends", case=DECODE, unit="relative", pin=pinned, **ends, **HERE)
    assert "Runs 3 to 6 of 12" in shown(page)
    assert f"Relative to {pinned[:10]}" in shown(page)
    assert link(page, "all 12").get("from") is None and link(page, "all 12")["pin"] == [pinned]
    assert "from" in link(page, "later →")


def test_a_vanished_commit_is_told_and_the_rest_is_shown(history: str) -> None:
    page = visit_page(history, "trends", case=DECODE, unit="relative", pin="gone", to="<b>", **HERE)
    assert len(figures(page)) == 1 and len(page.warning) == 1
    assert "No run here is of the pinned commit gone" in shown(page)


def test_one_point_and_only_failures_are_sentences(history: str) -> None:
    here = {**HERE, "machine": LAPTOP.fingerprint}
    page = visit_page(history, "trends", case=[PREFILL, MATVEC], **here)
    said = shown(page)
    assert "Too few runs yet" in said and PREFILL in said
    assert f"No run of the main line has timed {MATVEC}: 1 failed." in said
    assert not figures(visit_page(history, "trends", case=MATVEC, **here))


def test_without_a_choice_it_shows_an_open_alert(history: str) -> None:
    page = visit_page(history, "trends", **HERE)
    assert len(page.multiselect(key="case").value) == 1 and len(figures(page)) == 1


def test_an_empty_database_says_what_to_run(tmp_path: Path) -> None:
    open_store(str(tmp_path / "empty.db")).close()
    assert "perfsuite run" in shown(visit_page(str(tmp_path / "empty.db"), "trends"))


def test_hostile_names_and_three_thousand_cases(tmp_path: Path) -> None:
    path = str(tmp_path / "many.db")
    hostile = 'κ/<img src=x onerror="alert(1)">[m=8]`*_\u202e'
    with open_store(path) as store:
        run = sample_run("only", 0)
        measured = replace(result(DECODE, 48e3, 1), blocks=())
        names = [hostile, *(f"many/case[n={number}]" for number in range(3000))]
        store.save_all([run], {run.id: [replace(measured, case=name) for name in names]})
    page = visit_page(path, "trends", case=[hostile, "many/case[n=7]"])
    assert len(page.multiselect(key="case").options) == 3001
    assert "<img" not in markup(page)
    assert "<img" not in json.dumps(figures(page))


def test_a_visitor_zooms_goes_back_and_clicks_a_point_and_another_has_a_telephone(
    browser: Browser, url: str
) -> None:
    with visitor(browser) as (page, trouble):
        page.goto(f"{url}/{href('trends', case=DECODE, **HERE)}")
        surface = page.locator(".js-plotly-plot .nsewdrag")
        expect(surface).to_be_visible()
        settled(page)
        box = surface.bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * 0.3, y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=4)
        page.mouse.move(box["x"] + box["width"] * 0.7, y, steps=4)
        page.mouse.up()
        page.wait_for_url(lambda address: {"from", "to"} <= set(query(address)))
        expect(page.get_by_text("Runs 5 to 8 of 12")).to_be_visible()
        page.go_back()
        expect(page.get_by_text("Runs 1 to 12 of 12")).to_be_visible()
        page.go_forward()
        expect(page.get_by_text("Runs 5 to 8 of 12")).to_be_visible()
        settled(page)
        surface.dblclick()
        expect(page.get_by_text("Runs 1 to 12 of 12")).to_be_visible()
        settled(page)
        page.locator(".js-plotly-plot .scatterlayer .points path").first.hover(force=True)
        page.mouse.down()
        page.mouse.up()
        page.wait_for_url(lambda address: "/commit" in address and "sha" in query(address))
        assert query(page.url)["repository"] == [REPOSITORY]
        assert trouble == []
        with visitor(browser, viewport=PHONE, color_scheme="dark") as (phone, also):
            phone.goto(f"{url}/{href('trends', case=[DECODE, PREFILL], **HERE)}")
            expect(phone.locator(".js-plotly-plot .nsewdrag")).to_be_visible()
            settled(phone)
            assert sideways(phone) <= 0
            assert also == []
