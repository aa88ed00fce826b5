"""Overview: is main healthy, what moved, and who measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from markupsafe import Markup

from dashboard import data, markup
from dashboard.data import Database
from dashboard.derive.health import Column, Family, Health, health
from dashboard.derive.trust import SameCode, Sight, sight, triage
from dashboard.export import exports
from dashboard.links import href
from dashboard.markup import EMPTY
from dashboard.reads import noise
from dashboard.reads import overview as reads
from dashboard.reads.alerts import of_repository
from dashboard.router import LINK
from dashboard.scope import Scope, choose_scope
from dashboard.sections import answers
from dashboard.sections import overview as sections
from dashboard.style import empty
from perfsuite.model import Alert

if TYPE_CHECKING:
    import pandas as pd

WINDOWS = ("30", "60", "120", "250")
"""Commits that can be asked for. 60 are a busy week, and as many as a laptop's screen shows."""
DEFAULT = "60"
MOST_ROWS = 40
"""Families that are shown unless all are asked for, the worst."""
_STYLE = Path(__file__).parents[1] / "styles" / "overview.css"


def show(database: Database) -> None:
    scope = choose_scope(database)
    commits = st.query_params.get("commits", DEFAULT)
    commits = commits if commits in WINDOWS else DEFAULT
    found = reads.overview(database, scope.repository, scope.machine.fingerprint, int(commits))
    if not found.window.columns:
        empty(
            "No whole commit of the main branch was measured on this machine.",
            "Trees with uncommitted changes are no part of the history. Measure a commit:",
            "git commit\nperfsuite run",
        )
    style = Markup("<style>{}</style>").format(Markup(_STYLE.read_text(encoding="utf-8")))
    markup.show(style, _history(scope, found, commits), _beside(scope))
    exports("overview", lambda: grid_frame(found.window.columns[-int(commits) :], found.rows))


def _history(scope: Scope, found: reads.Overview, commits: str) -> Markup:
    shown = found.window.columns[-int(commits) :]
    first = len(found.window.columns) - len(shown)
    rows = [_cut(row, first) for row in found.rows]
    alerts = of_repository(scope.database, scope.repository)
    now = datetime.now(UTC)
    how = health(shown, rows, alerts)
    note = sections.unfinished(shown)
    said = (
        ("Is it healthy?", sections.answer(how, found.window, shown, scope.params, now) + _note(note)),
        ("What moved, and why", _moved(shown, rows, alerts, scope, now)),
        ("Can it be trusted?", _trust(how, shown, alerts, scope)),
    )
    listed, left = _worst(rows)
    return EMPTY.join(
        (
            _sections("ps-answers", said),
            Markup('<div class="ps-beside">{}{}</div>').format(
                sections.heading("Commits and families"),
                _choices(scope, commits, found.window.cut, len(shown)),
            ),
            sections.commit_grid(shown, listed, scope.params),
            sections.heading("Families"),
            sections.family_table(listed, shown, scope.params),
            _left(left, scope, commits),
        )
    )


def _note(words: str) -> Markup:
    return Markup('<p class="ps-muted">{}</p>').format(words) if words else EMPTY


def _moved(
    shown: Sequence[Column], rows: Sequence[Family], alerts: Sequence[Alert], scope: Scope, now: datetime
) -> Markup:
    known = {alert.id: alert for alert in alerts}
    return answers.moved(answers.steps(rows, shown), shown, known, scope.params, now)


def _trust(how: Health, shown: Sequence[Column], alerts: Sequence[Alert], scope: Scope) -> Markup:
    place = (scope.database, scope.repository, scope.machine.fingerprint)
    known = noise.floors_of(*place)
    floors = sight(known.floors, [known.threshold(one.case) for one in known.floors])
    seen: Sight | SameCode = floors
    if floors.middle is None:
        same = [one for one in noise.same_code_comparisons(*place) if one.finished_at]
        seen = noise.judged(scope.database, same[0]) if same else floors
    return answers.trust(seen, how, triage(alerts), shown, scope.params)


def _sections(kind: str, parts: Iterable[tuple[str, Markup]]) -> Markup:
    """Sections beside one another, as far as there is room; empty ones are left out."""
    return Markup('<div class="{}">{}</div>').format(
        kind,
        EMPTY.join(
            Markup("<section>{}{}</section>").format(sections.heading(title), part)
            for title, part in parts
            if part
        ),
    )


def _cut(row: Family, first: int) -> Family:
    """Without the commits before the window, which are there to compare its first ones with."""
    breaks = frozenset(place - first for place in row.breaks if place >= first)
    return replace(row, marks=row.marks[first:], line=row.line[first:], breaks=breaks)


def _worst(rows: Sequence[Family]) -> tuple[list[Family], int]:
    """The families to show, by name, and how many are left out."""
    if len(rows) <= MOST_ROWS or st.query_params.get("families") == "all":
        return list(rows), 0
    chosen = sorted(rows, key=lambda row: (row.severity, row.name))[:MOST_ROWS]
    return sorted(chosen, key=lambda row: row.name), len(rows) - len(chosen)


def _left(left: int, scope: Scope, commits: str) -> Markup:
    if not left:
        return EMPTY
    label = f"{sections.counted(left, 'more family', 'more families')}, none of them worse than these"
    return Markup("<p>{}</p>").format(markup.link(label, "", families="all", commits=commits, **scope.params))


def _choices(scope: Scope, commits: str, cut: bool, shown: int) -> Markup:
    links = EMPTY.join(
        Markup('<a class="{}" href="{}"{}>{}</a>').format(
            LINK,
            href("", **scope.params, commits=None if one == DEFAULT else one),
            Markup(' aria-current="true"') if one == commits else EMPTY,
            one,
        )
        for one in WINDOWS
    )
    note = f" so many cases that only {shown} are shown" if cut else ""
    return Markup('<nav class="ps-choices" aria-label="Commits shown">commits {}{}</nav>').format(links, note)


def _beside(scope: Scope) -> Markup:
    """What is not the history: alerts, machines, work, comparisons."""
    database, repository, now = scope.database, scope.repository, datetime.now(UTC)
    work = reads.work(database, repository)
    alerts = of_repository(database, repository)
    parts = (
        ("Open alerts", sections.alert_list(alerts, scope.params, now)),
        ("Machines", sections.machine_table(data.machines(database, repository), repository, now)),
        ("At work", sections.work_list(work, repository, now)),
        ("Pull requests", sections.pull_list(work, repository, now)),
        ("Comparisons", sections.comparison_list(reads.comparisons(database, repository), now)),
    )
    return _sections("ps-side", parts)


def grid_frame(columns: Sequence[Column], rows: Sequence[Family]) -> pd.DataFrame:
    """The grid as a table: a row a commit and family that was measured, the newest last.

    Args:
        columns: the newest so many of those that `rows` were made of.
    """
    import pandas as pd

    cells = [
        {
            "commit": column.place.commit.sha,
            "family": row.name,
            "verdict": mark.verdict.value,
            "change": mark.change,
            "cases": "; ".join(mark.cases),
        }
        for place, column in enumerate(columns, start=-len(columns))
        for row in rows
        if (mark := row.marks[place]) is not None
    ]
    return pd.DataFrame(cells, columns=["commit", "family", "verdict", "change", "cases"])
