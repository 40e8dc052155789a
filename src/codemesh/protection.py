"""What guards a sealed store: unlock it for a while, lock it, change its passphrase.

The backend does each in one step. Here is what belongs to more than the store: which
protection config.toml names, in an order in which a kill at any point leaves a store that
the old passphrase or the new one opens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codemesh import config as configuration
from codemesh.backends import registry
from codemesh.backends.base import Rekeying
from codemesh.checks import positive_duration
from codemesh.errors import CodemeshError, NotDurableError, UsageError

if TYPE_CHECKING:
    from codemesh.backends.base import PassphraseSource
    from codemesh.store import Store

UNLOCK_FOR = 8 * 3600.0
"""How long a store stays unlocked where nothing else is said, in seconds."""

LONGEST = 366 * 86_400.0
"""The longest that one may stay so, in seconds."""


def unlock(store: Store, seconds: float | None = None) -> int:
    """Take the passphrase, and let the key rest; by default as long as config.toml says.

    Returns when that ends, in UNIX seconds. Raises what `Backend.unlock` raises, and
    UsageError for a time that is too long.
    """
    if seconds is None:
        named = _options(store).get("unlock_for")
        seconds = named if isinstance(named, float) else UNLOCK_FOR
    if seconds > LONGEST:
        raise UsageError(f"a store stays unlocked for {LONGEST / 86_400:g} days at most")
    return store.backend.unlock(seconds)


def seconds_of(text: str) -> float:
    """A length of time such as "8h", in seconds. Raises UsageError for anything else."""
    try:
        seconds = positive_duration(text)
    except ValueError as error:
        raise UsageError(f"the time {error}") from None
    return seconds if isinstance(seconds, float) else UNLOCK_FOR


def change_passphrase(
    store: Store,
    passphrases: PassphraseSource,
    *,
    protect: str | None = None,
    cost: str | None = None,
    keep_data_key: bool = False,
) -> str:
    """Seal the store under a new passphrase; returns what protects it now.

    `protect` moves it between `passphrase` and `keychain`; by default that stays. Where it
    moves to the keychain, config.toml says so first, because a store that has nothing there
    is opened by its passphrase still; and last where it moves away.

    Raises what `Backend.rekey` raises.
    """
    before = str(_options(store).get("protect", "passphrase"))
    after = protect or before
    commit = store.backend.rekey(Rekeying(passphrases, after, cost, keep_data_key))
    if after == "keychain" != before:
        _set_protection(store, after)
    try:
        commit()
    except NotDurableError:
        raise  # it is changed, and config.toml fits it
    except CodemeshError:
        if after == "keychain" != before:
            _set_protection(store, before)
        raise
    if before == "keychain" != after:
        _set_protection(store, after)
    store.reload()
    return after


def _options(store: Store) -> dict[str, object]:
    name = store.backend.name
    return store.config.backend_options(name, registry.find(name).options)


def _set_protection(store: Store, protect: str) -> None:
    key = f"backends.{store.backend.name}.protect"
    with store.config.lock():
        configuration.set_value(store.config, key, protect, registry.option_checks())
