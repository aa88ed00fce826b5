"""`perfsuite ci wanted`, `pr`, `main` and `post-artifact`: the steps of a workflow of GitHub Actions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfsuite.errors import MachineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.actions import Wanted
    from ci.actions_job import Options
    from ci.hub import Hub

_Event = Annotated[
    Path, typer.Option("--event", metavar="FILE", envvar="GITHUB_EVENT_PATH", help="The event's payload.")
]
_Profile = Annotated[str, typer.Option("--profile", help="quick, pr or full.")]
_Pattern = Annotated[str, typer.Option("--pattern", "-k", help="Measure only these cases.")]
_Threshold = Annotated[
    str,
    typer.Option("--threshold", metavar="SHARE", help="Relevant change, such as 2%. Default: configured."),
]
_Report = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Also write the result as Markdown.")
]
_TokenEnv = Annotated[
    str, typer.Option("--token-env", metavar="NAME", help="Environment variable that holds the token.")
]
_ApiUrl = Annotated[str, typer.Option("--api-url", envvar="GITHUB_API_URL", help="Another server.")]
_API_URL = "https://api.github.com"
_PROFILES = ("quick", "pr", "full")


def register(commands: typer.Typer) -> None:
    """Adds the commands to `perfsuite ci`."""
    commands.command("wanted")(wanted)
    commands.command("pr")(pr)
    commands.command("main")(main)
    commands.command("post-artifact")(post_artifact)


def wanted(event: _Event, token_env: _TokenEnv = "GITHUB_TOKEN", api_url: _ApiUrl = _API_URL) -> None:
    """Say what a GitHub event asks for: outputs kind, head, pull and foreign of the step.

    A fork's head needs the label of somebody with write access; GitHub is asked whether they have it.
    """
    from ci.actions import Step
    from perfsuite.config import process_environ
    from perfsuite.guard import hide_environment

    hide_environment()
    environ = process_environ()
    found = _wanted(event, environ)
    if found.foreign:
        _require_writer(_hub(environ, token_env, api_url), found.approved_by)
    outputs = {"kind": found.kind.value, "head": found.head, "pull": str(found.pull or "")}
    Step.of(environ).set(**outputs, foreign=str(found.foreign).lower())
    typer.echo(f"nothing is measured: {found.why_not}" if not found else f"{found.kind} {found.head}")


def pr(
    event: _Event,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The artifact's folder.")],
    profile: _Profile = "pr",
    pattern: _Pattern = "",
    threshold: _Threshold = "",
    report: _Report = None,
) -> None:
    """Measure the pull request of a GitHub event against its merge base; needs no token.

    Run in a clone that has all branches and the head. Exit code 1: it made something worse.
    """
    from ci.actions import Kind, Step
    from ci.actions_job import run_pull
    from perfsuite.config import process_environ

    environ = process_environ()
    found = _wanted(event, environ)
    _require(Kind.PULL, found)
    raise typer.Exit(
        run_pull(found, output, _options(environ, profile, pattern, threshold, report), Step.of(environ))
    )


def main(event: _Event, profile: _Profile = "pr", pattern: _Pattern = "", report: _Report = None) -> None:
    """Measure the commit that a GitHub event pushed to the default branch, for the series and alerts."""
    from ci.actions import Kind, Step
    from ci.actions_job import run_main
    from perfsuite.config import process_environ

    environ = process_environ()
    found = _wanted(event, environ)
    _require(Kind.MAIN, found)
    raise typer.Exit(run_main(found, _options(environ, profile, pattern, "", report), Step.of(environ)))


def post_artifact(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `perfsuite ci pr --output` wrote.")],
    event: _Event,
    threshold: _Threshold = "",
    token_env: _TokenEnv = "GITHUB_TOKEN",
    api_url: _ApiUrl = _API_URL,
) -> None:
    """Judge an artifact anew and write it into its pull request: one comment and one check.

    Nothing in the artifact is trusted. Run in a clone of the base branch, never of the pull request.
    """
    from datetime import UTC, datetime
    from functools import partial

    from ci import artifact
    from ci.actions import read_event
    from ci.rules import rules_at
    from perfsuite.config import process_environ
    from perfsuite.guard import hide_environment

    hide_environment()
    hub = _hub(process_environ(), token_env, api_url)
    rules = partial(rules_at, Path.cwd(), threshold=_share(threshold))
    done = artifact.post_artifact(hub, folder, read_event(event), rules, datetime.now(UTC))
    if done.posted is None:
        typer.echo(f"nothing is posted: {done.why_not}")
    else:
        comment = done.posted.comment
        typer.echo(f"{done.posted.action}: {comment.url or f'comment {comment.id}'}")


def _wanted(event: Path, environ: Mapping[str, str]) -> Wanted:
    from ci import actions

    name = _needed(environ, "GITHUB_EVENT_NAME")
    return actions.wanted(name, actions.read_event(event), _needed(environ, "GITHUB_REPOSITORY"))


def _require(kind: str, found: Wanted) -> None:
    if found.kind != kind:
        raise UsageError(
            f"this event asks for no {kind}: {found.why_not or found.kind}", "see perfsuite ci wanted"
        )


def _require_writer(hub: Hub, login: str) -> None:
    """Whoever may label is not yet allowed to run foreign code: triage comes without write access."""
    if not hub.may_write(login):
        raise UsageError(
            f"{login} gave the label, and has no write access to {hub.repository}",
            "somebody with write access takes it away and gives it again",
        )


def _options(
    environ: Mapping[str, str], profile: str, pattern: str, threshold: str, report: Path | None
) -> Options:
    from ci.actions_job import Options

    if profile not in _PROFILES:
        raise UsageError(f"--profile {profile!r} is not known", f"one of {', '.join(_PROFILES)}")
    return Options(
        repository=_needed(environ, "GITHUB_REPOSITORY"),
        clone=Path.cwd(),
        environ=environ,
        profile=profile,
        pattern=pattern.strip(),
        threshold=_share(threshold),
        report=report.absolute() if report else None,
    )


def _share(text: str) -> float | None:
    from perfsuite.units import parse_share

    try:
        return parse_share(text) if text.strip() else None
    except ValueError:
        raise UsageError(f"--threshold {text!r} is not a share", "such as 2% or 0.02") from None


def _hub(environ: Mapping[str, str], token_env: str, api_url: str) -> Hub:
    try:
        from ci.github import GitHubHub, connect
    except ModuleNotFoundError as error:
        raise MachineError(f"the package {error.name!r} is missing", "pip install 'perfsuite[ci]'") from error
    return GitHubHub(connect(_needed(environ, token_env), api_url), _needed(environ, "GITHUB_REPOSITORY"))


def _needed(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise UsageError(f"{name} is not set", "GitHub Actions sets it; elsewhere set it yourself")
    return value
