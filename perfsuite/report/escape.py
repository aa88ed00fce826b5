"""Text from outside (subjects, case ids, messages) made harmless in GitHub's Markdown.

Commit subjects and messages are written by whoever opens a pull request. They must not start a table cell, a
tag, a link, an image or a formula, and must not mention people or refer to issues in our name.
"""

from __future__ import annotations

import re
import unicodedata

from perfsuite.report.words import plain

MAX_TEXT = 300
"""Characters of one text from outside; a message can be a whole traceback."""
_READ = 20
_MARKS = frozenset("\\`*_[]<>#!|~$&@")
# GitHub looks for mentions and references after it has decoded entities: a space of no width parts them.
_REFERENCES = re.compile(r"(@|#|\bGH-)(?=[\w-])", re.IGNORECASE)
_LINKS = re.compile(r"(:)(?=//)|(?<=\bwww)(\.)", re.IGNORECASE)
_EMOJI = re.compile(r":(?=[\w+-]+:)")
"""GitHub draws `:rocket:` as a picture, in whoever's name it stands."""
_STARTS = re.compile(r"^(?:[-+=]|\d(?=\d{0,8}[.)]))")
"""At the start of a paragraph: a list, a rule, or an underline that makes a heading of the line above."""
_RIGHT_TO_LEFT = ("R", "AL", "AN")
_NO_WIDTH = "\u200b"
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"


def text(value: str, limit: int = MAX_TEXT) -> str:
    """As running text of a paragraph, list or table cell."""
    value = _short(value, limit)
    for pattern in (_REFERENCES, _LINKS, _EMOJI):
        value = pattern.sub(lambda match: match[0] + _NO_WIDTH, value)
    escaped = _entities(value)
    return _isolated(_STARTS.sub(lambda match: f"&#{ord(match[0])};", escaped))


def code(value: str, limit: int = MAX_TEXT) -> str:
    """As code: GitHub makes no mentions there. A tag, because a backtick ends a code span."""
    # Addresses become links even there; entities part them and, unlike spaces, are not copied along.
    escaped = _entities(_short(value, limit))
    return f"<code>{_isolated(_LINKS.sub(lambda match: f'&#{ord(match[0])};', escaped))}</code>"


def literal(value: str, limit: int = MAX_TEXT) -> str:
    """As a line of a fenced block, where nothing is decoded: only what starts a hidden line is parted."""
    return _isolated(_short(value, limit).replace("<!--", f"<{_NO_WIDTH}!--"))


def _short(value: str, limit: int) -> str:
    # Of 100 kB only the beginning is looked at, with room for what is dropped from it.
    return shortened(plain(value[: limit * _READ]), limit)


def _isolated(value: str) -> str:
    """Writing from right to left turns only itself around, not what stands beside it."""
    if any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in value):
        return f"{_ISOLATE}{value}{_END_ISOLATE}"
    return value


def fenced(value: str, language: str = "") -> str:
    """As a block of code on lines of its own, with a fence longer than any inside."""
    longest = max((len(run) for run in re.findall(r"`+", value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{value}\n{fence}"


def shortened(value: str, limit: int) -> str:
    """Cut to so many characters, with an ellipsis where something is missing."""
    return value if len(value) <= limit else value[: limit - 1] + "…"


def _entities(value: str) -> str:
    return "".join(f"&#{ord(char)};" if char in _MARKS else char for char in value)
