"""An entry that other programs put into the keychain twice: the newest counts, and one is left."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

import keychains
from codemesh.errors import CredentialNotFoundError
from desktops import PASSWORD
from keychains import keychain, library, pair, secret_tool
from places import secret_service_items
from secret_service import MEMORY
from support import ONE, THREE, TWO

if TYPE_CHECKING:
    from pathlib import Path

    from codemesh.model import Record
    from desktops import GnomeKeyring

keyring = keychains.keyring
prefix = keychains.prefix


def next_second() -> None:
    """Wait until this second is over: keychains tell when an item was changed no better."""
    begun = int(time.time())
    while int(time.time()) == begun:
        time.sleep(0.02)


def duplicate(prefix: str, record: Record) -> None:
    """Make an item in the collection of the session."""
    import secretstorage

    connection = secretstorage.dbus_init()
    collection = secretstorage.Collection(connection, MEMORY)
    attributes = {"service": f"{prefix}/openai", "username": "openai"}
    collection.create_item("by hand", attributes, json.dumps(record).encode())
    connection.close()


@pytest.mark.usefixtures("gnome")
def test_of_two_items_the_newest_counts(private: Path, prefix: str) -> None:
    """Where another program made a second item, the one changed last is the entry."""
    ours = keychain(private, service=None)
    ours.put("openai", ONE)

    next_second()
    duplicate(prefix, TWO)

    assert ours.get("openai") == TWO
    assert ours.records() == {"openai": TWO}
    assert ours.status().entries == 1
    assert ["twice" in fault.message for fault in ours.faults([])] == [True]


@pytest.mark.usefixtures("gnome")
def test_two_programs_that_do_not_see_each_others_items(private: Path, prefix: str) -> None:
    """After secret-tool the keyring library makes a second item; a login merges the two."""
    ours = keychain(private, service=None)
    secret_tool("store", "--label=mine", *pair(prefix), stdin=json.dumps(ONE))
    next_second()
    library("set_password", f"{prefix}/openai", "openai", json.dumps(TWO))

    doubled, newest = len(secret_service_items(prefix)), ours.get("openai")
    ours.put("openai", THREE)

    assert (doubled, newest) == (2, TWO)
    assert [json.loads(text) for text in secret_service_items(prefix).values()] == [THREE]


@pytest.mark.usefixtures("gnome")
def test_both_items_are_removed(private: Path, prefix: str) -> None:
    """A removal leaves no older item behind that would come back."""
    ours = keychain(private, service=None)
    ours.put("openai", ONE)
    duplicate(prefix, TWO)

    ours.remove("openai")

    assert ours.records() == {}
    with pytest.raises(CredentialNotFoundError):
        ours.get("openai")


@pytest.mark.usefixtures("gnome")
def test_a_write_leaves_one_item(private: Path, prefix: str) -> None:
    """A login over two items ends with one."""
    ours = keychain(private, service=None)
    ours.put("openai", ONE)
    duplicate(prefix, TWO)

    ours.put("openai", THREE)

    assert ours.records() == {"openai": THREE}
    assert ours.faults([]) == []


@pytest.mark.usefixtures("gnome")
def test_a_write_outlives_the_session(keyring: GnomeKeyring, private: Path, prefix: str) -> None:
    """What is written over an item that ends with the session is kept beyond it."""
    ours = keychain(private, service=None)
    ours.put("openai", ONE)
    next_second()
    duplicate(prefix, TWO)

    ours.put("openai", THREE)
    keyring.restart(PASSWORD)

    assert ours.records() == {"openai": THREE}
