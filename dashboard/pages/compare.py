"""Two commits: what became of each case, by how much, and why. The page of a comment's link."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from markupsafe import Markup

from dashboard import data, markup
from dashboard.charts.why import why_frame
from dashboard.data import Database
from dashboard.export import exports
from dashboard.links import Value
from dashboard.markup import link
from dashboard.reads import compare as reads
from dashboard.scope import choose_scope
from dashboard.sections import compare as sections
from dashboard.state import choose
from dashboard.style import empty
from dashboard.words import utc
from perfsuite.errors import UsageError
from perfsuite.model import Comparison, ComparisonReport
from perfsuite.report.forest import forest_svg
from perfsuite.report.words import commit_line

_STYLE = Path(__file__).parents[1] / "styles" / "compare.css"
_COMMITS = 200
"""That are offered; the address names older ones too."""
_SUBJECT = 60


def show(database: Database) -> None:
    """By the address: `pull`, or `base` and `head`, or `comparison`; else the newest comparison."""
    st.html(_STYLE)
    query = st.query_params
    if "pull" in query:
        report, here = _of_pull(database)
    elif "base" in query or "head" in query:
        report, here = _of_two(database)
    else:
        report, here = _of_one(database)
    _draw(database, report, here)


def _of_one(database: Database) -> tuple[ComparisonReport, dict[str, Value]]:
    repository = st.query_params.get("repository") or None
    known = {one.id: one for one in data.comparisons(database, repository)}
    wanted = st.query_params.get("comparison")
    if wanted is not None and wanted not in known:
        known = {wanted: reads.named(database, wanted), **known}
    if not known:
        _two_instead(database, repository)
        empty(
            "No two commits were compared yet.",
            "Compare the working tree with a commit:",
            "perfsuite compare main",
        )
    # Of equal code there is little to see: unasked, the newest of two commits.
    usual = next((key for key, one in known.items() if one.kind == "compare"), None)
    chosen = choose(
        "Comparison", "comparison", list(known), default=usual, show=lambda key: _label(known[key])
    )
    comparison = known[chosen]
    where = reads.address_of(comparison)
    others = {"base": comparison.base.commit.sha, "head": comparison.head.commit.sha}
    if others["base"] != others["head"]:
        other = {**where, **others, "comparison": ""}
        markup.show(link("Compare other commits or runs →", "compare", **other))
    # By its whole id, whatever the address says: links of this view must hold when others begin alike.
    return _judged(database, comparison), {"comparison": comparison.id}


def _two_instead(database: Database, wanted: str | None) -> None:
    names = [name for name in data.repositories(database) if wanted in (None, name)]
    for repository in names[:1]:
        for machine in data.machines(database, repository)[:1]:
            places = data.places(database, repository, machine.fingerprint, _COMMITS)
            shas = list(dict.fromkeys(place.commit.sha for place in places))
            if len(shas) > 1:
                where = {"repository": repository, "machine": machine.fingerprint}
                markup.show(
                    link("Compare two stored runs →", "compare", base=shas[-2], head=shas[-1], **where)
                )


def _of_two(database: Database) -> tuple[ComparisonReport, dict[str, Value]]:
    scope = choose_scope(database)
    machine = scope.machine.fingerprint
    places = data.places(database, scope.repository, machine, _COMMITS)
    labels = {
        place.commit.sha: f"{commit_line(place.commit)[:_SUBJECT]} · {utc(place.started_at)}"
        for place in reversed(places)
    }
    known = list(labels)
    left, right = st.columns(2)
    with left:
        base = _side("Base", "base", known, labels, number=1)
    with right:
        head = _side("Head", "head", known, labels, number=0)
    markup.show(link("Comparisons in lockstep →", "compare", repository=scope.repository))
    report = reads.between(database, base, head, scope.repository, machine)
    return report, {**scope.params, "base": base, "head": head}


def _side(label: str, key: str, known: Sequence[str], labels: dict[str, str], *, number: int) -> str:
    wanted = st.query_params.get(key, "")
    # A run's id, the beginning of a sha, a commit of another branch: offered as it is asked for.
    options = [*([wanted] if wanted and wanted not in labels else []), *known]
    if not options:
        raise UsageError("no commit was measured on this machine", "choose another machine")
    default = known[min(number, len(known) - 1)] if known else None
    return choose(label, key, options, default=default, show=lambda name: labels.get(name, name))


def _of_pull(database: Database) -> tuple[ComparisonReport, dict[str, Value]]:
    written = st.query_params["pull"]
    if not (written.isascii() and written.isdigit() and len(written) < 10):
        raise UsageError(f"{written[:40]!r} is no number of a pull request", "write it as in compare?pull=7")
    pull = int(written)
    repository = st.query_params.get("repository") or reads.pull_repository(database, pull)
    pushes = reads.pushes(database, repository, pull) if repository else ()
    if not repository or not pushes:
        empty(
            f"Nothing was measured for pull request {pull}{' of ' + repository if repository else ''} yet.",
            "The robot measures each push once it watches the repository:",
            "perfsuite ci watch",
        )
    compared = {one.comparison.id: one.comparison for one in pushes if one.comparison}
    wanted = st.query_params.get("comparison")
    if wanted is not None and wanted not in compared:
        compared = {wanted: reads.named(database, wanted), **compared}
    shown = compared[wanted] if wanted else next(iter(compared.values()), None)
    markup.show(sections.pull_history(repository, pull, pushes, shown.id if shown else ""))
    if shown is None:
        st.stop()
    return _judged(database, shown), {"pull": pull, "repository": repository, "comparison": shown.id}


def _judged(database: Database, comparison: Comparison) -> ComparisonReport:
    # Two milliseconds a case, once: of thousands, somebody waits.
    with st.spinner("Judging the samples…"):
        return data.report(database, comparison)


def _draw(database: Database, report: ComparisonReport, here: dict[str, Value]) -> None:
    comparison = report.comparison
    family = st.query_params.get("family")
    base = reads.machine_code(database, comparison.base)
    head = reads.machine_code(database, comparison.head)
    drawn = sections.select(report, family)
    address = sections.case_address(comparison)
    asked = {**here, "family": family}
    markup.show(
        sections.answer(report),
        Markup('<div class="ps-two"><div>{}</div><div>{}</div></div>').format(
            sections.findings(report), sections.facts(report)
        ),
        sections.families(report, drawn, address, asked),
        sections.cases(report, drawn, base, head, address),
    )
    name = f"compare-{comparison.base.commit.label}-{comparison.head.commit.label}"
    exports(name, lambda: why_frame(report.comparisons, base, head))
    st.download_button(
        "Forest plot (SVG) ↓",
        data=lambda: forest_svg(report).encode(),
        file_name=f"{name}.svg",
        mime="image/svg+xml",
        key="svg",
        on_click="ignore",
        type="tertiary",
    )


def _label(comparison: Comparison) -> str:
    base, head = comparison.base.commit, comparison.head.commit
    kind = {"compare": "", "noise": "noise · "}.get(comparison.kind, f"{comparison.kind} · ")
    state = "" if comparison.finished_at else " · not finished"
    return f"{kind}{base.label} → {commit_line(head)[:_SUBJECT]} · {utc(comparison.started_at)}{state}"
