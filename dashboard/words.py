"""What the page calls things, in one place."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from perfsuite.model import Run, Verdict

KINDS = {"run": "run", "base": "base", "head": "head", "import": "imported"}

VERDICT_SIGNS = {
    Verdict.INCORRECT: "✕",
    Verdict.FAILED: "✕",
    Verdict.REGRESSED: "▲",
    Verdict.LESS_ACCURATE: "▽",
    Verdict.IMPROVED: "▼",
    Verdict.INCONCLUSIVE: "?",
    Verdict.UNCHANGED: "=",
    Verdict.IDENTICAL: "≡",
    Verdict.NEW: "+",
    Verdict.REMOVED: "−",
}
"""Beside the word, so that nothing is told by colour alone."""


def run_label(run: Run) -> str:
    """`1a2b3c4d5e · subject · 2025-01-31 12:00 UTC`, with the project in front of an imported run."""
    parts = [run.commit.label, run.commit.subject[:60], when(run)]
    if run.kind == "import":
        parts.insert(0, run.repository)
    return " · ".join(part for part in parts if part)


def when(run: Run) -> str:
    return utc(run.started_at)


def utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def verdict_label(verdict: Verdict) -> str:
    return f"{VERDICT_SIGNS[verdict]} {verdict.value}"


def escape(text: str) -> str:
    """Text of others inside Streamlit's markdown: shown as it is."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~$:-])", r"\\\1", text)
