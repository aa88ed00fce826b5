"""`perfsuite dashboard`: starts the server. Imports Streamlit only when it runs."""

from __future__ import annotations

import errno
import os
import re
import socket
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.errors import MachineError, UsageError

if TYPE_CHECKING:
    from dashboard.serving.server import Settings

PORT = 8501
"""Streamlit's own, so that what people know stays true."""
_NEEDS = ("streamlit", "plotly", "pandas", "prometheus_client")


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
    base_path: Annotated[
        str,
        typer.Option("--base-path", metavar="PATH", help="Where a reverse proxy shows it, such as /perf."),
    ] = "",
    user_header: Annotated[
        str | None,
        typer.Option(
            "--user-header",
            metavar="NAME",
            help="Header in which a trusted proxy names the visitor, who may then triage alerts.",
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy",
            metavar="ADDRESS",
            help="Whose --user-header counts: an address or a network; repeatable. Default: this machine.",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            help="Name by which browsers call it, such as that of a proxy; repeatable. Default: localhost; "
            "any, where --host shows it to the network.",
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Show measurements of an H200 that come with perfsuite.")
    ] = False,
) -> None:
    """Show runs, trends and comparisons in a browser, until Ctrl-C.

    It only reads, unless PERFSUITE_DASHBOARD_SECRET is set: whoever knows that secret may triage alerts.
    """
    from perfsuite.config import load_config, override_database, process_environ

    if demo and db:
        raise UsageError("--demo brings its own database: --db has no place beside it", "give one of them")
    _require_extra()
    from dashboard.serving.proxy import LOCAL, networks
    from dashboard.serving.server import Settings

    trusted = tuple(trusted_proxy or LOCAL)
    networks(trusted)
    base = base_path.strip("/")
    allowed = tuple(name.lower() for name in allowed_host or ())
    _require_names(base, user_header, allowed)
    _require_free(host, port)
    with ExitStack() as stack:
        if demo:
            from dashboard.serving.demonstration import demonstration

            database = stack.enter_context(demonstration())
        else:
            config = load_config(Path.cwd(), process_environ(), required=False)
            database = override_database(config, db, Path.cwd()).database
        _hand_over(database, user_header, demo=demo)
        _serve(Settings(host, port, database, base, browser, user_header, trusted, allowed))
    typer.echo("dashboard ended")


def _hand_over(database: str, user_header: str | None, *, demo: bool) -> None:
    """Tells the pages, which run in this process, what the command line said."""
    from dashboard.serving import access

    # Not an argument: a URL may hold a password, and arguments are shown to every user of the machine.
    os.environ["PERFSUITE_DB"] = database
    os.environ[access.USER_HEADER] = user_header or ""
    os.environ[access.DEMO] = "1" if demo else ""


def _require_names(base_path: str, user_header: str | None, allowed: tuple[str, ...]) -> None:
    if not re.fullmatch(r"[\w~-][\w.~-]*(/[\w~-][\w.~-]*)*", base_path or "x", re.ASCII):
        raise UsageError(
            f"--base-path {base_path!r} is no path of an address",
            "write letters, digits and /, such as /perf",
        )
    if user_header is not None and not re.fullmatch(r"[\w-]+", user_header, re.ASCII):
        raise UsageError(
            f"--user-header {user_header!r} is no name of a header", "write one such as X-Forwarded-User"
        )
    for name in allowed:
        if not re.fullmatch(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*|\[[0-9a-f:.]+\]", name, re.ASCII):
            raise UsageError(
                f"--allowed-host {name!r} is no name of a host",
                "write one such as perf.example.com, without https:// and port, or *.example.com",
            )


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


def _serve(settings: Settings) -> None:
    from dashboard.serving.access import Access
    from dashboard.serving.server import serve

    def ready() -> None:
        typer.echo(f"dashboard: {settings.url}  (Ctrl-C ends it)")
        if Access.current().demo:
            typer.echo("This is a demo: what you triage is forgotten when it ends.")

    serve(settings, ready)
