"""A private PostgreSQL server for tests: real, in a folder of its own, gone with the test process.

Use in a conftest.py: `from postgres import postgres_server, postgres_url`, then the fixture `postgres_url`.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

USER = "perfsuite"
START_TIMEOUT_S = 60
_PR_SET_PDEATHSIG = 1
_numbers = itertools.count()


class PostgresServer:
    """Listens on a unix socket in its own folder only; no durability, which tests do not need."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._as_user = _unprivileged()
        if self._as_user:
            shutil.chown(self.folder, self._as_user["user"], self._as_user["group"])
        data = self.folder / "data"
        bins = _programs()
        init: list[str | Path] = [bins / "initdb", "-D", data, "-U", USER, "--auth=trust", "--encoding=UTF8"]
        init.append("--no-sync")
        done = subprocess.run(
            init, cwd=self.folder, capture_output=True, text=True, check=False, **self._as_user
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        settings = ("fsync=off", "full_page_writes=off", "listen_addresses=", "max_connections=60")
        options = [part for setting in settings for part in ("-c", setting)]
        self._log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(
            [bins / "postgres", "-D", data, "-k", self.folder, *options],
            cwd=self.folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            preexec_fn=_dies_with_us(),  # noqa: PLW1509 - one call into libc, no locks
            **self._as_user,
        )
        self._wait()

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def create_database(self) -> str:
        """A further database's URL."""
        name = f"test_{next(_numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def empty_database(self) -> str:
        """The URL of one database, emptied: faster than a fresh one."""
        url = self.url("postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return url

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(START_TIMEOUT_S)
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self.folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL does not start:\n{log}") from None
                time.sleep(0.05)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole test session."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """An empty database for one test."""
    return postgres_server.empty_database()


def _programs() -> Path:
    """Debian keeps the server's programs out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found:
        return found[-1]
    on_path = shutil.which("initdb")
    if on_path is None:
        raise RuntimeError("these tests need PostgreSQL's server: apt-get install postgresql")
    return Path(on_path).parent


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as the user that its package made."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _dies_with_us() -> Callable[[], None]:
    library = ctypes.CDLL(None)
    return lambda: library.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
