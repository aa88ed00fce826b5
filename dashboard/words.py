"""What the page calls things, in one place."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from perfsuite.model import Verdict

KINDS = {"run": "run", "base": "base", "head": "head", "import": "imported"}

_LONGEST = 500
"""Letters of a message."""

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


def utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def escape(text: str) -> str:
    """Text of others inside Streamlit's markdown: shown as it is."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~$:-])", r"\\\1", text)


def shorten(text: str) -> str:
    """Not without end."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
