"""What the stores that are one document share: read it, change it, write all of it.

Such a store gives five small answers (its lock, its content, how it is written and
removed, and how it is opened when damaged); the contract's methods follow from them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from codemesh.backends import _document
from codemesh.backends.base import Backend, apply, check_expected

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from contextlib import AbstractContextManager

    from codemesh.model import Record

Rest = TypeVar("Rest")
"""What a document holds beside its records; None stands for a store that is not there."""


class WholeDocumentBackend(Backend, Generic[Rest]):
    """A backend whose store is one document, rewritten whole under one lock."""

    @abstractmethod
    def _lock(self) -> AbstractContextManager[object]:
        """The lock that every writer of this store takes; not re-entrant."""

    @abstractmethod
    def _load(self) -> tuple[dict[str, Record], Rest | None]:
        """The records, and what the document holds beside them."""

    @abstractmethod
    def _save(self, records: dict[str, Record], rest: Rest | None) -> None:
        """Write the whole document in one step; the lock is held."""

    @abstractmethod
    def _delete(self) -> None:
        """Remove the store; the lock is held."""

    def _worth_keeping(self, rest: Rest | None) -> bool:  # noqa: ARG002  a default answer
        """Whether the document must stay when its last record has gone."""
        return False

    def records(self) -> dict[str, Record]:
        """Every record of the document."""
        return self._load()[0]

    def change(
        self,
        puts: Mapping[str, Record],
        removes: Collection[str] = (),
        *,
        expect: Mapping[str, Record | None] | None = None,
    ) -> None:
        """Rewrite the document once, all or nothing."""
        _document.check_puts(puts)
        self.prepare()
        with self._lock():
            records, rest = self._load()
            changed = apply(records, puts, removes, expect)
            if puts or removes:
                self._save(changed, rest)

    def retire(self, expect: Mapping[str, Record]) -> None:
        """Remove the entries, and the document unless something else is left in it."""
        self.prepare_retirement()
        with self._lock():
            records, rest = self._load()
            present = {name: record for name, record in expect.items() if name in records}
            check_expected(records, present)
            left = {name: record for name, record in records.items() if name not in expect}
            if left or self._worth_keeping(rest):
                self._save(left, rest)
            else:
                self._delete()

    def prepare_retirement(self) -> None:
        """As `prepare`, for a store that is about to lose its entries."""
        if self.status().exists:
            self.prepare()
