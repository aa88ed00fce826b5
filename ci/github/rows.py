"""GitHub's JSON as our values. Pure; what an account that is gone leaves behind is None."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ci.hub import Comment, Event, Issue, PullRequest

Row = Mapping[str, Any]


def to_pull(row: Row, seen_at: datetime | None) -> PullRequest:
    head, base = row["head"], row["base"]
    # Before it is merged, merge_commit_sha is a trial merge.
    merged_as = row.get("merge_commit_sha") if row.get("merged_at") else None
    return PullRequest(
        number=int(row["number"]),
        title=row["title"],
        author=to_login(row),
        head=head["sha"],
        head_branch=head["ref"],
        head_repository=(head.get("repo") or {}).get("full_name"),
        base_branch=base["ref"],
        base=base["sha"],
        open=row["state"] == "open",
        draft=bool(row.get("draft")),
        labels=tuple(label["name"] for label in row.get("labels") or ()),
        merged_as=merged_as,
        seen_at=seen_at,
    )


def to_comment(row: Row) -> Comment:
    return Comment(
        id=int(row["id"]),
        author=to_login(row),
        body=row.get("body") or "",
        url=row.get("html_url") or "",
        pull=int(row["issue_url"].rpartition("/")[2]) if row.get("issue_url") else 0,
        created_at=to_instant(row.get("created_at")),
        updated_at=to_instant(row.get("updated_at")),
    )


def to_event(row: Row) -> Event:
    return Event(
        id=int(row["id"]),
        kind=row["event"],
        actor=to_login(row, "actor"),
        at=datetime.fromisoformat(row["created_at"]),
        label=(row.get("label") or {}).get("name", ""),
    )


def to_issue(row: Row) -> Issue:
    return Issue(
        int(row["number"]), to_login(row), row["title"], row.get("body") or "", row["state"] == "open"
    )


def to_login(row: Row, key: str = "user") -> str | None:
    login: str | None = (row.get(key) or {}).get("login")
    return login


def to_instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
