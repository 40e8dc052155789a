"""The contract of `backends/base.py`: reading, writing and upkeep, on every backend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from codemesh.backends import registry
from codemesh.backends.base import Status, same
from codemesh.errors import CredentialNotFoundError
from support import ONE, THREE, TWO

if TYPE_CHECKING:
    from codemesh.model import Record
    from support import Bench

# -- a store that is not there -----------------------------------------------------------


def test_new_store_is_empty(bench: Bench) -> None:
    """A store that does not exist yet has no entries."""
    backend = bench.open()

    assert backend.records() == {}
    assert backend.names() == []


def test_reading_makes_no_store(bench: Bench) -> None:
    """Looking at a store that does not exist leaves it so."""
    backend = bench.open()

    backend.records()
    backend.status()
    backend.leftovers()

    assert bench.raw() is None
    assert not bench.home.exists()


def test_status_of_a_new_store(bench: Bench) -> None:
    """A store that does not exist yet is said to be so, and is not locked."""
    status = bench.open().status()

    assert not status.exists
    assert not status.locked
    assert status.entries == 0


@pytest.mark.parametrize("name", ["openai", "credentials", "__proto__"])
def test_get_from_an_empty_store(bench: Bench, name: str) -> None:
    """Getting from a store that does not exist raises the one error for a missing entry."""
    backend = bench.open()

    with pytest.raises(CredentialNotFoundError) as caught:
        backend.get(name)

    assert caught.value.name == name
    assert type(caught.value) is CredentialNotFoundError


def test_remove_from_an_empty_store_makes_none(bench: Bench) -> None:
    """Removing what is not there raises the same error, and no store comes to be."""
    backend = bench.open()

    with pytest.raises(CredentialNotFoundError) as caught:
        backend.remove("openai")

    assert type(caught.value) is CredentialNotFoundError
    assert bench.raw() is None


# -- one entry ---------------------------------------------------------------------------


def test_put_then_get(bench: Bench) -> None:
    """What was put is what is got."""
    backend = bench.open()

    backend.put("openai", ONE)

    assert same(backend.get("openai"), ONE)


def test_another_opening_sees_it(bench: Bench) -> None:
    """Another opening of the store sees what was written."""
    other = bench.open()

    bench.open().put("openai", ONE)

    assert same(other.get("openai"), ONE)
    assert same(bench.open().get("openai"), ONE)


def test_each_call_reads_anew(bench: Bench) -> None:
    """An opened store sees what another one wrote after its own last read."""
    backend = bench.filled({"openai": ONE})
    before = backend.get("openai")

    bench.open().put("openai", TWO)

    assert same(before, ONE)
    assert same(backend.get("openai"), TWO)


def test_put_replaces_the_whole_record(bench: Bench) -> None:
    """Writing over an entry leaves nothing of the old record."""
    backend = bench.filled({"openai": THREE})

    backend.put("openai", ONE)

    assert same(bench.open().records(), {"openai": ONE})


def test_second_put_changes_nothing(bench: Bench) -> None:
    """Putting the same record twice leaves the same entries."""
    backend = bench.filled({"openai": ONE, "google": TWO})

    backend.put("openai", ONE)

    assert same(bench.open().records(), {"openai": ONE, "google": TWO})


def test_remove(bench: Bench) -> None:
    """A removed entry is gone, and the others stay."""
    backend = bench.filled({"openai": ONE, "google": TWO})

    backend.remove("openai")

    assert same(bench.open().records(), {"google": TWO})


def test_remove_twice(bench: Bench) -> None:
    """Removing an entry a second time raises the one error for a missing entry."""
    backend = bench.filled({"openai": ONE, "google": TWO})
    backend.remove("openai")

    with pytest.raises(CredentialNotFoundError) as caught:
        backend.remove("openai")

    assert caught.value.name == "openai"


def test_last_entry_removed_leaves_an_empty_store(bench: Bench) -> None:
    """A store whose last entry was removed is empty; a document is still there."""
    backend = bench.filled({"openai": ONE})

    backend.remove("openai")

    assert bench.open().records() == {}
    assert backend.status().entries in {0, None}
    assert backend.status().exists == bench.whole


@pytest.mark.parametrize("name", ["", "x" * 256, "openai\udc80"])
def test_get_of_a_name_that_no_store_keeps(bench: Bench, name: str) -> None:
    """A name that cannot be stored is a missing entry to a reader."""
    backend = bench.filled({"openai": ONE})

    with pytest.raises(CredentialNotFoundError):
        backend.get(name)


def test_names_are_sorted_by_code_point(bench: Bench) -> None:
    """Names come sorted by code point, whatever the order of writing."""
    names = ["b", "a", "a/b", "Z", "é", "a.b", "10", "9", "\U0001f511"]

    backend = bench.filled(dict.fromkeys(names, ONE))

    assert backend.names() == sorted(names)


def test_records_are_the_callers_own(bench: Bench) -> None:
    """Changing what was returned changes neither the store nor what is returned next."""
    backend = bench.filled({"azure": {"type": "custom", "data": {"key": "k", "list": [1]}}})
    first = backend.get("azure")
    everything = backend.records()

    first["data"] = None
    everything["azure"].clear()
    everything.clear()

    assert same(backend.get("azure"), {"type": "custom", "data": {"key": "k", "list": [1]}})


def test_what_was_put_stays_the_callers(bench: Bench) -> None:
    """Changing a record after it was put does not change the store."""
    backend = bench.open()
    record: Record = {"type": "custom", "data": {"key": "k"}}
    backend.put("azure", record)

    record["data"] = {"key": "other"}

    assert same(backend.get("azure"), {"type": "custom", "data": {"key": "k"}})


def test_put_leaves_the_callers_record(bench: Bench) -> None:
    """Writing does not change the record that it was given."""
    record: Record = {"zebra": 1, "type": "api_key", "key": "k", "apple": [1, {}]}
    copy = json.loads(json.dumps(record))

    bench.open().put("openai", record)

    assert same(record, copy)
    assert list(record) == list(copy)


# -- status and upkeep -------------------------------------------------------------------


def test_status_counts_what_is_open(bench: Bench) -> None:
    """A store that was read says how many entries it has."""
    backend = bench.filled({"a": ONE, "b": TWO})
    backend.records()

    status = backend.status()

    assert isinstance(status, Status)
    assert status.exists
    assert not status.locked
    assert status.entries == 2
    assert status.where


def test_status_asks_for_nothing(bench: Bench) -> None:
    """The status of a store that nobody unlocked is known without its passphrase."""
    bench.open().put("a", ONE)

    status = bench.open().status()

    assert status.exists
    assert status.locked == (status.entries is None)
    assert status.encrypted or not status.locked


def test_name_is_that_of_the_table(bench: Bench) -> None:
    """A backend calls itself by its name in the table."""
    assert bench.open().name == bench.entry.name
    assert registry.find(bench.entry.name) == bench.entry


def test_accept_revision_twice(bench: Bench) -> None:
    """Accepting a store as it stands gives its revision, or none, and the same one again."""
    backend = bench.filled({"a": ONE})

    accepted = backend.accept_revision()

    assert accepted is None or isinstance(accepted, int)
    assert backend.accept_revision() == accepted
    assert same(backend.records(), {"a": ONE})


def test_two_homes_are_two_stores(bench: Bench) -> None:
    """What is written in one home is not seen in another one."""
    bench.open().put("a", ONE)

    other = bench.open(bench.home.with_name("another"))

    assert other.records() == {}


def test_prepare_twice(bench: Bench) -> None:
    """Preparing a write writes nothing, once or twice."""
    backend = bench.open()

    backend.prepare()
    backend.prepare()

    assert bench.raw() is None
    backend.put("a", ONE)
    assert same(bench.open().records(), {"a": ONE})
