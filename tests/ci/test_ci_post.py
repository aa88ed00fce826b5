"""One comment, whatever happens in between; over a fake at the seam."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from ci.comment import MARKER
from ci.hub import Comment, Gone, HubBusy
from ci.post import Action, upsert
from perfsuite.errors import UsageError

BODY = f"{MARKER}\nreport\n"


@dataclass
class FakeComments:
    rows: list[Comment] = field(default_factory=list)
    vanishes: bool = False
    undeletable: bool = False
    meanwhile: Callable[[], None] = lambda: None
    """Happens while `create` is on its way."""
    loses_answer: bool = False

    def author(self) -> str:
        return "perf-bot"

    def list(self) -> Iterator[Comment]:
        return iter(tuple(self.rows))

    def create(self, body: str) -> Comment:
        self.meanwhile()
        self.rows.append(Comment(len(self.rows) + 1, "perf-bot", body))
        if self.loses_answer:
            raise HubBusy("the answer was lost")
        return self.rows[-1]

    def edit(self, comment: Comment, body: str) -> Comment:
        if self.vanishes:
            self.rows.remove(comment)
            raise Gone(str(comment.id))
        self.rows[self.rows.index(comment)] = new = replace(comment, body=body)
        return new

    def delete(self, comment: Comment) -> None:
        if self.undeletable:
            raise UsageError("you may not")
        self.rows.remove(comment)

    def bodies(self) -> list[str]:
        return [comment.body for comment in self.rows]


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
    assert comments.bodies() == [BODY + "new"]


def test_a_comment_whose_answer_was_lost_is_found_by_the_next_call() -> None:
    comments = FakeComments(loses_answer=True)
    with pytest.raises(HubBusy):
        upsert(comments, BODY)
    assert upsert(comments, BODY + "new").action is Action.EDITED
    assert comments.bodies() == [BODY + "new"]


def test_of_two_watchers_that_write_at_once_the_older_comment_stays() -> None:
    comments = FakeComments()
    comments.meanwhile = lambda: comments.rows.append(Comment(100, "perf-bot", BODY + "theirs"))
    posted = upsert(comments, BODY + "ours")
    assert (posted.action, posted.comment.id) == (Action.EDITED, 100)
    assert comments.bodies() == [BODY + "ours"]


def test_surplus_comments_are_deleted_and_the_oldest_is_kept() -> None:
    rows = [Comment(i, "perf-bot", BODY) for i in (1, 2, 3)]
    comments = FakeComments([Comment(0, "someone", "hello"), *rows])
    assert upsert(comments, BODY).action is Action.UNCHANGED
    assert [comment.id for comment in comments.rows] == [0, 1]


def test_a_surplus_comment_that_may_not_be_deleted_is_no_reason_to_stop() -> None:
    rows = [Comment(i, "perf-bot", BODY) for i in (1, 2)]
    comments = FakeComments(rows, undeletable=True)
    assert upsert(comments, BODY + "new").comment.id == 1
    assert comments.bodies() == [BODY + "new", BODY]
