"""The newest revision of each vault that was seen here, to notice an older copy.

It lies in the state folder, apart from the store, one small file for each store path:
`{id: {"revision": n, "payload_salt_sha256": hex}}`. Best effort: who can write the
state folder can also roll it back. It is written after the store itself, under the
store's lock and never downwards, so a kill between the two locks nobody out.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from codemesh import strictjson
from codemesh.backends import _vault
from codemesh.errors import (
    DamagedError,
    ForkError,
    RefusedError,
    RollbackError,
    StorageError,
)
from codemesh.files.private import PrivateFile

if TYPE_CHECKING:
    from codemesh.backends._vault import Vault

Seen: TypeAlias = dict[str, tuple[int, str]]
"""Vault id, as hex, to the newest revision and its fingerprint."""

_LIMIT = 2**20


def place_of(path: str) -> str:
    """Where a store lies, as 16 hex digits: those of a hash of its real path."""
    real = os.path.realpath(path).encode("utf-8", "surrogateescape")
    return _vault.sha256(real).hex()[:16]


class SeenRevisions:
    """What was seen of the vaults that lay at one path."""

    def __init__(self, home: str, path: str) -> None:
        name = f"seen-{place_of(path)}.json"
        self._file = PrivateFile(os.path.join(home, "state", name), limit=_LIMIT)

    def read(self) -> Seen:
        """All that was seen; nothing where the file is absent, damaged, unsafe or unreadable.

        Losing it costs the notice of a rollback, never the store.
        """
        try:
            raw = self._file.read()
            entries = {} if raw is None else strictjson.loads(raw)
        except (DamagedError, RefusedError, StorageError):
            return {}
        if not isinstance(entries, dict):
            return {}
        return {
            vault_id: (entry["revision"], entry["payload_salt_sha256"])
            for vault_id, entry in entries.items()
            if isinstance(entry, dict)
            and isinstance(entry.get("revision"), int)
            and isinstance(entry.get("payload_salt_sha256"), str)
        }

    def has_place(self) -> bool:
        """Whether the state folder is there; who only reads does not make it."""
        return os.path.isdir(os.path.dirname(self._file.path))

    def check(self, seen: Seen, vault: Vault) -> bool:
        """Whether the vault is newer than what was seen.

        Raises RollbackError if it is older, ForkError if it is another one of the same
        revision.
        """
        if vault.id.hex() not in seen:
            return True
        revision, fingerprint = seen[vault.id.hex()]
        if vault.revision < revision:
            raise RollbackError(
                f"revision {vault.revision} is older than revision {revision}, "
                "which was already seen here"
            )
        if vault.revision == revision and fingerprint != _vault.fingerprint(vault):
            raise ForkError(
                f"revision {revision} is not the one that was seen here: "
                "two copies of the store were changed apart from each other"
            )
        return vault.revision > revision

    def note(self, vault: Vault) -> None:
        """Remember this revision unless a newer one was seen. The caller holds the lock."""
        seen = self.read()
        if seen.get(vault.id.hex(), (-1, ""))[0] < vault.revision:
            self._write(seen, vault)

    def accept(self, vault: Vault) -> None:
        """Remember this revision even if a newer one was seen. The caller holds the lock."""
        self._write(self.read(), vault)

    def _write(self, seen: Seen, vault: Vault) -> None:
        entries = {**seen, vault.id.hex(): (vault.revision, _vault.fingerprint(vault))}
        document = {
            vault_id: {"revision": revision, "payload_salt_sha256": fingerprint}
            for vault_id, (revision, fingerprint) in entries.items()
        }
        self._file.replace(strictjson.canonical(document) + b"\n")
