"""The routes of GitHub's REST API that the robot may use, over the fake's state."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from fakehub.answers import LONGEST_BODY, Answer, Call, Route, invalid, missing, paged, refused, since
from fakehub.records import CommentRow, Item
from fakehub.routes_checks import CHECK_ROUTES

_REACTIONS = ("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes")
_AS_PERMISSION = {"maintain": "write", "triage": "read"}
"""Roles that the older field `permission` does not know."""


def user(call: Call) -> Answer:
    if call.login.endswith("[bot]"):
        return refused("Resource not accessible by integration")
    return Answer(200, call.rows.account(call.login, call.state.created_at))


def repository(call: Call) -> Answer:
    return Answer(200, _repository(call, call.state.repository))


def _repository(call: Call, name: str) -> dict[str, Any]:
    clone = str(call.state.git) if call.state.git else f"https://github.com/{name}.git"
    return call.rows.repository(name, call.state.created_at, call.state.default_branch, clone)


def reference(call: Call) -> Answer:
    (name,) = call.parts
    sha = call.state.tips().get(name)
    return missing() if sha is None else Answer(200, call.rows.reference(name, sha))


def branch(call: Call) -> Answer:
    (name,) = call.parts
    sha = call.state.tips().get(name)
    if sha is None:
        return missing("Branch not found")
    return Answer(200, {"name": name, "commit": {"sha": sha}, "protected": False})


def pulls(call: Call) -> Answer:
    state = call.query.get("state", "open")
    found = [p for p in call.state.items.values() if p.is_pull and state in ("all", _state(p))]
    key = "updated_at" if call.query.get("sort") == "updated" else "created_at"
    found.sort(
        key=lambda p: (getattr(p, key), p.number), reverse=call.query.get("direction", "desc") == "desc"
    )
    page = paged(call, found)
    page.content = [_pull(call, p, whole=False) for p in page.content]
    return page


def pull(call: Call) -> Answer:
    item = call.state.items.get(call.number())
    return Answer(200, _pull(call, item, whole=True)) if item and item.is_pull else missing()


def _pull(call: Call, item: Item, *, whole: bool) -> dict[str, Any]:
    head = None if item.head_repository is None else _repository(call, item.head_repository)
    return call.rows.pull(_seen(call, item), head, _repository(call, call.state.repository), whole)


def issue_comments(call: Call) -> Answer:
    if call.number() not in call.state.items:
        return missing()
    found = [c for c in call.state.comments.values() if c.number == call.number()]
    return _comments(call, found)


def all_comments(call: Call) -> Answer:
    found = list(call.state.comments.values())
    if call.query.get("sort") == "updated":
        found.sort(key=lambda c: (c.updated_at, c.id))
    if call.query.get("direction", "asc" if "sort" not in call.query else "desc") == "desc":
        found.reverse()
    return _comments(call, found)


def _comments(call: Call, found: list[CommentRow]) -> Answer:
    after = since(call)
    page = paged(call, [c for c in found if after is None or c.updated_at >= after])
    page.content = [_comment(call, row) for row in page.content]
    return page


def _comment(call: Call, row: CommentRow) -> dict[str, Any]:
    item = call.state.items.get(row.number)
    answer = call.rows.comment(row, pull=bool(item and item.is_pull))
    return answer | ({"user": None} if row.login in call.state.deleted else {})


def create_comment(call: Call) -> Answer:
    if call.number() not in call.state.items:
        return missing()
    if wrong := _wrong_text(call, "IssueComment"):
        return wrong
    id = call.state.comment(call.number(), call.login, call.body["body"])
    return Answer(201, _comment(call, call.state.comments[id]))


def one_comment(call: Call) -> Answer:
    row = call.state.comments.get(call.number())
    return missing() if row is None else Answer(200, _comment(call, row))


def edit_comment(call: Call) -> Answer:
    row = call.state.comments.get(call.number())
    if row is None:
        return missing()
    if row.login != call.login:
        return refused("Resource not accessible by personal access token")
    if wrong := _wrong_text(call, "IssueComment"):
        return wrong
    call.state.edit_comment(row.id, call.body["body"])
    return Answer(200, _comment(call, row))


def delete_comment(call: Call) -> Answer:
    if call.state.comments.pop(call.number(), None) is None:
        return missing()
    return Answer(204)


def react(call: Call) -> Answer:
    row = call.state.comments.get(call.number())
    if row is None:
        return missing()
    content = call.body.get("content")
    if content not in _REACTIONS:
        return invalid("Reaction", "content")
    mine = (call.login, content)
    status = 200 if mine in row.reactions else 201
    if status == 201:
        row.reactions.append(mine)
    id = row.id * 100 + row.reactions.index(mine)
    return Answer(status, call.rows.reaction(id, call.login, content, call.state.clock.now()))


def permission(call: Call) -> Answer:
    (login,) = call.parts
    if login in call.state.deleted:
        return missing(f"{login} is not a user")
    role = call.state.permissions.get(login, "none" if call.state.private else "read")
    account = {**(call.rows.user(login) or {}), "role_name": role}
    return Answer(200, {"permission": _AS_PERMISSION.get(role, role), "role_name": role, "user": account})


def events(call: Call) -> Answer:
    if call.number() not in call.state.items:
        return missing()
    page = paged(call, [event for event in call.state.events if event.number == call.number()])
    page.content = [call.rows.event(row) for row in page.content]
    for row in page.content:
        if row["actor"] and row["actor"]["login"] in call.state.deleted:
            row["actor"] = None
    return page


def remove_label(call: Call) -> Answer:
    item, name = call.state.items.get(call.number()), call.parts[1]
    if item is None or name not in item.labels:
        return missing("Label does not exist")
    call.state.unlabel(item.number, name, by=call.login)
    return Answer(200, call.rows.labels(item.labels))


def issues(call: Call) -> Answer:
    labels = {name for name in call.query.get("labels", "").split(",") if name}
    state, creator = call.query.get("state", "open"), call.query.get("creator")
    found = [
        item
        for item in reversed(call.state.items.values())
        if labels <= set(item.labels) and state in ("all", _state(item)) and creator in (None, item.author)
    ]
    page = paged(call, found)
    page.content = [_issue(call, item) for item in page.content]
    return page


def create_issue(call: Call) -> Answer:
    if not call.body.get("title"):
        return invalid("Issue", "title", "missing_field")
    if len(call.body.get("body") or "") > LONGEST_BODY:
        return invalid("Issue", "body")
    title, body = call.body["title"], call.body.get("body") or ""
    number = call.state.open_issue(title, call.login, body, call.body.get("labels", ()))
    return Answer(201, _issue(call, call.state.items[number]))


def change_issue(call: Call) -> Answer:
    item = call.state.items.get(call.number())
    if item is None:
        return missing()
    if call.body.get("state") not in (None, "open", "closed"):
        return invalid("Issue", "state")
    if "body" in call.body:
        call.state.edit(item.number, body=(call.body["body"] or "").replace("\r\n", "\n"))
    match call.body.get("state"):
        case "closed" if item.open:
            call.state.close(item.number, call.login)
        case "open" if not item.open:
            call.state.reopen(item.number, call.login)
    return Answer(200, _issue(call, item))


def _issue(call: Call, item: Item) -> dict[str, Any]:
    comments = sum(c.number == item.number for c in call.state.comments.values())
    return call.rows.issue(_seen(call, item), comments)


def _seen(call: Call, item: Item) -> Item:
    """Without an author whose account is gone."""
    return replace(item, author=None) if item.author in call.state.deleted else item


def _state(item: Item) -> str:
    return "open" if item.open else "closed"


def _wrong_text(call: Call, resource: str) -> Answer | None:
    text = call.body.get("body")
    if not isinstance(text, str) or not text.strip():
        return invalid(resource, "body", "missing_field")
    return invalid(resource, "body") if len(text) > LONGEST_BODY else None


_TABLE: tuple[tuple[str, str, Route], ...] = (
    ("GET", "", repository),
    ("GET", r"/git/ref/heads/(.+)", reference),
    ("GET", r"/branches/(.+)", branch),
    ("GET", "/pulls", pulls),
    ("GET", r"/pulls/(\d+)", pull),
    ("GET", "/issues", issues),
    ("POST", "/issues", create_issue),
    ("PATCH", r"/issues/(\d+)", change_issue),
    ("GET", r"/issues/(\d+)/comments", issue_comments),
    ("POST", r"/issues/(\d+)/comments", create_comment),
    ("GET", "/issues/comments", all_comments),
    ("GET", r"/issues/comments/(\d+)", one_comment),
    ("PATCH", r"/issues/comments/(\d+)", edit_comment),
    ("DELETE", r"/issues/comments/(\d+)", delete_comment),
    ("POST", r"/issues/comments/(\d+)/reactions", react),
    ("GET", r"/issues/(\d+)/events", events),
    ("DELETE", r"/issues/(\d+)/labels/(.+)", remove_label),
    ("GET", r"/collaborators/([^/]+)/permission", permission),
    *CHECK_ROUTES,
)
"""Method, pattern of what follows `/repos/OWNER/NAME`, route."""

REPOSITORY_ROUTES = tuple((method, re.compile(f"^{pattern}$"), route) for method, pattern, route in _TABLE)
