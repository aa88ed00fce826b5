"""`perfsuite ci watch` and `perfsuite ci health`: options, and what they become."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.errors import Exit, MachineError, UsageError

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

    from ci.hub import Hub
    from perfsuite.store import Store

_Repositories = Annotated[
    list[str], typer.Option("--repo", metavar="OWNER/NAME", help="A repository to watch; repeatable.")
]
_Database = Annotated[
    str | None,
    typer.Option("--db", metavar="URL", help="The store. Default: $PERFSUITE_DB, else in --state."),
]
_State = Annotated[
    Path, typer.Option("--state", metavar="DIR", help="Folder of mirrors, checkouts, caches and logs.")
]
_TokenEnv = Annotated[
    str, typer.Option("--token-env", metavar="NAME", help="Environment variable that holds the token.")
]
_ApiUrl = Annotated[str, typer.Option("--api-url", envvar="GITHUB_API_URL", help="Another server.")]
_DEFAULT_STATE = Path(".perfsuite/ci")
_DAY_S = 86_400.0


def register(commands: typer.Typer) -> None:
    """Adds the commands to `perfsuite ci`."""
    commands.command("watch")(watch)
    commands.command("health")(health)


def watch(
    repo: _Repositories,
    token_env: _TokenEnv = "GITHUB_TOKEN",
    app_id: Annotated[
        str | None, typer.Option("--app-id", help="Act as this GitHub App instead of with a token.")
    ] = None,
    app_key: Annotated[
        Path | None, typer.Option("--app-key", metavar="FILE", help="The App's private key, PEM.")
    ] = None,
    api_url: _ApiUrl = "https://api.github.com",
    git_url: Annotated[
        str, typer.Option("--git-url", metavar="URL", help="Fetch from here, not from where GitHub says.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Do what is wanted now, then end.")] = False,
    interval: Annotated[float, typer.Option("--interval", metavar="SECONDS", min=1)] = 30.0,
    pattern: Annotated[str, typer.Option("--pattern", "-k", help="Measure only these cases.")] = "",
    profile: Annotated[str, typer.Option("--profile", help="quick, pr or full.")] = "pr",
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", min=10, help="Of one measurement.")
    ] = 3600.0,
    wait_idle: Annotated[
        float, typer.Option("--wait-idle", metavar="SECONDS", min=0, help="For a GPU that others use.")
    ] = 900.0,
    confine: Annotated[
        bool, typer.Option("--confine/--no-confine", help="Trials without network and foreign files.")
    ] = True,
    label: Annotated[
        str, typer.Option("--label", help="Label with which a writer approves a fork's head.")
    ] = "perf-approved",
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="Webhooks wake the service; pictures are served."),
    ] = None,
    secret_env: Annotated[
        str, typer.Option("--secret-env", metavar="NAME", help="Variable with the webhooks' secret.")
    ] = "PERFSUITE_WEBHOOK_SECRET",
    public_url: Annotated[
        str, typer.Option("--public-url", metavar="URL", help="Where --listen is reached from outside.")
    ] = "",
    dashboard: Annotated[str, typer.Option("--dashboard", metavar="URL", help="Comments link to it.")] = "",
    worker: Annotated[
        str, typer.Option("--worker", metavar="NAME", help="Default: of the host and --state.")
    ] = "",
    quiet_days: Annotated[
        float, typer.Option("--quiet-days", min=0, help="So long without a run is an alert.")
    ] = 3.0,
    issues: Annotated[
        bool, typer.Option("--issues", help="An issue for each open alert of the main line.")
    ] = False,
    state: _State = _DEFAULT_STATE,
    db: _Database = None,
) -> None:
    """Watch pull requests and the main line: measure, comment, answer `/perf` commands, raise alerts."""
    from ci.watching import Options, log_to
    from ci.watching import watch as begin
    from perfsuite.config import process_environ
    from perfsuite.guard import hide_environment
    from perfsuite.store import open_store

    environ = process_environ()
    hide_environment()
    log_to()
    state = state.absolute()
    repo = _once_each(repo)
    hubs = _hubs(repo, environ, token_env, app_id, app_key, api_url)
    _make_state(state)
    options = Options(
        state=state,
        environ=environ,
        interval_s=interval,
        profile=_profile(profile),
        pattern=pattern,
        worker=worker,
        time_limit_s=time_limit,
        wait_idle_s=wait_idle,
        confine=confine,
        git_url=git_url,
        dashboard=dashboard,
        pictures=f"{public_url.rstrip('/')}/pictures" if public_url and listen else "",
        label=label,
        quiet_after=timedelta(days=quiet_days),
        issues=issues,
    )
    with open_store(_database(db, environ, state)) as store:
        wake = _listen(listen, environ.get(secret_env, ""), secret_env, repo, store) if listen else None
        begin(hubs, store, options, once=once, wake=wake)


def health(
    repo: Annotated[
        str | None, typer.Option("--repo", metavar="OWNER/NAME", help="Default: all in the store.")
    ] = None,
    quiet_days: Annotated[float, typer.Option("--quiet-days", min=0)] = 3.0,
    worker_minutes: Annotated[float, typer.Option("--worker-minutes", min=1)] = 60.0,
    state: _State = _DEFAULT_STATE,
    db: _Database = None,
) -> None:
    """Say what has gone silent; exit code 1 if anything has. For a monitor that runs elsewhere."""
    from ci.silence import silent
    from perfsuite.config import process_environ
    from perfsuite.store import open_store

    now = datetime.now(UTC)
    with open_store(_database(db, process_environ(), state.absolute()), create=False) as store:
        workers, jobs = store.jobs.workers(repo), store.jobs.jobs(repo, limit=1000)
        names = [repo] if repo else sorted({w.repository for w in workers} | {j.repository for j in jobs})
        found = []
        for name in names:
            runs = store.reader.runs(limit=1, kind="run", repository=name)
            wanted = [job for job in jobs if job.repository == name and job.kind.value == "run"]
            found += [
                f"{name} {quiet.name}: {quiet.text}"
                for quiet in silent(
                    now,
                    runs=(runs[0].finished_at or runs[0].started_at) if runs else None,
                    newest_commit_at=wanted[0].created_at if wanted else None,
                    jobs=[job for job in jobs if job.repository == name],
                    workers=[worker for worker in workers if worker.repository == name],
                    quiet_after_s=quiet_days * _DAY_S,
                    worker_after_s=worker_minutes * 60,
                )
            ]
            found += [
                f"{name} {alert.case}: {alert.kind} since {alert.raised_at:%Y-%m-%d}"
                for alert in store.reader.alerts(name)
                if alert.kind == "missing" and alert.state.value == "open"
            ]
    typer.echo("\n".join(found) or "Nothing is silent.")
    raise typer.Exit(Exit.RED if found else Exit.OK)


def _once_each(repositories: Sequence[str]) -> list[str]:
    """GitHub does not tell upper from lower case."""
    found: dict[str, str] = {}
    for name in repositories:
        found.setdefault(name.casefold(), name)
    return list(found.values())


def _hubs(
    repositories: Sequence[str],
    environ: Mapping[str, str],
    token_env: str,
    app_id: str | None,
    app_key: Path | None,
    api_url: str,
) -> list[Hub]:
    try:
        from ci.github import GitHubHub, connect, connect_app
    except ModuleNotFoundError as error:
        raise MachineError(f"the package {error.name!r} is missing", "pip install 'perfsuite[ci]'") from error
    if app_id or app_key:
        if not (app_id and app_key):
            raise UsageError("--app-id and --app-key belong together", "give both, or a token")
        key = _read_key(app_key)
        return [GitHubHub(connect_app(app_id, key, name, api_url), name) for name in repositories]
    token = environ.get(token_env, "").strip()
    if not token:
        raise UsageError(
            f"no token: the environment variable {token_env} is not set",
            f"set {token_env}, name another with --token-env, or act as an App with --app-id",
        )
    return [GitHubHub(connect(token, api_url, patient=False), name) for name in repositories]


def _read_key(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the key {path}: {error}", "name the App's PEM file") from error


def _make_state(state: Path) -> None:
    try:
        state.mkdir(parents=True, exist_ok=True)
        ignore = state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot make {state}: {error.strerror}", "name another --state") from error


def _database(db: str | None, environ: Mapping[str, str], state: Path) -> str:
    named = db or environ.get("PERFSUITE_DB") or ""
    if named and "://" not in named:
        return str(Path(named).expanduser().absolute())
    return named or str(state / "perfsuite.db")


def _profile(name: str) -> str:
    known = ("quick", "pr", "full")
    if name not in known:
        raise UsageError(f"--profile {name!r} is not known", f"one of {', '.join(known)}")
    return name


def _listen(
    address: str, secret: str, secret_env: str, repositories: Sequence[str], store: Store
) -> threading.Event:
    """Serves webhooks and pictures in a thread; the event is set when something may be new."""
    import threading

    from ci.publish import read_shown
    from ci.webhook import serve
    from perfsuite.errors import PerfsuiteError
    from perfsuite.report.forest import forest_svg

    host, colon, port = address.rpartition(":")
    if not (colon and port.isdigit()):
        raise UsageError(f"--listen {address!r} is not HOST:PORT", "such as 127.0.0.1:8080")
    if not secret:
        raise UsageError(f"no secret: {secret_env} is not set", "set it to the webhooks' secret")
    wake = threading.Event()

    def picture(comparison: str) -> bytes | None:
        try:
            return forest_svg(read_shown(store.reader, comparison).report).encode()
        except PerfsuiteError:
            return None

    serve(host or "127.0.0.1", int(port), secret, wake, repositories=repositories, pictures=picture)
    return wake
