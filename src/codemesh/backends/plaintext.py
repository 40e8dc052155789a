"""The plaintext store: a JSON file that only its owner may read.

It is the file of the Rust program code-mesh, `{"credentials": {name: record}}`, with
what that program lacks: mode 0600 from the first byte, a lock, and atomic replacement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codemesh.backends import _document
from codemesh.backends._files import StoreFile
from codemesh.backends._whole import WholeDocumentBackend
from codemesh.backends.base import Salvage, Status
from codemesh.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codemesh.backends.context import Context
    from codemesh.files.lock import FileLock
    from codemesh.model import Record


class PlaintextBackend(WholeDocumentBackend["dict[str, object]"]):
    """Credentials in one private JSON file."""

    name = "plaintext"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._file = StoreFile(context, "auth.json")

    def status(self) -> Status:
        """Where the file is and how many entries it has; nothing is ever locked."""
        records, rest = self._load()
        return Status(
            self._file.path,
            encrypted=False,
            exists=rest is not None,
            locked=False,
            entries=len(records),
        )

    def leftovers(self) -> list[str]:
        """The new files of killed writers."""
        return self._file.leftovers()

    def sweep(self) -> None:
        """Remove them, under the lock."""
        self._file.sweep()

    def salvage(self) -> Salvage:
        """Every entry that still parses, wherever it stands in the damaged text."""
        from codemesh.backends import _salvage

        return _salvage.entries(self._file.read_damaged())

    def restart(self, records: Mapping[str, Record]) -> str:
        """Set the damaged file aside and write a new one, with what else is readable in it."""
        from codemesh.backends import _salvage

        with self._lock():
            rest = _salvage.rest(self._file.read_damaged())
            aside = self._file.set_aside()
            self._save(dict(records), rest)
        return aside

    def _lock(self) -> FileLock:
        return self._file.lock()

    def _load(self) -> tuple[dict[str, Record], dict[str, object] | None]:
        raw = self._file.read()
        if raw is None:
            return {}, None
        try:
            return _document.decode(raw)
        except DamagedError as error:
            raise error.at(self._file.path) from None

    def _save(self, records: dict[str, Record], rest: dict[str, object] | None) -> None:
        self._file.replace(_document.encode(_document.Document(records, rest or {})))

    def _delete(self) -> None:
        self._file.remove()

    def _worth_keeping(self, rest: dict[str, object] | None) -> bool:
        return bool(rest)  # keys of other programs at the top of the file
