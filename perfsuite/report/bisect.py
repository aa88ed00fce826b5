"""What came of a bisect: as JSON, and that JSON as text and as Markdown.

The words are made from the JSON, which is what a job keeps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from perfsuite.model import Commit
from perfsuite.report.columns import columns
from perfsuite.report.escape import code, text
from perfsuite.report.words import plain
from perfsuite.stats.bisecting import Bisected, Kind, Step
from perfsuite.units import format_share

_SHA = 10
_SUBJECT = 60
"""Characters of a subject in a table."""
_MOST_SUSPECTS = 20
_MOST_WHY = 8
_HEADER = "| commit | against | subject | side | change [interval] | |\n|---|---|---|---|---|---|"
Document = Mapping[str, Any]


def bisect_json(outcome: Bisected) -> dict[str, Any]:
    """Plain values; shares are fractions."""
    return {
        "schema": 1,
        "case": outcome.case,
        "good": outcome.good.sha,
        "bad": outcome.bad.sha,
        "commits": outcome.commits,
        "kind": outcome.kind.value if outcome.kind else None,
        "first_bad": _commit(outcome.first_bad) if outcome.first_bad else None,
        "suspects": [_commit(commit) for commit in outcome.suspects],
        "change": _finite(outcome.change),
        "low": _finite(outcome.low),
        "high": _finite(outcome.high),
        "why": list(outcome.why),
        "remark": outcome.remark,
        "steps": [_step(step) for step in outcome.steps],
        "comparisons": outcome.comparisons,
        "exit_code": 0,
    }


def bisect_text(document: Document) -> str:
    """For a terminal: the answer, why, and every step."""
    lines = [_answer(document, lambda commit: f"{_short(commit)} {plain(commit['subject'])}", plain)]
    suspects = document["suspects"] if not document["first_bad"] else []
    lines += [f"  {_short(commit)} {plain(commit['subject'])}" for commit in suspects[:_MOST_SUSPECTS]]
    lines += [f"  {plain(line)}" for line in document["why"][:_MOST_WHY] if document["suspects"]]
    lines += [f"  {plain(_sentence(document['remark']))}"] if _has_remark(document) else []
    rows = [
        (
            *(step["commit"][:_SHA], step["base"][:_SHA], plain(step["subject"])[:_SUBJECT]),
            *(step["state"] or "not decided", _change(step), plain(step["remark"])),
        )
        for step in document["steps"]
    ]
    lines += ["", *columns(("commit", "against", "subject", "side", "change [interval]", ""), rows)]
    return "\n".join([*(line.rstrip() for line in lines), _effort(document)]) + "\n"


def outcome_markdown(document: Document) -> str:
    """For a comment: the answer and why; the steps folded. Text from outside is made harmless."""
    parts = [
        _answer(document, lambda commit: f"{code(_short(commit))} {text(commit['subject'], _SUBJECT)}", code)
    ]
    if not document["first_bad"]:
        suspects = document["suspects"][:_MOST_SUSPECTS]
        parts += ["\n".join(f"- {code(_short(c))} {text(c['subject'], _SUBJECT)}" for c in suspects)]
    if document["suspects"]:
        parts += ["\n".join(f"- {text(line)}" for line in document["why"][:_MOST_WHY])]
    parts += [text(_sentence(document["remark"]))] if _has_remark(document) else []
    rows = "\n".join(_row(step) for step in document["steps"])
    parts.append(f"<details><summary>{_effort(document)}</summary>\n\n{_HEADER}\n{rows}\n\n</details>")
    return "\n\n".join(part for part in parts if part) + "\n"


def _answer(document: Document, commit: Any, case: Any) -> str:
    """The answer in words.

    Args:
        commit: shows a commit.
        case: shows a case id.
    """
    name = case(document["case"])
    if not document["suspects"]:
        ends = f"{case(document['good'][:_SHA])}..{case(document['bad'][:_SHA])}"
        reason = text(document["remark"]) if case is code else plain(document["remark"])
        return f"Nothing to find of {name} in {ends}: {reason}."
    what = _what(document)
    if document["first_bad"]:
        author = document["first_bad"]["author"]
        by = f" by {text(author, _SUBJECT) if case is code else plain(author)}" if author else ""
        return f"{commit(document['first_bad'])}{by} made {name} {what}."
    return f"One of these {len(document['suspects'])} commits made {name} {what}:"


def _what(document: Document) -> str:
    """`2.1 % slower [+1.8 %, +2.4 %]`, `incorrect`, `fail`."""
    if document["kind"] != Kind.TIME:
        return "fail" if document["kind"] == Kind.FAILED else "incorrect"
    change = document["change"]
    if change is None:
        return "slower or faster"
    share = format_share(abs(change), signed=False)
    return f"{share} {'slower' if change > 0 else 'faster'}{_interval(document)}"


def _change(step: Document) -> str:
    if step["change"] is None:
        return str(step["verdict"])
    return f"{format_share(step['change'])}{_interval(step)}"


def _interval(of: Document) -> str:
    if of["low"] is None or of["high"] is None:
        return ""
    return f" [{format_share(of['low'])}, {format_share(of['high'])}]"


def _row(step: Document) -> str:
    cells: Sequence[str] = (
        code(step["commit"][:_SHA]),
        code(step["base"][:_SHA]),
        text(step["subject"], _SUBJECT),
        step["state"] or "not decided",
        text(_change(step)),
        text(step["remark"]),
    )
    return f"| {' | '.join(cells)} |"


def _effort(document: Document) -> str:
    number, commits = document["comparisons"], document["commits"]
    nouns = "comparison" if number == 1 else "comparisons", "commit" if commits == 1 else "commits"
    return f"{number} {nouns[0]} over {commits} {nouns[1]}"


def _has_remark(document: Document) -> bool:
    return bool(document["remark"]) and bool(document["suspects"])


def _sentence(remark: str) -> str:
    return f"{remark[:1].upper()}{remark[1:]}."


def _short(commit: Mapping[str, Any]) -> str:
    return str(commit["commit"])[:_SHA]


def _commit(commit: Commit) -> dict[str, Any]:
    date = commit.committed_at.isoformat() if commit.committed_at else None
    return {"commit": commit.sha, "subject": commit.subject, "author": commit.author, "date": date}


def _step(step: Step) -> dict[str, Any]:
    return {
        "commit": step.commit.sha,
        "base": step.base.sha,
        "subject": step.commit.subject,
        "state": step.state.value if step.state else None,
        "verdict": step.verdict,
        "change": _finite(step.change),
        "low": _finite(step.low),
        "high": _finite(step.high),
        "why": list(step.why),
        "remark": step.remark,
        "comparison": step.comparison,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
