"""One commit: what was measured of it, what was said of it, and how to measure it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard import data, markup
from dashboard.data import Database
from dashboard.export import exports
from dashboard.reads import commit as reads
from dashboard.reads.compare import comparisons_of
from dashboard.scope import Scope, choose_scope
from dashboard.sections import commit as sections
from dashboard.state import choose
from dashboard.words import utc
from perfsuite.errors import UsageError
from perfsuite.model import Run
from perfsuite.report.words import commit_line
from perfsuite.store.trends import HISTORY

_STYLE = Path(__file__).parents[1] / "styles" / "compare.css"
_COMMITS = 200
_SUBJECT = 60


def show(database: Database) -> None:
    """By the address: `sha` and `repository`, `run` of several; else the newest commit."""
    st.html(_STYLE)
    sha, repository, machine = (st.query_params.get(key) for key in ("sha", "repository", "machine"))
    if not sha:
        scope, sha = _chosen(database)
        repository, machine = scope.repository, scope.machine.fingerprint
    try:
        runs = reads.runs_of(database, sha, repository or None)
    except UsageError:
        _several(database, sha)
        raise
    run = _shown(runs, machine)
    _draw(database, run, runs)


def _chosen(database: Database) -> tuple[Scope, str]:
    scope = choose_scope(database)
    places = data.places(database, scope.repository, scope.machine.fingerprint, _COMMITS)
    labels = {
        place.commit.sha: f"{commit_line(place.commit)[:_SUBJECT]} · {utc(place.started_at)}"
        for place in reversed(places)
    }
    if not labels:
        raise UsageError("no commit was measured on this machine", "choose another machine")
    return scope, choose("Commit", "sha", list(labels), show=lambda sha: labels[sha])


def _several(database: Database, ref: str) -> None:
    """A beginning that means several commits: which, as links."""
    found = reads.beginning_with(database, ref)
    if len(found) > 1:
        markup.show(sections.several(ref, found))
        st.stop()


def _shown(runs: Sequence[Run], machine: str | None) -> Run:
    """The run of the address; else that of the machine, of a history, the newest."""
    wanted = st.query_params.get("run")
    return max(
        runs,
        key=lambda run: (
            run.id == wanted,
            run.environment.fingerprint == machine,
            run.kind in HISTORY,
            run.finished_at is not None,
            run.started_at,
        ),
    )


def _draw(database: Database, run: Run, runs: Sequence[Run]) -> None:
    commit, repository = run.commit, run.repository
    results = reads.results(database, run)
    counts = reads.counts(database, tuple(one.id for one in runs))
    around = reads.neighbours(database, run)
    markup.show(
        sections.heading(run, around),
        sections.runs_table(runs, counts, run),
        sections.results(run, results),
        sections.comparisons(commit.sha, comparisons_of(database, commit.sha, repository)),
        sections.alerts(reads.alerts_of(database, commit.sha, repository)),
    )
    exports(f"commit-{commit.label}", lambda: sections.results_frame(results))
    markup.show(sections.AGAIN)
    st.code(sections.reproduce(run, around, results), language=None)
