"""The keychain of macOS, Windows or Linux: one item for each entry.

An item's service is `codemesh/ENTRY`, its username ENTRY, and its value the record as
ASCII JSON, so that it can be read with the system's own tools and survives keychains
that stop at a NUL or count in UTF-16. What is done to a keychain beneath this, each in
its own way, lies in `_secretservice.py` and `_keyring.py`.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from codemesh import strictjson
from codemesh.backends import _items, _keychains
from codemesh.backends.base import Backend, Salvage, Status, apply, check_expected, same
from codemesh.errors import (
    CredentialNotFoundError,
    DamagedError,
    StorageError,
    TooLargeError,
    UsageError,
)
from codemesh.model import check_entry_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from codemesh.backends._items import Items
    from codemesh.backends.base import Fault
    from codemesh.backends.context import Context
    from codemesh.model import Record

# Within a string. KeePassXC puts something else in the place of {TITLE} and the like, and
# takes no {REF:...}. What JSON itself opens is followed by a quote, or is empty.
_BRACE = re.compile(r'\{(?!["}])')


class KeychainBackend(Backend):
    """Credentials in the keychain of this machine."""

    name = "keychain"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._service = _items.service_of(context.home, context.options.get("service"))
        self._keychain = _keychains.choose(context.options, self._service)
        self._prepared = False

    # -- reading ---------------------------------------------------------------------

    def get(self, name: str) -> Record:
        """One item alone."""
        try:
            check_entry_name(name)
        except UsageError:
            raise CredentialNotFoundError(name) from None
        with self._keychain.opened() as items:
            text = items.read(name)
        if text is None:
            raise CredentialNotFoundError(name)
        return self._decode(name, text)

    def records(self) -> dict[str, Record]:
        """Every item under the prefix of this folder."""
        with self._keychain.opened() as items:
            texts = items.read_all()
        return {name: self._decode(name, texts[name]) for name in sorted(texts)}

    def names(self) -> list[str]:
        """The names alone; no item is read."""
        with self._keychain.opened() as items:
            return sorted(items.names())

    def status(self) -> Status:
        """What the keychain tells without being unlocked."""
        with self._keychain.opened(ask=False) as items:
            names = items.names_if_open()
        return Status(
            f"{self._keychain.title}, {self._service}/*",
            encrypted=self._keychain.encrypted,
            exists=names is None or bool(names),
            locked=names is None,
            entries=None if names is None else len(names),
        )

    # -- writing ---------------------------------------------------------------------

    def prepare(self) -> None:
        """Unlock the keychain now, which may ask its owner."""
        if not self._prepared:
            self._keychain.unlock()
            self._prepared = True  # if it is locked again, the write itself unlocks it

    def change(
        self,
        puts: Mapping[str, Record],
        removes: Collection[str] = (),
        *,
        expect: Mapping[str, Record | None] | None = None,
    ) -> None:
        """Write one item after the other, each old or new at any moment."""
        texts = {check_entry_name(name): self._encode(name, puts[name]) for name in puts}
        expect = expect or {}
        if not texts and not removes and not expect:
            return
        self.prepare()
        with self._locked() as items:
            before = self._present(items, {*expect, *removes})
            apply(before, {}, removes, expect)
            items.write(texts, [name for name in removes if name not in texts])

    def retire(self, expect: Mapping[str, Record]) -> None:
        """Remove the items that are still as given."""
        self.prepare()
        with self._locked() as items:
            present = self._present(items, expect)
            check_expected(present, {name: expect[name] for name in present})
            items.write({}, list(present))

    # -- upkeep ----------------------------------------------------------------------

    def leftovers(self) -> list[str]:
        """Old values and parts of values that no entry needs any more."""
        with self._keychain.opened() as items:
            return items.leftovers()

    def sweep(self) -> None:
        """Remove them, under the lock."""
        with self._locked() as items:
            items.sweep()

    def probe(self) -> None:
        """Write a throwaway item, read it, compare it, delete it, and see that it has gone."""
        self.prepare()  # without a keychain, nothing is left here either
        with self._locked() as items:
            items.throwaway()

    def faults(self, candidates: Collection[str]) -> list[Fault]:
        """What is in the keychain twice, unlisted, or listed and not there."""
        from codemesh.backends.base import Fault

        with self._keychain.opened() as items:
            return [
                Fault(fault.message, fault.mend and self._mending(fault.mend), fault.advice)
                for fault in items.faults(candidates)
            ]

    def salvage(self) -> Salvage:
        """The items that still parse."""
        with self._keychain.opened() as items:
            items.guess()
            return self._salvaged(items)

    def restart(self, records: Mapping[str, Record]) -> str:
        """Set aside, within the keychain, the items that do not parse; the rest stays."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        texts = {name: self._encode(name, record) for name, record in records.items()}
        with self._locked() as items:
            items.guess()
            items.rebuild(stamp)
            sound, damaged = self._salvaged(items)
            for name in damaged:
                items.set_aside(name, stamp)
            differing = [name for name in texts if not same(sound.get(name), records[name])]
            items.write({name: texts[name] for name in differing}, sound.keys() - texts.keys())
        return f"{self._keychain.title}, {self._service}/{_items.aside('*', stamp)}"

    def _salvaged(self, items: Items) -> Salvage:
        records: dict[str, Record] = {}
        lost = []
        for name in sorted(items.names()):
            try:
                text = items.read(name)
                if text is not None:
                    records[name] = self._decode(name, text)
            except DamagedError:
                lost.append(name)
        return Salvage(records, lost)

    def _mending(self, mend: Callable[[Items], object]) -> Callable[[], None]:
        def act() -> None:
            with self._locked() as items:
                mend(items)

        return act

    # -- the rest --------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[Items]:
        """The keychain, opened, while nobody else of ours changes it."""
        home, timeout = self.context.home, self.context.lock_timeout
        try:
            with _keychains.locked(self._keychain, home, timeout) as items:
                yield items
        except StorageError as error:
            if error.hint == StorageError.default_hint:
                error.hint = "Each entry is the old one or the new one: codemesh auth list"
            raise

    def _present(self, items: Items, names: Collection[str]) -> dict[str, Record]:
        found = {name: items.read(name) for name in names}
        return {name: self._decode(name, text) for name, text in found.items() if text is not None}

    def _encode(self, name: str, record: Record) -> str:
        from codemesh.backends import _document

        _document.check_puts({name: record})
        text = json.dumps(record, allow_nan=False, separators=(",", ":"))
        text = _BRACE.sub(r"\\u007b", text)
        if len(text) > self._keychain.limit:
            raise TooLargeError(
                f"{name} is too large for the keychain: {len(text)} characters, "
                f"of {self._keychain.limit} at most",
                hint="Nothing was changed. Keep it in another store: codemesh backend list",
            )
        return text

    def _decode(self, name: str, text: str) -> Record:
        where = f"{self._keychain.title}, {self._service}/{name}"
        try:
            record = strictjson.loads(text.encode("utf-8", "surrogatepass"))
        except DamagedError as error:
            raise error.at(where) from None
        if not isinstance(record, dict):
            raise DamagedError("the item is not an object", where=where)
        return record
