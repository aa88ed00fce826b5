"""`perfsuite ci …`: the commands, composed. Everything heavy is imported when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ci import actions_command, watch_command
from perfsuite.errors import MachineError, UsageError

if TYPE_CHECKING:
    from ci.post import Comments
    from perfsuite.model import ComparisonReport

_Reference = Annotated[str, typer.Argument(metavar="[COMPARISON]", help="Id, start of an id, or “latest”.")]
_Database = Annotated[
    str | None,
    typer.Option(
        "--db", metavar="URL", help="The store: a file or a URL. Default: $PERFSUITE_DB, .perfsuite/."
    ),
]
_Links = Annotated[
    list[str] | None, typer.Option("--link", metavar="LABEL=URL", help="A link below the report; repeatable.")
]

_WRITE_IT = "write it with `perfsuite ci comment --output`"

commands = typer.Typer(help="The pull-request robot.", no_args_is_help=True, rich_markup_mode=None)
watch_command.register(commands)
actions_command.register(commands)


def register(app: typer.Typer) -> None:
    """Entry point `perfsuite.commands`: adds `perfsuite ci`."""
    app.add_typer(commands, name="ci")


@commands.command()
def comment(
    reference: _Reference = "latest",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file as well.")] = None,
    link: _Links = None,
    db: _Database = None,
) -> None:
    """Print a comparison as the comment of its pull request."""
    body = _body(reference, link, db)
    if output is not None:
        _write(output, body)
    typer.echo(body, nl=False)


@commands.command()
def post(
    repo: Annotated[str, typer.Option("--repo", metavar="OWNER/NAME", help="The repository on GitHub.")],
    pr: Annotated[int, typer.Option("--pr", help="Number of the pull request.")],
    reference: _Reference = "latest",
    body_file: Annotated[
        Path | None,
        typer.Option("--body-file", help="What `ci comment --output` wrote: no store is read."),
    ] = None,
    token_env: Annotated[
        str, typer.Option("--token-env", metavar="NAME", help="Environment variable that holds the token.")
    ] = "GITHUB_TOKEN",
    author: Annotated[
        str | None, typer.Option("--author", metavar="LOGIN", help="Login of the token's account, if known.")
    ] = None,
    api_url: Annotated[
        str, typer.Option("--api-url", envvar="GITHUB_API_URL", help="Another server than github.com.")
    ] = "https://api.github.com",
    link: _Links = None,
    db: _Database = None,
) -> None:
    """Write a comparison into its pull request: one comment, edited in place."""
    from ci.post import upsert
    from perfsuite.config import process_environ

    token = process_environ().get(token_env, "").strip()
    if not token:
        raise UsageError(
            f"no token: the environment variable {token_env} is not set",
            f"set {token_env}, or name another with --token-env",
        )
    body = _read_body(body_file) if body_file is not None else _body(reference, link, db)
    posted = upsert(_comments(token, repo, pr, author, api_url), body)
    typer.echo(f"{posted.action}: {posted.comment.url or f'comment {posted.comment.id}'}")


def _body(reference: str, links: list[str] | None, db: str | None) -> str:
    from ci.comment import comment_body

    return comment_body(_judged(reference, db), links=dict(_link(text) for text in links or ()))


def _judged(reference: str, db: str | None) -> ComparisonReport:
    from ci.publish import read_shown
    from perfsuite.config import load_config, override_database, process_environ
    from perfsuite.store import open_store

    config = load_config(Path.cwd(), process_environ(), required=False)
    with open_store(override_database(config, db, Path.cwd()).database, create=False) as store:
        return read_shown(store.reader, reference).report


def _link(text: str) -> tuple[str, str]:
    label, equals, url = text.partition("=")
    if not (label and equals and url):
        raise UsageError(f"not a link: {text!r}", "write it as LABEL=https://…")
    return label, url


def _read_body(path: Path) -> str:
    from ci.comment import MARKER
    from perfsuite.report.markdown import MAX_CHARACTERS

    try:
        body = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}", _WRITE_IT) from error
    if not body.startswith(MARKER):
        raise UsageError(
            f"{path} is not a comment of ours: {MARKER} is missing",
            _WRITE_IT,
        )
    if len(body) > MAX_CHARACTERS:
        raise UsageError(
            f"{path} is longer than the {MAX_CHARACTERS} characters that GitHub takes", _WRITE_IT
        )
    return body


def _write(path: Path, body: str) -> None:
    try:
        path.write_text(body, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "name another file") from error


def _comments(token: str, repository: str, number: int, author: str | None, api_url: str) -> Comments:
    try:
        from ci.github import GitHubHub, connect
    except ModuleNotFoundError as error:
        raise MachineError(f"the package {error.name!r} is missing", "pip install 'perfsuite[ci]'") from error
    from ci.post import PullComments

    return PullComments(GitHubHub(connect(token, api_url), repository, author), number)
