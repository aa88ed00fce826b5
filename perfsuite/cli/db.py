"""`perfsuite db`: where the store is, whether it is sound, and bringing it up to date."""

from __future__ import annotations

import re

import typer

from perfsuite.cli.options import DatabaseOption, JsonOption
from perfsuite.cli.shell import ValueOptionalCommand

commands = typer.Typer(help="The store: path, check, migrate.", no_args_is_help=True, rich_markup_mode=None)


@commands.command(cls=ValueOptionalCommand)
def path(context: typer.Context, db: DatabaseOption = None) -> None:
    """Print where the store is."""
    from perfsuite.cli.services import Services

    typer.echo(_without_password(Services.of(context).config(db, required=False).database))


@commands.command(cls=ValueOptionalCommand)
def check(context: typer.Context, db: DatabaseOption = None, json: JsonOption = None) -> None:
    """Look for damage. Exit code 1 where there is any."""
    from perfsuite import store as stores
    from perfsuite.cli.output import STANDARD_OUTPUT, check_target, show, show_json
    from perfsuite.cli.services import Services
    from perfsuite.errors import Exit

    check_target(json)
    config = Services.of(context).config(db, required=False)
    with stores.open_store(config.database, create=False) as store:
        problems = stores.check(store)
        label = store.label
    if json is not None:
        show_json({"schema": 1, "database": label, "problems": problems}, json)
    if json != STANDARD_OUTPUT:
        show("\n".join(problems) if problems else f"{label}: sound")
    raise typer.Exit(Exit.RED if problems else Exit.OK)


@commands.command(cls=ValueOptionalCommand)
def migrate(context: typer.Context, db: DatabaseOption = None) -> None:
    """Bring the store to this version, or create it. Every other command does so by itself."""
    from perfsuite.cli.services import Services
    from perfsuite.config import prepare_database
    from perfsuite.store import open_store

    config = Services.of(context).config(db, required=False)
    prepare_database(config)
    with open_store(config.database) as store:
        typer.echo(f"{store.label}: up to date")


def _without_password(database: str) -> str:
    return re.sub(r"(://[^:/@]*:)[^@]*@", r"\1***@", database)
