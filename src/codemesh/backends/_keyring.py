"""Every other keychain, through a backend of the keyring library: Windows, macOS, a named one.

The library cannot enumerate, so codemesh keeps a list, itself an item: the names, and in
which of two slots each text lies. A name is listed before its item is written and until
after it is removed, so a kill leaves the list a superset. Where a write over an item is
no single step (macOS deletes and adds), a new text goes to the other slot, then the list
switches, then the old one goes; the list itself takes turns in the same way.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from codemesh.backends._cells import SLOTS, Cells
from codemesh.backends._items import ItemFault, Items, Keychain, aside, encode
from codemesh.backends._namelist import LIST, Listed, NameList
from codemesh.backends._ring import Ring, class_named
from codemesh.errors import DamagedError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

_PROBE = "%probe"
_ATTEMPTS = 5  # against an item that others replace all the time
_LONGEST_KEY = 200  # characters; Windows takes 513 of a user name
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-/")


class KeyringKeychain(Keychain):
    """The keychain behind one class of the keyring library, which is loaded at first use."""

    def __init__(self, service: str, timeout: float, named: str) -> None:
        super().__init__(service)
        self._ring = Ring(class_named(named), timeout)

    @property
    def title(self) -> str:  # type: ignore[override]  # known once the class is loaded
        """How people call it."""
        return self._ring.traits.title

    @property
    def encrypted(self) -> bool:  # type: ignore[override]
        """Whether it is known to encrypt what it keeps."""
        return self._ring.traits.encrypted

    @property
    def limit(self) -> int:  # type: ignore[override]
        """The most characters of one text."""
        return Cells(self._ring, self.service).longest

    @contextmanager
    def opened(self, *, ask: bool = True) -> Iterator[Items]:
        """The keychain; whether somebody is asked is the system's business."""
        del ask
        yield KeyringItems(self._ring, self.service)

    def when_quiet(self, act: Callable[[], object]) -> None:
        """Call `act` once the call that was given up on has ended."""
        self._ring.when_quiet(act)


class KeyringItems(Items):
    """The texts under one prefix, and their list."""

    def __init__(self, ring: Ring, service: str) -> None:
        self._in_place = ring.traits.in_place
        self._ring = ring
        self._cells = Cells(ring, service)
        self._names = NameList(
            self._cells, self._slots(), f"{ring.traits.title}, {service}/{LIST}"
        )
        self._guessed: Listed | None = None

    # -- reading ---------------------------------------------------------------------

    def read(self, name: str) -> str | None:
        """One text, where the list says that it lies."""
        return self._read(name, self._list())

    def read_fixed(self, name: str) -> str | None:
        """One text where a new one lies, whatever the list says."""
        return self._cells.read(_key(name), SLOTS[0])

    def read_all(self) -> dict[str, str]:
        """Every text that is listed and there."""
        listed = self._list()
        texts = {name: self._read(name, listed) for name in listed.slots}
        return {name: text for name, text in texts.items() if text is not None}

    def names(self) -> list[str]:
        """The names on the list whose items are there."""
        listed = self._list()
        return [name for name in listed.slots if self._is_there(name, listed)]

    def names_if_open(self) -> list[str] | None:
        """The same: whether somebody is asked is the system's business."""
        return self.names()

    def _read(self, name: str, listed: Listed) -> str | None:
        for _ in range(_ATTEMPTS):
            slot = listed.slots.get(name)
            if slot is None:
                return None
            text = self._cells.read(_key(name), slot)
            if text is not None:
                return text
            newer = self._list()
            if newer == listed:
                return None  # a writer was killed before it came to the item
            listed = newer
        raise StorageError(f"the item of {name} changes all the time")

    def _is_there(self, name: str, listed: Listed) -> bool:
        """Whether a name on the list has a text, be it damaged."""
        try:
            return self._read(name, listed) is not None
        except DamagedError:
            return True

    # -- writing ---------------------------------------------------------------------

    def write(self, texts: Mapping[str, str], removes: Collection[str]) -> None:
        """List the new names; write the texts; switch; remove what is old."""
        listed = self._list()
        fresh = [name for name in texts if name not in listed.slots]
        moved = {name: 0 for name in texts if name in listed.slots and not self._in_place}
        if fresh:
            listed = self._save(listed, listed.slots | dict.fromkeys(fresh, 0))
        for name, text in texts.items():
            slot = listed.slots[name]
            if name in moved:
                slot = moved[name] = 1 - slot
            self._cells.write(_key(name), slot, text)
        before = listed.slots
        if moved:
            listed = self._save(listed, before | moved)
        for name in moved:
            self._cells.remove(_key(name), before[name])
        for name in removes:
            for slot in self._slots():
                self._cells.remove(_key(name), slot)
        if removes:
            left = {name: slot for name, slot in listed.slots.items() if name not in removes}
            self._save(listed, left)

    def _slots(self) -> tuple[int, ...]:
        return SLOTS[:1] if self._in_place else SLOTS

    def set_aside(self, name: str, stamp: str) -> None:
        """Copy the item, or the manifest of its parts; then take the name off the list.

        The parts of a text that no longer fit together go with it.
        """
        listed = self._list()
        key, slot = _key(name), listed.slots[name]
        self._cells.copy(key, slot, aside(key, stamp))
        for each in self._slots():
            self._cells.remove(key, each)
        self._save(listed, {other: at for other, at in listed.slots.items() if other != name})

    # -- a damaged list --------------------------------------------------------------

    def guess(self) -> None:
        """Go on with what can be read of a damaged list, and is there."""
        try:
            self._list()
        except DamagedError:
            guessed = self._names.guess()
            there = {n: at for n, at in guessed.slots.items() if self._cells.is_there(_key(n), at)}
            self._guessed = guessed._replace(slots=there)

    def rebuild(self, stamp: str) -> None:
        """Set the damaged list aside, and write what was guessed in its place."""
        guessed, self._guessed = self._guessed, None
        if guessed is not None:
            self._names.set_aside(stamp)
            if guessed.slots:
                self._save(guessed, guessed.slots)

    def _list(self) -> Listed:
        return self._guessed or self._names.load()

    def _save(self, old: Listed, slots: dict[str, int]) -> Listed:
        return self._names.save(old, slots)

    # -- upkeep ----------------------------------------------------------------------

    def leftovers(self) -> list[str]:
        """Texts in the slot that is not in use, old parts, and what Windows left."""
        found: list[str] = []
        for key, used in self._keys():
            for slot in self._slots():
                found += self._cells.leftovers(key, slot)
                if slot != used and self._cells.is_there(key, slot):
                    found.append(f"an older value of {key}")
        return found

    def _keys(self) -> list[tuple[str, int]]:
        """The keys of all texts, the list's own among them, and the slots in use."""
        listed = self._list()
        keys = [(_key(name), slot) for name, slot in listed.slots.items()]
        return [*keys, (LIST, listed.own_slot)]

    def sweep(self) -> None:
        """Remove them."""
        for key, used in self._keys():
            for slot in self._slots():
                if slot == used:
                    self._cells.sweep(key, slot)
                else:
                    self._cells.remove(key, slot)

    def throwaway(self) -> None:
        """The item `%probe`, as long as one item may be."""
        text = f"probe of {time.time()}"
        try:
            self._cells.write(_PROBE, 0, text)
        finally:
            self._cells.remove(_PROBE, 0)

    def faults(self, candidates: Iterable[str]) -> Iterator[ItemFault]:
        """List entries without an item, and items without a list entry."""
        listed = self._list()
        for name in listed.slots:
            if not self._is_there(name, listed):
                yield ItemFault(
                    f"{name} is listed in the keychain, and is not there", _unlist(name)
                )
        for name in sorted(set(candidates) - listed.slots.keys()):
            fault = self._unlisted(name)
            if fault is not None:
                yield fault

    def _unlisted(self, name: str) -> ItemFault | None:
        """What there is to say of a name that is not on the list."""
        for slot in self._slots():
            try:
                if self._cells.read(_key(name), slot) is None:
                    continue
            except DamagedError as error:
                return ItemFault(str(error), advice=f"Log in again: codemesh auth login {name}")
            message = f"{name} is in the keychain, and is not listed there"
            return ItemFault(message, _list_again(name, slot))
        return None

    def unlist(self, name: str) -> None:
        """Take a name off the list if its item is still not there, with what is left of it."""
        listed = self._list()
        if name in listed.slots and not self._is_there(name, listed):
            for slot in self._slots():
                self._cells.remove(_key(name), slot)
            self._save(listed, {each: at for each, at in listed.slots.items() if each != name})

    def list_again(self, name: str, slot: int) -> None:
        """Put a name on the list if it is still not there, and its item is."""
        listed = self._list()
        if name not in listed.slots and self._cells.is_there(_key(name), slot):
            self._save(listed, listed.slots | {name: slot})


def _unlist(name: str) -> Callable[[Items], object]:
    return lambda items: cast("KeyringItems", items).unlist(name)


def _list_again(name: str, slot: int) -> Callable[[Items], object]:
    return lambda items: cast("KeyringItems", items).list_again(name, slot)


def _key(name: str) -> str:
    """A name as part of a service and as an account: lower-case ASCII, and not too long.

    Windows takes `A` for `a`, and counts. The list has the name itself, so what is hashed
    need not be read back; `%h` begins no encoded character.
    """
    key = encode(name, lambda char: char not in _PLAIN)
    if len(key) <= _LONGEST_KEY:
        return key
    import hashlib

    return f"%h{hashlib.sha256(name.encode()).hexdigest()}"
