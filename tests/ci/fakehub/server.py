"""The fake GitHub behind a real socket on 127.0.0.1."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import socketserver
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from fakehub.answers import Answer, Call, encoded, missing, refused
from fakehub.apps import app_answer, authenticated
from fakehub.faults import Faulty
from fakehub.records import Fault, Request
from fakehub.routes import REPOSITORY_ROUTES, user
from fakehub.rows import Rows

_JSON = "application/json; charset=utf-8"
_LIMIT = 5000
"""Requests an hour."""


class FakeGitHub(Faulty):
    """`with FakeGitHub() as github: … github.url`: a repository that behaves as GitHub does."""

    _server: _Server | None = None
    _port = 0

    def __enter__(self) -> Self:
        self.come_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_down()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def come_up(self) -> None:
        """Listens, at the same address as before `go_down`."""
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def go_down(self) -> None:
        """Connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut_all()
            self._server = None

    def answer(self, request: Request) -> tuple[Answer | None, Fault | None]:
        """The answer (None: the connection is cut), and what else went wrong."""
        with self.lock:
            self.look()
            fault = self.fault(request.method, request.path)
            found = self._answer(request, fault)
            self.requests.append(replace(request, status=found.status if found else 0))
            return found, fault

    def _answer(self, request: Request, fault: Fault | None) -> Answer | None:
        if fault is not None and fault.kind == "cut":
            return None
        if fault is not None and fault.kind == "answer":
            page = fault.headers.get("Content-Type") == "text/html"
            content = fault.message if page else {"message": fault.message}
            return Answer(fault.status, content, dict(fault.headers))
        found = self._limited() or self._routed(request)
        if request.method == "GET" and found.status == 200:
            _conditional(request, found)
        if found.status != 304:
            self.remaining = max(0, self.remaining - 1)
        found.headers |= self._limits()
        return None if fault is not None and fault.kind == "lost" else found

    def _limited(self) -> Answer | None:
        if self.reset_at is not None and self.clock.now() >= self.reset_at:
            self.remaining, self.reset_at = _LIMIT, None
        return refused("API rate limit exceeded for user ID 1.") if self.remaining <= 0 else None

    def _limits(self) -> dict[str, str]:
        reset: datetime = self.reset_at or self.clock.now() + timedelta(hours=1)
        return {
            "X-RateLimit-Limit": str(_LIMIT),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Used": str(_LIMIT - self.remaining),
            "X-RateLimit-Reset": str(int(reset.timestamp())),
            "X-RateLimit-Resource": "core",
        }

    def _routed(self, request: Request) -> Answer:
        rows = Rows(self.url, self.repository)
        if (answered := app_answer(self, rows, request)) is not None:
            return answered
        login = authenticated(self, request.headers.get("authorization", ""))
        if login is None:
            return Answer(401, {"message": "Bad credentials"})
        body = request.body if isinstance(request.body, dict) else {}
        call = Call(self, rows, self.url + request.path, (), request.query, body, login)
        if request.path == "/user":
            return user(call)
        start = f"/repos/{self.repository}"
        rest = request.path.removeprefix(start)
        if not request.path.casefold().startswith(start.casefold()):
            return missing()
        for method, pattern, route in REPOSITORY_ROUTES:
            if method == request.method and (match := pattern.match(rest)):
                return route(replace(call, parts=match.groups()))
        return missing()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def cut_all(self) -> None:
        """Ends the connections that clients keep for their next request."""
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no trouble of ours."""


def _conditional(request: Request, found: Answer) -> None:
    tag = f'W/"{hashlib.sha256(encoded(found.content)).hexdigest()}"'
    found.headers["ETag"] = tag
    if request.headers.get("if-none-match") == tag:
        found.status, found.content = 304, None


def _handler(github: FakeGitHub) -> type[socketserver.BaseRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body leave together: apart they would wait for each other's acknowledgement.
        wbufsize = -1

        def handle_one(self) -> None:
            found, fault = github.answer(self._request())
            if fault is not None:
                time.sleep(fault.seconds)
            if found is None:
                self.close_connection = True
                return
            content = b"" if found.content is None else encoded(found.content)
            # Not send_response: it would add the date of this machine's clock.
            self.send_response_only(found.status)
            self.send_header("Date", format_datetime(github.clock.now(), usegmt=True))
            for name, value in {"Content-Type": _JSON, **found.headers}.items():
                self.send_header(name, value)
            if found.status not in (204, 304):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_one  # noqa: N815 (http.server's names)

        def _request(self) -> Request:
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(parts.query))
            body = json.loads(content) if content else None
            return Request(self.command, unquote(parts.path), query, body, headers, encoded_path=parts.path)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the tests' output."""

    return Handler
