"""The one comment of a pull request: its text, how it is found again, whether it has to change.

Pure: nothing here talks to GitHub. `ci.post` decides, `ci.github` talks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from perfsuite.errors import UsageError
from perfsuite.model import ComparisonReport
from perfsuite.report.markdown import MAX_CHARACTERS, comparison_markdown

MARKER = "<!-- perfsuite:comment -->"
"""First line of the comment: how it is found again. Invisible on the page."""

_URL_SAFE = "/:?#[]@!$&'*+,;=%~"


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment as GitHub keeps it."""

    id: int
    author: str | None
    """Login; None where the account is gone."""
    body: str
    url: str = ""


def comment_body(report: ComparisonReport, *, links: Mapping[str, str] | None = None) -> str:
    """The whole body: hidden markers, the report, links below it.

    Args:
        report: the comparison, judged.
        links: label → http(s) URL, in the order to show.
    Raises:
        UsageError: a link is not an http(s) URL.
    """
    comparison = report.comparison
    facts = f"comparison={comparison.id} base={comparison.base.commit.sha} head={comparison.head.commit.sha}"
    head = f"{MARKER}\n<!-- perfsuite:data {facts} -->\n"
    tail = f"\n\n{_links_line(links)}\n" if links else "\n"
    room = MAX_CHARACTERS - len((head + tail).encode())
    return head + comparison_markdown(report, limit=room).strip() + tail


def find_comment(comments: Iterable[Comment], author: str, marker: str = MARKER) -> Comment | None:
    """Our comment among those of a pull request: the first by `author` that starts with `marker`.

    Both must match: anybody can paste the marker, and our account may write other comments.
    """
    for comment in comments:
        by_us = comment.author is not None and comment.author.casefold() == author.casefold()
        if by_us and comment.body.lstrip().startswith(marker):
            return comment
    return None


def needs_update(old: str, new: str) -> bool:
    """Whether the text differs in more than what GitHub changes by itself (line ends, outer blanks)."""
    return _normal(old) != _normal(new)


def _normal(body: str) -> str:
    return "\n".join(line.rstrip() for line in body.replace("\r\n", "\n").strip().split("\n"))


def _links_line(links: Mapping[str, str]) -> str:
    return " · ".join(f"[{_escape(label)}]({_checked(label, url)})" for label, url in links.items())


def _escape(label: str) -> str:
    return re.sub(r"([\[\]\\<>`])", r"\\\1", label.replace("\n", " "))


def _checked(label: str, url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"the link {label!r} is not an http(s) address: {url!r}", "give LABEL=https://…")
    # Parentheses and blanks would end the markdown link early.
    return quote(url, safe=_URL_SAFE)
