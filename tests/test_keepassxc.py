"""KeePassXC as the keychain: it asks with windows of its own, and nobody answers them here."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

import places
from codemesh.backends._dbus import Bus
from codemesh.errors import LockedError
from desktops import PASSWORD
from keychains import ACTS, OLD, SECRET, SERVICE, failure, keychain, library, pair, secret_tool
from places import secret_service_items
from support import CANARY, ONE, THREE, TWO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from codemesh.backends._dbus import Call, Refusal
    from codemesh.model import Record
    from keepassxc import KeePassXC

pytestmark = [
    pytest.mark.skipif(
        places.SERVICE != "keepassxc", reason="`make test-keepassxc` runs this on a real KeePassXC"
    ),
    pytest.mark.usefixtures("keepassxc"),
]

ASKING = [act for act in ACTS if act != "status"]
PATIENCE = 1.5  # seconds that a window nobody answers is waited for
UNANSWERED = f"and nobody answered its prompt within {PATIENCE:g} s"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of the keychain that are called, in their order."""
    members: list[str] = []
    real = Bus.attempts

    def attempts(bus: Bus, calls: Iterable[Call]) -> Iterator[tuple[object, ...] | Refusal]:
        calls = list(calls)
        members.extend(call.member for call in calls)
        return real(bus, calls)

    monkeypatch.setattr(Bus, "attempts", attempts)
    return members


# -- changes -----------------------------------------------------------------------------


def test_to_write_over_an_item_opens_no_window(home: Path, asked: list[str]) -> None:
    """An item that is there is changed in place, and its owner is not asked."""
    keychain(home).put("openai", OLD)
    asked.clear()

    keychain(home).put("openai", SECRET)

    assert keychain(home).get("openai") == SECRET
    assert not {"CreateItem", "Prompt"} & set(asked)
    assert len(secret_service_items(SERVICE)) == 1


def test_to_write_over_the_items_of_others_opens_no_window(home: Path, asked: list[str]) -> None:
    """What secret-tool or the keyring library made is read, and changed in place as well."""
    secret_tool("store", "--label=mine", *pair(SERVICE), stdin=json.dumps(ONE))
    library("set_password", f"{SERVICE}/google", "google", json.dumps(TWO))
    found = keychain(home).records()
    asked.clear()

    keychain(home).change({"openai": THREE, "google": THREE})

    assert found == {"openai": ONE, "google": TWO}
    assert keychain(home).records() == {"openai": THREE, "google": THREE}
    assert not {"CreateItem", "Prompt"} & set(asked)


def test_a_database_that_is_called_like_the_session(home: Path, desktop: KeePassXC) -> None:
    """The name of a database is its owner's business: items in it are changed in place."""
    desktop.kill()
    desktop.database = desktop.database.rename(desktop.database.with_name("sessions.kdbx"))
    desktop.restart(PASSWORD)
    keychain(home).put("openai", OLD)

    keychain(home, PATIENCE).put("openai", SECRET)

    assert keychain(home).records() == {"openai": SECRET}


def test_of_two_items_the_newest_counts(home: Path) -> None:
    """Where another program made a second item, the one changed last counts, until a login."""
    import secretstorage

    keychain(home).put("openai", ONE)
    time.sleep(1.1)  # it tells when an item was changed in whole seconds
    connection = secretstorage.dbus_init()
    attributes = {"service": f"{SERVICE}/openai", "username": "openai"}
    collection = secretstorage.get_default_collection(connection)
    collection.create_item("by hand", attributes, json.dumps(TWO).encode(), replace=False)
    connection.close()

    doubled, newest = len(secret_service_items(SERVICE)), keychain(home).get("openai")
    keychain(home).put("openai", THREE)

    assert (doubled, newest) == (2, TWO)
    assert [json.loads(text) for text in secret_service_items(SERVICE).values()] == [THREE]


# -- what it would alter -------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["{}{TITLE}", "{}{S:service}", "{REF:P@I:0123}", '{}{"{URL}', "}{", "{", "{}", '{"', "\\{"],
)
def test_a_value_that_looks_like_a_placeholder(home: Path, text: str) -> None:
    """What KeePassXC would fill in or refuse in a password is kept to the letter."""
    record: Record = {"type": "custom", "data": {text: [{}, {"key": text}, text]}}

    keychain(home).put("openai", record)

    assert keychain(home).get("openai") == record


def test_names_outlive_a_restart(home: Path, desktop: KeePassXC) -> None:
    """No name is altered by the file of the database, not where XML cannot express it."""
    names = ["\ufeffopenai", "open\ufffeai", "open\uffffai", "openai", " ", "{TITLE}", "\r\n"]
    records: dict[str, Record] = {name: {"name": name} for name in names}

    keychain(home).change(records)
    desktop.restart(PASSWORD)

    assert keychain(home).records() == records


def test_the_file_shows_nothing(home: Path, desktop: KeePassXC) -> None:
    """Neither names nor secrets can be read in the database as it lies on the disk."""
    empty = len(desktop.database.read_bytes())
    keychain(home).put("openai", SECRET)
    desktop.restart(PASSWORD)

    raw = desktop.database.read_bytes()

    assert len(raw) > empty
    assert not [word for word in (CANARY, "openai", SERVICE) if word.encode() in raw]


# -- windows that nobody answers -------------------------------------------------------------


@pytest.mark.parametrize("act", ASKING)
def test_a_locked_database(act: str, home: Path, desktop: KeePassXC, asked: list[str]) -> None:
    """Its window is waited for until the deadline, and nothing is lost meanwhile."""
    keychain(home).put("openai", OLD)
    desktop.restart()

    failure(
        lambda: ACTS[act](keychain(home, PATIENCE)),
        LockedError,
        f"the keychain is locked, {UNANSWERED}",
    )

    assert asked[-2:] == ["Prompt", "Dismiss"]
    assert keychain(home).status().locked
    desktop.restart(PASSWORD)
    assert keychain(home).records() == {"openai": OLD}


@pytest.mark.parametrize("act", ["get", "put", "remove", "probe"])
def test_a_database_that_is_locked_meanwhile(act: str, home: Path, desktop: KeePassXC) -> None:
    """One that was open at the last write is waited for in the same way."""
    opened = keychain(home, PATIENCE)
    opened.put("openai", OLD)
    desktop.restart()

    failure(lambda: ACTS[act](opened), LockedError, f"the keychain is locked, {UNANSWERED}")

    desktop.restart(PASSWORD)
    assert opened.records() == {"openai": OLD}


def test_a_removal_that_is_not_confirmed(home: Path, desktop: KeePassXC, asked: list[str]) -> None:
    """Where it asks before it deletes, the entry stays until somebody says yes."""
    keychain(home).put("openai", OLD)
    desktop.restart(PASSWORD, asks="deletion")

    failure(
        lambda: keychain(home, PATIENCE).remove("openai"),
        LockedError,
        f"the keychain asks before it removes an item, {UNANSWERED}",
    )

    assert asked[-2:] == ["Prompt", "Dismiss"]
    assert keychain(home).records() == {"openai": OLD}


@pytest.mark.parametrize("act", ["get", "records", "put", "remove"])
def test_an_access_that_is_not_allowed(
    act: str, home: Path, desktop: KeePassXC, asked: list[str]
) -> None:
    """Where it asks before each access, as it does by default, nothing is read or changed."""
    keychain(home).put("openai", OLD)
    desktop.restart(PASSWORD, asks="access")
    asked.clear()

    failure(
        lambda: ACTS[act](keychain(home, PATIENCE)),
        LockedError,
        f"the keychain is locked, {UNANSWERED}",
    )

    assert asked[-2:] == ["Prompt", "Dismiss"]
    assert not {"CreateItem", "SetSecret", "Delete"} & set(asked)


def test_a_new_item_needs_no_allowance(home: Path, desktop: KeePassXC) -> None:
    """Where it asks before each access, an entry that is new is written all the same."""
    desktop.restart(PASSWORD, asks="access")

    keychain(home, PATIENCE).put("openai", OLD)

    desktop.restart(PASSWORD)
    assert keychain(home).records() == {"openai": OLD}
