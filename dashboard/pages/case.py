"""One case: its samples, the machine beside them, its machine code and error, and how to measure it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import streamlit as st

from dashboard import data, markup
from dashboard.data import Database
from dashboard.export import image_choice
from dashboard.reads import case as reads
from dashboard.reads import compare as reads_compare
from dashboard.reads.case import View
from dashboard.scope import choose_scope
from dashboard.sections import case as sections
from dashboard.sections.case_parts import PARTS
from dashboard.state import choose
from dashboard.style import empty
from perfsuite.model import ComparisonReport, Run

_STYLE = Path(__file__).parents[1] / "styles" / "case.css"
PART = "part"


def show(database: Database) -> None:
    """By the address: `comparison`, or `base` and `head`, or `run`; else the newest run of the case."""
    st.html(_STYLE)
    view = _view(database)
    alerts = reads.alerts(database, view.head.repository, view.case, view.head.environment.fingerprint)
    titles = {key: part.title for key, part in PARTS.items()}
    wanted = st.query_params.get(PART, "")
    part = wanted if wanted in PARTS else next(iter(PARTS))
    markup.show(sections.answer(view, alerts), sections.parts_menu(view, titles, part))
    PARTS[part].show(view)
    if PARTS[part].charts:
        markup.show(image_choice("case"))


def _view(database: Database) -> View:
    query = st.query_params
    if "comparison" in query:
        return _compared(database, data.report(database, reads_compare.named(database, query["comparison"])))
    if "base" in query and "head" in query:
        head = reads.run_of(database, query["head"])
        repository = query.get("repository") or head.repository
        machine = query.get("machine") or head.environment.fingerprint
        report = reads_compare.between(database, query["base"], query["head"], repository, machine)
        return _compared(database, report)
    if "run" in query:
        return _of_run(database, reads.run_of(database, query["run"]))
    return _newest(database)


def _compared(database: Database, report: ComparisonReport) -> View:
    """One of the comparison's cases."""
    names = [one.case for one in (*report.comparisons, *report.canaries)]
    comparison = report.comparison
    return View(database, _case(names), comparison.base, comparison.head, report)


def _of_run(database: Database, run: Run) -> View:
    comparisons = data.reader(database).trends.comparisons_of(run_id=run.id, limit=1)
    if comparisons:
        return _compared(database, data.report(database, comparisons[0]))
    return _in_history(database, run, _case(reads.cases_of(database, run.id)))


def _newest(database: Database) -> View:
    scope = choose_scope(database)
    machine = scope.machine.fingerprint
    case = _case(data.cases(database, scope.repository, machine))
    known = reads.history(database, scope.repository, machine, case)
    if not known.places:
        # All of it is a stranger's, which is no history.
        _nothing()
    return _in_history(database, reads.run_of(database, known.places[-1].run_id), case)


def _in_history(database: Database, run: Run, case: str) -> View:
    repository, machine = run.repository, run.environment.fingerprint
    known = reads.history(database, repository, machine, case)
    base = reads.before(database, known, run.id, case)
    if base is None or run.kind == "import":
        return View(database, case, None, run)
    report = reads_compare.between(database, base, run.id, repository, machine)
    return View(database, case, report.comparison.base, report.comparison.head, report)


def _case(names: Sequence[str]) -> str:
    if not names:
        _nothing()
    return choose("Case", "case", names)


def _nothing() -> NoReturn:
    empty("No case was measured here yet.", "Measure the working tree, and come back:", "perfsuite run")
