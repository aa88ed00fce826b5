"""`perfsuite dashboard`: starts Streamlit on the page. Imports Streamlit only when it runs."""

from __future__ import annotations

import errno
import os
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from perfsuite.errors import MachineError, UsageError

PORT = 8501
"""Streamlit's own, so that what people know stays true."""
_NEEDS = ("streamlit", "plotly", "pandas")


def register(app: typer.Typer) -> None:
    """Entry point `perfsuite.commands`: adds `perfsuite dashboard`."""
    app.command("dashboard")(dashboard)


def dashboard(
    db: Annotated[
        str | None,
        typer.Option(
            "--db", metavar="URL", help="The store: a file or a URL. Default: $PERFSUITE_DB, .perfsuite/."
        ),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where it listens.")] = PORT,
    host: Annotated[
        str, typer.Option("--host", help="Address it listens on; 0.0.0.0 shows it to the network.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
) -> None:
    """Show runs, trends and comparisons in a browser, until Ctrl-C."""
    from perfsuite.config import load_config, override_database, process_environ

    _require_extra()
    _require_free(host, port)
    config = load_config(Path.cwd(), process_environ(), required=False)
    database = override_database(config, db, Path.cwd()).database
    # Not an argument: a URL may hold a password, and arguments are shown to every user of the machine.
    os.environ["PERFSUITE_DB"] = database
    typer.echo(f"dashboard: http://{_shown(host)}:{port}  (Ctrl-C ends it)")
    _serve(host, port, headless=not browser)
    typer.echo("dashboard ended")


def _require_extra() -> None:
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise MachineError(
            f"the dashboard needs packages that are not installed: {', '.join(missing)}",
            "pip install 'perfsuite[dashboard]'",
        )


def _require_free(host: str, port: int) -> None:
    """Streamlit would take the next port, or log and exit: neither says what to do."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UsageError(f"--host {host!r} is not an address of this machine", "try 127.0.0.1") from error
    with socket.socket(family, kind, protocol) as trial:
        # As the server does: a port whose last user has just ended is free.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(f"port {port} of {host} is in use", f"try --port {_other(port)}") from error
            raise UsageError(
                f"cannot listen on {host} port {port}: {error.strerror}", "give another --host or --port"
            ) from error


def _other(port: int) -> int:
    return port + 1 if port < 65535 else PORT


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _serve(host: str, port: int, *, headless: bool) -> None:
    from streamlit.web import bootstrap

    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": headless,
        "server.fileWatcherType": "none",
        # No outside requests: neither statistics nor the question for an e-mail address.
        "browser.gatherUsageStats": False,
        "server.showEmailPrompt": False,
        "global.developmentMode": False,
        "client.toolbarMode": "viewer",
        "logger.hideWelcomeMessage": True,
    }
    # The keys of options are written with "_" on a command line, and turned back by this function only.
    flags = {key.replace(".", "_"): value for key, value in options.items()}
    bootstrap.load_config_options(flags)
    bootstrap.run(str(Path(__file__).with_name("app.py")), False, [], flags)
