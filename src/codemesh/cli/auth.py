"""`codemesh auth`: list, show, token, logout and recover; login has a file of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from codemesh import model
from codemesh.cli import listing, login, terminal, token
from codemesh.cli.options import Json, Name, Yes
from codemesh.cli.session import session_of
from codemesh.errors import (
    CodemeshError,
    DamagedError,
    NewerVersionError,
    NotUnderstoodError,
    RefusedError,
    UsageError,
    WrongPassphraseError,
)
from codemesh.model import OAuth
from codemesh.secret import Secret

if TYPE_CHECKING:
    from codemesh.backends.base import Salvage
    from codemesh.cli.session import Session
    from codemesh.model import Record
    from codemesh.store import Store

_WRONG = (
    "If the passphrase is right, the header was altered, and nothing opens it: bring a copy "
    "back, or move the file away and log in again."
)

app = typer.Typer(help="Log in, list, read and log out.", no_args_is_help=True)
app.command("login")(login.login)


@app.command("list")
@app.command("status", hidden=True)
def list_credentials(ctx: typer.Context, json: Json = False) -> None:
    """Show every provider and every credential."""
    session = session_of(ctx)
    store = session.store()
    known = session.providers()
    rows = listing.rows(store.records(), session.environ, time.time(), known)
    status = store.status()
    if json:
        terminal.out_json(listing.as_json(rows, store.backend.name, status))
    else:
        terminal.show(
            listing.as_text(
                rows, store.backend.name, status, time.time(), decorated=terminal.decorated()
            )
        )


@app.command()
def show(
    ctx: typer.Context,
    name: Name,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the secrets too.")] = False,
    json: Json = False,
) -> None:
    """Show one credential, its secrets masked."""
    store = session_of(ctx).store()
    entry = store.resolve(model.check_typed(name, "the name"))
    record = store.backend.get(entry)
    if json and reveal:
        terminal.out_json({"name": entry, "record": record})
    elif json:
        shown = {field: _masked(value) for field, value in _fields(record).items()}
        terminal.out_json({"name": entry, "fields": shown})
    else:
        terminal.show(terminal.clean(entry))
        fields = _fields(record)
        for field, value in sorted(fields.items(), key=lambda item: item[0] != "type"):
            text = _text(field, value, reveal=reveal)
            terminal.show(f"  {terminal.clean(field):<16} {terminal.clean(text)}")


@app.command("token")
def print_token(
    ctx: typer.Context,
    name: Name,
    field: Annotated[str | None, typer.Option(help="Which field of the credential.")] = None,
    no_refresh: Annotated[
        bool, typer.Option("--no-refresh", help="Print it as it is stored, expired or not.")
    ] = False,
) -> None:
    """Print one secret, alone, on stdout."""
    token.print_token(session_of(ctx), token.Request(name, field, not no_refresh))


@app.command()
def refresh(ctx: typer.Context, name: Name) -> None:
    """Renew the tokens of a login now."""
    session = session_of(ctx)
    store = session.store()
    entry = store.resolve(model.check_typed(name, "the name"))
    credential = store.refresh(entry)
    if store.unsaved is not None:
        raise store.unsaved
    until = credential.expires_at
    ends = "" if until is None else f", good until {listing.moment(until)}"
    session.say(f"Renewed {entry}{ends}.")


@app.command()
def logout(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="PROVIDER or PROVIDER/ACCOUNT.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every credential.")] = False,
    yes: Yes = False,
) -> None:
    """Remove a credential, after asking."""
    session = session_of(ctx)
    if (name is None) != everything:
        raise UsageError("name one credential, or give --all")
    store = session.store()
    # An empty name, as an unset variable of a script gives, must never mean all.
    typed = None if name is None else model.check_typed(name, "the name")
    names = store.names() if typed is None else [store.resolve(typed)]
    if not names:
        session.say("There is no credential.")
        return
    what = names[0] if len(names) == 1 else f"all {len(names)} credentials"
    if not yes and not terminal.confirm(f"Remove {what}?", missing="confirm with --yes"):
        session.say("Nothing was removed.")
        return
    logins = _logins(store, names)
    store.remove(*names)
    session.say(f"Removed {what} from {_where(store)}.")
    for entry, credential in logins.items():
        _revoke(session, store, entry, credential)


def _logins(store: Store, names: list[str]) -> dict[str, OAuth]:
    """Those of the entries that are the tokens of a login; a damaged one is none."""
    records = {name: store.backend.get(name) for name in names}
    return {
        name: OAuth(record)
        for name, record in records.items()
        if record.get("type") == "oauth" and isinstance(record.get("access_token"), str)
    }


def _revoke(session: Session, store: Store, entry: str, credential: OAuth) -> None:
    """Have the provider forget a login too, if it can; what is stored has gone already."""
    from codemesh import refresh  # which loads an HTTP client

    try:
        if refresh.revoke(store.config, entry, credential):
            session.say(f"The provider has revoked {entry}.")
    except CodemeshError as error:
        session.say(f"The provider has not revoked {entry}: {error}.")


@app.command()
def recover(ctx: typer.Context, yes: Yes = False) -> None:
    """Save what can be saved of a damaged store."""
    session = session_of(ctx)
    store = session.store()
    try:
        store.records()
    except NewerVersionError:
        raise
    except WrongPassphraseError as error:
        error.hint = _WRONG
        raise
    except DamagedError as error:
        session.say(f"{error}")
    else:
        session.say(f"{_where(store)} is not damaged; there is nothing to recover.")
        return
    salvage = _salvage(store)
    _tell(session, salvage)
    question = f"Set the damaged store aside and go on with {_entries(salvage.records)}?"
    if not yes and not terminal.confirm(question, missing="confirm with --yes"):
        session.say("Nothing was changed.")
        return
    with store.config.lock():
        if store.config.changed() or _salvage(store) != salvage:
            raise RefusedError(
                "the store was changed while the question stood",
                hint="Nothing was recovered. Run it again to see how it is now.",
            )
        aside = store.backend.restart(salvage.records)
    session.say(f"What was damaged is now {terminal.short_path(aside)}.")
    now = f"has {_entries(salvage.records)}" if salvage.records else "is empty"
    session.say(f"{_where(store)} {now}.")


def _salvage(store: Store) -> Salvage:
    from codemesh.backends.base import Salvage

    try:
        return store.backend.salvage()
    except DamagedError:
        return Salvage({}, ["every entry: a sealed store opens whole or not at all"])


def _tell(session: Session, salvage: Salvage) -> None:
    for name in sorted(salvage.records):
        session.say(f"  readable: {name}")
    for name in salvage.lost:
        session.say(f"  lost:     {name}")
    if not salvage.records:
        session.say("  Not one entry is readable.")


def _entries(records: dict[str, Record]) -> str:
    if not records:
        return "an empty store"
    return "1 credential" if len(records) == 1 else f"{len(records)} credentials"


def _where(store: Store) -> str:
    return f"{terminal.short_path(store.status().where)} ({store.backend.name})"


def _fields(record: Record) -> dict[str, object]:
    try:
        return model.parse_record(record).fields()
    except NotUnderstoodError:
        return model.hidden_fields(record)


def _masked(value: object) -> object:
    return value.MASK if isinstance(value, Secret) else value


def _text(field: str, value: object, *, reveal: bool) -> str:
    if isinstance(value, Secret):
        length = len(value.reveal())
        return value.reveal() if reveal else f"{value.MASK} ({length} characters)"
    if field.endswith("_at") and isinstance(value, int):
        return listing.moment(value)
    return str(value)
