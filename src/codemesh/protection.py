"""What guards a sealed store: unlock it for a while, lock it, change its passphrase.

The backend does each in one step. Here is what belongs to more than the store: which
protection config.toml names, in an order in which a kill at any point leaves a store that
the old passphrase or the new one opens.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from codemesh import config as configuration
from codemesh.backends import registry
from codemesh.backends.base import Rekeying
from codemesh.checks import positive_duration
from codemesh.choice import open_backend
from codemesh.errors import (
    CodemeshError,
    LockedError,
    NotDurableError,
    RefusedError,
    UsageError,
)
from codemesh.unlock.resting import PLACES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codemesh.backends.context import PassphraseSource
    from codemesh.store import Store

UNLOCK_FOR = 8 * 3600.0
"""How long a store stays unlocked where nothing else is said, in seconds."""

_SHORTEST, _LONGEST = 1.0, 366 * 86_400.0  # seconds


def unlock(store: Store, seconds: float | None = None) -> int:
    """Take the passphrase, and let the key rest; by default as long as config.toml says.

    Returns when that ends, in UNIX seconds. Raises what `Backend.unlock` raises, and
    UsageError for less than a second or more than 366 days.
    """
    if seconds is None:
        named = _options(store).get("unlock_for")
        seconds = named if isinstance(named, float) else UNLOCK_FOR
    if not _SHORTEST <= seconds <= _LONGEST:
        raise UsageError("a store stays unlocked for a second at least, and 366 days at most")
    with _passphrase_alone():
        return store.backend.unlock(seconds)


def lock(store: Store) -> bool:
    """Let no key of the store rest any more; returns whether one did.

    That is where config.toml lets one rest now, and where it may have before.
    """
    try:
        dropped = store.backend.lock()
    except CodemeshError:
        _lock_elsewhere(store)
        raise
    return _lock_elsewhere(store) or dropped


def _lock_elsewhere(store: Store) -> bool:
    dropped = False
    for cache in PLACES:
        other = open_backend(store.config, store.backend.name, store.unlocking, unlock_cache=cache)
        with suppress(CodemeshError):  # a place that config.toml does not name may not be there
            if other.status().unlocked_until is not None:
                dropped = other.lock() or dropped
    return dropped


@contextmanager
def _passphrase_alone() -> Iterator[None]:
    """Where a key that rests is no help, the advice does not name one."""
    try:
        yield
    except LockedError as error:
        if error.hint == LockedError.default_hint:
            error.hint = LockedError.sources_hint
        raise


def seconds_of(text: str) -> float:
    """A length of time such as "8h", in seconds. Raises UsageError for anything else."""
    try:
        seconds = positive_duration(text)
    except ValueError as error:
        raise UsageError(f"--for {error}") from None
    return seconds if isinstance(seconds, float) else UNLOCK_FOR


class Changed(NamedTuple):
    """What a change of passphrase has led to."""

    protect: str
    """`passphrase`, or `keychain`."""

    note: str
    """What its owner should know; possibly empty."""


def change_passphrase(
    store: Store,
    passphrases: PassphraseSource,
    *,
    protect: str | None = None,
    cost: str | None = None,
    keep_data_key: bool = False,
) -> Changed:
    """Seal the store under a new passphrase.

    `protect` moves it between `passphrase` and `keychain`; by default that stays. Where it
    moves to the keychain, config.toml says so first, because a store that has nothing there
    is opened by its passphrase still; and last where it moves away.

    Raises what `Backend.rekey` raises.
    """
    before = protects(store)
    after = protects(store, protect)
    with _passphrase_alone():
        commit = store.backend.rekey(Rekeying(passphrases, after, cost, keep_data_key))
    if after == "keychain" != before:
        _set_protection(store, after)
    try:
        note = commit()
    except NotDurableError:
        if before == "keychain" != after:
            _set_protection(store, after)  # it is changed
        raise
    except RefusedError:
        raise  # somebody else has changed it, and perhaps moved it there
    except CodemeshError:
        if after == "keychain" != before:
            _set_protection(store, before)
        raise
    if before == "keychain" != after:
        _set_protection(store, after)
    store.reload()
    return Changed(after, note)


def protects(store: Store, wish: str | None = None) -> str:
    """What keeps the passphrase: `passphrase` for its owner, or `keychain`; `wish` if given."""
    return wish or str(_options(store).get("protect", "passphrase"))


def _options(store: Store) -> dict[str, object]:
    name = store.backend.name
    return store.config.backend_options(name, registry.find(name).options)


def _set_protection(store: Store, protect: str) -> None:
    key = f"backends.{store.backend.name}.protect"
    with store.config.lock():
        configuration.set_value(store.config, key, protect, registry.option_checks())
