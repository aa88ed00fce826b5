"""A fake GitHub in a process of its own: prints two addresses, then serves until its input ends.

The first is GitHub's API. The second controls it: `POST /<method>` with a JSON object of arguments calls that
method of `FakeGitHub` (`/open_pull`, `/push`, `/comment`, `/fail`, `/go_down` …); `GET /<name>` reads
`items`, `comments`, `requests`, `check_runs`, `status_rows`, `events`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fakehub.server import FakeGitHub


def main() -> None:
    parser = argparse.ArgumentParser(prog="fakehub", description=__doc__)
    parser.add_argument("--repository", default="acme/kernels")
    parser.add_argument("--git", type=Path, help="a bare repository")
    parser.add_argument("--token", default="good-token")
    parser.add_argument("--actions", action="store_true", help="the token is a GitHub Actions job's")
    options = parser.parse_args()
    with FakeGitHub(**vars(options)) as github:
        control = ThreadingHTTPServer(("127.0.0.1", 0), _control(github))
        control.daemon_threads = True
        threading.Thread(target=control.serve_forever, daemon=True).start()
        print(github.url, f"http://127.0.0.1:{control.server_address[1]}", flush=True)
        sys.stdin.read()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _control(github: FakeGitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with github.lock:
                self._send(200, getattr(github, self.path.strip("/")))

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            arguments = json.loads(content) if content else {}
            try:
                self._send(200, getattr(github, self.path.strip("/"))(**arguments))
            except Exception as error:
                self._send(500, f"{type(error).__name__}: {error}")

        def _send(self, status: int, value: Any) -> None:
            content = json.dumps(value, default=_plain).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the tests' output."""

    return Handler


if __name__ == "__main__":
    main()
