"""Items and names that come and go past codemesh: told by an inspection, mended on request."""

from __future__ import annotations

import json

import pytest

import keyrings
from codemesh.backends.base import same
from codemesh.errors import CredentialNotFoundError
from keyrings import Ring
from support import CANARY, ONE, TWO, api_key

ring = keyrings.ring
windows = keyrings.windows

SECRET = api_key(CANARY)
LONG = api_key(CANARY + "".join(map(str, range(1300))))
CANDIDATES = {"openai", "google", "new"}


def mend(ring: Ring) -> None:
    """Put right whatever is found."""
    for fault in ring.open().faults(CANDIDATES):
        assert fault.mend is not None
        fault.mend()


def test_a_list_that_is_gone(ring: Ring) -> None:
    """Without the list nothing is there; what is known to look for is found and listed again."""
    records = {"openai": SECRET, "google": LONG}
    ring.fill(records)
    ring.overwrite(ring.key("%list"), None)

    faults = ring.open().faults(CANDIDATES)

    assert ring.open().records() == {}
    assert [fault.message for fault in faults] == [
        "google is in the keychain, and is not listed there",
        "openai is in the keychain, and is not listed there",
    ]
    mend(ring)
    assert same(ring.open().records(), records)
    assert ring.tidy(records)


def test_an_item_that_is_gone(ring: Ring) -> None:
    """An item that somebody removed is not there, and its name goes off the list."""
    ring.fill({"openai": SECRET, "google": LONG, "x": ONE})
    for name in ("openai", "google"):
        ring.overwrite(ring.key(name), None)

    faults = ring.open().faults(CANDIDATES)

    assert same(ring.open().records(), {"x": ONE})
    with pytest.raises(CredentialNotFoundError):
        ring.open().get("openai")
    with pytest.raises(CredentialNotFoundError):
        ring.open().remove("google")
    assert [fault.message for fault in faults] == [
        "openai is listed in the keychain, and is not there",
        "google is listed in the keychain, and is not there",
    ]
    mend(ring)
    assert ring.tidy({"x": ONE})


def test_an_entry_comes_back_before_it_is_mended(ring: Ring) -> None:
    """A mend looks again: what was written meanwhile stays, and is listed once."""
    ring.fill({"openai": SECRET, "google": TWO})
    ring.overwrite(ring.key("openai"), None)
    faults = ring.open().faults(CANDIDATES)
    ring.open().put("openai", ONE)

    for fault in faults:
        assert fault.mend is not None
        fault.mend()

    assert same(ring.open().records(), {"openai": ONE, "google": TWO})
    assert ring.tidy({"openai": ONE, "google": TWO})


def test_an_entry_goes_again_before_it_is_mended(ring: Ring) -> None:
    """What has gone when a mend comes to list it is not listed."""
    ring.fill({"openai": SECRET})
    ring.overwrite(ring.key("%list"), None)
    faults = ring.open().faults(CANDIDATES)
    ring.overwrite(ring.key("openai"), None)

    for fault in faults:
        assert fault.mend is not None
        fault.mend()

    assert ring.items() == {}


def test_what_nobody_lists_is_written_over(ring: Ring) -> None:
    """A put of an entry that the list has lost replaces it."""
    ring.fill({"openai": LONG})
    ring.open().put("openai", LONG)
    ring.overwrite(ring.key("%list"), None)

    ring.open().put("openai", ONE)

    ring.open().sweep()
    assert same(ring.open().records(), {"openai": ONE})
    assert ring.tidy({"openai": ONE})


def test_an_unlisted_item_that_is_damaged(ring: Ring) -> None:
    """An item that nobody lists and nobody can read is told, and is not made an entry."""
    ring.fill({"openai": LONG, "google": TWO})
    ring.overwrite(ring.key("openai"), '["codemesh-parts",1,"a",3,1]')
    name = ring.key("%list")
    ring.overwrite(name, json.dumps(json.loads(ring.items()[name]) | {"slots": {"google": 0}}))

    faults = ring.open().faults(CANDIDATES)

    assert [fault.mend for fault in faults] == [None]
    assert "openai" in faults[0].message
    assert same(ring.open().records(), {"google": TWO})


def test_a_stranger_in_the_place_of_an_entry(windows: Ring) -> None:
    """Another user's credential of the same target moves ours, which is no leftover then."""
    windows.fill({"openai": SECRET})
    windows.foreign().set_password("codemesh/openai", "somebody", "else")

    leftovers = windows.open().leftovers()
    windows.open().sweep()

    assert leftovers == []
    assert same(windows.open().records(), {"openai": SECRET})
    windows.open().put("openai", ONE)
    windows.open().remove("openai")
    assert windows.items() == {"somebody@codemesh/openai": "else"}
