"""A GitHub with state, over real HTTP on 127.0.0.1: the far side of every test of the robot.

In a test: `with FakeGitHub(git=bare) as github:` and then `github.open_pull("topic")`, `github.push(1, sha)`,
`github.comment(1, "alice", "/perf help")`, `github.fail(502, times=3)`, `github.our_comments(1)`.
On its own: `python -m fakehub --help` (from this folder's parent).
"""

from fakehub.records import CheckRow, Clock, CommentRow, EventRow, Item, Request, StatusRow, sha_of
from fakehub.server import FakeGitHub

__all__ = [
    "CheckRow",
    "Clock",
    "CommentRow",
    "EventRow",
    "FakeGitHub",
    "Item",
    "Request",
    "StatusRow",
    "sha_of",
]
