"""The in-memory store: for tests of programs that use the library.

It keeps the same document as the plaintext store, as bytes and by the home folder it
was opened for, so it can be reopened, shared by threads and damaged like a file.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from codemesh.backends import _document
from codemesh.backends._whole import WholeDocumentBackend
from codemesh.backends.base import Status
from codemesh.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codemesh.model import Record


class MemoryBackend(WholeDocumentBackend["dict[str, object]"]):
    """Credentials that are gone when the process ends."""

    name = "memory"

    documents: ClassVar[dict[str, bytes]] = {}
    """The bytes of every store, by home folder; tests look at them and damage them."""

    _writers: ClassVar[threading.Lock] = threading.Lock()

    def status(self) -> Status:
        """How many entries there are; never locked, nothing at rest."""
        records, rest = self._load()
        return Status(
            "memory", encrypted=False, exists=rest is not None, locked=False, entries=len(records)
        )

    def restart(self, records: Mapping[str, Record]) -> str:
        """Set the damaged bytes aside, beside the others in `documents`, and start anew."""
        with self._lock():
            aside = f"{self.context.home}.damaged-{len(self.documents)}"
            self.documents[aside] = self.documents.get(self.context.home, b"")
            self._save(dict(records), None)
        return aside

    def _lock(self) -> threading.Lock:
        return self._writers

    def _load(self) -> tuple[dict[str, Record], dict[str, object] | None]:
        raw = self.documents.get(self.context.home)
        if raw is None:
            return {}, None
        try:
            return _document.decode(raw)
        except DamagedError as error:
            raise error.at("memory") from None

    def _save(self, records: dict[str, Record], rest: dict[str, object] | None) -> None:
        document = _document.Document(records, rest or {})
        self.documents[self.context.home] = _document.encode(document)

    def _delete(self) -> None:
        self.documents.pop(self.context.home, None)

    def _worth_keeping(self, rest: dict[str, object] | None) -> bool:
        return bool(rest)
