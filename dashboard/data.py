"""Cached reads of the store as model values. What is finished never changes and is kept."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from perfsuite.model import Comparison, ComparisonReport, Result, Run
from perfsuite.stats.judge import judge
from perfsuite.store import Store, open_store
from perfsuite.store.reader import Reader, SeriesPoint
from perfsuite.summary import TimeSummary

FRESH_S = 10
"""Age at which a list is read again; so long a new run may stay unseen."""
NEWEST_RUNS = 50
NEWEST_COMPARISONS = 20
_HISTORY = ("run", "import")
"""Both sides of a comparison are timed with a second process on the GPU: short ops are then about 0.2 µs a
launch faster than alone (seen on an H200, cause unknown), which would look like a change in the trend."""
_KEPT = 64
"""Finished runs and comparisons held in memory."""


@dataclass(frozen=True, slots=True)
class Database:
    """What opens the store; also the key of everything that is cached."""

    url: str
    inode: int | None = None
    """Of a SQLite file, None where there is none (yet): a file made anew is another database."""

    @staticmethod
    def at(url: str) -> Database:
        path = _file(url)
        return Database(url, path.stat().st_ino if path and path.exists() else None)

    @property
    def missing(self) -> bool:
        return self.inode is None and _file(self.url) is not None


def _file(url: str) -> Path | None:
    path = url.removeprefix("sqlite:///")
    return None if "://" in path else Path(path)


@st.cache_resource(show_spinner=False, max_entries=2)
def _store(database: Database) -> Store:
    return open_store(database.url, create=False)


def _reader(database: Database) -> Reader:
    return _store(database).reader


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def runs(database: Database) -> list[Run]:
    """Newest first, both sides of comparisons and imported ones included."""
    return _reader(database).runs(limit=NEWEST_RUNS)


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def comparisons(database: Database) -> list[Comparison]:
    return _reader(database).comparisons(limit=NEWEST_COMPARISONS)


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def cases(database: Database) -> list[str]:
    return _reader(database).cases()


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def series(database: Database, case: str) -> list[SeriesPoint]:
    """Of all environments, the oldest commit first.

    Comparisons are no history: heads are mostly pull requests, and what is measured in pairs is not measured
    alone. Their bases, else heads, stand in for a case that is in no run.
    """
    reader = _reader(database)
    for kinds in (_HISTORY, ("base",)):
        if points := reader.series(case, kinds=kinds):
            return points
    return reader.series(case)


def run(database: Database, run_id: str) -> Run:
    """Also one too old for the list of the newest."""
    return _reader(database).run(run_id)


def counts(database: Database, of: Run) -> Counter[str]:
    """Results by status."""
    return _counts(database, of.id, _stamp(of))


def results(database: Database, of: Run) -> tuple[list[Result], dict[str, TimeSummary]]:
    """Results without their samples, and the times by case."""
    return _results(database, of.id, _stamp(of))


def report(database: Database, of: Comparison) -> ComparisonReport:
    """Judged anew from the stored samples."""
    return _report(database, of.id, _stamp(of))


def _stamp(of: Run | Comparison) -> str:
    """Changes when the cached value may have: never again for what is finished."""
    return of.finished_at.isoformat() if of.finished_at else f"running {int(time.time()) // FRESH_S}"


@st.cache_data(max_entries=4 * NEWEST_RUNS, show_spinner=False)
def _counts(database: Database, run_id: str, stamp: str) -> Counter[str]:
    return Counter(r.status.value for r in _reader(database).results(run_id, samples=False))


@st.cache_data(max_entries=_KEPT, show_spinner=False)
def _results(database: Database, run_id: str, stamp: str) -> tuple[list[Result], dict[str, TimeSummary]]:
    reader = _reader(database)
    return reader.results(run_id, samples=False), reader.times(run_id)


@st.cache_data(max_entries=_KEPT, show_spinner=False)
def _report(database: Database, comparison_id: str, stamp: str) -> ComparisonReport:
    reader = _reader(database)
    comparison = reader.comparison(comparison_id)
    return judge(comparison, reader.results(comparison.base.id), reader.results(comparison.head.id))
