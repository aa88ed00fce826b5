"""A check as GitHub takes it: a check run, or a commit status. Pure: what to send, and whether to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ci.hub import Annotation, Check, CheckState

Row = Mapping[str, Any]
MOST_ANNOTATIONS = 50
"""In one call; GitHub adds those of each call to the earlier ones."""
_LONGEST_OUTPUT = 65_535
"""Of a check run's summary and text: GitHub's limit in characters, kept in bytes to be on the safe side."""
_LONGEST_TITLE = 255
_LONGEST_DESCRIPTION = 140
"""Of a commit status, in characters."""
_LONGEST_ANNOTATION = 65_536
"""Bytes of an annotation's message: 64 KB."""
_FENCE = "```"
_CUT = "\n\n… cut: GitHub takes no more."
_STATES = {"success": "success", "neutral": "success", "failure": "failure"}
"""Conclusion → state of a commit status, which knows no more; anything else is an error."""


def status_of(check: Check) -> dict[str, Any]:
    """The commit status that says what a status can of it."""
    over = check.state is CheckState.DONE
    state = _STATES.get(check.conclusion or "", "error") if over else "pending"
    row = {"state": state, "context": check.name, "description": _clipped(check.title, _LONGEST_DESCRIPTION)}
    return row | _address("target_url", check)


def same_status(row: Row | None, wanted: Row) -> bool:
    return row is not None and all((row.get(key) or "") == value for key, value in wanted.items())


def runs_of(check: Check, sent: int) -> Iterator[dict[str, Any]]:
    """The bodies of the calls that make a check run so, in order.

    Args:
        sent: how many of its annotations are there already.
    """
    rest = check.annotations[sent:]
    first, later = rest[:MOST_ANNOTATIONS], rest[MOST_ANNOTATIONS:]
    yield {
        "name": check.name,
        "external_id": check.external_id,
        "status": check.state.value,
        **({"conclusion": check.conclusion} if check.state is CheckState.DONE else {}),
        **_address("details_url", check),
        "output": _output(check, first),
    }
    for start in range(0, len(later), MOST_ANNOTATIONS):
        yield {"output": _output(check, later[start : start + MOST_ANNOTATIONS])}


def same_run(row: Row, check: Check) -> bool:
    """Whether a check run says all that already."""
    output = row.get("output") or {}
    wanted = next(runs_of(check, len(check.annotations)))
    conclusion = wanted.get("conclusion")
    return (
        (row.get("status"), row.get("conclusion")) == (wanted["status"], conclusion)
        and (row.get("details_url") or "") == wanted.get("details_url", row.get("details_url") or "")
        and all(_plain(output.get(key)) == _plain(value) for key, value in wanted["output"].items())
        and annotations_in(row) >= len(check.annotations)
    )


def annotations_in(row: Row | None) -> int:
    return int(((row or {}).get("output") or {}).get("annotations_count") or 0)


def cut(text: str, limit: int = _LONGEST_OUTPUT) -> str:
    """Markdown of at most so many bytes of UTF-8: whole lines, a code block that was open is closed."""
    if len(text.encode()) <= limit:
        return text
    room = limit - len(f"\n{_FENCE}{_CUT}".encode())
    kept = text.encode()[:room].decode(errors="ignore")
    kept = kept.rpartition("\n")[0] or kept
    inside = sum(line.lstrip().startswith(_FENCE) for line in kept.splitlines()) % 2
    return f"{kept}\n{_FENCE}{_CUT}" if inside else kept + _CUT


def _output(check: Check, annotations: Sequence[Annotation]) -> dict[str, Any]:
    title = _clipped(check.title or check.name, _LONGEST_TITLE)
    output: dict[str, Any] = {"title": title, "summary": cut(check.summary or title)}
    if check.text:
        output["text"] = cut(check.text)
    if annotations:
        output["annotations"] = [_annotation(annotation) for annotation in annotations]
    return output


def _annotation(annotation: Annotation) -> dict[str, Any]:
    return {
        "path": annotation.path,
        "start_line": annotation.line,
        "end_line": max(annotation.line, annotation.end_line),
        "annotation_level": annotation.level,
        "title": _clipped(annotation.title, _LONGEST_TITLE),
        "message": cut(annotation.message or annotation.title, _LONGEST_ANNOTATION),
    }


def _address(key: str, check: Check) -> dict[str, str]:
    url = check.details_url
    return {key: url} if url.startswith(("https://", "http://")) else {}


def _clipped(text: str, limit: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _plain(text: str | None) -> str:
    return (text or "").replace("\r\n", "\n").strip()
