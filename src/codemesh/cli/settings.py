"""`codemesh config`: where the configuration lies, what it says, and changing one value."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from codemesh import config as configuration
from codemesh.backends import registry
from codemesh.choice import Unlocking, open_backend, store_paths
from codemesh.cli import stores, terminal
from codemesh.cli.session import session_of
from codemesh.errors import CodemeshError

if TYPE_CHECKING:
    from codemesh.cli.session import Session
    from codemesh.config import Config

app = typer.Typer(help="See and change config.toml.", no_args_is_help=True)


@app.command()
def path() -> None:
    """Print the path of config.toml, whether it exists or not."""
    terminal.show(terminal.clean(configuration.path_of(configuration.find_home())))


@app.command()
def show(ctx: typer.Context) -> None:
    """Print every value that config.toml sets."""
    session = session_of(ctx)
    config = session.config()
    values = list(configuration.flatten(config.tables))
    for key, value in values:
        terminal.show(terminal.clean(f"{key} = {configuration.as_toml(value)}"))
    if not values:
        session.say(f"{terminal.short_path(config.path)} sets nothing.")


@app.command("set")
def set_value(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="Such as lock_timeout, or backends.encrypted.cost.")],
    value: Annotated[str, typer.Argument(help='Text, or a list such as ["pass", "show", "x"].')],
) -> None:
    """Change one value of config.toml; comments and order stay."""
    session = session_of(ctx)
    if key == "backend":
        stores.select(session, value)
        return
    config = session.config()
    with config.lock():
        parsed = configuration.parse_argument(key, value)
        changed = configuration.set_value(
            config, key, parsed, registry.option_checks(), _check_providers
        )
    session.say(f"{key} is set in {terminal.short_path(config.path)}.")
    _tell_what_stays(session, config, changed)


def _check_providers(config: Config) -> None:
    """Refuse what no provider can be, before it is written."""
    if "providers" in config.tables:
        from codemesh.providers import settings  # which loads pydantic

        settings.resolve(config)


def _tell_what_stays(session: Session, before: Config, after: Config) -> None:
    """Say where entries are left behind, if a store lies somewhere else from now on."""
    paths = store_paths(after)
    for name, path in store_paths(before).items():
        if path != paths[name] and os.path.lexists(path):
            here, there = terminal.short_path(path), terminal.short_path(paths[name])
            session.say(f"What {here} has stays there. To keep using it, move it to {there}.")
    for entry in registry.lasting():
        options = before.backend_options(entry.name, entry.options)
        if entry.file or options == after.backend_options(entry.name, entry.options):
            continue
        try:
            old, new = (
                open_backend(config, entry.name, Unlocking()).status()
                for config in (before, after)
            )
        except CodemeshError:
            continue  # what is not there now can only be looked at later
        if old.entries and old.where != new.where:
            session.say(f"What {old.where} has stays there, under the old value of this key.")
