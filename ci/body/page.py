"""The whole comment, for every stage of a head."""

from __future__ import annotations

from ci.body.markers import marked
from ci.body.result import result_parts, short_answer
from ci.body.view import APPROVAL_LABEL, Extra, Stage, View
from ci.body.words import SHA, as_of, links_line, title
from perfsuite.report.escape import code, fenced, literal, text
from perfsuite.report.markdown import MAX_CHARACTERS, Parts, Section, fit

_REASON_LINES, _REASON_CHARACTERS, _MOST_DEPTH = 12, 160, 12
"""Of a failure: the end of a traceback, where it says what happened."""
_FORMER_ROOM = 30_000
"""Bytes of a former result in a fold."""
_MOST_EXTRAS = 10
_NOTHING = "No file that was changed can move a benchmark: see `paths` in the configuration."
_AGAIN = "A comment with the line `/perf rerun` tries again."
_MEANT = "Where that is meant, a comment with the line `/perf accept CASE reason` accepts it."
_CANCELLED = "A newer head has arrived, or the pull request was closed."


def pull_body(view: View) -> str:
    """The body of the comment, at most 65,536 bytes.

    First two hidden lines, then the answer in words; the findings; headline metrics; everything else folded;
    of which commits this is, and links. What does not fit is cut from the least urgent, and counted.

    Raises:
        UsageError: a link is not an http(s) address.
    """
    comparison = view.report.comparison.id if view.report and not view.previous_head else ""
    head = marked(
        {"pull": str(view.pull), "head": view.head, "base": view.base, "comparison": comparison}
        | {"stage": view.stage.name.lower()}
    )
    where = ": the links below lead to all" if view.links else ""
    return head + fit(_parts(view), MAX_CHARACTERS - len(head), where)


def _parts(view: View) -> Parts:
    parts: Parts = [f"### {title(view)}"]
    parts += _stage_parts(view)
    sorting = view.sorting()
    extras: Parts = [_extra(extra) for extra in view.extras[:_MOST_EXTRAS]]
    if view.report is not None and sorting is not None:
        if view.stage is Stage.DONE:
            parts += result_parts(view, view.report, sorting)
        else:
            parts.append(_former(view))
    meant = [_MEANT] if view.commands and view.stage is Stage.DONE and sorting and sorting.red else []
    return [*parts, *extras, *meant, as_of(view), links_line(view.links)]


def _stage_parts(view: View) -> Parts:
    said = [text(view.stage_text)] if view.stage_text else []
    match view.stage:
        case Stage.UNAPPROVED:
            return [_how_to_approve(view), *said]
        case Stage.NOTHING:
            return list(said or [_NOTHING])
        case Stage.CANCELLED:
            return list(said or [_CANCELLED])
        case Stage.FAILED:
            return [_reason(view.stage_text), *([_AGAIN] if view.commands else [])]
        case Stage.DONE if view.report is not None:
            return []
        case _:
            return list(said)


def _how_to_approve(view: View) -> str:
    first = "Nothing of it runs here before somebody with write access has read it and says so"
    label = f"by the label {code(APPROVAL_LABEL)}"
    if not view.commands:
        return f"{first} {label}, which holds for this commit only."
    command = fenced(f"/perf approve {literal(view.head)}")
    return (
        f"{first}, by a comment with the line\n\n{command}\n\nor {label}. Either holds for this commit only."
    )


def _reason(message: str) -> str:
    """The last lines of a failure, as a block."""
    lines = [_indented(line) for line in message.splitlines() if line.strip()]
    cut = ["…"] if len(lines) > _REASON_LINES else []
    return fenced("\n".join([*cut, *lines[-_REASON_LINES:]] or ["no message"]))


def _indented(line: str) -> str:
    """A line with its depth, which is what makes a traceback readable."""
    depth = len(line) - len(line.lstrip(" "))
    return " " * min(depth, _MOST_DEPTH) + literal(line, _REASON_CHARACTERS)


def _former(view: View) -> Section:
    """The result that there is while another is made: one closed fold, so that nothing jumps about."""
    assert view.report is not None, "the caller has looked"
    sorting = view.sorting()
    assert sorting is not None, "a report has a sorting"
    which = f"Former result, of {code(view.previous_head[:SHA])}" if view.previous_head else "Result so far"
    inner = fit(result_parts(view, view.report, sorting, inside=True), _FORMER_ROOM).strip()
    return Section((inner,), f"{which}: {short_answer(view.report, sorting)}", noun="results", spare=True)


def _extra(extra: Extra) -> Section:
    title, body = text(extra.title) or "Further result", extra.markdown.strip()
    shown = body if extra.folded else f"**{title}**\n\n{body}"
    return Section((shown,), title, folded=extra.folded, noun="results", spare=True)
