"""`codemesh auth login`: ask for what is missing, and store one credential."""

from __future__ import annotations

import datetime as dt
import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from codemesh import model
from codemesh.cli import terminal
from codemesh.cli.session import Session, session_of
from codemesh.errors import CredentialNotFoundError, UsageError
from codemesh.model import ApiKey, Credential, Custom
from codemesh.providers import table as providers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codemesh.store import Store

_NO_KEY = "pipe the key in with --with-key"
_NO_FIELDS = "give each field with --field NAME=VALUE, or NAME=- for stdin"
_SECRET_FIELDS = frozenset({"api_key", "key", "token", "secret", "password"})


class Method(StrEnum):
    """How to log in."""

    API_KEY = "api-key"
    OAUTH = "oauth"
    CONSOLE = "console"
    DEVICE = "device"
    CUSTOM = "custom"


_IN_BROWSER = frozenset({Method.OAUTH, Method.CONSOLE, Method.DEVICE})


def login(
    ctx: typer.Context,
    provider: Annotated[str | None, typer.Argument(help="Such as anthropic or openai.")] = None,
    account: Annotated[str | None, typer.Option(help="Which of several accounts.")] = None,
    method: Annotated[Method | None, typer.Option(help="How to log in.")] = None,
    with_key: Annotated[bool, typer.Option("--with-key", help="Read the key from stdin.")] = False,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A field; NAME=- asks, or reads stdin."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="What the list calls it.")] = None,
    expires_at: Annotated[
        str | None, typer.Option(metavar="DATE", help="When it ends, such as 2027-01-31.")
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the web address, and open nothing.")
    ] = False,
) -> None:
    """Store the credential of a provider."""
    session = session_of(ctx)
    fields = field or []
    label = None if label is None else model.check_typed(label, "the label")
    ends = None if expires_at is None else _moment(expires_at)
    offered = session.providers()
    typed = _name(_menu(offered) if provider is None else provider, account)
    wanted = model.split_name(typed)[0]
    known = next((each for each in offered if wanted in {each.id, *each.aliases}), None)
    if method is None:
        asks_fields = known is not None and known.fields and not with_key
        method = Method.CUSTOM if fields or asks_fields else Method.API_KEY
    if fields and method is not Method.CUSTOM:
        raise UsageError("--field belongs to --method custom")
    if with_key and method in _IN_BROWSER:
        raise UsageError("--with-key belongs to --method api-key or custom")
    if ends is not None and method in {Method.OAUTH, Method.DEVICE}:
        raise UsageError("--expires-at is no business of this login: its tokens say when they end")
    store = session.store()
    store.decide()  # before the key is typed: this may ask as well
    name, there = _entry(store, typed)
    if there and _asks(with_key=with_key or bool(fields)) and not _may_replace(session, name):
        return
    now = int(time.time())
    credential: Credential
    if method in _IN_BROWSER:
        credential = _in_browser(session, typed, method, label, ends, browser=not no_browser)
    elif method is Method.API_KEY:
        key = _key(typed, known, with_key=with_key)
        credential = ApiKey.new(key, label=label, created_at=now, expires_at=ends)
    else:
        data = _custom_data(session, typed, known, fields, with_key=with_key)
        credential = Custom.new(data, label=label, created_at=now, expires_at=ends)
    where = terminal.short_path(store.status().where)  # before the write: it cannot fail then
    store.put(name, credential)
    session.announce(store, where)
    session.say(f"{'Replaced' if there else 'Saved'} {name} in {where} ({store.backend.name}).")


def _in_browser(
    session: Session,
    name: str,
    method: Method,
    label: str | None,
    ends: int | None,
    *,
    browser: bool,
) -> Credential:
    # They load an HTTP client, which no other way of logging in needs.
    from codemesh.cli import browser as web
    from codemesh.providers import settings

    provider = settings.find(session.config(), model.split_name(name)[0])
    if provider is None or method.value not in provider.methods:
        raise UsageError(
            f"{name} has no login by {method.value}", hint="See how it has: codemesh providers"
        )
    if method is Method.DEVICE:
        answer = web.by_device(session, provider, browser=browser)
        return web.as_login(provider, answer, label)
    console = method is Method.CONSOLE
    answer = web.by_code(session, provider, browser=browser, console=console)
    if method is Method.CONSOLE:
        return web.as_key(provider, answer, label, ends)
    return web.as_login(provider, answer, label)


def _name(provider: str, account: str | None) -> str:
    named, slashed = model.split_name(provider)
    if slashed is not None and account is not None:
        raise UsageError("the account is given twice")
    return model.new_name(named, slashed if account is None else account)


def _entry(store: Store, typed: str) -> tuple[str, bool]:
    """The entry that a login writes to, and whether it is there already."""
    try:
        return store.resolve(typed), True
    except CredentialNotFoundError:
        return store.new_entry(typed), False


def _may_replace(session: Session, name: str) -> bool:
    if terminal.confirm(
        f"{name} is there already. Replace it?", missing="pipe the key in with --with-key"
    ):
        return True
    session.say("Nothing was changed.")
    return False


def _asks(*, with_key: bool) -> bool:
    """Whether somebody sits there: at stdin, or at the terminal that the key is asked at."""
    return _typing() or (not with_key and terminal.can_ask())


def _typing() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _menu(offered: Sequence[providers.Provider]) -> str:
    """Ask which provider; a number of the menu, or any name."""
    missing = "name the provider, as in: codemesh auth login openai --with-key"
    if not terminal.can_ask():
        raise UsageError(f"there is no terminal to ask at; {missing}")
    for number, provider in enumerate(offered, start=1):
        terminal.say(f"  {number}. {provider.name:<15} {provider.key_from}")
    answer = terminal.ask("Provider (number or name):", missing=missing).strip()
    if answer.isdecimal():
        if not 1 <= int(answer) <= len(offered):
            raise UsageError(f"the menu has no number {answer}")
        return offered[int(answer) - 1].id
    return model.check_typed(answer, "the provider name")


def _key(name: str, known: providers.Provider | None, *, with_key: bool) -> str:
    if with_key:
        return model.check_typed(terminal.read_secret("the API key"), "the API key")
    if known is not None and terminal.can_ask():
        terminal.say(f"Get a key for {known.name}: {known.key_from}")
    return model.check_typed(
        terminal.ask_secret(f"API key of {name}:", missing=_NO_KEY), "the API key"
    )


def _custom_data(
    session: Session,
    name: str,
    known: providers.Provider | None,
    fields: list[str],
    *,
    with_key: bool,
) -> dict[str, object]:
    data: dict[str, object] = {}
    if with_key + sum(text.endswith("=-") for text in fields) > 1 and not _typing():
        raise UsageError("standard input holds one secret, and several are to be read from it")
    for text in fields:
        field, equals, value = text.partition("=")
        if not field or not equals:
            raise UsageError("a field is given as --field NAME=VALUE")
        if value == "-":
            value = terminal.read_secret(field)
        elif field in _SECRET_FIELDS:
            session.say(
                f"Other programs and the shell's history can see arguments: use {field}=- instead."
            )
        data[field] = value
    if with_key:
        data["api_key"] = model.check_typed(terminal.read_secret("the API key"), "the API key")
    return data or _ask_fields(name, known)


def _ask_fields(name: str, known: providers.Provider | None) -> dict[str, object]:
    """Ask for the fields that the provider is known to need, or for any."""
    data: dict[str, object] = {}
    if known is not None and known.fields:
        for field in known.fields:
            value = _ask_field(field.name, field.default) or field.default
            if value is None:
                raise UsageError(f"{field.name} is empty")
            if value:
                data[field.name] = value
        return data
    while field_name := terminal.ask(f"A field of {name} (Enter ends):", missing=_NO_FIELDS):
        data[field_name] = _ask_field(field_name, None)
    if not data:
        raise UsageError("a custom credential needs a field", hint=_NO_FIELDS)
    return data


def _ask_field(field: str, default: str | None) -> str:
    asking = terminal.ask_secret if field in _SECRET_FIELDS else terminal.ask
    suggestion = "" if default is None else f" [{default or 'none'}]"
    return asking(f"{field}{suggestion}:", missing=_NO_FIELDS)


def _moment(date: str) -> int:
    """A date, or a date and time, in ISO 8601 as UNIX seconds; UTC unless it says otherwise."""
    try:
        moment = dt.datetime.fromisoformat(date)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        raise UsageError(
            "--expires-at is not a date", hint="Such as 2027-01-31 or 2027-01-31T18:00+01:00."
        ) from None
