"""The encrypted store: a JSON file sealed under a passphrase.

The format, with every key and nonce, is `docs/vault-format.md`. Here is what a store
adds to it: when the passphrase is asked for, which revision was seen last, and the file.
The key derivation runs once for an opened store; the data key then stays in memory.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from codemesh.backends import _vault
from codemesh.backends._files import StoreFile
from codemesh.backends._kdf import PROFILES, derive_root
from codemesh.backends._revisions import SeenRevisions
from codemesh.backends._whole import WholeDocumentBackend
from codemesh.backends.base import Context, Salvage, Status
from codemesh.errors import (
    BusyError,
    CodemeshError,
    LockedError,
    RefusedError,
    StorageError,
    WrongPassphraseError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codemesh.backends._vault import Sealing, Vault
    from codemesh.files.lock import FileLock
    from codemesh.model import Record


class EncryptedBackend(WholeDocumentBackend["Vault"]):
    """Credentials in one file, sealed as a whole."""

    name = "encrypted"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._file = StoreFile(context, "auth.vault.json")
        self._seen = SeenRevisions(context.home, self._file.path)
        self._sealing: Sealing | None = None
        self._unused = False  # whether that is a new one, in no store yet

    def status(self) -> Status:
        """Where the file is, and whether its data key is in memory."""
        vault = self._parse()
        entries = 0 if vault is None else None
        if vault is not None and self._opens(vault):
            entries = len(self._unseal(vault))
        return Status(
            self._file.path,
            encrypted=True,
            exists=vault is not None,
            locked=vault is not None and entries is None,
            entries=entries,
        )

    def prepare(self) -> None:
        """Get the data key of the store, or make one for a new store."""
        if self._sealing is None:
            vault = self._parse()
            self._sealing = self._renew() if vault is None else self._unlock(vault)

    def records(self) -> dict[str, Record]:
        """Every record. Raises RollbackError or ForkError as `docs/vault-format.md` says."""
        seen = self._seen.read()  # before the file: a writer in between only makes it newer
        vault = self._parse()
        if vault is None:
            return {}
        records = self._unseal(vault)
        try:
            newer = self._seen.check(seen, vault)
        except RefusedError:
            with self._lock():  # a writer may have come in between
                return self._load()[0]
        if newer:
            self._remember_if_free(vault)
        return records

    def leftovers(self) -> list[str]:
        """The new files of killed writers."""
        return self._file.leftovers()

    def sweep(self) -> None:
        """Remove them, under the lock."""
        self._file.sweep()

    def salvage(self) -> Salvage:
        """The entries of a file that was reformatted or got something appended.

        A sealed document opens whole or not at all, so any other damage loses all.
        """
        from codemesh.backends import _salvage

        vault = _vault.parse(_salvage.sealed(self._file.read_damaged()))
        return Salvage(self._unseal(vault), [])

    def restart(self, records: Mapping[str, Record]) -> str:
        """Set the damaged file aside and write a new one, under a passphrase asked for anew."""
        self._renew()
        with self._lock():
            aside = self._file.set_aside()
            self._save(dict(records), None)
        return aside

    def accept_revision(self) -> int | None:
        """Take the revision of the file for the newest; the passphrase must open it."""
        self.prepare_retirement()
        with self._lock():
            vault = self._parse()
            if vault is None:
                return None
            self._unseal(vault)
            self._seen.accept(vault)
            return vault.revision

    def _lock(self) -> FileLock:
        return self._file.lock()

    def _load(self) -> tuple[dict[str, Record], Vault | None]:
        vault = self._parse()
        if vault is None:
            return {}, None
        records = self._unseal(vault)
        try:
            self._seen.check(self._seen.read(), vault)
        except RefusedError as error:
            raise error.at(self._file.path) from None
        return records, vault

    def _save(self, records: dict[str, Record], rest: Vault | None) -> None:
        sealing = self._sealing
        if sealing is None or (rest is None and not self._unused):
            # The store went away after it was opened; a new one is no older state of it.
            sealing = self._renew()
        revision = 0 if rest is None else rest.revision + 1
        try:
            raw = _vault.seal(sealing, revision, records)
        except RefusedError as error:
            raise error.at(self._file.path) from None
        self._file.replace(raw)
        self._unused = False
        self._remember(_vault.parse(raw))

    def _delete(self) -> None:
        self._file.remove()
        self._sealing = None  # of the store that is gone

    def _parse(self) -> Vault | None:
        raw = self._file.read()
        if raw is None:
            return None
        try:
            return _vault.parse(raw)
        except CodemeshError as error:
            raise error.at(self._file.path) from None

    def _opens(self, vault: Vault) -> bool:
        """Whether the data key in memory is the one that this document wraps."""
        return self._sealing is not None and self._sealing == _vault.sealing_of(
            vault, self._sealing.data_key
        )

    def _unlock(self, vault: Vault) -> Sealing:
        """The keys of the document, by the passphrase unless they are in memory."""
        if self._sealing is not None and self._opens(vault):
            self._unused = False
            return self._sealing
        wrong: CodemeshError = LockedError("the store is locked")
        for passphrase in self.context.passphrases(new=False):
            try:
                data_key = _vault.unwrap(vault, derive_root(passphrase, vault.kdf))
            except WrongPassphraseError as error:
                wrong = error
            else:
                self._sealing = _vault.sealing_of(vault, data_key)
                self._unused = False
                return self._sealing
        raise wrong.at(self._file.path)

    def _unseal(self, vault: Vault) -> dict[str, Record]:
        try:
            return _vault.open_payload(vault, self._unlock(vault).data_key)
        except CodemeshError as error:
            raise error.at(self._file.path) from None

    def _renew(self) -> Sealing:
        """Make the keys of a new store, under a passphrase asked for now."""
        passphrase = next(self.context.passphrases(new=True))
        cost = self.context.options.get("cost", "default")
        self._sealing = _vault.new_sealing(passphrase, PROFILES[str(cost)])
        self._unused = True
        return self._sealing

    def _remember(self, vault: Vault) -> None:
        """Note the revision as seen, if that can be written; the lock is held.

        Best effort: the store itself is right, whatever becomes of the state folder.
        """
        with suppress(StorageError, RefusedError):
            self._seen.note(vault)

    def _remember_if_free(self, vault: Vault) -> None:
        """As `_remember`, for a reader: a writer that holds the lock notes its own."""
        if self._seen.has_place():
            with suppress(BusyError, StorageError, RefusedError), self._file.lock(timeout=0.0):
                self._remember(vault)
