"""Alerts: what moved on the default branch, and what people made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st
from markupsafe import Markup

from dashboard.data import Database
from dashboard.export import exports
from dashboard.links import COMMON
from dashboard.markup import EMPTY, link, text
from dashboard.markup import show as put
from dashboard.reads import alerts as reads
from dashboard.sections import alerts as parts
from dashboard.sections import triage_form
from dashboard.sections.alert_groups import ALL, KINDS, STATES, Group, Wanted, groups, key
from dashboard.style import empty
from perfsuite.errors import UsageError
from perfsuite.model import Alert, AlertState, Commit
from perfsuite.report.alerts import alerts_json

if TYPE_CHECKING:
    import pandas as pd

GROUPS_A_PAGE = 25
MOST_TOGETHER = parts.MOST_TOGETHER


def show(database: Database) -> None:
    alerts = reads.alerts(database)
    triage_form.tell()
    if not alerts:
        empty(
            "No alert has been raised.",
            "Alerts come from change points in the history of the default branch:",
            "perfsuite run\nperfsuite alerts update",
        )
    chosen = st.query_params.get_all("alert")
    if chosen:
        _some(database, alerts, _found(alerts, chosen))
    else:
        _list(database, alerts)


def _wanted() -> Wanted:
    """Of the address; a value that is none of ours is the default."""
    asked = {name: st.query_params.get(name, "") for name in ("state", "kind")}
    state = asked["state"] if asked["state"] in STATES else AlertState.OPEN.value
    kind = asked["kind"] if asked["kind"] in KINDS else ALL
    return Wanted(state, kind, st.query_params.get("repository") or ALL, st.query_params.get("q", ""))


def _kept(*names: str) -> dict[str, str]:
    """Parameters of this view that its links keep."""
    return {name: value for name in names if (value := st.query_params.get(name))}


def _list(database: Database, alerts: Sequence[Alert]) -> None:
    _search()
    wanted = _wanted()
    put(_filters(wanted, alerts))
    found = groups([alert for alert in alerts if wanted.takes(alert)])
    if not found:
        put(Markup('<p class="ps-muted">{}</p>').format(_nothing(wanted)))
        return
    page = _page(len(found))
    shown = found[(page - 1) * GROUPS_A_PAGE : page * GROUPS_A_PAGE]
    params = _kept(*COMMON, "state", "kind", "q", "page")
    facts = _facts(database, [group.first for group in shown], [a for group in shown for a in group.alerts])
    put(parts.findings(shown, *facts, params), _pages(page, len(found)))
    exports("alerts", lambda: _frame(found))


def _search() -> None:
    st.session_state["q"] = st.query_params.get("q", "")

    def chosen() -> None:
        st.query_params.from_dict({**_kept(*COMMON, "state", "kind"), "q": st.session_state["q"]})
        if not st.session_state["q"]:
            st.query_params.pop("q", None)

    st.text_input(
        "Search",
        key="q",
        on_change=chosen,
        placeholder="case, commit, reason or name",
        max_chars=parts.LONGEST,
    )


def _filters(wanted: Wanted, alerts: Sequence[Alert]) -> Markup:
    """States, kinds and repositories as links, with how many there are of each state."""
    alike = [alert for alert in alerts if wanted.takes_in_any_state(alert)]
    counts = Counter(alert.state.value for alert in alike) | Counter({ALL: len(alike)})
    kept = _kept(*COMMON, "kind", "q")
    rows = [parts.choices("State", "state", wanted.state, [(s, f"{s} {counts[s]}") for s in STATES], kept)]
    kinds = {alert.kind for alert in alerts}
    if len(kinds) > 1:
        entries = [(k, "every kind" if k == ALL else k) for k in KINDS if k == ALL or k in kinds]
        rows.append(parts.choices("Kind", "kind", wanted.kind, entries, _kept(*COMMON, "state", "q")))
    repositories = sorted({alert.repository for alert in alerts})
    if len(repositories) > 1 or wanted.repository not in (ALL, *repositories):
        names = [("", "every repository"), *((name, name) for name in repositories)]
        current = "" if wanted.repository == ALL else wanted.repository
        rows.append(parts.choices("Repository", "repository", current, names, _kept("state", "kind", "q")))
    return EMPTY.join(rows)


def _nothing(wanted: Wanted) -> str:
    state = "" if wanted.state == ALL else f"{wanted.state} "
    rest = [f"of the kind {wanted.kind}"] if wanted.kind != ALL else []
    rest += [f"in {text(wanted.repository[: parts.LONGEST])}"] if wanted.repository != ALL else []
    rest += ["with these words"] if wanted.words else []
    return f"There is no {state}alert {' '.join(rest)}".rstrip() + "."


def _page(count: int) -> int:
    asked = st.query_params.get("page", "1")
    last = -(-count // GROUPS_A_PAGE)
    return min(max(int(asked), 1), last) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1


def _pages(page: int, count: int) -> Markup:
    last = -(-count // GROUPS_A_PAGE)
    if last == 1:
        return EMPTY
    kept = _kept(*COMMON, "state", "kind", "q")
    ends = [
        link(label, "alerts", **{**kept, "page": str(to)})
        for label, to in (("newer", page - 1), ("older", page + 1))
        if 1 <= to <= last
    ]
    told = Markup("page {} of {}, {} findings").format(page, last, count)
    return Markup('<nav aria-label="Pages of the list">{}</nav>').format(Markup(" · ").join([told, *ends]))


def _found(alerts: Sequence[Alert], references: Sequence[str]) -> list[Alert]:
    """The alerts that the address names, each once.

    Raises:
        UsageError: one of them is none of ours, or the beginning of several.
    """
    named: dict[str, Alert] = {}
    for reference in references[:MOST_TOGETHER]:
        found = [alert for alert in alerts if reference and alert.id.startswith(reference.lower())]
        if len(found) != 1:
            what = f"{len(found)} alerts begin with" if found else "there is no alert"
            raise UsageError(f"{what} {reference[: parts.LONGEST]!r}", "choose one in the list of alerts")
        named[found[0].id] = found[0]
    return list(named.values())


def _some(database: Database, alerts: Sequence[Alert], chosen: Sequence[Alert]) -> None:
    """One alert, or several that are triaged together, with the form."""
    first, kept = chosen[0], _kept(*COMMON, "state", "kind", "q", "page")
    alike = [alert for alert in alerts if key(alert) == key(first)]
    facts = _facts(database, [first], [*chosen, *alike])
    back = Markup("<p>{}</p>").format(link("← the list", "alerts", **kept))
    if len(chosen) > 1:
        put(back, parts.together(chosen, *facts, kept))
    else:
        seen = None if first.kind == "silent" else reads.around(database, first)
        others = [alert for alert in alike if alert.id != first.id][:MOST_TOGETHER]
        put(back, parts.alone(first, others, seen, *facts, kept))
    triage_form.draw(database, chosen)


def _facts(
    database: Database, heads: Sequence[Alert], alerts: Sequence[Alert]
) -> tuple[Mapping[str, Commit], Mapping[str, str]]:
    """Commits by sha of the ranges of `heads`, and machines by fingerprint of all."""
    shas: dict[str, set[str]] = {}
    for alert in heads:
        shas.setdefault(alert.repository, set()).update({alert.before, alert.after} - {""})
    known = {
        sha: c for name, of in shas.items() for sha, c in reads.commits(database, name, frozenset(of)).items()
    }
    return known, reads.machine_labels(database, {alert.repository for alert in alerts})


def _frame(found: Sequence[Group]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(alerts_json([alert for group in found for alert in group.alerts])["alerts"])
