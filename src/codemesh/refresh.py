"""Keep a token fresh: one request for all processes that find it due, saved before it is used.

    fresh for a minute or more: used as it is, without a lock
    else: the entry's lock, read again, still due?, one request, merge, save, release

A provider that rotates its refresh tokens takes a second use of one for theft, and ends
the whole login. So a request is never sent twice, and whoever lost the race uses what the
winner saved. A refusal deletes nothing, and a network that is away keeps everything.
"""

from __future__ import annotations

import os
import time
import zlib
from typing import TYPE_CHECKING, NamedTuple

from codemesh.errors import (
    CodemeshError,
    ConflictError,
    LoginRequiredError,
    NetworkError,
    RefusedGrantError,
)
from codemesh.files import folder
from codemesh.files.lock import FileLock
from codemesh.model import LOGIN_REQUIRED, OAuth, split_name
from codemesh.providers import copilot, oauth, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from codemesh.config import Config
    from codemesh.model import Record
    from codemesh.providers.tokens import Tokens
    from codemesh.secret import Secret

_PATIENCE = 60.0  # seconds beyond lock_timeout; a request that holds the lock takes half of that


class Entry(NamedTuple):
    """One entry of a store, as the refresh of it sees it."""

    name: str
    read: Callable[[], OAuth]
    """The credential as it is stored now."""

    replace: Callable[[Record, Record], None]
    """Write a record in the place of another. Raises ConflictError if that is not there."""


class Renewed(NamedTuple):
    """What a refresh led to."""

    credential: OAuth
    unsaved: CodemeshError | None = None
    """Why it could not be saved, if it could not: it is good in this process alone."""


def renew(entry: Entry, config: Config, *, unless: str | None = None) -> Renewed:
    """Renew one entry, unless another process has done it meanwhile.

    Without `unless`, a token that is not due is returned as it is; with it, every token
    that is not that one, which a provider has refused or a person no longer wants.

    Raises LoginRequiredError if the provider refuses for good, or nothing here can ask it;
    NetworkError if it was not reached and the token has ended; and ProviderError for any
    other refusal.
    """
    with _lock(config, entry.name):
        credential = entry.read()
        sent = credential.refresh_token
        if sent is None or not _stale(credential, unless):
            return Renewed(credential)
        try:
            tokens = _request(config, entry.name, sent)
        except RefusedGrantError:
            return Renewed(_refused(entry, sent, wanted=unless is not None))
        except (NetworkError, LoginRequiredError):
            if unless is None and not credential.expired(time.time()):
                return Renewed(credential)  # it holds a little longer
            raise
        return _saved(entry, credential, merged(credential.to_record(), tokens))


def _stale(credential: OAuth, unless: str | None) -> bool:
    if unless is None:
        return credential.due(time.time())
    return credential.secret().reveal() == unless


def _request(config: Config, name: str, refresh_token: Secret) -> Tokens:
    """The one request, to the provider of an entry."""
    provider = settings.find(config, split_name(name)[0])
    endpoints = None if provider is None else provider.oauth
    if provider is not None and provider.id == copilot.PROVIDER:
        return copilot.tokens_of(refresh_token, provider.oauth.create_key_url)
    if endpoints is None or not endpoints.token_url or not endpoints.client_id:
        raise LoginRequiredError(
            name,
            hint=f"To have it renewed, set providers.{split_name(name)[0]}.oauth.client_id; "
            f"or log in again: codemesh auth login {name}",
        )
    return oauth.refresh(endpoints, refresh_token, time.time())


def _lock(config: Config, name: str) -> FileLock:
    """The lock under which one entry is renewed; a request that holds it has 30 seconds."""
    folder.prepare(config.home)
    path = os.path.join(config.home, "state", f"refresh-{zlib.crc32(name.encode()):08x}.lock")
    return FileLock(path, timeout=config.lock_timeout + _PATIENCE, what=f"the token of {name}")


def revoke(config: Config, name: str, credential: OAuth) -> bool:
    """Tell a provider to forget the tokens of a login (RFC 7009). Returns whether it was told.

    Raises NetworkError and ProviderError; what is stored here goes all the same.
    """
    provider = settings.find(config, split_name(name)[0])
    if provider is None or not provider.oauth.revoke_url or not provider.oauth.client_id:
        return False
    # The refresh token: where it goes, so do the access tokens that came of it.
    oauth.revoke(provider.oauth, credential.refresh_token or credential.secret())
    return True


def merged(record: Record, tokens: Tokens) -> Record:
    """A record with new tokens; what the answer leaves out stays (RFC 6749, 6)."""
    new: Record = {**record, "access_token": tokens.access_token.reveal()}
    new.pop(LOGIN_REQUIRED, None)
    if tokens.refresh_token is not None:
        new["refresh_token"] = tokens.refresh_token.reveal()
    new.pop("expires_at", None)
    if tokens.expires_at is not None:
        new["expires_at"] = tokens.expires_at
    if isinstance(tokens.extra.get("api"), str):
        new["api"] = tokens.extra["api"]
    if tokens.scope is not None:
        new["scope"] = tokens.scope
    return new


def _refused(entry: Entry, sent: Secret, *, wanted: bool) -> OAuth:
    """What another process has put in place meanwhile; if nothing, mark the entry.

    Where a new one is `wanted`, that the old one holds a little longer is no help.
    """
    latest = entry.read()
    if latest.refresh_token != sent:
        return latest
    marked = {**latest.to_record(), LOGIN_REQUIRED: True}
    try:
        entry.replace(latest.to_record(), marked)
    except ConflictError:
        return entry.read()
    if wanted or latest.expired(time.time()):
        raise LoginRequiredError(entry.name)
    return OAuth(marked)  # it holds a little longer


def _saved(entry: Entry, credential: OAuth, record: Record) -> Renewed:
    try:
        entry.replace(credential.to_record(), record)
    except ConflictError:
        # Somebody logged in, or out, while the request was under way: theirs holds.
        return Renewed(entry.read())
    except CodemeshError as error:
        return Renewed(OAuth(record), error)
    return Renewed(OAuth(record))
