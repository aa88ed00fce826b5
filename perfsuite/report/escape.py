"""Text from outside (subjects, case ids, messages) made harmless in GitHub's Markdown.

Commit subjects and messages are written by whoever opens a pull request. They must not start a table cell, a
tag, a link, an image or a formula, and must not mention people or refer to issues in our name.
"""

from __future__ import annotations

import re

from perfsuite.report.words import plain

MAX_TEXT = 300
"""Characters of one text from outside; a message can be a whole traceback."""
_MARKS = frozenset("\\`*_[]<>#!|~$&@")
# GitHub looks for mentions and references after it has decoded entities: a space of no width parts them.
_REFERENCES = re.compile(r"(@|#|\bGH-)(?=[\w-])", re.IGNORECASE)
_LINKS = re.compile(r"(:)(?=//)|(?<=\bwww)(\.)", re.IGNORECASE)
_NO_WIDTH = "\u200b"


def text(value: str, limit: int = MAX_TEXT) -> str:
    """As running text of a paragraph, list or table cell."""
    parted = _REFERENCES.sub(lambda match: match[0] + _NO_WIDTH, shortened(plain(value), limit))
    return _entities(_LINKS.sub(lambda match: match[0] + _NO_WIDTH, parted))


def code(value: str, limit: int = MAX_TEXT) -> str:
    """As code: GitHub makes no mentions there. A tag, because a backtick ends a code span."""
    # Addresses become links even there; entities part them and, unlike spaces, are not copied along.
    escaped = _entities(shortened(plain(value), limit))
    return f"<code>{_LINKS.sub(lambda match: f'&#{ord(match[0])};', escaped)}</code>"


def fenced(value: str) -> str:
    """As a block of code on lines of its own, with a fence longer than any inside."""
    longest = max((len(run) for run in re.findall(r"`+", value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{value}\n{fence}"


def shortened(value: str, limit: int) -> str:
    """Cut to so many characters, with an ellipsis where something is missing."""
    return value if len(value) <= limit else value[: limit - 1] + "…"


def _entities(value: str) -> str:
    return "".join(f"&#{ord(char)};" if char in _MARKS else char for char in value)
