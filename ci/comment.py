"""The one comment of a pull request: how it is found again, whether it has to change.

Pure: nothing here talks to GitHub. `ci.body` makes the text, `ci.post` decides, `ci.github` talks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ci.body import MARKER, Stage, View, pull_body
from ci.hub import Comment
from perfsuite.model import ComparisonReport

__all__ = ["MARKER", "Comment", "comment_body", "find_comment", "needs_update"]


def comment_body(report: ComparisonReport, *, links: Mapping[str, str] | None = None) -> str:
    """The whole body for a comparison alone, without a pull request's jobs, series and commands.

    Args:
        report: the comparison, judged.
        links: label → http(s) URL, in the order to show.
    Raises:
        UsageError: a link is not an http(s) URL.
    """
    comparison = report.comparison
    view = View(
        repository=comparison.head.repository,
        pull=0,
        head=comparison.head.commit.sha,
        head_subject=comparison.head.commit.subject,
        base=comparison.base.commit.sha,
        base_branch=comparison.base.commit.branch or "",
        stage=Stage.DONE,
        report=report,
        links=links or {},
        at=comparison.finished_at or comparison.started_at,
    )
    return pull_body(view)


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
