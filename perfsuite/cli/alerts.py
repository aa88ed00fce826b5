"""`perfsuite alerts`: what moved on the default branch, and what people made of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from perfsuite.cli.options import DatabaseOption, JsonOption, PatternOption
from perfsuite.cli.shell import ValueOptionalCommand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfsuite.cli.services import Services
    from perfsuite.model import Alert


class State(StrEnum):
    """The model's `AlertState`: a copy, so that help needs not import the model."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    EXPECTED = "expected"
    FIXED = "fixed"
    NOISE = "noise"


_WAITING = (State.OPEN, State.ACKNOWLEDGED)
"""What still asks for somebody: shown unless something else is asked for."""


class _ListByDefault(TyperGroup):
    """`perfsuite alerts --all` is `perfsuite alerts list --all`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        plain = not args or (args[0].startswith("-") and args[0] not in ("-h", "--help"))
        return super().parse_args(ctx, ["list", *args] if plain else args)


commands = typer.Typer(
    cls=_ListByDefault, help="What moved on the default branch: list, set, update.", rich_markup_mode=None
)
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The beginning of the alert's id.")]
StateArgument = Annotated[State, typer.Argument(metavar="STATE", help=", ".join(State))]
StateOption = Annotated[
    list[State] | None, typer.Option("--state", help="Only alerts in this state; may be repeated.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Those that were dealt with, too.")]
RepositoryOption = Annotated[
    str | None, typer.Option("--repository", metavar="NAME", help="Only of this repository.")
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for those who come later.")]
ByOption = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who says so. Default: git's user.name, else $USER."),
]


@commands.command("list", cls=ValueOptionalCommand)
def list_alerts(
    context: typer.Context,
    state: StateOption = None,
    everything: AllOption = False,
    pattern: PatternOption = "",
    repository: RepositoryOption = None,
    db: DatabaseOption = None,
    json: JsonOption = None,
) -> None:
    """List alerts, the newest first. Default: those that are open or acknowledged."""
    from perfsuite.cases import match_cases
    from perfsuite.cli.output import check_target
    from perfsuite.cli.services import Services
    from perfsuite.model import AlertState
    from perfsuite.store import open_store

    services = Services.of(context)
    check_target(json)
    states = None if everything and not state else [AlertState(one) for one in state or _WAITING]
    with open_store(services.config(db, required=False).database, create=False) as store:
        found = store.reader.alerts(repository, states=states)
    cases = set(match_cases(pattern, [alert.case for alert in found]))
    _show([alert for alert in found if alert.case in cases], json)


@commands.command("set", cls=ValueOptionalCommand)
def set_alert(
    context: typer.Context,
    reference: IdArgument,
    state: StateArgument,
    reason: ReasonOption,
    by: ByOption = None,
    db: DatabaseOption = None,
    json: JsonOption = None,
) -> None:
    """Say what an alert is: a triaged alert stays what it was said to be."""
    from perfsuite.cli.measuring import now
    from perfsuite.cli.output import check_target
    from perfsuite.cli.services import Services
    from perfsuite.errors import UsageError
    from perfsuite.model import AlertState
    from perfsuite.store import open_store

    services = Services.of(context)
    check_target(json)
    if not reason.strip():
        raise UsageError("--reason is empty", "say why in a few words")
    with open_store(services.config(db, required=False).database, create=False) as store:
        found = store.reader.alert(reference)
        store.set_alert(found.id, AlertState(state), reason.strip(), by or _user(services), now())
        _show([store.reader.alert(found.id)], json)


@commands.command("update", cls=ValueOptionalCommand)
def update(
    context: typer.Context,
    repository: RepositoryOption = None,
    db: DatabaseOption = None,
    json: JsonOption = None,
) -> None:
    """Look through the series of the default branch; print the alerts that are new or changed."""
    from perfsuite.cli.output import check_target
    from perfsuite.cli.services import Services
    from perfsuite.cli.updating import default_branch_of, known_repositories, update_alerts
    from perfsuite.store import open_store

    services = Services.of(context)
    check_target(json)
    config = services.config(db, required=False)
    with open_store(config.database, create=False) as store:
        changed = [
            alert
            for name in ([repository] if repository else known_repositories(store.reader))
            for alert in update_alerts(store, name, branch=default_branch_of(config, name))
        ]
    _show(changed, json, nothing="No alert is new or changed.")


def _show(alerts: Sequence[Alert], json: str | None, nothing: str = "No alerts.") -> None:
    from perfsuite.cli.output import STANDARD_OUTPUT, show, show_json
    from perfsuite.report.alerts import alerts_json, alerts_text

    if json is not None:
        show_json(alerts_json(alerts), json)
    if json != STANDARD_OUTPUT:
        show(alerts_text(alerts) if alerts else nothing)


def _user(services: Services) -> str:
    from perfsuite.errors import UsageError
    from perfsuite.git import NotARepository, Repository

    try:
        known = Repository.discover(services.cwd).user
    except NotARepository:
        known = ""
    names = (known, *(services.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")))
    found = next(filter(None, names), "")
    if not found:
        raise UsageError("it is not known who you are", "name yourself with --by")
    return found
