"""What a route answers with, and what it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fakehub.rows import Rows
from fakehub.state import State

LONGEST_BODY = 65_536
"""Characters of a comment or an issue's text."""


@dataclass
class Answer:
    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One request, as a route sees it."""

    state: State
    rows: Rows
    url: str
    """Full address without the query, for links to pages."""
    parts: tuple[str, ...]
    """What the route's pattern caught."""
    query: dict[str, str]
    body: dict[str, Any]
    login: str
    """Who asks."""

    def number(self, index: int = 0) -> int:
        return int(self.parts[index])


Route = Callable[[Call], Answer]


def missing(message: str = "Not Found") -> Answer:
    return Answer(404, _told(404, message))


def refused(message: str) -> Answer:
    return Answer(403, _told(403, message))


def invalid(resource: str, name: str, code: str = "invalid") -> Answer:
    errors = [{"resource": resource, "field": name, "code": code}]
    return Answer(422, {**_told(422, "Validation Failed"), "errors": errors})


def _told(status: int, message: str) -> dict[str, Any]:
    return {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}


def paged(call: Call, rows: Sequence[Any], key: str = "") -> Answer:
    """One page, with the Link header to its neighbours. `key`: the list is wrapped in an object."""
    size = min(int(call.query.get("per_page", 30)), 100)
    page = int(call.query.get("page", 1))
    last = max(1, -(-len(rows) // size))
    others = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    there = (*(("prev", "first") if page > 1 else ()), *(("next", "last") if page < last else ()))
    links = [f'<{_address(call, others[name])}>; rel="{name}"' for name in there]
    content: Any = list(rows[size * (page - 1) : size * page])
    if key:
        content = {"total_count": len(rows), key: content}
    return Answer(200, content, {"Link": ", ".join(links)} if links else {})


def since(call: Call) -> datetime | None:
    text = call.query.get("since")
    return datetime.fromisoformat(text) if text else None


def encoded(content: Any) -> bytes:
    return content.encode() if isinstance(content, str) else json.dumps(content).encode()


def _address(call: Call, page: int) -> str:
    query = call.query | {"page": str(page)}
    return f"{call.url}?" + "&".join(f"{name}={value}" for name, value in query.items())
