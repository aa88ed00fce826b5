"""The verdicts of a comparison as JSON inside Markdown, cut to what a check run takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ci.sorting import Sorted
from perfsuite.model import ComparisonReport, Verdict
from perfsuite.report.escape import fenced, shortened
from perfsuite.report.json import comparison_json

MOST_BYTES = 65_535
"""GitHub takes no longer text in a check run."""
_TEXT = 200
"""Characters of one text, where texts have to be cut."""
_QUIET = (Verdict.UNCHANGED.value, Verdict.IDENTICAL.value)

Document = dict[str, Any]


def verdict_text(report: ComparisonReport, sorting: Sorted) -> str:
    """A fenced block of JSON: that of `perfsuite compare --json`, with each case's class.

    What does not fit is left out, the least telling first, and `left_out` says what: it is valid JSON always.
    """
    document = comparison_json(report)
    for compared in document["comparisons"]:
        case = compared["case"]
        compared["class"] = sorting.classes[case].value
        compared["reason"] = sorting.reasons.get(case, "")
    document["red"] = sorting.red
    document["left_out"] = []
    for reduce in (_as_it_is, _without_quiet, _without_whys, _without_lists, _with_short_texts):
        document = reduce(document)
        block = _block(document)
        if len(block) <= MOST_BYTES:
            return block
    return _block(_with_fewer_rows(document))


def _block(document: Document) -> str:
    """ASCII only: every character is a byte, and no direction mark takes effect."""
    return fenced(json.dumps(document, separators=(",", ":")).replace("<!--", "<\\u0021--"), "json")


def _as_it_is(document: Document) -> Document:
    return document


def _without_quiet(document: Document) -> Document:
    kept = [row for row in document["comparisons"] if row["verdict"] not in _QUIET]
    left = len(document["comparisons"]) - len(kept)
    return _left(document | {"comparisons": kept}, f"{left} unchanged or identical cases")


def _without_whys(document: Document) -> Document:
    rows = [{key: row[key] for key in row if key not in ("why", "params")} for row in document["comparisons"]]
    return _left(document | {"comparisons": rows}, "why and params of every case")


def _without_lists(document: Document) -> Document:
    findings = [{key: row[key] for key in row if key != "cases"} for row in document["findings"]]
    return _left(document | {"findings": findings}, "cases of every finding")


def _with_short_texts(document: Document) -> Document:
    return _left(_texts(document, lambda value: shortened(value, _TEXT)), f"texts after {_TEXT} characters")


def _with_fewer_rows(document: Document) -> Document:
    """The worst come first: the last rows go, then the findings."""
    for key in ("comparisons", "findings", "canaries"):
        rows = document[key]
        low, high = 0, len(rows)
        while low < high:
            middle = (low + high + 1) // 2
            fits = len(_block(_cut(document, key, middle))) <= MOST_BYTES
            low, high = (middle, high) if fits else (low, middle - 1)
        document = _cut(document, key, low)
        if low:
            break
    return document


def _cut(document: Document, key: str, kept: int) -> Document:
    left = len(document[key]) - kept
    return _left(document | {key: document[key][:kept]}, f"{left} {key}") if left else document


def _left(document: Document, what: str) -> Document:
    return document | {"left_out": [*document["left_out"], what]}


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    """The same with every text changed, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _texts(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item, change) for item in value]
    return value
