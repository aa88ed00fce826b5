"""Starting the dashboard: what it refuses, and that it imports nothing before."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from dashboard import command
from perfsuite.errors import MachineError, PerfsuiteError, UsageError


def start(*arguments: str) -> BaseException | None:
    app = typer.Typer()
    command.register(app)
    return CliRunner().invoke(app, ["--no-browser", *arguments]).exception


def test_registering_imports_nothing_heavy() -> None:
    code = (
        "import sys, dashboard.command, ci.command;"
        "print(sorted({m.split('.')[0] for m in sys.modules}"
        " & {'streamlit', 'pandas', 'plotly', 'torch', 'sqlalchemy', 'numpy', 'github3', 'requests'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_port_in_use_is_named_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_serve", lambda *_, **__: pytest.fail("started"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = start("--port", str(port))
    assert isinstance(error, UsageError)
    assert f"port {port}" in error.what
    assert "--port" in error.next_step


def test_a_host_that_is_not_ours_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_serve", lambda *_, **__: pytest.fail("started"))
    error = start("--host", "192.0.2.1", "--port", "8599")
    assert isinstance(error, PerfsuiteError)
    assert "192.0.2.1" in error.what


def test_a_missing_extra_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "plotly" else object())
    error = start()
    assert isinstance(error, MachineError)
    assert "plotly" in error.what
    assert "perfsuite[dashboard]" in error.next_step


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--base-path", "/a b", "--base-path"),
        ("--base-path", "/a/../b//", "--base-path"),
        ("--user-header", "X-User: eve", "--user-header"),
        ("--trusted-proxy", "proxy.example", "--trusted-proxy"),
        ("--allowed-host", "https://perf.example.com", "--allowed-host"),
        ("--allowed-host", "perf.example.com:8501", "--allowed-host"),
        ("--allowed-host", "perf*.example.com", "--allowed-host"),
    ],
)
def test_what_a_proxy_is_told_by_is_checked(
    monkeypatch: pytest.MonkeyPatch, option: str, value: str, word: str
) -> None:
    monkeypatch.setattr(command, "_serve", lambda *_, **__: pytest.fail("started"))
    error = start(option, value)
    assert isinstance(error, UsageError)
    assert word in error.what


def test_a_demo_has_a_database_of_its_own() -> None:
    error = start("--demo", "--db", "x.db")
    assert isinstance(error, UsageError)
    assert "--demo" in error.what
