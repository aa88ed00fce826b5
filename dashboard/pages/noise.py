"""Noise: what unchanged code stays within, what the gate can see because of it, and whether it cries wolf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from markupsafe import Markup

from dashboard import data, markup
from dashboard.charts.floors import LETTERS, floor_row, scale
from dashboard.charts.grid import told
from dashboard.charts.sparkline import Size, sparkline
from dashboard.data import Database
from dashboard.derive.health import canary_lines
from dashboard.derive.trust import CONFIDENCE, SameCode, Triage, sight, triage
from dashboard.export import exports
from dashboard.links import href
from dashboard.markup import EMPTY, link, table, text
from dashboard.reads import noise as reads
from dashboard.reads import overview as history
from dashboard.reads.alerts import of_repository
from dashboard.router import LINK
from dashboard.scope import Scope, choose_scope
from dashboard.sections.overview import counted, heading, moment
from dashboard.style import empty
from perfsuite.model import AlertState, Comparison
from perfsuite.report.noise import Floor
from perfsuite.report.words import canary_name
from perfsuite.stats.noise import STANDARD_BLOCKS, STANDARD_PAIRS
from perfsuite.store.trends import Machine
from perfsuite.units import format_ns, format_share

if TYPE_CHECKING:
    import pandas as pd

FOLDED_FROM = 60
"""Cases: longer tables are folded, a family each."""
JUDGED = 5
"""Comparisons of unchanged code that are judged unasked: each takes 0.05 s the first time."""
MOST_JUDGED = 50
_CANARY_COMMITS = 60
"""As the overview reads at first: it is there already."""
_WIDE = Size(420, 44)
_STYLE = Path(__file__).parents[1] / "styles" / "noise.css"


def show(database: Database) -> None:
    scope = choose_scope(database)
    place = (database, scope.repository, scope.machine.fingerprint)
    known = reads.floors_of(*place)
    same = reads.same_code_comparisons(*place)
    found = triage(of_repository(database, scope.repository))
    canaries = _canaries(scope)
    if not (known.floors or same or found.counts or canaries):
        empty(
            "Nothing is known of the noise of this machine yet.",
            "Measure a commit against itself there; comparisons of unchanged cases add to it by themselves:",
            "perfsuite noise",
        )
    others = reads.other_machines(*place) if st.query_params.get("machines") == "all" else []
    style = Markup("<style>{}</style>").format(Markup(_STYLE.read_text(encoding="utf-8")))
    markup.show(
        style,
        heading("What this gate can see"),
        _answer(known),
        _floors(scope, known, others),
        heading("The same commit against itself"),
        _same_code(scope, same),
        heading("False alarms so far"),
        _triage(found, scope),
        heading("Did the machine move"),
        canaries or Markup('<p class="ps-muted">No canary was measured in the newest commits.</p>'),
    )
    if known.floors:
        exports("noise", lambda: _frame(known))


def _answer(known: reads.Floors) -> Markup:
    if not known.floors:
        return Markup(
            "<p>No noise floor is known on this machine: <code>perfsuite noise</code> measures it.</p>"
        )
    seen = sight(known.floors, [known.threshold(one.case) for one in known.floors])
    if seen.middle is None or seen.worst is None:
        return Markup(
            "<p>{}, none of them seen often enough yet: <code>perfsuite noise</code> again.</p>"
        ).format(counted(seen.cases, "case"))
    return Markup(
        '<p class="ps-health">{}: half of them see a change of <b>{}</b> or less, the noisiest {}. '
        "{} of {} see a change as small as their threshold.</p>"
    ).format(
        counted(seen.known, "case"),
        format_share(seen.middle, signed=False),
        format_share(seen.worst, signed=False),
        seen.below,
        seen.known,
    )


def _floors(scope: Scope, known: reads.Floors, others: Sequence[Machine]) -> Markup:
    if not known.floors:
        return EMPTY
    several = len(data.machines(scope.database, scope.repository)) > 1
    beside = _beside(scope, others)
    families: dict[str, list[Floor]] = {}
    for one in known.floors:
        families.setdefault(one.case.partition("[")[0], []).append(one)
    folded = len(known.floors) > FOLDED_FROM
    parts = [_explained(), _machine_choice(scope, bool(others)) if several else EMPTY]
    if others:
        parts.append(_letters(scope, others))
    if not folded:
        return EMPTY.join((*parts, _table(scope, known, known.floors, beside)))
    for name, cases in families.items():
        seen = sight(cases, [known.threshold(one.case) for one in cases])
        middle = "unknown" if seen.middle is None else format_share(seen.middle, signed=False)
        parts.append(
            Markup(
                '<details class="ps-fold"><summary>{}: {}, half see {} or less</summary>{}</details>'
            ).format(told(name), counted(len(cases), "case"), middle, _table(scope, known, cases, beside))
        )
    return EMPTY.join(parts)


def _explained() -> Markup:
    return Markup(
        '<p class="ps-muted">● sees: unchanged code stays within this, 999 times in 1,000, when all {}'
        " pairs are measured (◆ where that is more than the threshold);"
        " ○ floor: the same for {} pairs of {} blocks;"
        " ┆ threshold.</p>"
    ).format(reads.PAIRS, STANDARD_PAIRS, STANDARD_BLOCKS // STANDARD_PAIRS)


def _machine_choice(scope: Scope, every: bool) -> Markup:
    entries = EMPTY.join(
        Markup('<a class="{}" href="{}"{}>{}</a>').format(
            LINK,
            href("noise", **scope.params, machines=value),
            Markup(' aria-current="true"') if chosen else EMPTY,
            label,
        )
        for label, value, chosen in (("this machine", None, not every), ("all machines", "all", every))
    )
    return Markup('<nav class="ps-choices" aria-label="Machines">{}</nav>').format(entries)


def _letters(scope: Scope, others: Sequence[Machine]) -> Markup:
    items = EMPTY.join(
        Markup("<li><b>{}</b> {}</li>").format(
            letter,
            link(
                told(one.environment.label),
                "noise",
                repository=scope.repository,
                machine=one.fingerprint,
            ),
        )
        for letter, one in zip(LETTERS, others, strict=False)
    )
    return Markup('<ul class="ps-list">{}</ul>').format(items)


def _beside(scope: Scope, others: Sequence[Machine]) -> Mapping[str, list[float | None]]:
    """Case → what the other machines see, in their order."""
    known = [reads.floors_of(scope.database, scope.repository, one.fingerprint).floors for one in others]
    sees = [{one.case: one.sees for one in floors} for floors in known]
    cases = {case for one in sees for case in one}
    return {case: [one.get(case) for one in sees] for case in cases}


def _table(
    scope: Scope, known: reads.Floors, cases: Sequence[Floor], beside: Mapping[str, list[float | None]]
) -> Markup:
    rows = [
        (
            link(told(one.case, 80), "trends", title=told(one.case), case=one.case, **scope.params),
            floor_row(one.floor, one.sees, known.threshold(one.case), beside.get(one.case, ())),
            _share(one.sees, "too few pairs"),
            _share(one.floor, "–"),
            _share(known.threshold(one.case), "–"),
            f"{one.noise.comparisons:,}",
            f"{one.noise.pairs:,}",
        )
        for one in cases
    ]
    headings = ("case", scale(), "sees", "floor", "threshold", "comparisons", "pairs")
    return table(headings, rows, numbers=(2, 3, 4, 5, 6), label="Noise floors")


def _share(value: float | None, unknown: str) -> str:
    return unknown if value is None else format_share(value, signed=False)


def _same_code(scope: Scope, same: Sequence[Comparison]) -> Markup:
    """Whatever moved there is a false alarm: the code is the same."""
    if not same:
        return Markup(
            '<p class="ps-muted">None on this machine yet: <code>perfsuite noise</code> makes one.</p>'
        )
    most = MOST_JUDGED if st.query_params.get("judged") == "all" else JUDGED
    now = datetime.now(UTC)
    found = [(one, reads.judged(scope.database, one)) for one in same[:most]]
    cases, moved = (
        sum(numbers) for numbers in zip(*((s.cases, len(s.moved)) for _, s in found), strict=True)
    )
    said = Markup("<p>{} of {} in the newest {} were called slower or faster.</p>").format(
        f"{moved:,}", counted(cases, "timed case"), counted(len(found), "comparison")
    )
    rows = [_same_code_row(one, said_, now) for one, said_ in found]
    drawn = table(
        ("when", "commit", "cases", "moved", "undecided", "resolution"),
        rows,
        numbers=(2, 3, 4, 5),
        label="Comparisons of the same commit",
    )
    left = min(len(same), MOST_JUDGED) - len(found)
    more = (
        Markup("<p>{}</p>").format(
            link(f"judge {left} older ones too", "noise", judged="all", **scope.params)
        )
        if left > 0
        else EMPTY
    )
    return said + drawn + more


def _same_code_row(one: Comparison, said: SameCode, now: datetime) -> tuple[str | Markup, ...]:
    moved: str | Markup = "0"
    if said.moved:
        moved = Markup('<b title="{}">{}</b>').format(
            ", ".join(told(c) for c in said.moved[:5]), len(said.moved)
        )
    return (
        Markup("{}{}").format(moment(now, one.started_at), "" if one.finished_at else ", not finished"),
        link(
            told(one.head.commit.label, 20), "compare", title=told(one.head.commit.subject), comparison=one.id
        ),
        str(said.cases),
        moved,
        str(said.undecided),
        _share(said.resolution, "–"),
    )


def _triage(found: Triage, scope: Scope) -> Markup:
    if not found.counts:
        return Markup('<p class="ps-muted">No change of a level has raised an alert yet.</p>')
    noise = found.noise
    if noise.all:
        low, high = (format_share(value, signed=False) for value in noise.interval)
        said = Markup(
            "<p>People decided {}: <b>{}</b> of them were noise, {} ({:.0%} interval {} to {}).</p>"
        ).format(
            counted(noise.all, "alert"),
            noise.some,
            format_share(noise.value or 0.0, signed=False),
            CONFIDENCE,
            low,
            high,
        )
    else:
        said = Markup("<p>Nobody has triaged an alert yet: {}.</p>").format(
            link("they wait here", "alerts", state="open", repository=scope.repository)
        )
    if found.taken_back:
        said += Markup("<p>{} took itself back: more points did not confirm the change.</p>").format(
            counted(found.taken_back, "further alert")
        )
    kinds = sorted({kind for kind, _ in found.counts})
    rows = [(text(kind), *(f"{found.counts[kind, state]:,}" for state in AlertState)) for kind in kinds]
    headings = ("alerts", *(state.value for state in AlertState))
    drawn = table(headings, rows, numbers=range(1, len(headings)), label="Alerts by kind and state")
    rules = Markup(
        '<p class="ps-muted">How each rule would have done on these: <code>perfsuite scoreboard</code>.</p>'
    )
    return said + drawn + rules


def _canaries(scope: Scope) -> Markup:
    """The pinned kernels: the same code at every commit, so what moves is the machine."""
    found = history.overview(scope.database, scope.repository, scope.machine.fingerprint, _CANARY_COMMITS)
    lines = canary_lines(found.window.columns)
    rows = []
    for name, line in lines.items():
        known = sorted(value for value in line if value is not None)
        if not known:
            continue
        middle = known[len(known) // 2]
        relative = [None if value is None else value / middle for value in line]
        newest = next(value for value in reversed(line) if value is not None)
        rows.append(
            (
                link(canary_name(name), "trends", case=name, **scope.params),
                sparkline(relative, canary_name(name), size=_WIDE),
                format_ns(newest),
                format_share(newest / middle - 1),
                format_share(known[-1] / known[0] - 1, signed=False),
            )
        )
    if not rows:
        return EMPTY
    headings = (
        "canary",
        f"newest {counted(len(found.window.columns), 'commit')}",
        "newest",
        "off its middle",
        "range",
    )
    said = found.health.machine or "The newest times of the canaries are within what they were before."
    return Markup("<p>{}</p>{}").format(said, table(headings, rows, numbers=(2, 3, 4), label="Canaries"))


def _frame(known: reads.Floors) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "case": one.case,
                "version": one.version,
                "sees": one.sees,
                "floor": one.floor,
                "threshold": known.threshold(one.case),
                "comparisons": one.noise.comparisons,
                "pairs": one.noise.pairs,
            }
            for one in known.floors
        ]
    )
