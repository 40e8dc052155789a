"""`codemesh unlock`, `lock` and `passwd`: the passphrase of a sealed store."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from codemesh import protection
from codemesh.cli import listing, terminal
from codemesh.cli.options import NewPassphraseFd, PassphraseFd
from codemesh.cli.session import session_of
from codemesh.errors import UsageError

if TYPE_CHECKING:
    from codemesh.cli.session import Session
    from codemesh.store import Store


class Protection(StrEnum):
    """What keeps the passphrase."""

    PASSPHRASE = "passphrase"  # noqa: S105  the name of a choice
    KEYCHAIN = "keychain"


class Cost(StrEnum):
    """What one guess of a passphrase costs."""

    DEFAULT = "default"
    STRONG = "strong"


def unlock(
    ctx: typer.Context,
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="Such as 30m or 8h; see unlock_for."),
    ] = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Open the encrypted store without its passphrase for a while."""
    session = _session(ctx, passphrase_fd)
    seconds = None if duration is None else protection.seconds_of(duration)
    store = session.store()
    until = protection.unlock(store, seconds)
    left = listing.span(until - time.time())
    session.say(f"{_where(store)} is unlocked until {listing.moment(until)}, {left} from now.")
    session.say("To lock it before: codemesh lock")


def lock(ctx: typer.Context) -> None:
    """Ask for the passphrase of the encrypted store again."""
    session = session_of(ctx)
    store = session.store()
    if protection.lock(store):
        session.say(f"{_where(store)} is locked.")
    else:
        session.say(f"{_where(store)} was not unlocked.")


def passwd(
    ctx: typer.Context,
    cost: Annotated[Cost | None, typer.Option(help="What one guess is to cost.")] = None,
    protect: Annotated[
        Protection | None, typer.Option(help="A passphrase, or one that the keychain keeps.")
    ] = None,
    keep_data_key: Annotated[
        bool, typer.Option("--keep-data-key", help="Change what seals the data key, not the key.")
    ] = False,
    passphrase_fd: PassphraseFd = None,
    new_passphrase_fd: NewPassphraseFd = None,
) -> None:
    """Change the passphrase of the encrypted store."""
    from codemesh.cli import passphrase
    from codemesh.unlock.passphrases import NewPassphrases

    session = _session(ctx, passphrase_fd)
    store = session.store()
    if new_passphrase_fd is not None and protection.protects(store, protect) == "keychain":
        raise UsageError(
            "the new passphrase is a generated one, which the keychain keeps",
            hint="To give one instead, add --protect passphrase.",
        )
    new = NewPassphrases(
        fd=new_passphrase_fd, environ=session.environ, prompt=passphrase.ask_replacement
    )
    changed = protection.change_passphrase(
        store,
        new,
        protect=None if protect is None else protect.value,
        cost=None if cost is None else cost.value,
        keep_data_key=keep_data_key,
    )
    kept = "a generated one, kept in the keychain"
    now = kept if changed.protect == "keychain" else "the new one"
    session.say(f"{_where(store)} is sealed again. Its passphrase is {now}.")
    if changed.note:
        session.say(changed.note)
    if keep_data_key:
        session.say("The data key is the old one: who has an old copy and its passphrase has it.")


def _session(ctx: typer.Context, passphrase_fd: int | None) -> Session:
    session = session_of(ctx)
    if passphrase_fd is not None:
        session.passphrase_fd = passphrase_fd
    return session


def _where(store: Store) -> str:
    return terminal.short_path(store.status().where)
