"""One comment, whatever happens in between; over a fake at the seam."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ci.comment import MARKER, Comment
from ci.post import Action, CommentGone, upsert

BODY = f"{MARKER}\nreport\n"


@dataclass
class FakeComments:
    rows: list[Comment] = field(default_factory=list)
    vanishes: bool = False

    def author(self) -> str:
        return "perf-bot"

    def list(self) -> Iterator[Comment]:
        return iter(tuple(self.rows))

    def create(self, body: str) -> Comment:
        self.rows.append(Comment(len(self.rows) + 1, "perf-bot", body))
        return self.rows[-1]

    def edit(self, comment: Comment, body: str) -> Comment:
        if self.vanishes:
            self.rows.remove(comment)
            raise CommentGone(str(comment.id))
        self.rows[self.rows.index(comment)] = new = replace(comment, body=body)
        return new


def test_created_once_then_edited_then_left_alone() -> None:
    comments = FakeComments([Comment(1, "someone", "hello")])
    assert upsert(comments, BODY).action is Action.CREATED
    assert upsert(comments, BODY + "new").action is Action.EDITED
    assert upsert(comments, BODY + "new\r\n").action is Action.UNCHANGED
    assert [c.body for c in comments.rows if c.author == "perf-bot"] == [BODY + "new"]


def test_a_marker_pasted_by_somebody_else_is_not_edited() -> None:
    theirs = Comment(1, "mallory", BODY)
    comments = FakeComments([theirs])
    assert upsert(comments, BODY).action is Action.CREATED
    assert comments.rows[0] == theirs


def test_another_comment_of_our_account_is_not_edited() -> None:
    greeting = Comment(1, "perf-bot", f"I write reports. They start with `{MARKER}`.")
    comments = FakeComments([greeting])
    assert upsert(comments, BODY).action is Action.CREATED
    assert comments.rows[0] == greeting


def test_a_comment_deleted_meanwhile_is_written_anew() -> None:
    comments = FakeComments([Comment(1, "perf-bot", BODY)], vanishes=True)
    assert upsert(comments, BODY + "new").action is Action.CREATED
    assert [c.body for c in comments.rows] == [BODY + "new"]
