"""A keychain that was changed by others: what is damaged is named, and never taken for empty."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import keyrings
from codemesh.backends.base import same
from codemesh.errors import DamagedError
from keyrings import Ring, written
from support import CANARY, ONE, THREE, TWO, api_key, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from codemesh.backends.keychain import KeychainBackend

ring = keyrings.ring
windows = keyrings.windows
macos = keyrings.macos

SECRET = api_key(CANARY)
LONG = api_key(CANARY + "".join(map(str, range(1300))))
CANDIDATES = {"openai", "google", "new"}


def manifest(generation: object, parts: object, crc: object = 1) -> str:
    """A manifest, or something like it."""
    return json.dumps(["codemesh-parts", 1, generation, parts, crc])


def listing(slots: object, sequence: object = 9) -> str:
    """A list, or something like it."""
    return json.dumps({"codemesh-list": 1, "sequence": sequence, "slots": slots})


TEXTS = {
    "empty": "",
    "no JSON": f"{CANARY} is no JSON",
    "cut": written(SECRET)[:-1],
    "more behind": written(SECRET) + written(SECRET),
    "a list": "[]",
    "a number": "5",
    "null": "null",
    "a key twice": '{"a": 1, "a": 2}',
    "not a number": '{"a": NaN}',
    "half a character": '{"a": "\\ud800"}',
    "nested": "[" * 1200,
    "absurd count": manifest("a", 10**9),
    "no parts": manifest("a", 0),
    "fewer than none": manifest("a", -1),
    "parts elsewhere": manifest("a", 200),
    "no generation": manifest("", 2),
    "both generations": manifest("ab", 2),
    "a count that is text": manifest("a", "2"),
    "a newer manifest": manifest("a", 2).replace("1", "2"),
}
LISTS = {
    "other names": listing(["openai", "google"]),
    "no sequence": listing({"openai": 0}, 0),
    "a sequence that is text": listing({"openai": 0}, "9"),
    "a third slot": listing({"openai": 2}),
    "a slot that is text": listing({"openai": "0"}),
    "a slot that is a list": listing({"openai": [0]}),
    "another version": listing({"openai": 0}).replace('list": 1', 'list": 2'),
    "an empty object": "{}",
}
ACTS: dict[str, Callable[[KeychainBackend], object]] = {
    "records": lambda backend: backend.records(),
    "names": lambda backend: backend.names(),
    "get": lambda backend: backend.get("openai"),
    "get what never was": lambda backend: backend.get("never"),
    "status": lambda backend: backend.status(),
    "put": lambda backend: backend.put("openai", ONE),
    "remove": lambda backend: backend.remove("openai"),
    "expect": lambda backend: backend.change({}, expect={"never": None}),
    "retire": lambda backend: backend.retire({"openai": SECRET}),
    "leftovers": lambda backend: backend.leftovers(),
    "sweep": lambda backend: backend.sweep(),
    "faults": lambda backend: backend.faults(CANDIDATES),
}


# -- the list ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", (TEXTS | LISTS).values(), ids=TEXTS | LISTS)
def test_a_list_that_is_none(ring: Ring, text: str) -> None:
    """A list that is not one of codemesh stops every operation, is named, and stays."""
    ring.fill({"openai": SECRET, "google": TWO})
    ring.overwrite(ring.key("%list"), text)
    before = ring.items()

    for act in ACTS.values():
        with pytest.raises(DamagedError) as caught:
            act(ring.open())
        assert caught.value.where.endswith(", codemesh/%list")
        assert CANARY not in shown(caught.value)
    assert ring.items() == before


def test_a_list_with_slots_that_are_not_used(windows: Ring) -> None:
    """Windows needs one slot alone, and a list that says otherwise is not one of codemesh."""
    windows.fill({"openai": SECRET})
    windows.overwrite(windows.key("%list"), listing({"openai": 1}))

    with pytest.raises(DamagedError, match="codemesh/%list"):
        windows.open().records()


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_list_that_lost_a_part(ring: Ring, damage: str) -> None:
    """A long list without one of its parts, or with another one, is damaged, too."""
    if ring.limit is None:
        pytest.skip("this keychain has no limit")
    ring.fill({"openai": SECRET, "\U0001f511" * 255: TWO})
    key = next(key for key in ring.items() if "%list%part" in key)
    ring.overwrite(key, None if damage == "missing" else "x")
    before = ring.items()

    for act in ACTS.values():
        with pytest.raises(DamagedError, match="codemesh/%list: parts of it are missing"):
            act(ring.open())
    assert ring.items() == before


# -- the items ---------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_an_item_that_is_none(ring: Ring, text: str) -> None:
    """An item that is no record is named, and the others can be read and written."""
    ring.fill({"openai": LONG, "google": TWO})
    ring.overwrite(ring.key("openai"), text)

    assert_damaged(ring)

    ring.open().put("openai", ONE)
    assert same(ring.open().records(), {"openai": ONE, "google": THREE})
    ring.open().sweep()
    assert ring.tidy({"openai": ONE, "google": THREE})


@pytest.mark.parametrize("damage", ["missing", "changed", "cut", "swapped"])
@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_part_that_is_none(ring: Ring, damage: str, number: int) -> None:
    """A long text without one of its parts, or with another one, is damaged as a whole."""
    if ring.limit is None:
        pytest.skip("this keychain has no limit")
    ring.fill({"openai": LONG, "google": TWO})
    key, other = (ring.key(f"openai%part-a-{each}") for each in (number, number % 4 + 1))
    text = ring.items()[key]
    changed = {"missing": None, "changed": text.replace("7", "8"), "cut": text[:-1]}
    ring.overwrite(key, changed.get(damage, ring.items()[other]))

    assert_damaged(ring)

    ring.open().put("openai", ONE)
    ring.open().sweep()
    assert same(ring.open().records(), {"openai": ONE, "google": THREE})


def test_sweeping_spares_what_is_not_understood(ring: Ring) -> None:
    """The parts of a text whose manifest a newer codemesh wrote are no leftovers."""
    ring.fill({"openai": LONG, "google": TWO})
    ring.overwrite(ring.key("openai"), '["codemesh-parts",2,{"parts":4}]')
    before = ring.items()

    ring.open().sweep()

    assert ring.open().leftovers() == []
    assert ring.items() == before


def test_an_item_in_other_bytes(windows: Ring) -> None:
    """An item that is no text at all is named as well, and what is in it is not told."""
    windows.fill({"openai": SECRET, "google": TWO})
    windows.overwrite(windows.key("openai"), "\udcff" + CANARY)

    with pytest.raises(DamagedError) as caught:
        windows.open().get("openai")

    assert caught.value.where == "Windows Credential Manager, codemesh/openai"
    assert CANARY not in shown(caught.value)
    assert same(windows.open().get("google"), TWO)


def assert_damaged(ring: Ring) -> None:
    """See that `openai` is damaged, and nothing else is; changes `google`."""
    damaged: list[Callable[[KeychainBackend], object]] = [
        lambda backend: backend.records(),
        lambda backend: backend.get("openai"),
        lambda backend: backend.remove("openai"),
        lambda backend: backend.retire({"openai": LONG}),
    ]
    before = ring.items()
    for act in damaged:
        with pytest.raises(DamagedError) as caught:
            act(ring.open())
        assert caught.value.where.endswith(", codemesh/openai")
        assert CANARY not in shown(caught.value)
    assert ring.items() == before
    assert ring.open().faults(CANDIDATES) == []
    assert ring.open().status().entries == 2
    assert ring.open().salvage() == ({"google": TWO}, ["openai"])
    ring.open().put("google", THREE)
    ring.open().sweep()
    assert same(ring.open().get("google"), THREE)
