"""`doctor` on a keychain: it is tried out, and what is wrong in it is found and mended."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

import places
from codemesh import diagnosis
from codemesh.backends.base import same
from codemesh.choice import Unlocking
from codemesh.errors import DamagedError
from homes import backend, unlocked, write_config, write_plaintext
from places import secret_service_items
from support import ONE, TWO, api_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from codemesh.backends._ring import Ring
    from codemesh.backends.base import Backend
    from codemesh.diagnosis import Finding
    from desktops import GnomeKeyring
    from places import Place

OLD = {"service": "codemesh/openai", "username": "openai"}


def examined(home: Path) -> list[Finding]:
    """What doctor finds in a home."""
    return list(diagnosis.examine(str(home), Unlocking(environ={})))


def mended(home: Path) -> list[Finding]:
    """What doctor still finds after it mended what it could."""
    done, failed = diagnosis.mend(examined(home))
    assert done
    assert failed == []
    return examined(home)


@pytest.fixture
def chosen(home: Path, gnome: Place) -> Path:
    """A home whose store is a real keychain with one entry."""
    del gnome
    write_config(home, 'backend = "keychain"\n[backends.keychain]\ntimeout = "500ms"\n')
    backend(home, "keychain").put("openai", ONE)
    return home


@pytest.fixture(params=["like_windows", "like_macos"])
def listed(request: pytest.FixtureRequest, home: Path) -> Path:
    """A home whose store is a keychain with a list of ours, and two entries."""
    place: Place = request.getfixturevalue(request.param)
    named = place.options["keyring_backend"]
    write_config(home, f'backend = "keychain"\n[backends.keychain]\nkeyring_backend = "{named}"\n')
    backend(home, "keychain").change({"openai": ONE, "google": TWO})
    return home


# -- trying it out -----------------------------------------------------------------------


def test_a_sound_keychain(chosen: Path) -> None:
    """A keychain that keeps what it gets is no finding, and nothing is left in it."""
    before = secret_service_items("codemesh")

    found = examined(chosen)

    assert found == []
    assert secret_service_items("codemesh") == before


def test_a_stopped_keychain_is_asked_once(chosen: Path, desktop: GnomeKeyring) -> None:
    """A keychain that does not answer is one problem, found within one deadline."""
    desktop.send(signal.SIGSTOP)

    found = examined(chosen)

    desktop.send(signal.SIGCONT)
    assert [finding.check for finding in found] == ["store"]
    assert "did not answer within 0.5 s" in found[0].message


def test_a_locked_keychain_is_a_note(chosen: Path, desktop: GnomeKeyring) -> None:
    """A keychain that stays locked is told, with what to do, and is no problem by itself."""
    desktop.restart()

    (found,) = examined(chosen)

    assert (found.check, found.problem) == ("locked", False)
    assert "Unlock it" in found.advice


def test_another_store_in_use(home: Path, gnome: Place) -> None:
    """With another store in use an empty keychain is not tried out, and is no finding."""
    del gnome
    write_plaintext(home, {"openai": ONE})

    assert examined(home) == []
    assert secret_service_items("codemesh") == {}


@pytest.mark.parametrize("record", [ONE, TWO])
def test_copies_in_the_keychain(home: Path, gnome: Place, record: dict[str, object]) -> None:
    """An entry that lies in the keychain as well as in the store in use is found."""
    del gnome
    write_plaintext(home, {"openai": ONE})
    backend(home, "keychain").put("openai", record)

    (found,) = examined(home)

    assert found.check == "copies"
    assert "openai is in the plaintext store" in found.message
    assert ("the same" in found.message) == same(record, ONE)


# -- the Secret Service ------------------------------------------------------------------


def store_again(text: str) -> None:
    """Add a second item of the entry openai, in the collection that lasts until logout."""
    import secretstorage

    connection = secretstorage.dbus_init()
    collection = secretstorage.Collection(
        connection, "/org/freedesktop/secrets/collection/session"
    )
    collection.create_item("by another program", OLD, text.encode())
    connection.close()


def test_equal_items_become_one(chosen: Path) -> None:
    """Two items of one entry that say the same are found, and made one."""
    store_again(json.dumps(ONE, separators=(",", ":")))

    (found,) = examined(chosen)
    left = mended(chosen)

    assert found.message == "openai is in the keychain twice, with the same content"
    assert left == []
    assert same(unlocked(chosen).records(), {"openai": ONE})


def test_differing_items_are_left_to_the_user(chosen: Path) -> None:
    """Two items of one entry that differ are told; which one goes is not ours to say."""
    store_again(json.dumps(TWO))

    (found,) = examined(chosen)

    assert "different contents" in found.message
    assert found.mend is None
    assert "codemesh auth login openai" in found.advice


def test_an_item_that_no_name_finds(chosen: Path) -> None:
    """An item with our service and another username is told, with how to look at it."""
    subprocess.run(
        [
            *("secret-tool", "store", "--label=by hand"),
            *("service", "codemesh/azure", "username", "me"),
        ],
        input=b"{}",
        check=True,
    )

    (found,) = examined(chosen)

    assert "codemesh/azure" in found.message
    assert "secret-tool search service codemesh/azure" in found.advice


# -- a list of ours ----------------------------------------------------------------------


def test_a_sound_list(listed: Path) -> None:
    """A keychain whose list and items agree is no finding."""
    assert examined(listed) == []


def test_an_entry_without_an_item(listed: Path) -> None:
    """A listed entry whose item somebody removed is found, and taken off the list."""
    opened = backend(listed, "keychain")
    _ring(opened).delete("codemesh/google", "google")

    (found,) = examined(listed)
    left = mended(listed)

    assert found.message == "google is listed in the keychain, and is not there"
    assert left == []
    assert same(unlocked(listed).records(), {"openai": ONE})


def test_an_item_without_an_entry(listed: Path) -> None:
    """An item that the list does not have is found by the providers' names, and listed."""
    opened = backend(listed, "keychain")
    _ring(opened).set("codemesh/anthropic", "anthropic", json.dumps(ONE))

    (found,) = examined(listed)
    left = mended(listed)

    assert found.message == "anthropic is in the keychain, and is not listed there"
    assert left == []
    assert same(unlocked(listed).get("anthropic").to_record(), ONE)


@pytest.mark.parametrize("listed", ["like_windows"], indirect=True)
def test_parts_of_an_older_value(listed: Path) -> None:
    """Parts that a killed writer left are found, and removed without touching the entry."""
    opened = backend(listed, "keychain")
    for number in (1, 2, 3):
        name = f"openai%part-b-{number}"
        _ring(opened).set(f"codemesh/{name}", name, "rest of a secret")

    found = examined(listed)
    left = mended(listed)

    assert [finding.check for finding in found] == ["leftovers"]
    assert "parts of an older value of openai" in found[0].message
    assert left == []
    assert not any("part" in name for name in places.windows_items("codemesh"))
    assert same(unlocked(listed).records(), {"openai": ONE, "google": TWO})


def test_a_long_value_is_no_leftover(listed: Path) -> None:
    """The parts of a value that is in use are left alone."""
    backend(listed, "keychain").put("openai", api_key("k" * 5000))

    assert examined(listed) == []
    assert same(unlocked(listed).records(), {"openai": api_key("k" * 5000), "google": TWO})


def _ring(opened: Backend) -> Ring:
    """The keychain beneath codemesh, as another program sees it."""
    ring: Ring = vars(opened)["_keychain"]._ring
    return ring


@pytest.mark.parametrize("damage", [lambda text: text[:-1], lambda _: "no list", str.upper])
def test_a_damaged_list_is_recovered(listed: Path, damage: Callable[[str], str]) -> None:
    """A damaged list is damage to every command; what can be read of it is listed again."""
    opened = backend(listed, "keychain")
    ring = _ring(opened)
    slots = [name for name in ("%list", "%list%2") if ring.get("codemesh/%list", name)]
    (text,) = [ring.get("codemesh/%list", name) for name in slots]
    ring.set("codemesh/%list", slots[0], damage(text or ""))
    with pytest.raises(DamagedError):
        opened.records()
    assert [finding.check for finding in examined(listed)] == ["store"]

    salvaged = opened.salvage()
    aside = opened.restart(salvaged.records)
    diagnosis.mend(examined(listed))

    assert "%damaged-" in aside
    assert same(unlocked(listed).records(), {"openai": ONE, "google": TWO})
    assert examined(listed) == []
