"""A GitHub that keeps comments, over real HTTP on 127.0.0.1."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

_LIST = re.compile(r"^/repos/(?P<repo>[^/]+/[^/]+)/issues/(?P<number>\d+)/comments$")
_ONE = re.compile(r"^/repos/(?P<repo>[^/]+/[^/]+)/issues/comments/(?P<id>\d+)$")
Answer = tuple[int, Any, dict[str, str]]


@dataclass
class FakeGitHub:
    """State and behaviour; `with FakeGitHub() as github: … github.url`."""

    repository: str = "acme/kernels"
    pull_request: int = 7
    token: str = "good-token"
    login: str = "perf-bot"
    app: bool = False
    """The token is a GitHub Actions job's: it may not read /user and writes as github-actions[bot]."""
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    answers_first: list[Answer] = field(default_factory=list)
    """Served before anything else, one a request: failures."""

    def __enter__(self) -> FakeGitHub:
        github = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                status, answer, headers = github.answer(
                    self.command, self.path, self.headers.get("Authorization", ""), body
                )
                content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = handle_one  # noqa: N815 (http.server's names)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing on the tests' output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, login: str | None, body: str) -> int:
        number = 1000 + len(self.comments)
        user = None if login is None else {"login": login}
        self.comments[number] = {"id": number, "user": user, "body": body, "html_url": f"https://g/{number}"}
        return number

    def answer(self, method: str, target: str, authorization: str, body: dict[str, Any]) -> Answer:
        parts = urlsplit(target)
        self.requests.append(f"{method} {parts.path}")
        if self.answers_first:
            return self.answers_first.pop(0)
        if authorization != f"token {self.token}":
            return 401, {"message": "Bad credentials"}, {}
        if parts.path == "/user":
            if self.app:
                return 403, {"message": "Resource not accessible by integration"}, {}
            return 200, {"login": self.login}, {}
        return self._comment_answer(method, parts.path, parse_qs(parts.query), body)

    def _comment_answer(
        self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]
    ) -> Answer:
        missing: Answer = (404, {"message": "Not Found"}, {})
        if (match := _LIST.match(path)) and match["repo"] == self.repository:
            if int(match["number"]) != self.pull_request:
                return missing
            if method == "POST":
                number = self.add("github-actions[bot]" if self.app else self.login, body["body"])
                return 201, self.comments[number], {}
            size, page = int(query["per_page"][0]), int(query["page"][0])
            return 200, list(self.comments.values())[size * (page - 1) : size * page], {}
        if (match := _ONE.match(path)) and method == "PATCH" and int(match["id"]) in self.comments:
            row = self.comments[int(match["id"])]
            # As GitHub does: line ends come back as those of a web form.
            row["body"] = body["body"].replace("\n", "\r\n")
            return 200, row, {}
        return missing
