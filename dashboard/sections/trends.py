"""The words and tables below the charts of the trends page. Pure: values → markup, or a frame to save."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from dashboard.charts.trend_view import View, change_label, number
from dashboard.derive.trend_lines import Line
from dashboard.derive.trend_units import Scale, seen
from dashboard.markup import EMPTY, link, table, text, verdict_chip, wide
from dashboard.words import utc
from perfsuite.model import Alert, Verdict
from perfsuite.stats.change_points import ChangePoint
from perfsuite.units import format_ns

if TYPE_CHECKING:
    import pandas as pd

MOST_CHANGES = 100
NEWEST = 60
"""Rows of the table of runs; the CSV has all that are visible."""
_GITHUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
_SHA = re.compile(r"[0-9a-f]{7,64}")

Params = Mapping[str, Any]
"""Of an address: values as `links.href` takes them."""
Drawn = Sequence[tuple[Line, Scale]]


def change_of(alert: Alert, line: Line, view: View) -> ChangePoint | None:
    """The move that an alert is about; None where the line has it no more."""
    for change in line.changes:
        low, at, high = (
            view.axis.places[line.x[i]].commit.sha
            for i in (change.low_index, change.index, change.high_index)
        )
        if alert.after in (at, high) or alert.before == low:
            return change
    return None


def told(alert: Alert) -> str:
    """`expected: reason (Ada, 2025-01-31 12:00 UTC)`."""
    words = f"{alert.state.value}: {alert.reason}" if alert.reason else alert.state.value
    when = utc(alert.changed_at) if alert.changed_at else f"since {utc(alert.raised_at)}"
    return f"{words} ({alert.changed_by}, {when})" if alert.changed_by else f"{words} ({when})"


def changes_table(
    view: View, drawn: Drawn, alerts: Sequence[Alert], repository: str, here: Params, scope: Params
) -> Markup:
    """What moved in the visible part, the newest first, with boundaries between environments.

    Args:
        here: parameters of this view, for links that change a part of it.
        scope: of the repository and machine.
    """
    rows = [*_moves(view, drawn, alerts, repository, here, scope), *_boundaries(view, drawn)]
    if not rows:
        return Markup("<p class=ps-muted>No level moved in what is visible.</p>")
    rows.sort(key=lambda row: -row[0])
    left_out = Markup("<p class=ps-muted>{} earlier ones are left out.</p>").format(len(rows) - MOST_CHANGES)
    return Markup("<h2>What moved</h2>{}{}").format(
        table(
            ["change", "case", "between", "level", "triage", ""],
            [row for _, row in rows[:MOST_CHANGES]],
            label="Changes of level and boundaries, the newest first",
        ),
        left_out if len(rows) > MOST_CHANGES else EMPTY,
    )


def _moves(
    view: View, drawn: Drawn, alerts: Sequence[Alert], repository: str, here: Params, scope: Params
) -> Iterator[tuple[int, list[str | Markup]]]:
    for line, _ in drawn:
        triage = [(change_of(alert, line, view), alert) for alert in alerts if alert.case == line.case]
        for change in line.changes:
            x = int(line.x[change.index])
            if not view.sees(x):
                continue
            old, new = (view.axis.places[line.x[i]] for i in (change.low_index, change.high_index))
            verdict = Verdict.REGRESSED if change.change > 0 else Verdict.IMPROVED
            size = change_label(change, bigger=view.bigger)
            case = {"case": line.case, "base": old.run_id, "head": new.run_id, **scope}
            said = [
                link(told(alert), "alerts", alert=alert.id, repository=repository)
                for found, alert in triage
                if found is change
            ]
            yield (
                x,
                [
                    wide("{} {}", verdict_chip(verdict, size), change.kind.value),
                    link(line.case, "case", case=line.case, **scope),
                    _commits(repository, old.commit.sha, new.commit.sha, scope),
                    wide("{} → {}", format_ns(change.before), format_ns(change.after)),
                    Markup("<br>").join(said) if said else Markup("<span class=ps-muted>–</span>"),
                    wide(
                        "{} · {}",
                        link("why", "case", "Samples and machine code before and after", **case),
                        link(
                            "pin", "trends", "Show all relative to the last commit before it",
                            **{**here, "pin": old.commit.sha, "unit": "relative"},
                        ),
                    ),
                ],
            )  # fmt: skip


def _boundaries(view: View, drawn: Drawn) -> Iterator[tuple[int, list[str | Markup]]]:
    found = [("all cases", boundary) for boundary in view.axis.boundaries]
    found += [(line.case, boundary) for line, _ in drawn for boundary in line.boundaries if boundary.text]
    for case, boundary in found:
        if view.first < boundary.at <= view.last:
            before, after = (view.axis.places[at].commit.label for at in (boundary.at - 1, boundary.at))
            between = Markup("{} | {}").format(text(before), text(after))
            kind = Markup("<b>boundary</b> {}").format(text(boundary.text))
            yield boundary.at, [kind, text(case), between, "not compared", "", ""]


def _commits(repository: str, old: str, new: str, scope: Params) -> Markup:
    """`old … new`; both lead to their pages, and what lies between to GitHub where it may be there."""
    ends = [link(sha[:10], "commit", sha=sha, **scope) for sha in (old, new)]
    if not (_GITHUB_NAME.fullmatch(repository) and _SHA.fullmatch(old) and _SHA.fullmatch(new)):
        return Markup("{} … {}").format(*ends)
    return Markup('{} <a href="{}" target=_blank rel="noopener noreferrer" title="{}">…</a> {}').format(
        ends[0],
        f"https://github.com/{repository}/compare/{old}...{new}",
        "The commits between them, on GitHub",
        ends[1],
    )


def runs_table(view: View, drawn: Drawn, here: Params, scope: Params) -> Markup:
    """The newest visible runs, folded: what a click on a point tells, without a mouse."""
    rows = sorted(_runs(view, drawn), key=lambda row: (-row[0], row[1].case))[:NEWEST]
    if not rows:
        return EMPTY
    shown = [
        [
            utc(place.commit.committed_at or place.started_at),
            Markup("{} {}").format(
                link(place.commit.label, "commit", sha=place.commit.sha, **scope),
                text(place.commit.subject[:80]),
            ),
            link(line.case, "case", case=line.case, **scope),
            value,
            Markup("{} · {}").format(
                link("result", "case", case=line.case, run=place.run_id, **scope),
                link("pin", "trends", **{**here, "pin": place.commit.sha, "unit": "relative"}),
            ),
        ]
        for x, line, value in rows
        for place in (view.axis.places[x],)
    ]
    return Markup("<details class=ps-fold><summary>Newest runs ({} shown)</summary>{}</details>").format(
        len(shown),
        table(
            ["date", "commit", "case", f"{view.unit or 'value'} [interval]", ""],
            shown,
            numbers=(3,),
            label="The newest visible runs",
        ),
    )


def _runs(view: View, drawn: Drawn) -> Iterator[tuple[int, Line, str]]:
    for line, scale in drawn:
        points = np.flatnonzero(seen(line, view.first, view.last))
        points = points[np.argsort(line.x[points], kind="stable")][-NEWEST:]
        middle, one, other = (
            scale.at(times[points], points) for times in (line.median_ns, line.low_ns, line.high_ns)
        )
        for at, y, a, b in zip(points.tolist(), middle, one, other, strict=True):
            value = "–" if np.isnan(y) else f"{number(y)} [{number(min(a, b))}, {number(max(a, b))}]"
            yield int(line.x[at]), line, value
        for mark in line.marks[-NEWEST:]:
            if view.sees(mark.x):
                yield mark.x, line, mark.kind


def frame(view: View, drawn: Drawn) -> pd.DataFrame:
    """All that is visible, one row a point."""
    import pandas as pd

    parts = []
    for line, scale in drawn:
        points = np.flatnonzero(seen(line, view.first, view.last))
        places = [view.axis.places[at] for at in line.x[points].tolist()]
        versions = list(itertools.chain.from_iterable([p.version] * (p.stop - p.start) for p in line.parts))
        parts.append(
            pd.DataFrame(
                {
                    "case": line.case,
                    "clock": line.clock,
                    "version": [versions[at] for at in points.tolist()],
                    "run": [place.run_id for place in places],
                    "commit": [place.commit.sha for place in places],
                    "subject": [place.commit.subject for place in places],
                    "author": [place.commit.author for place in places],
                    "date": [(place.commit.committed_at or place.started_at).isoformat() for place in places],
                    "median_ns": line.median_ns[points],
                    "low_ns": line.low_ns[points],
                    "high_ns": line.high_ns[points],
                    "roofline_fraction": line.roofline[points],
                    "shown": scale.at(line.median_ns[points], points),
                    "unit": view.unit or view.values,
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
