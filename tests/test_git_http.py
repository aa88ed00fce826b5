"""Fetching over HTTP with a token, served by git's own backend: what GitHub does, on this machine."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from git_example import commit, git, repository

from perfsuite.errors import UsageError
from perfsuite.git import Mirror, Repository

HEADER = "Authorization: Basic eDpzZWNyZXQ="


class _Git(http.server.BaseHTTPRequestHandler):
    """`git http-backend` behind a password."""

    root: Path
    protocol_version = "HTTP/1.0"

    def _serve(self) -> None:
        if self.headers.get("Authorization") != HEADER.partition(": ")[2]:
            self.send_error(401)
            return
        parts = urlsplit(self.path)
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        done = subprocess.run(
            ("git", "http-backend"), env=environ, input=body, capture_output=True, check=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200 OK").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """Serves `owner/name.git`, whose main has the submodule `../lib.git`, and that."""
    root = tmp_path / "served" / "owner"
    lib = repository(tmp_path / "lib", text="lib\n")
    work = repository(tmp_path / "work", a="1\n")
    git(work, "submodule", "--quiet", "add", str(lib), "lib")
    git(work, "config", "--file", ".gitmodules", "submodule.lib.url", "../lib.git")
    commit(work, "with lib")
    root.mkdir(parents=True)
    for source, name in ((work, "name.git"), (lib, "lib.git")):
        git(root, "clone", "--quiet", "--bare", str(source), name)
    git(root / "name.git", "update-ref", "refs/pull/7/head", "main~1")
    handler = type("Handler", (_Git,), {"root": root.parent})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_private_repository_and_its_submodule_need_the_token_once(host: str, tmp_path: Path) -> None:
    url = f"{host}/owner/name.git"
    mirror = Mirror.open(tmp_path / "mirror.git", url, "owner/name", lambda: HEADER)
    assert mirror.fetch(pulls=[7, 8]) == (8,)
    home = mirror.home(tmp_path / "home", "main")
    mirror.trust_submodules(home, "main")
    mirror.cache_submodules(home, "main")
    # Whoever measures there has no token.
    with Repository.discover(home).worktree("main") as path:
        assert (path / "lib" / "text").read_text() == "lib\n"
    written = [file.read_bytes() for file in tmp_path.rglob("config") if file.is_file()]
    assert written and not any(b"eDpz" in content for content in written)
    with pytest.raises(UsageError, match="token"):
        Mirror.open(tmp_path / "other.git", url, "owner/name").fetch()
