"""What moved, why, and whether it can be trusted: the overview's answers beside its first. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from dashboard.charts.grid import told
from dashboard.derive.health import Column, Family, Health, Mark, canary_lines
from dashboard.derive.trust import SameCode, Sight, Triage
from dashboard.markup import EMPTY, link
from dashboard.sections.overview import Address, counted, moment, trends_of
from dashboard.words import VERDICT_SIGNS
from perfsuite.model import Alert, Verdict
from perfsuite.report.words import plain
from perfsuite.units import format_share

_STEPS = 4
"""Commits that are told: a glance."""
_FAMILIES = 3
"""Of one commit."""
_REASON = 80
"""Letters of what somebody said of a step."""
_MOVES = {Verdict.REGRESSED: "bad", Verdict.IMPROVED: "ok"}


@dataclass(frozen=True, slots=True)
class Step:
    """A commit at which something moved."""

    place: int
    marks: tuple[tuple[Family, Mark], ...]
    """The largest change first."""


def steps(rows: Sequence[Family], columns: Sequence[Column]) -> list[Step]:
    """The commits at which a level moved, the newest first."""
    found = []
    for place in reversed(range(len(columns))):
        marks = [(row, mark) for row in rows if (mark := row.marks[place]) and mark.verdict in _MOVES]
        if marks:
            marks.sort(key=lambda one: (-abs(one[1].change or 0.0), one[0].name))
            found.append(Step(place, tuple(marks)))
    return found


def moved(
    found: Sequence[Step],
    columns: Sequence[Column],
    alerts: Mapping[str, Alert],
    here: Address,
    now: datetime,
) -> Markup:
    """The newest steps: what became slower or faster, at which commit, and what is known of the reason.

    Args:
        found: of `steps`, on the same columns.
        alerts: by id.
    """
    if not found:
        return Markup('<p class="ps-muted">No level moved in {}.</p>').format(counted(len(columns), "commit"))
    lines = EMPTY.join(_step(one, columns, alerts, here, now) for one in found[:_STEPS])
    left = len(found) - _STEPS
    more = Markup('<p class="ps-muted">{} in the grid below</p>').format(counted(left, "earlier step"))
    return Markup('<ol class="ps-steps">{}</ol>{}').format(lines, more if left > 0 else EMPTY)


def _step(
    one: Step, columns: Sequence[Column], alerts: Mapping[str, Alert], here: Address, now: datetime
) -> Markup:
    column = columns[one.place]
    commit = column.place.commit
    names = [_change(row, mark, here) for row, mark in one.marks[:_FAMILIES]]
    left = len(one.marks) - len(names)
    if left:
        names.append(
            Markup('<span class="ps-muted">and {}</span>').format(
                counted(left, "more family", "more families")
            )
        )
    return Markup('<li>{}<div class="ps-muted">{} {} · {}{}</div></li>').format(
        Markup(" ").join(names),
        link(commit.label, "commit", sha=commit.sha, **here),
        told(commit.subject, 60),
        moment(now, commit.committed_at or column.place.started_at),
        EMPTY.join(Markup(" · {}").format(word) for word in _reasons(one, columns, alerts, here)),
    )


def _change(row: Family, mark: Mark, here: Address) -> Markup:
    """`▲ +4.1 % moe_w4a8/decode`."""
    change = "" if mark.change is None else format_share(mark.change)
    return Markup('<span class="ps-step"><b class="{}">{} {}</b> {}</span>').format(
        _MOVES[mark.verdict],
        VERDICT_SIGNS[mark.verdict],
        change or mark.verdict.value,
        link(
            told(row.name, 40),
            "trends",
            title=", ".join(map(told, mark.cases)),
            **trends_of(mark.cases),
            **here,
        ),
    )


def _reasons(
    one: Step, columns: Sequence[Column], alerts: Mapping[str, Alert], here: Address
) -> list[Markup | str]:
    """What is known of why: the environment, the machine code, what a person said; and where to see more."""
    column = columns[one.place]
    mark = one.marks[0][1]
    found: list[Markup | str] = []
    if column.boundary:
        found.append(f"environment: {told(column.boundary)}")
    same = _same_code(mark, one.place, columns)
    if same is not None:
        found.append("the machine code is the same" if same else "other machine code")
    alert = alerts.get(mark.alert)
    if alert is None:
        return found
    if alert.reason:
        found.append(f"{alert.state.value}: {told(alert.reason, _REASON)}")
    if alert.before and alert.after:
        found.append(
            link(
                "why →",
                "compare",
                title="What changed between these commits",
                base=alert.before,
                head=alert.after,
                **here,
            )
        )
    return found


def _same_code(mark: Mark, place: int, columns: Sequence[Column]) -> bool | None:
    """Whether the case that moved most launches what it did before; None where that is not known."""
    cells = [column.cells.get(mark.cases[0]) for column in columns[: place + 1]]
    known = [cell.launches_id for cell in cells if cell is not None]
    if cells[-1] is None or len(known) < 2 or None in known[-2:]:
        return None
    return known[-1] == known[-2]


def trust(
    seen: Sight | SameCode,
    health: Health,
    triage: Triage,
    columns: Sequence[Column],
    here: Address,
) -> Markup:
    """What the gate can see here, whether the machine stood still, and how often it cried wolf.

    Args:
        seen: what the noise floors say; where these are not known, what unchanged code was called.
    """
    lines = [_sees(seen, here), _machine(health, columns, here), _boundary(columns), _false_alarms(triage)]
    items = EMPTY.join(Markup("<li>{}</li>").format(line) for line in lines if line)
    return Markup('<ul class="ps-list">{}</ul>').format(items)


def _sees(seen: Sight | SameCode, here: Address) -> Markup:
    if isinstance(seen, SameCode):
        return _same(seen, here)
    if seen.middle is None:
        return Markup("? What it can see is not known yet: <code>perfsuite noise</code>")
    return Markup(
        "{} Half of the cases see a change of <b>{}</b> or less,"
        " {} of {} one as small as their threshold ({})"
    ).format(
        "✓" if 2 * seen.below >= seen.known else "!",
        format_share(seen.middle, signed=False),
        seen.below,
        seen.known,
        link("noise", "noise", **here),
    )


def _same(seen: SameCode, here: Address) -> Markup:
    sees = "" if seen.resolution is None else f"; it sees {format_share(seen.resolution, signed=False)}"
    return Markup("{} Unchanged code: {} of {} called slower or faster{} ({})").format(
        "!" if seen.moved else "✓",
        len(seen.moved),
        counted(seen.cases, "case"),
        sees,
        link("noise", "noise", **here),
    )


def _machine(health: Health, columns: Sequence[Column], here: Address) -> Markup:
    shown = link("canaries", "noise", **here)
    if health.machine:
        return Markup("! {} ({})").format(plain(health.machine), shown)
    if not canary_lines(columns):
        return EMPTY
    return Markup("✓ The machine stands still ({})").format(shown) if health.timed else EMPTY


def _boundary(columns: Sequence[Column]) -> Markup:
    """How long the environment has been the same."""
    place = next((at for at in reversed(range(len(columns))) if columns[at].boundary), None)
    if place is None and len(columns) < 2:
        return EMPTY
    if place is None:
        return Markup("✓ One environment in all {}").format(counted(len(columns), "commit"))
    ago = len(columns) - 1 - place
    return Markup("! {} {}: times before are not compared").format(
        told(columns[place].boundary), f"{counted(ago, 'commit')} ago" if ago else "at the newest commit"
    )


def _false_alarms(triage: Triage) -> Markup:
    noise = triage.noise
    if noise.value is None:
        return Markup("? No alert was triaged yet: how many are false is not known")
    return Markup("{} {} of {} were noise ({})").format(
        "✓" if not noise.some else "!",
        noise.some,
        counted(noise.all, "triaged alert"),
        format_share(noise.value, signed=False),
    )
