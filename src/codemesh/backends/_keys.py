"""The keys of one sealed store: where they come from, and where they rest meanwhile.

A document is opened with its data key. That is in memory once the store was opened, or
rests where `codemesh unlock` left it, or is unwrapped with a passphrase, which costs a
key derivation; a process pays for one at most. Where config.toml says so, the passphrase
is a generated one that the OS keychain keeps.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from codemesh.backends import _vault
from codemesh.backends._kdf import PROFILES, Cost, Kdf, derive_root, raised
from codemesh.checks import VAULT_SERVICE
from codemesh.errors import (
    BackendUnavailableError,
    BusyError,
    CodemeshError,
    LockedError,
    NotDurableError,
    StorageError,
    UsageError,
    WrongPassphraseError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from codemesh.backends._vault import Sealing, Vault
    from codemesh.backends.base import Rekeying
    from codemesh.backends.context import Context, KeychainItems, PassphraseSource, RestingPlace

_RESTING_INFO = b"codemesh/resting-key/1"


class Resting(NamedTuple):
    """A data key that rests, and when it ends, in UNIX seconds."""

    data_key: bytes
    until: int

    def __repr__(self) -> str:
        return f"Resting(until={self.until})"  # the data key is a secret


class StoreKeys:
    """The keys of one store, each come by once."""

    def __init__(self, context: Context, place: str) -> None:
        self._context = context
        self._here = place
        self._place = context.resting
        self._opened: MutableMapping[bytes, bytes] = (
            {} if context.opened is None else context.opened
        )
        self._found: dict[bytes, bytes] = {}  # as `_opened`, but proven by no passphrase
        self._generated: dict[bytes, str] = {}  # passphrases that no keychain has yet

    # -- a store that is there -------------------------------------------------------

    def known(self, vault: Vault) -> bytes | None:
        """The data key, if nobody has to be asked for it; what rests is then remembered."""
        wrap = _vault.wrap_id(vault)
        known = self._opened.get(wrap, self._found.get(wrap))
        if known is None and (resting := self.resting(vault)) is not None:
            known = self._found[wrap] = resting.data_key
        return known

    def at_hand(self, vault: Vault) -> bool:
        """Whether a reading would ask nobody; none is derived to find out."""
        if self.known(vault) is not None:
            return True
        if self._protection() != "keychain":
            return False
        with suppress(CodemeshError):
            return self._kept().read(_kept_name(vault), ask=False) is not None
        return False

    def open(self, vault: Vault) -> bytes:
        """The data key, by a passphrase if it must."""
        known = self.known(vault)
        return self.prove(vault) if known is None else known

    def prove(self, vault: Vault) -> bytes:
        """The data key by a passphrase given in this process; one that rests proves nothing.

        Raises WrongPassphraseError, WrapDamagedError and LockedError.
        """
        wrap = _vault.wrap_id(vault)
        if wrap not in self._opened:
            self._opened[wrap] = self._unwrapped(vault)
        return self._opened[wrap]

    def _unwrapped(self, vault: Vault) -> bytes:
        wrong: CodemeshError = LockedError("the store is locked")
        for passphrase in self._candidates(vault):
            try:
                return _vault.unwrap(vault, derive_root(passphrase, vault.kdf))
            except WrongPassphraseError as error:
                wrong = error
        raise wrong

    def _candidates(self, vault: Vault) -> Iterator[str]:
        """The passphrase that the keychain has, where that is how it is; else those given.

        A store on its way from one protection to the other may have either.
        """
        if self._protection() != "keychain":
            yield from self._context.passphrases(new=False)
            return
        try:
            kept = self._kept().read(_kept_name(vault))
        except BackendUnavailableError as error:
            error.hint = "The passphrase of the store is there: run this where it can be reached."
            raise
        if kept is not None:
            yield kept.partition(".")[0]
            return
        try:
            yield from self._context.passphrases(new=False)
        except LockedError:
            raise LockedError(
                "the keychain has no passphrase for it",
                hint="One copied before a change of passphrase has none any more. If it has one "
                "of its own still, give that: --passphrase-fd N or CODEMESH_PASSPHRASE.",
            ) from None

    # -- new keys --------------------------------------------------------------------

    def make(self) -> Sealing:
        """The keys of a new store, under a passphrase asked for now, or a generated one."""
        return self._sealed(self._protection(), self._context.passphrases, self._policy())

    def make_anew(self, vault: Vault, wish: Rekeying) -> Sealing:
        """The keys of a store that is there, under a new passphrase; the old one is proven.

        The cost is never below that of the file, nor below what config.toml asks for.
        """
        data_key = self.prove(vault)
        cost = raised(self._policy(), vault.kdf)
        if wish.cost is not None:
            cost = raised(PROFILES[wish.cost], Kdf(*cost, vault.kdf.salt))
        kept_key = data_key if wish.keep_data_key else None
        return self._sealed(wish.protect, wish.passphrases, cost, vault.id, kept_key)

    def _sealed(
        self,
        protect: str,
        passphrases: PassphraseSource,
        cost: Cost,
        store_id: bytes | None = None,
        data_key: bytes | None = None,
    ) -> Sealing:
        if protect == "keychain":
            self._kept().prepare()
            passphrase = os.urandom(32).hex()
        else:
            passphrase = next(passphrases(new=True))
        sealing = _vault.new_sealing(passphrase, cost, store_id=store_id, data_key=data_key)
        wrap = _vault.wrap_id(sealing)
        self._opened[wrap] = sealing.data_key
        if protect == "keychain":
            self._generated[wrap] = passphrase
        return sealing

    @contextmanager
    def secured(self, sealing: Sealing) -> Iterator[None]:
        """See that the passphrase of new keys is found while what they seal takes its place.

        A kill leaves the keychain a passphrase too many, never one too few; an error, none.
        """
        wrap = _vault.wrap_id(sealing)
        passphrase = self._generated.get(wrap)
        if passphrase is None:
            yield
            return
        self._kept().write(_kept_name(sealing), f"{passphrase}.{self._here}")
        try:
            yield
        except NotDurableError:
            raise  # it took its place
        except CodemeshError:
            with suppress(CodemeshError):
                self.forget_that_of(sealing)
            raise

    def weak(self, vault: Vault) -> bool:
        """Whether its key derivation costs less than config.toml asks for."""
        return raised(self._policy(), vault.kdf) != vault.kdf[:3]

    def _policy(self) -> Cost:
        return PROFILES[str(self._context.options.get("cost", "default"))]

    # -- the generated passphrase ----------------------------------------------------

    def unused(self, vault: Vault) -> list[str]:
        """The names of generated passphrases that older states of this file had; asks nobody.

        One that belongs to a file somewhere else is not among them: that may be a copy, or
        the store that this one was copied from.
        """
        try:
            kept = self._kept()
            names = [
                name for name in kept.names(ask=False) if name.startswith(f"{vault.id.hex()}.")
            ]
            return [name for name in names if name != _kept_name(vault) and self._is_of_here(name)]
        except (LockedError, BackendUnavailableError, BusyError):
            return []  # that the keychain does not answer is told by whoever needs it

    def forget(self, *names: str) -> None:
        """Remove generated passphrases from the keychain. Those that are not there are fine."""
        for name in names:
            self._kept().remove(name)

    def forget_that_of(self, wrapped: Vault | Sealing) -> None:
        """Remove the one of a state of this file that is gone, if the keychain had it."""
        name = _kept_name(wrapped)
        if self._is_of_here(name):
            self.forget(name)

    def _is_of_here(self, name: str) -> bool:
        text = self._kept().read(name, ask=False)
        return text is not None and text.partition(".")[2] == self._here

    def _protection(self) -> str:
        return str(self._context.options.get("protect", "passphrase"))

    def _kept(self) -> KeychainItems:
        if self._context.keychain is None:
            raise BackendUnavailableError("the keychain cannot be reached from here")
        return self._context.keychain(VAULT_SERVICE)

    # -- a key that rests ------------------------------------------------------------

    def resting(self, vault: Vault) -> Resting | None:
        """The data key that rests for this document; what does not belong to it is dropped.

        That may be a key of another passphrase, one past its end, or nothing of ours.
        """
        if self._place is None:
            return None
        blob = self._place.find(vault.id.hex())
        if blob is None:
            return None
        resting = Resting(blob[8:40], int.from_bytes(blob[:8], "big"))
        if blob == _packed(vault, resting) and resting.until > time.time():
            return resting
        with suppress(StorageError, BackendUnavailableError, BusyError, LockedError):
            self._place.drop(vault.id.hex())
        return None

    def resting_place(self) -> RestingPlace:
        """Where a key may rest. Raises UsageError if config.toml lets none."""
        if self._place is None:
            raise UsageError(
                "no key may rest: unlock_cache is none in config.toml",
                hint="Let one: codemesh config set backends.encrypted.unlock_cache kernel",
            )
        return self._place

    def rest(self, vault: Vault, seconds: float) -> int:
        """Let the proven data key rest. Returns its end, in UNIX seconds."""
        until = int(time.time() + seconds)
        blob = _packed(vault, Resting(self.prove(vault), until))
        self.resting_place().keep(vault.id.hex(), blob, seconds)
        return until

    def drop(self, store_id: str) -> bool:
        """Let no key rest for the store of this id, in hex. Returns whether one did."""
        return self._place is not None and self._place.drop(store_id)


def _packed(vault: Vault, resting: Resting) -> bytes:
    """The end, the key, and a hash of both and of the wrap that they belong to: 72 bytes.

    The hash tells a key from before a change of passphrase, one of another store, and
    what is no key. Against somebody who can write there it protects nothing, and need not:
    a wrong key opens nothing.
    """
    head = resting.until.to_bytes(8, "big") + resting.data_key
    return head + _vault.sha256(_RESTING_INFO + _vault.wrap_id(vault) + head)


def _kept_name(wrapped: Vault | Sealing) -> str:
    """The name of the generated passphrase of one wrap; each has a salt of its own."""
    return f"{wrapped.id.hex()}.{wrapped.kdf.salt.hex()}"
