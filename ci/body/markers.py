"""Hidden lines at the head of the comment."""

from __future__ import annotations

import re
from collections.abc import Mapping

MARKER = "<!-- perfsuite:comment -->"
"""First line of the comment: how it is found again. Invisible on the page."""
_NOT_A_WORD = re.compile(r"[^\w.:/-]+", re.ASCII)


def marked(facts: Mapping[str, str]) -> str:
    """The first two lines: the marker, and what the comment is about for machines."""
    told = " ".join(f"{name}={_word(value)}" for name, value in facts.items() if value)
    return f"{MARKER}\n<!-- perfsuite:data {told} -->\n"


def _word(value: str) -> str:
    """Without blanks, and without what would end an HTML comment."""
    return re.sub(r"-{2,}", "-", _NOT_A_WORD.sub("_", value))[:80]
