"""Trends: times of cases along the runs of a machine, what moved them, and where they are not comparable."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st
from markupsafe import Markup

from dashboard import data
from dashboard.charts.palette import chart_config
from dashboard.charts.trend import MOST_DRAWN, trend
from dashboard.charts.trend_view import Note, View
from dashboard.derive.trend_lines import SPREADS, Axis, Line
from dashboard.derive.trend_units import FIRST_POINTS, RELATIVE, TIME, UNITS, Unit, scales, seen
from dashboard.export import exports, image_choice, image_format
from dashboard.links import href
from dashboard.markup import EMPTY, link, text
from dashboard.markup import show as draw
from dashboard.reads import trends as reads_trends
from dashboard.reads.alerts import of_repository
from dashboard.scope import Scope, choose_scope
from dashboard.sections.trends import Drawn, change_of, changes_table, frame, runs_table, told
from dashboard.state import choose, choose_many, remember
from dashboard.style import empty
from dashboard.zoom import zoomed
from perfsuite.model import Alert, AlertState
from perfsuite.stats.segment_test import LEAST_POINTS

MOST_CASES = 12
"""On one chart: more are not told apart."""
_NEWEST = (100, 500, 2000)
_DEFAULT_NEWEST = 500
"""About half a year of main; the whole is one click away."""
_STATE = ("case", "unit", "pin", "newest", "from", "to", "image")
"""What the address says of this page, beside the scope."""


def show(database: data.Database) -> None:
    """Draws the page."""
    scope = choose_scope(database)
    cases = data.cases(database, scope.repository, scope.machine.fingerprint)
    alerts = of_repository(database, scope.repository)
    if not cases:
        empty(
            "No case has been measured here yet.", "Measure the working tree, and come back:", "perfsuite run"
        )
    chosen = choose_many("Cases", "case", cases, default=_first(cases, alerts), most=MOST_CASES)
    unit = UNITS[choose("Shown as", "unit", list(UNITS), show=lambda key: UNITS[key].label, kind="segments")]
    axis = reads_trends.axis(scope)
    if not len(axis):
        empty("No run of this machine has finished a case yet.", "Measure, and come back:", "perfsuite run")
    _take_zoom(axis, scope)
    first, last = _window(axis, axis.ends[scope.machine.fingerprint])
    lines = [line for case in chosen for line in reads_trends.lines(scope, case, axis)]
    _windows(axis, first, last)
    _charts(scope, axis, lines, unit, (first, last), alerts)
    _silent(chosen, lines)


def _first(cases: Sequence[str], alerts: Sequence[Alert]) -> list[str]:
    """Without a choice: the case of the newest open alert, else the first."""
    known = set(cases)
    asked = (alert.case for alert in alerts if alert.state is AlertState.OPEN and alert.case in known)
    return [next(asked, cases[0])]


def _here(**changes: Any) -> dict[str, Any]:
    """The parameters of this view, with changes (None takes one out)."""
    keys = ("repository", "machine", *_STATE)
    return {**{key: st.query_params.get_all(key) for key in keys}, **changes}


def _take_zoom(axis: Axis, scope: Scope) -> None:
    """Writes what was zoomed to on a chart into the address."""
    # With a parameter in any case: the sha is put behind it.
    zoom = zoomed(href("commit", **{"repository": scope.repository, "machine": scope.machine.fingerprint}))
    if zoom is None:
        return
    if zoom.range is None:
        remember(**{"from": None, "to": None})
        return
    first, last = (
        min(len(axis) - 1, max(0, at)) for at in (math.ceil(zoom.range[0]), math.floor(zoom.range[1]))
    )
    if first < last:
        remember(**{"from": _name(axis, first), "to": _name(axis, last)})


def _name(axis: Axis, at: int) -> str:
    """Of a place in an address: its commit, or its run where the commit has several."""
    place = axis.places[at]
    sha = place.commit.sha
    return sha if axis.find(sha) == axis.find(sha, newest=False) else place.run_id


def _window(axis: Axis, end: int) -> tuple[int, int]:
    """The first and last place that are visible; without a zoom the newest up to the machine's `end`."""
    ends = {key: st.query_params.get(key, "") for key in ("from", "to")}
    found = {key: axis.find(ref, newest=key == "to") for key, ref in ends.items()}
    for key, ref in ends.items():
        if ref and found[key] is None:
            # A commit that is not here (any more): what is there is shown.
            st.warning(f"The commit that the address names as `{key}` has no run here.")
    first, last = found["from"], found["to"]
    if first is None and last is None:
        if (count := _count(axis)) >= len(axis):
            return 0, len(axis) - 1
        return max(0, end + 1 - count), end
    first, last = first or 0, len(axis) - 1 if last is None else last
    return min(first, last), max(first, last)


def _count(axis: Axis) -> int:
    wanted = st.query_params.get("newest", "")
    if wanted == "all":
        return len(axis)
    return max(2, int(wanted)) if wanted.isdecimal() and len(wanted) < 7 else _DEFAULT_NEWEST


def _windows(axis: Axis, first: int, last: int) -> None:
    """Which part is visible, and links to others: zooming without a mouse."""
    zooms = "from" in st.query_params or "to" in st.query_params
    plain = {"from": None, "to": None}
    choices = [(f"newest {count:,}", str(count)) for count in _NEWEST if count < len(axis)]
    links = [
        _choice(label, not zooms and _count(axis) == int(key), **{**plain, "newest": key})
        for label, key in choices
    ]
    links.append(_choice(f"all {len(axis):,}", not zooms and first == 0, **{**plain, "newest": "all"}))
    step = max(1, (last - first + 1) // 2)
    if first > 0:
        links.append(_shifted(axis, "← earlier", first - step, last - step))
    if last < len(axis) - 1:
        links.append(_shifted(axis, "later →", first + step, last + step))
    if last - first >= 8:
        links.append(_shifted(axis, "closer", first + step // 2, last - step // 2))
    seen_text = f"Runs {first + 1:,} to {last + 1:,} of {len(axis):,}, the oldest left."
    draw(Markup('<div class="ps-windows">{} {}</div>').format(seen_text, Markup(" · ").join(links)))


def _choice(label: str, current: bool, **changes: Any) -> Markup:
    if current:
        return Markup("<b aria-current=true>{}</b>").format(label)
    return link(label, "trends", **_here(**changes))


def _shifted(axis: Axis, label: str, first: int, last: int) -> Markup:
    low, high = max(0, first), min(len(axis) - 1, last)
    return link(label, "trends", **_here(**{"from": _name(axis, low), "to": _name(axis, high)}))


def _charts(
    scope: Scope,
    axis: Axis,
    lines: Sequence[Line],
    unit: Unit,
    window: tuple[int, int],
    alerts: Sequence[Alert],
) -> None:
    """A chart for each clock, and below each what it says in words and tables."""
    timed = sorted((line for line in lines if len(line.x)), key=lambda line: line.clock)
    pin = st.query_params.get("pin", "")
    pinned = axis.find(pin)
    facts = reads_trends.facts(scope, axis, timed) if unit not in (TIME, RELATIVE) else {}
    for clock, group in itertools.groupby(timed, key=lambda line: line.clock):
        same = list(group)
        made, values, missing = scales(same, unit, facts, *window, pinned)
        name = f"{clock}, median ({values})" if unit is TIME else f"{clock}: {values}"
        short = "%" if unit is RELATIVE else values
        relative = unit is RELATIVE
        view = View(axis, *window, name, short, unit.bigger, relative, pinned if relative else None)
        drawn = list(zip(same, made, strict=True))
        here = [alert for alert in alerts if alert.fingerprint in axis.environments]
        figure = trend(view, drawn, _notes(view, drawn, here))
        config = chart_config(f"trends {clock}", image_format())
        config |= {"doubleClick": "autosize", "showTips": False}
        st.plotly_chart(figure, key=f"trend {clock}", config=config)
        said = [*missing, *_words(view, drawn, unit, pin)]
        draw(
            Markup("<p class=ps-muted>{}</p>").format(Markup(" ").join(text(line) for line in said)),
            changes_table(view, drawn, here, scope.repository, _here(), scope.params),
            runs_table(view, drawn, _here(), scope.params),
        )
        exports(f"trends {clock}", partial(frame, view, drawn))
    draw(image_choice("trends"))


def _notes(view: View, drawn: Drawn, alerts: Sequence[Alert]) -> list[Note]:
    found = []
    for line, _ in drawn:
        for alert in alerts:
            if alert.case != line.case:
                continue
            change = change_of(alert, line, view)
            at = int(line.x[change.index]) if change else view.axis.find(alert.after or alert.before)
            if at is not None:
                found.append(Note(line.case, at, alert.state.value, f"{alert.kind}, {told(alert)}"))
    return found


def _words(view: View, drawn: Drawn, unit: Unit, pin: str) -> list[str]:
    """What the chart does not say by itself."""
    count = sum(int(seen(line, view.first, view.last).sum()) for line, _ in drawn)
    said = []
    if count > MOST_DRAWN:
        said.append(
            f"Of {count:,} points those are drawn that make the outline: ends and extremes of each stretch. "
            "Zoom in (drag) for all of them; a double click shows the whole."
        )
    said.append(
        "Whiskers or the strong band: interval of each run's median. Pale band: the level between moves with "
        f"{SPREADS:g} robust standard deviations of its runs. Shaded: commits between which a level moved."
    )
    if unit is RELATIVE and pin and view.pinned is None:
        said.append(f"No run here is of the pinned commit {pin[:10]}.")
    if unit is RELATIVE:
        where = "where that was not measured, to" if view.pinned is not None else "to"
        start = f"to {view.axis.places[view.pinned].commit.label}; " if view.pinned is not None else ""
        said.append(
            f"Relative {start}{where} the median of the first {FIRST_POINTS} visible runs of each "
            "environment and version of the benchmark."
        )
    few = [line.case for line, _ in drawn if len(line.x) < 2 * LEAST_POINTS]
    if few:
        said.append(
            f"Too few runs yet to tell a change from noise ({2 * LEAST_POINTS} at least): {', '.join(few)}."
        )
    return said


def _silent(chosen: Sequence[str], lines: Sequence[Line]) -> None:
    """A sentence for each case without a time."""
    said = []
    for case in chosen:
        own = [line for line in lines if line.case == case]
        if any(len(line.x) for line in own):
            continue
        kinds = Counter(mark.kind for line in own for mark in line.marks)
        what = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "no result"
        said.append(Markup("<p>No run of the main line has timed {}: {}.</p>").format(text(case), what))
    if said:
        draw(EMPTY.join(said))
