"""`/badge/<case>.svg`: how fast a case is and what happened to it last, for a README."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import streamlit as st
from markupsafe import Markup

from dashboard import data
from dashboard.derive.machines import main_machine, speaking
from dashboard.words import VERDICT_SIGNS
from perfsuite.errors import PerfsuiteError
from perfsuite.model import Alert, AlertState, Status, Verdict
from perfsuite.report.words import plain
from perfsuite.store.trends import HISTORY
from perfsuite.units import format_ns, format_share

_COLORS = {
    Verdict.REGRESSED: "#b23c17",
    Verdict.INCORRECT: "#b23c17",
    Verdict.FAILED: "#b23c17",
    Verdict.IMPROVED: "#0f6e52",
    Verdict.UNCHANGED: "#1f63a0",
}
"""Those of the charts, darker: the words on them are white."""
_GREY, _LEFT = "#5d626b", "#3f444d"
_LONGEST = 60
_CHARACTER_PX = 7
"""Of 11 px Verdana and what stands in for it, on the safe side; the text is fitted into it."""
_PADDING_PX = 6
_STANDING = (AlertState.OPEN, AlertState.ACKNOWLEDGED)
"""What people said is noise, expected or fixed is no verdict any more."""
_KINDS = {"slower": Verdict.REGRESSED, "faster": Verdict.IMPROVED}


@dataclass(frozen=True, slots=True)
class Badge:
    """An answer."""

    status: int
    """Of HTTP."""
    svg: str


@dataclass(frozen=True, slots=True)
class _State:
    status: Status
    median_ns: float | None


def badge(database: str, case: str, repository: str | None, machine: str | None) -> Badge:
    """The badge of a case.

    Args:
        case: its id.
        repository: by default that of the newest runs.
        machine: fingerprint; by default that of the newest run that has the case.
    """
    try:
        return _badge(data.Database.at(database), case, repository, machine)
    except PerfsuiteError:
        # Whoever reads a README cannot mend it; the pages say what is wrong.
        return Badge(503, draw(short_name(case), "store not readable", _GREY))


@st.cache_resource(ttl=data.FRESH_S, max_entries=512, show_spinner=False)
def _badge(database: data.Database, case: str, repository: str | None, machine: str | None) -> Badge:
    trends = data.reader(database).trends
    known = trends.series(repository, case, machine)
    places = [(one.repository, one.fingerprint) for one in known]
    if not known:
        return Badge(404, draw(short_name(case), "unknown case", _GREY))
    name = next(one for one in trends.repositories() if any(one == place[0] for place in places))
    machines = [one for one in trends.machines(name) if (name, one.fingerprint) in places]
    if not machines:
        return Badge(404, draw(short_name(case), "unknown case", _GREY))
    fingerprint = main_machine(machines).fingerprint
    points = {
        point.run_id: point
        for point in trends.points(
            [one.id for one in known if (one.repository, one.fingerprint) == (name, fingerprint)]
        )
    }
    runs = reversed(speaking(trends.places(name, fingerprint, kinds=HISTORY)))
    newest = next((points[place.run_id] for place in runs if place.run_id in points), None)
    if newest is None:
        return Badge(404, draw(short_name(case), "unknown case", _GREY))
    alerts = data.reader(database).alerts(repository=name, case=case, states=_STANDING)
    alert = next((one for one in alerts if one.fingerprint == fingerprint), None)
    message, verdict = told(newest.status, newest.median_ns, alert)
    return Badge(200, draw(short_name(case), message, _COLORS.get(verdict, _GREY)))


def told(status: Status, median_ns: float | None, alert: Alert | None) -> tuple[str, Verdict]:
    """The newest level of a case and what the last alert that stands says of it."""
    if status is not Status.OK:
        verdict = Verdict.INCORRECT if status is Status.INCORRECT else Verdict.FAILED
        word = verdict.value if status in (Status.INCORRECT, Status.FAILED) else status.value
        return f"{VERDICT_SIGNS[verdict]} {word}", verdict
    level = "no time" if median_ns is None else format_ns(median_ns)
    verdict = _KINDS.get(alert.kind, Verdict.UNCHANGED) if alert else Verdict.UNCHANGED
    if alert is None or verdict is Verdict.UNCHANGED:
        return level, Verdict.UNCHANGED
    size = "" if alert.change is None else f" {format_share(alert.change)}"
    return f"{level} {VERDICT_SIGNS[verdict]} {verdict.value}{size}", verdict


def short_name(case: str) -> str:
    """What stands after the last `/` or `::` of its family, with its axes."""
    family, bracket, axes = case.partition("[")
    name = plain(family.replace("::", "/").rpartition("/")[2] + bracket + axes)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def draw(label: str, message: str, color: str) -> str:
    """Two fields side by side, as shields on READMEs are."""
    left, right = _width(label), _width(message)
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" width="{all}" height="20" role="img"'
            ' aria-label="{label}: {message}"><title>{label}: {message}</title>'
            '<clipPath id="r"><rect width="{all}" height="20" rx="3"/></clipPath>'
            '<g clip-path="url(#r)"><rect width="{left}" height="20" fill="{dark}"/>'
            '<rect x="{left}" width="{right}" height="20" fill="{color}"/></g>'
            '<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11">'
            '<text x="{pad}" y="14" textLength="{label_px}" lengthAdjust="spacingAndGlyphs">{label}</text>'
            '<text x="{start}" y="14" textLength="{message_px}" lengthAdjust="spacingAndGlyphs">{message}'
            "</text></g></svg>\n"
        ).format(
            all=left + right,
            left=left,
            right=right,
            label=label,
            message=message,
            color=color,
            dark=_LEFT,
            pad=_PADDING_PX,
            start=left + _PADDING_PX,
            label_px=left - 2 * _PADDING_PX,
            message_px=right - 2 * _PADDING_PX,
        )
    )


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return (len(text) + wide) * _CHARACTER_PX + 2 * _PADDING_PX
