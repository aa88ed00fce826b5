"""Cached reads of the store as model values, for all pages. What is finished never changes and is kept."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from perfsuite.model import Comparison, ComparisonReport, Run
from perfsuite.stats.judge import judge
from perfsuite.store import open_reader
from perfsuite.store.reader import Reader
from perfsuite.store.trends import HISTORY, Machine, Place

FRESH_S = 10
"""Age at which a list is read again; so long a new run may stay unseen."""
NEWEST = 100
"""Comparisons and runs that are offered for choice; the address names older ones too."""
_KEPT = 64
"""Finished comparisons held in memory, judged."""


@dataclass(frozen=True, slots=True)
class Database:
    """What opens the store; also the key of everything that is cached."""

    url: str
    inode: int | None = None
    """Of a SQLite file, None where there is none (yet): a file made anew is another database."""

    @staticmethod
    def at(url: str) -> Database:
        path = _file(url)
        if path is None or not path.exists():
            return Database(url)
        inode = path.stat().st_ino
        _held(path, inode)
        return Database(url, inode)

    @property
    def missing(self) -> bool:
        return self.inode is None and _file(self.url) is not None


class _Hold:
    """Keeps the number of a file from being given to the one that takes its place, for as long as it lives.

    `O_PATH` opens nothing: SQLite's locks on the file stay as they are, also when it is closed.
    """

    def __init__(self, path: Path) -> None:
        weakref.finalize(self, os.close, os.open(path, getattr(os, "O_PATH", os.O_RDONLY)))


@st.cache_resource(show_spinner=False, max_entries=4)
def _held(path: Path, inode: int) -> _Hold:
    return _Hold(path)


def _file(url: str) -> Path | None:
    path = url.removeprefix("sqlite:///")
    return None if "://" in path else Path(path)


@st.cache_resource(show_spinner=False, max_entries=2)
def reader(database: Database) -> Reader:
    """The store, for reading only."""
    return open_reader(database.url)


# Resources, not data: values are frozen, and a copy of 10,000 points at each choice would cost more than
# reading them.
@st.cache_resource(ttl=FRESH_S, max_entries=4, show_spinner=False)
def news(database: Database) -> str:
    """Another text when the store has new runs or results: the key of what is kept until then.

    One for all pages: what is kept under the newest must not be made of an older list.
    """
    return reader(database).trends.stamp()


def repositories(database: Database) -> Sequence[str]:
    """Those of the newest runs first."""
    return _repositories(database, news(database))


def machines(database: Database, repository: str) -> Sequence[Machine]:
    """Environments that have runs of the history, the newest first."""
    return _machines(database, repository, news(database))


def cases(database: Database, repository: str, machine: str) -> Sequence[str]:
    """Case ids that have a history there, sorted."""
    return _cases(database, repository, machine, news(database))


def places(database: Database, repository: str, machine: str, newest: int | None = None) -> Sequence[Place]:
    """The runs of the history there, the oldest first; all, or the newest."""
    return _places(database, repository, machine, newest, news(database))


@st.cache_resource(max_entries=4, show_spinner=False)
def _repositories(database: Database, stamp: str) -> Sequence[str]:
    return tuple(reader(database).trends.repositories())


@st.cache_resource(max_entries=32, show_spinner=False)
def _machines(database: Database, repository: str, stamp: str) -> Sequence[Machine]:
    return tuple(reader(database).trends.machines(repository))


@st.cache_resource(max_entries=64, show_spinner=False)
def _cases(database: Database, repository: str, machine: str, stamp: str) -> Sequence[str]:
    return tuple(reader(database).trends.cases(repository, machine))


@st.cache_resource(max_entries=16, show_spinner=False)
def _places(
    database: Database, repository: str, machine: str, newest: int | None, stamp: str
) -> Sequence[Place]:
    return tuple(reader(database).trends.places(repository, machine, kinds=HISTORY, limit=newest))


@st.cache_resource(ttl=FRESH_S, max_entries=8, show_spinner=False)
def comparisons(database: Database, repository: str | None = None) -> Sequence[Comparison]:
    """The newest first; of one repository, or of all."""
    return tuple(reader(database).trends.comparisons_of(repository=repository, limit=NEWEST))


def report(database: Database, of: Comparison) -> ComparisonReport:
    """Judged anew from the stored samples."""
    return _report(database, of.id, stamp(of))


def stamp(of: Run | Comparison) -> str:
    """Changes when the cached value may have: never again for what is finished."""
    return of.finished_at.isoformat() if of.finished_at else f"running {int(time.time()) // FRESH_S}"


@st.cache_resource(max_entries=_KEPT, show_spinner=False)
def _report(database: Database, comparison_id: str, stamp: str) -> ComparisonReport:
    store = reader(database)
    comparison = store.comparison(comparison_id)
    return judge(comparison, store.results(comparison.base.id), store.results(comparison.head.id))
