"""Texts of any length in a keychain that limits the length of an item.

A text that fits is one item. A longer one is cut into parts, items of their own, and a
manifest in the place of the text: a JSON list, which no record is, with the count of the
parts and the CRC-32 of the whole. The manifest is written last and removed first, and
the parts of two generations, `a` and `b`, take turns, so that a kill leaves the old text
or the new one. `%` never stands alone in an encoded name, so a part is never an entry.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, NamedTuple

from codemesh.errors import DamagedError, NotKeptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codemesh.backends._ring import Ring

MARK = "codemesh-parts"
SLOTS = (0, 1)
MOST_PARTS = 256
_GENERATIONS = ("a", "b")
_ATTEMPTS = 5  # against a text that others replace all the time


class Manifest(NamedTuple):
    """What stands in the place of a text that is too long."""

    generation: str
    parts: int
    crc: int


class Cells:
    """Texts under keys, each in one of two slots; a slot is an account name of its own."""

    def __init__(self, ring: Ring, service: str) -> None:
        self._ring = ring
        self._service = service

    @property
    def longest(self) -> int:
        """The most characters of one text, which is ASCII."""
        limit = self._ring.traits.limit
        return 2**24 if limit is None else limit * MOST_PARTS

    def read(self, key: str, slot: int = 0) -> str | None:
        """The text; None if there is none. Raises DamagedError if its parts do not fit."""
        head = None
        for _ in range(_ATTEMPTS):
            head = self._head(key, slot)
            manifest = _manifest(head)
            if manifest is None:
                return head
            text = self._joined(key, manifest)
            if text is not None:
                return text
            if self._head(key, slot) == head:
                break  # nobody is replacing it
        raise DamagedError("parts of it are missing or changed", where=self._where(key))

    def write(self, key: str, slot: int, text: str) -> None:
        """Write a text and read it back; what was there is the old one until the last step.

        Raises NotKeptError if it reads back differently.
        """
        old = _manifest(self._head(key, slot))
        if self._ring.traits.in_place:
            generation = "b" if old is not None and old.generation == "a" else "a"
        else:
            generation = _GENERATIONS[slot]
            if old is not None:
                self.remove(key, slot)  # its parts make room, and it must not outlive them
        head = text
        if not self._fits(text):
            head = self._write_parts(key, generation, text)
        self._ring.set(self._at(key), account(key, slot), head)
        try:
            kept = self.read(key, slot) == text
        except DamagedError:
            kept = False
        if not kept:
            raise NotKeptError(f"the keychain did not keep {key}")
        for other in self._generations(slot):
            if head is text or other != generation:
                self._remove_parts(key, other)

    def remove(self, key: str, slot: int) -> None:
        """Remove a text, its manifest first. One that is not there is fine."""
        self._ring.delete(self._at(key), account(key, slot))
        for generation in self._generations(slot):
            self._remove_parts(key, generation)

    def is_there(self, key: str, slot: int) -> bool:
        """Whether there is a text, be it damaged."""
        return self._head(key, slot) is not None

    def fragments(self, key: str, slot: int) -> list[str]:
        """The parts of a text as far as they are there, in their order; one if it has none."""
        head = self._head(key, slot)
        manifest = _manifest(head)
        if manifest is None:
            return [] if head is None else [head]
        numbers = range(1, manifest.parts + 1)
        parts = (self._part(key, manifest.generation, number) for number in numbers)
        return [part for part in parts if part is not None]

    def copy(self, key: str, slot: int, to: str) -> None:
        """Write the parts of a text, as far as they are there, under another key."""
        fragments = self.fragments(key, slot)
        for number, text in enumerate(fragments, start=1):
            name = to if len(fragments) == 1 else f"{to}%part-{number}"
            self._ring.set(self._at(name), name, text)
            if self._ring.get(self._at(name), name) != text:
                raise NotKeptError(f"the keychain did not keep {name}")

    def leftovers(self, key: str, slot: int) -> Iterator[str]:
        """What no text under this key needs: parts, and what Windows keeps on rotation."""
        for generation, used in self._used(key, slot):
            if self._part(key, generation, used + 1) is not None:
                yield f"parts of an older value of {key}"
        if self._ring.has_older(self._at(key), account(key, slot)):
            yield f"an older value of {key}"

    def sweep(self, key: str, slot: int) -> None:
        """Remove them."""
        for generation, used in self._used(key, slot):
            self._remove_parts(key, generation, used)
        self._ring.drop_older(self._at(key), account(key, slot))

    # -- parts -----------------------------------------------------------------------

    def _generations(self, slot: int) -> tuple[str, ...]:
        if self._ring.traits.limit is None:
            return ()
        return _GENERATIONS if self._ring.traits.in_place else (_GENERATIONS[slot],)

    def _used(self, key: str, slot: int) -> Iterator[tuple[str, int]]:
        """Each generation of parts, and how many of them are in use.

        None of what is not understood: a newer codemesh may have parts of its own.
        """
        head = self._head(key, slot)
        manifest = _manifest(head)
        if head is None or manifest is not None or head.startswith("{"):
            for generation in self._generations(slot):
                ours = manifest is not None and manifest.generation == generation
                yield generation, manifest.parts if manifest is not None and ours else 0

    def _fits(self, text: str) -> bool:
        limit = self._ring.traits.limit
        return limit is None or len(text) <= limit

    def _write_parts(self, key: str, generation: str, text: str) -> str:
        """Write the parts, those of a killed writer removed first; returns the manifest."""
        limit = self._ring.traits.limit or len(text)
        self._remove_parts(key, generation)
        parts = [text[start : start + limit] for start in range(0, len(text), limit)]
        for number, part in enumerate(parts, start=1):
            name = _part_key(key, generation, number)
            self._ring.set(self._at(name), name, part)
        return json.dumps([MARK, 1, generation, len(parts), zlib.crc32(text.encode())])

    def _remove_parts(self, key: str, generation: str, used: int = 0) -> None:
        """Remove the parts beyond `used`, the last first, so that the rest has no gap."""
        count = used
        while self._part(key, generation, count + 1) is not None:
            count += 1
        for number in range(count, used, -1):
            name = _part_key(key, generation, number)
            self._ring.delete(self._at(name), name)

    def _part(self, key: str, generation: str, number: int) -> str | None:
        name = _part_key(key, generation, number)
        return self._ring.get(self._at(name), name)

    def _joined(self, key: str, manifest: Manifest) -> str | None:
        parts = []
        for number in range(1, manifest.parts + 1):
            part = self._part(key, manifest.generation, number)
            if part is None:
                return None
            parts.append(part)
        text = "".join(parts)
        return text if zlib.crc32(text.encode("utf-8", "replace")) == manifest.crc else None

    # -- items -----------------------------------------------------------------------

    def _at(self, key: str) -> str:
        return f"{self._service}/{key}"

    def _where(self, key: str) -> str:
        return f"{self._ring.traits.title}, {self._at(key)}"

    def _head(self, key: str, slot: int) -> str | None:
        return self._ring.get(self._at(key), account(key, slot))


def account(key: str, slot: int) -> str:
    """The account, or username, of a key's item: the key itself, or that and `%2`."""
    return key if slot == 0 else f"{key}%2"


def _part_key(key: str, generation: str, number: int) -> str:
    return f"{key}%part-{generation}-{number}"


def _manifest(head: str | None) -> Manifest | None:
    """What a manifest says; None for anything else."""
    if head is None or not head.startswith("["):
        return None
    try:
        match json.loads(head):
            case [str(mark), 1, str(generation), int(count), int(crc)] if (
                mark == MARK and generation in _GENERATIONS and 0 < count <= MOST_PARTS
            ):
                return Manifest(generation, count, crc)
    except (ValueError, RecursionError):
        return None
    return None
