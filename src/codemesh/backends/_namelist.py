"""The list of the names that have an item, for keychains that cannot be listed.

It is an item itself, `%list`, which no encoded name is. Where a write over an item is no
single step it takes turns between two slots, and its sequence number tells the newer one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from codemesh import strictjson
from codemesh.backends._items import aside
from codemesh.errors import DamagedError, TooLargeError

if TYPE_CHECKING:
    from codemesh.backends._cells import Cells

LIST = "%list"
_ATTEMPTS = 5  # against a list that others replace all the time
_ENTRY = re.compile(r'("(?:[^"\\]|\\.)*")\s*:\s*([01])\b')


class Listed(NamedTuple):
    """The list of what is there."""

    sequence: int
    """How often it was written."""

    slots: dict[str, int]
    """Where the text of each name lies."""

    own_slot: int
    """Where the list itself lies."""


class NameList:
    """The list of one prefix; whoever saves it holds the lock."""

    def __init__(self, cells: Cells, slots: tuple[int, ...], where: str) -> None:
        self._cells = cells
        self._slots = slots
        self._where = where

    @property
    def _none(self) -> Listed:
        return Listed(0, {}, self._slots[-1])

    def load(self) -> Listed:
        """The list, the newer one of two; an empty one if there is none."""
        # Between two looks it may go from one slot to the other, and be seen in neither.
        for _ in range(_ATTEMPTS if len(self._slots) > 1 else 1):
            texts = {slot: self._cells.read(LIST, slot) for slot in self._slots}
            lists = [self._parsed(text, at) for at, text in texts.items() if text is not None]
            if lists:
                return max(lists, key=lambda each: each.sequence)
        return self._none

    def save(self, old: Listed, slots: dict[str, int]) -> Listed:
        """Write the list; it is the old one or the new one at any moment."""
        slot = self._slots[old.own_slot - 1]  # the other one, where there are two
        new = Listed(old.sequence + 1, slots, slot)
        if slots:
            content = {"codemesh-list": 1, "sequence": new.sequence, "slots": slots}
            text = json.dumps(content, separators=(",", ":"))
            if len(text) > self._cells.longest:
                raise TooLargeError(
                    "the list of the entries is too long for the keychain",
                    hint="Keep them in another store: codemesh backend list",
                )
            self._cells.write(LIST, slot, text)
        # The older one of two goes first, or it would come back with the newer one gone.
        for each in dict.fromkeys((slot, old.own_slot)):
            if not slots or each != slot:
                self._cells.remove(LIST, each)
        return new

    def guess(self) -> Listed:
        """What can still be read of a damaged list: every text with a slot behind it."""
        slots: dict[str, int] = {}
        for slot in self._slots:
            for name, at in _ENTRY.findall("".join(self._cells.fragments(LIST, slot))):
                try:
                    slots[json.loads(name)] = int(at)
                except ValueError:
                    continue
        return self._none._replace(slots=slots)

    def set_aside(self, stamp: str) -> None:
        """Move the damaged list to where it is no list."""
        for slot in self._slots:
            self._cells.copy(LIST, slot, aside(f"{LIST[1:]}-{slot}", stamp))
            self._cells.remove(LIST, slot)

    def _parsed(self, text: str, slot: int) -> Listed:
        try:
            content = strictjson.loads(text.encode("utf-8", "surrogatepass"))
        except DamagedError as error:
            raise error.at(self._where) from None
        match content:
            case {"codemesh-list": 1, "sequence": int(number), "slots": dict(slots)}:
                if number > 0 and all(each in self._slots for each in slots.values()):
                    return Listed(number, slots, slot)
        raise DamagedError("the list of the items is not one of codemesh", where=self._where)
