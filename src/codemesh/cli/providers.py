"""`codemesh providers`: every provider that is known, and where its credentials are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from codemesh import model
from codemesh.cli import terminal
from codemesh.cli.options import Json
from codemesh.cli.session import session_of
from codemesh.errors import LockedError
from codemesh.providers import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codemesh.cli.session import Session
    from codemesh.providers.table import Provider


def providers(ctx: typer.Context, json: Json = False) -> None:
    """Show every provider, how to log in there, and where its credentials are."""
    from codemesh.providers import settings  # which loads pydantic

    session = session_of(ctx)
    config = session.config()
    known = settings.resolve(config)
    entries = _entries(session)
    found = [_described(provider, entries, session.environ) for provider in known]
    if json:
        terminal.out_json({"providers": found})
        return
    for provider, described in zip(known, found, strict=True):
        terminal.show(f"{terminal.clean(provider.id):<12} {terminal.clean(provider.name)}")
        for line in _lines(provider, described):
            terminal.show(f"{'':<12} {terminal.clean(line)}")


def _entries(session: Session) -> list[str] | None:
    """The names of all entries; None if the store is locked, which nobody is asked to open."""
    try:
        return session.store(ask=False).names()
    except LockedError:
        return None


def _described(
    provider: Provider, entries: list[str] | None, environ: Mapping[str, str]
) -> dict[str, object]:
    spellings = set(table.spellings(provider.id))
    own = None
    if entries is not None:
        own = [name for name in entries if model.split_name(name)[0] in spellings]
    return {
        "id": provider.id,
        "name": provider.name,
        "aliases": list(provider.aliases),
        "base_url": provider.base_url or None,
        "chat": provider.chat,
        "model": provider.model or None,
        "methods": list(provider.methods),
        "variables": list(provider.variables),
        "entries": own,
        "variable": next((name for name in provider.variables if environ.get(name)), None),
    }


def _lines(provider: Provider, described: dict[str, object]) -> list[str]:
    where = f"at {provider.base_url}" if provider.base_url else "where its credential says"
    lines = [
        where + (f", model {provider.model}" if provider.model else ""),
        "log in by " + ", ".join(provider.methods),
    ]
    if described["variable"]:
        lines.append(f"credential in {described['variable']}")
    entries = described["entries"]
    if entries is None:
        lines.append("the store is locked")
    elif isinstance(entries, list) and entries:
        lines.append("credential in the store: " + ", ".join(entries))
    return lines
