"""Reports: pure functions from the model to text, Markdown and JSON. Nothing here measures or stores."""

from __future__ import annotations

from perfsuite.errors import Exit
from perfsuite.model import ComparisonReport, Result, Status


def exit_code(report: ComparisonReport) -> Exit:
    """Of a comparison: red when a case regressed, is incorrect or failed."""
    return Exit.RED if report.red else Exit.OK


def run_exit_code(results: list[Result] | tuple[Result, ...]) -> Exit:
    """Of a run: red when a case is incorrect or failed."""
    red = any(result.status in (Status.INCORRECT, Status.FAILED) for result in results)
    return Exit.RED if red else Exit.OK
