"""The answer in words, and other single lines of the comment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlsplit

from ci.body.view import Stage, View
from ci.metrics import TIME, Metric, Quantity
from ci.sorting import Class, Sorted
from perfsuite.errors import UsageError
from perfsuite.model import CaseComparison, ComparisonReport, Verdict
from perfsuite.report.escape import code, text
from perfsuite.report.markdown import cells, steady
from perfsuite.report.words import resolution_share, unresolved
from perfsuite.stats.families import WORDS
from perfsuite.units import NS_PER_MS, NS_PER_S, NS_PER_US

SHA = 10
"""Digits of a sha that people are shown, and type."""
_TITLES = {
    Stage.QUEUED: "Queued.",
    Stage.WAITING: "Waiting for the GPU.",
    Stage.FAILED: "The measurement failed.",
    Stage.CANCELLED: "Cancelled.",
    Stage.NOTHING: "Nothing to measure.",
    Stage.UNAPPROVED: "Not measured: code from a fork that nobody has approved yet.",
}
_ORDER = (
    *(WORDS[verdict] for verdict in (Verdict.INCORRECT, Verdict.FAILED, Verdict.REGRESSED)),
    *(WORDS[verdict] for verdict in (Verdict.LESS_ACCURATE, Verdict.IMPROVED)),
    *(Class.ON_MAIN, Class.ACCEPTED, Class.NOISY),
)
"""Of the counts in the answer; the others follow in the order of the classes."""
_QUIET = "unchanged or identical"
_REST = {
    Class.MACHINE: "undecided because the machine changed",
    Class.INCONCLUSIVE: "inconclusive",
    Class.NO_BASELINE: "without a baseline",
}
_SUMS = {Verdict.UNCHANGED: _QUIET, Verdict.IDENTICAL: _QUIET, Verdict.REMOVED: "removed"}
_TIMES = ((NS_PER_S, " s"), (NS_PER_MS, " ms"), (NS_PER_US, " µs"), (1.0, " ns"))
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_URL_SAFE = "/:?#[]@!$&'*+,;=%~"
_MOST_URL = 2000
"""Browsers and proxies take no longer addresses everywhere."""


def answer(report: ComparisonReport, sorting: Sorted) -> str:
    """`2 cases slower, 1 faster, 37 unchanged or identical. Resolution 0.8 %.`

    Cases are counted, not kernels: a kernel can be slower at one shape and faster at the next, and each case
    is in exactly one count, so that they add up.
    """
    counts = Counter(_word(compared, sorting) for compared in report.comparisons)
    if not counts:
        return "No cases were compared."
    order = (*_ORDER, *_REST.values(), _SUMS[Verdict.REMOVED], _QUIET)
    first, *others = ((counts[word], word) for word in order if counts[word])
    noun = "case" if first[0] == 1 else "cases"
    told = ", ".join([f"{first[0]} {noun} {first[1]}", *(f"{count} {word}" for count, word in others)])
    share = resolution_share(report)
    return f"{told}. {f'Resolution {share}.' if share else unresolved(report)}"


def _word(compared: CaseComparison, sorting: Sorted) -> str:
    kind = sorting.classes.get(compared.case, Class.OTHER)
    if kind in _REST:
        return _REST[kind]
    if kind in (Class.NEW, Class.OTHER):
        return _SUMS.get(compared.verdict, WORDS[compared.verdict])
    return kind.value


def title(view: View) -> str:
    """The first line that people see."""
    if view.stage is Stage.MEASURING:
        return f"Measuring {view.done}/{view.total}." if view.total else "Measuring."
    if view.stage is Stage.FAILED and view.machine_trouble:
        return "Not measured: trouble with the machine."
    sorting = view.sorting()
    if view.stage is Stage.DONE and view.report is not None and sorting is not None:
        return answer(view.report, sorting)
    return _TITLES.get(view.stage, "Measured, without a result.")


def as_of(view: View) -> str:
    """`As of commit abc …, merge base def on main, 2026-01-02 03:04 UTC.`"""
    parts = [f"As of commit {code(view.head[:SHA])}"]
    if view.head_subject:
        parts[0] += f" {text(view.head_subject, 100)}"
    if view.base:
        branch = f" on {code(view.base_branch, 100)}" if view.base_branch else ""
        parts.append(f"merge base {code(view.base[:SHA])}{branch}")
    # A former result's time is not this head's.
    if view.at is not None and view.stage is Stage.DONE:
        parts.append(f"{view.at:%Y-%m-%d %H:%M} UTC")
    return ", ".join(parts) + "."


def links_line(links: Mapping[str, str]) -> str:
    """`[Dashboard](https://…) · …`; empty without links.

    Raises:
        UsageError: a link is not an http(s) address.
    """
    return " · ".join(f"[{text(label)}]({checked(label, url)})" for label, url in links.items())


def case_links(view: View, cases: Iterable[CaseComparison]) -> dict[str, str]:
    """Case → address of its page, without those whose names make it too long."""
    if not view.case_page:
        return {}
    found = {compared.case: view.case_page + quote(compared.case, safe="") for compared in cases}
    return {case: checked("case", url) for case, url in found.items() if len(url) <= _MOST_URL}


def checked(label: str, url: str) -> str:
    """An address that ends where it should inside a Markdown link.

    Raises:
        UsageError: it is not an http(s) address.
    """
    if urlsplit(url).scheme not in ("http", "https") or len(url) > _MOST_URL:
        raise UsageError(
            f"the link {label!r} is not an http(s) address: {url[:80]!r}", "give LABEL=https://…"
        )
    return quote(url, safe=_URL_SAFE)


def metric_row(metric: Metric) -> str:
    sides = (_quantity(side, metric.unit) for side in (metric.baseline, metric.optimized))
    speedup = text(metric.remark) or _ranged(metric.speedup, 1.0, "×", "{:.3f}")
    return cells(text(metric.name, 100), *map(steady, (*sides, speedup)))


def _quantity(quantity: Quantity | None, unit: str) -> str:
    """In the unit of which there is at least one."""
    value = abs(quantity.value) if quantity else 0.0
    steps = _TIMES if unit == TIME else tuple((scale, f"{prefix} {unit}") for scale, prefix in _PREFIXES)
    scale, name = next((step for step in steps if value >= step[0]), steps[-1])
    return _ranged(quantity, scale, name, "{:#.4g}")


def _ranged(quantity: Quantity | None, scale: float, unit: str, form: str) -> str:
    """`1.234 ms [1.230 … 1.240]`, `70.12k tok/s`; a dash where there is nothing."""
    if quantity is None:
        return "–"

    def shown(value: float) -> str:
        return form.format(value / scale).rstrip(".")

    if quantity.low is None or quantity.high is None:
        return f"{shown(quantity.value)}{unit}"
    return f"{shown(quantity.value)}{unit} [{shown(quantity.low)} … {shown(quantity.high)}]"
