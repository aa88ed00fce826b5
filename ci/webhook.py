"""A route for GitHub's webhooks: it wakes the watcher before its next poll.

Only a hint: nothing in the payload is believed, and without it (or with it twice, late, or out of order) the
watcher does the same a little later. The same server may show the pictures of comparisons.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from perfsuite.errors import MachineError, UsageError

_LONGEST_BODY = 5 * 2**20
"""Bytes. GitHub sends up to 25 MB for a push of thousands of commits; such a one is seen at the next poll."""
_REMEMBERED = 1024
"""Deliveries: GitHub repeats one only when a person asks for it, soon after."""
_MOST_AT_ONCE = 16
"""Requests: who has no secret must not cost us memory."""
_TIMEOUT_S = 10.0
"""GitHub gives up after as much."""
_POLL_S = 0.05
"""How soon closing is seen."""
_PICTURE = re.compile(r"/pictures/([0-9A-Za-z-]{1,64})\.svg")
_PICTURE_HEADERS = {
    "Content-Type": "image/svg+xml; charset=utf-8",
    # Opened by itself, an SVG is a page: no script, nothing from elsewhere.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cache-Control": "public, max-age=300",
}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


def signature_of(secret: str, body: bytes) -> str:
    """What GitHub writes into `X-Hub-Signature-256`."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def is_signed(secret: str, body: bytes, signature: str) -> bool:
    """Whether somebody who knows the secret sent these very bytes."""
    return hmac.compare_digest(signature_of(secret, body).encode(), signature.encode())


@dataclass
class Hook:
    """What is done with a delivery."""

    secret: str
    repositories: Collection[str]
    """`owner/name` of those under watch."""
    wake: threading.Event
    _seen: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def receive(self, headers: Mapping[str, str], body: bytes) -> HTTPStatus:
        """The answer's status. What is new, signed, and about a repository of ours wakes the watcher.

        Args:
            headers: names in lower case.
        """
        if not is_signed(self.secret, body, headers.get("x-hub-signature-256", "")):
            return HTTPStatus.UNAUTHORIZED
        try:
            name = _repository(json.loads(body))
        except ValueError:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        if name is not None and name.casefold() not in {each.casefold() for each in self.repositories}:
            return HTTPStatus.NOT_FOUND
        # A ping of an organization's hook is about none.
        if name is not None and self._is_new(headers.get("x-github-delivery", "")):
            self.wake.set()
        return HTTPStatus.ACCEPTED

    def _is_new(self, delivery: str) -> bool:
        with self._lock:
            known = delivery in self._seen
            self._seen[delivery] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            return not (known and delivery)


class WebhookServer:
    """Serves in a thread of its own until it is closed; a context manager."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, args=(_POLL_S,), name="webhook", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        text = host if isinstance(host, str) else host.decode()
        return f"http://{f'[{text}]' if ':' in text else text}:{port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> WebhookServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(
    host: str,
    port: int,
    secret: str,
    wake: threading.Event,
    *,
    repositories: Collection[str],
    pictures: Callable[[str], bytes | None] | None = None,
) -> WebhookServer:
    """Listens: `POST /webhook`, `GET /healthz`, and `GET /pictures/<comparison id>.svg` where there are any.

    It speaks plain HTTP: a proxy before it holds the certificate.

    Args:
        port: 0: any that is free.
        wake: set for the watcher.
        pictures: comparison id → the SVG, None where there is none; called in threads of the server's.
    Raises:
        UsageError: no secret, or no such address. MachineError: it is in use.
    """
    if not secret:
        raise UsageError(
            "the webhook has no secret", "set one, the same as in GitHub's settings of the webhook"
        )
    hook = Hook(secret, tuple(repositories), wake)
    try:
        return WebhookServer(_server_class(host)((host, port), _handler(hook, pictures)))
    except socket.gaierror as error:
        raise UsageError(
            f"no such address: {host!r} ({error.strerror})", "give one of this machine"
        ) from error
    except OSError as error:
        raise MachineError(
            f"cannot listen on {host}:{port}: {error.strerror}", "give another port"
        ) from error


def _server_class(host: str) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True
        request_queue_size = 2 * _MOST_AT_ONCE

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._room = threading.BoundedSemaphore(_MOST_AT_ONCE)

        def process_request(self, request: Any, client_address: Any) -> None:
            if self._room.acquire(blocking=False):
                super().process_request(request, client_address)
            else:
                self.shutdown_request(request)

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            try:
                super().process_request_thread(request, client_address)
            finally:
                self._room.release()

        def handle_error(self, request: Any, client_address: Any) -> None:
            # Clients that go away are usual; anything else is printed.
            if not isinstance(sys.exc_info()[1], OSError):
                super().handle_error(request, client_address)

    return Server


def _handler(hook: Hook, pictures: Callable[[str], bytes | None] | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S
        server_version, sys_version = "perfsuite", ""

        def do_POST(self) -> None:
            if self.path != "/webhook":
                return self._answer(HTTPStatus.NOT_FOUND)
            length = self.headers.get("Content-Length", "")
            if not re.fullmatch(r"[0-9]{1,12}", length):
                return self._answer(HTTPStatus.LENGTH_REQUIRED)
            if int(length) > _LONGEST_BODY:
                return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            body = self.rfile.read(int(length))
            return self._answer(
                hook.receive({name.lower(): value for name, value in self.headers.items()}, body)
            )

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/healthz":
                return self._answer(HTTPStatus.OK)
            match = _PICTURE.fullmatch(path)
            picture = pictures(match[1]) if match and pictures else None
            if picture is None:
                return self._answer(HTTPStatus.NOT_FOUND)
            return self._answer(HTTPStatus.OK, picture, _PICTURE_HEADERS)

        do_HEAD = do_GET  # noqa: N815 (http.server's names)

        def _answer(
            self, status: HTTPStatus, content: bytes | None = None, headers: Mapping[str, str] = _TEXT
        ) -> None:
            content = f"{status.phrase}\n".encode() if content is None else content
            self.send_response(status)
            for name, value in {**headers, "X-Content-Type-Options": "nosniff"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """A line for every request of everybody would fill the disk."""

    return Handler


def _repository(payload: Any) -> str | None:
    row = payload.get("repository") if isinstance(payload, dict) else None
    name = row.get("full_name") if isinstance(row, dict) else None
    return name if isinstance(name, str) else None
