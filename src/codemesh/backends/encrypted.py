"""The encrypted store: a JSON file sealed under a passphrase.

The format, with every key and nonce, is `docs/vault-format.md`. Here is what a store
adds to it: the file, the revision that was seen last, and what unlocks it for a while.
Where its keys come from is `_keys.py`.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from codemesh.backends import _vault
from codemesh.backends._files import StoreFile
from codemesh.backends._keys import StoreKeys
from codemesh.backends._revisions import SeenRevisions, place_of
from codemesh.backends._whole import WholeDocumentBackend
from codemesh.backends.base import Status
from codemesh.checks import VAULT_SERVICE
from codemesh.errors import (
    BackendUnavailableError,
    BusyError,
    CodemeshError,
    DamagedError,
    LockedError,
    RefusedError,
    StorageError,
    UnsafeFileError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codemesh.backends._vault import Sealing, Vault
    from codemesh.backends.base import Fault, Rekeying, Salvage
    from codemesh.backends.context import Context
    from codemesh.files.lock import FileLock
    from codemesh.model import Record


class EncryptedBackend(WholeDocumentBackend["Vault"]):
    """Credentials in one file, sealed as a whole."""

    name = "encrypted"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._file = StoreFile(context, "auth.vault.json")
        self._seen = SeenRevisions(context.home, self._file.path)
        self._keys = StoreKeys(context, place_of(self._file.path))
        self._new: Sealing | None = None  # the keys of a store that is not there yet

    def status(self) -> Status:
        """Where the file is, and whether its data key is at hand."""
        vault = self._parse()
        resting = None if vault is None else self._keys.resting(vault)
        entries = 0 if vault is None else None
        if vault is not None and self._keys.known(vault) is not None:
            entries = len(self._unseal(vault))
        return Status(
            self._file.path,
            encrypted=True,
            exists=vault is not None,
            locked=vault is not None and entries is None and not self._keys.at_hand(vault),
            entries=entries,
            unlocked_until=None if resting is None else resting.until,
        )

    def prepare(self) -> None:
        """Get the data key of the store, or make one for a new store."""
        vault = self._parse()
        if vault is not None:
            self._open(vault)
        elif self._new is None:
            self._new = self._keys.make()

    def records(self) -> dict[str, Record]:
        """Every record. Raises RollbackError or ForkError as `docs/vault-format.md` says."""
        seen = self._seen.read()  # before the file: a writer in between only makes it newer
        vault = self._parse()
        if vault is None:
            return {}
        records = self._unseal(vault)
        try:
            newer = self._seen.check(seen, vault)
        except RefusedError as refused:
            return self._look_again(refused)
        if newer:
            self._remember_if_free(vault)
        return records

    def _look_again(self, refused: RefusedError) -> dict[str, Record]:
        """The records, if a writer had come in between; otherwise what refused them."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._lock())
            except (StorageError, UnsafeFileError):
                raise refused.at(self._file.path) from None  # where nobody can write, nobody did
            return self._load()[0]

    def leftovers(self) -> list[str]:
        """The new files of killed writers, and passphrases that open no state of the store."""
        kept = [f"the keychain's {VAULT_SERVICE}/{name}" for name in self._unused()]
        return self._file.leftovers() + kept

    def sweep(self) -> None:
        """Remove them, under the lock."""
        self._file.sweep()
        with self._lock():
            self._keys.forget(*self._unused())

    def _unused(self) -> list[str]:
        """The generated passphrases of older states; none beside a file that is itself older."""
        vault = self._parse()
        if vault is None:
            return []
        try:
            self._seen.check(self._seen.read(), vault)
        except RefusedError:
            return []
        return self._keys.unused(vault)

    def weaknesses(self) -> list[Fault]:
        """A key derivation that costs less than config.toml asks for."""
        from codemesh.backends.base import Fault

        vault = self._parse()
        if vault is None or not self._keys.weak(vault):
            return []
        m, t, p, _ = vault.kdf
        message = f"a passphrase is tried for less than it should cost (m={m} KiB, t={t}, p={p})"
        return [Fault(f"{self._file.path}: {message}", advice="Raise it: codemesh passwd")]

    # -- unlocking -------------------------------------------------------------------

    def unlock(self, seconds: float) -> int:
        """Open the file with its passphrase, then let the data key rest."""
        self._keys.resting_place()  # before anybody is asked
        vault = self._existing()
        try:
            self._keys.prove(vault)
        except CodemeshError as error:
            raise error.at(self._file.path) from None
        self.records()  # a damaged store, or an older one, is told now rather than at every use
        return self._keys.rest(vault, seconds)

    def lock(self) -> bool:
        """Drop what rests for this file and for every store that was seen in its place."""
        ids = set(self._seen.read())
        try:
            vault = self._parse()
        except DamagedError:
            vault = None
        if vault is not None:
            ids.add(vault.id.hex())
        dropped = [self._keys.drop(each) for each in sorted(ids)]  # all, not the first alone
        return any(dropped)

    def rekey(self, wish: Rekeying) -> Callable[[], str]:
        """Seal everything again, one revision later, in the one step of every write."""
        proven = self._existing()
        try:
            sealing = self._keys.make_anew(proven, wish)
        except CodemeshError as error:
            raise error.at(self._file.path) from None

        def commit() -> str:
            with self._lock():
                vault = self._existing()
                if _vault.wrap_id(vault) != _vault.wrap_id(proven):
                    raise RefusedError(
                        "the passphrase was changed by somebody else meanwhile",
                        hint="Theirs holds. Run it again to change it once more.",
                        where=self._file.path,
                    )
                records, _ = self._load()
                self._seal(sealing, vault.revision + 1, records)
                notes = [self._forget(vault)]
            if wish.cost is not None and sealing.kdf[:3] == vault.kdf[:3]:
                notes.append("The cost of a guess stays as it was; it is never lowered.")
            return " ".join(filter(None, notes))

        return commit

    def _existing(self) -> Vault:
        vault = self._parse()
        if vault is None:
            raise UsageError(
                "there is no store yet",
                hint="The first login makes it: codemesh auth login",
                where=self._file.path,
            )
        return vault

    def _forget(self, vault: Vault) -> str:
        """Let nothing remain of the keys of a state of this file that is gone.

        Returns what its owner should know of that, if it did not work out.
        """
        with suppress(BackendUnavailableError, BusyError, LockedError, StorageError):
            self._keys.drop(vault.id.hex())
        if self.context.options.get("protect") == "keychain":
            try:
                self._keys.forget_that_of(vault)
            except CodemeshError as error:
                return f"The older passphrase stays in the keychain, and opens nothing: {error}."
        return ""

    # -- damage ----------------------------------------------------------------------

    def salvage(self) -> Salvage:
        """The entries of a file that was reformatted or got something appended.

        A sealed document opens whole or not at all, so any other damage loses all.
        """
        from codemesh.backends import _salvage
        from codemesh.backends.base import Salvage

        vault = _vault.parse(_salvage.sealed(self._file.read_damaged()))
        return Salvage(self._unseal(vault), [])

    def restart(self, records: Mapping[str, Record]) -> str:
        """Set the damaged file aside and write a new one, under a passphrase asked for anew."""
        sealing = self._keys.make()
        with self._lock():
            aside = self._file.set_aside()
            self._seal(sealing, 0, records)
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
        if rest is not None:
            sealing = _vault.sealing_of(rest, self._open(rest))
            self._seal(sealing, rest.revision + 1, records)
        else:
            # Where the store went away after it was opened, this one has keys of its own.
            self._seal(self._new or self._keys.make(), 0, records)
            self._new = None

    def _seal(self, sealing: Sealing, revision: int, records: Mapping[str, Record]) -> None:
        """Write the whole store; the lock is held."""
        try:
            raw = _vault.seal(sealing, revision, records)
        except RefusedError as error:
            raise error.at(self._file.path) from None
        with self._keys.secured(sealing):
            self._file.replace(raw)
        self._remember(_vault.parse(raw))

    def _delete(self) -> None:
        vault = self._parse()
        self._file.remove()
        if vault is not None:
            # What rests or is kept for a store that is gone opens nothing any more.
            self._forget(vault)

    def _parse(self) -> Vault | None:
        raw = self._file.read()
        if raw is None:
            return None
        try:
            return _vault.parse(raw)
        except CodemeshError as error:
            raise error.at(self._file.path) from None

    def _open(self, vault: Vault) -> bytes:
        try:
            return self._keys.open(vault)
        except CodemeshError as error:
            raise error.at(self._file.path) from None

    def _unseal(self, vault: Vault) -> dict[str, Record]:
        data_key = self._open(vault)
        try:
            return _vault.open_payload(vault, data_key)
        except CodemeshError as error:
            raise error.at(self._file.path) from None

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
