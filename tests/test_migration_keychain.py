"""Migration to and from a real keychain: killed between any two messages, and over a limit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import places
from codemesh import migration
from codemesh.backends._secretservice import SecretService
from codemesh.backends.base import same
from codemesh.errors import LockedError, StorageError, TooLargeError
from codemesh.migration import read_journal
from homes import ENTRIES, backend, unlocked, write_config
from support import ONE, api_key, start

if TYPE_CHECKING:
    from pathlib import Path

    from desktops import GnomeKeyring

# A migration of the entries takes some 130 messages. All of them: CODEMESH_TEST_FULL=1.
_STEP = 1 if os.environ.get("CODEMESH_TEST_FULL") else 13
MESSAGES = range(1, 140, _STEP)
KEYCHAIN = pytest.mark.parametrize(
    "direction",
    [
        ("plaintext", "keychain"),
        ("encrypted", "keychain"),
        ("keychain", "plaintext"),
        ("keychain", "encrypted"),
    ],
    indirect=True,
    ids="-to-".join,
)


@KEYCHAIN
@pytest.mark.parametrize("count", MESSAGES)
def test_killed_after_each_message(home: Path, direction: tuple[str, str], count: int) -> None:
    """Killed after any message to the keychain, nothing is lost and the same call finishes."""
    source, target = direction
    worker = start("store", str(home), "migrate-mute", target, str(count))
    # After the last message there is nothing to be killed at, and it ends well.
    assert worker.died() in {-9, 0}
    found = [backend(home, name).records() for name in direction]
    assert any(all(same(each.get(name), ENTRIES[name]) for name in ENTRIES) for each in found)
    assert same(unlocked(home).records(), ENTRIES)

    migration.migrate(unlocked(home), target)

    assert same(unlocked(home).records(), ENTRIES)
    assert unlocked(home).backend.name == target
    assert not backend(home, source).status().exists
    assert read_journal(unlocked(home).config) is None


@pytest.mark.usefixtures("gnome", "cheap")
@pytest.mark.parametrize("source", ["plaintext", "encrypted"])
def test_too_large_for_the_keychain(
    home: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry over the keychain's limit is refused before the first write."""
    write_config(home, f'backend = "{source}"\n')
    backend(home, source).change({"first": ONE, "large": api_key("k" * 2000)})
    monkeypatch.setattr(SecretService, "limit", 2000)

    with pytest.raises(TooLargeError, match=r"large.*2000"):
        migration.migrate(unlocked(home), "keychain")

    assert backend(home, "keychain").records() == {}
    assert unlocked(home).backend.name == source
    assert read_journal(unlocked(home).config) is None


def test_locked_while_it_moves(home: Path, gnome: object, desktop: GnomeKeyring) -> None:
    """A keychain that is locked loses nothing, and the migration finishes once it is open."""
    del gnome
    store = unlocked(home)
    store.backend.change(ENTRIES)
    desktop.restart()

    with pytest.raises(LockedError):
        migration.migrate(unlocked(home), "keychain")
    assert same(unlocked(home).records(), ENTRIES)
    desktop.restart("pw")
    migration.migrate(unlocked(home), "keychain")

    assert unlocked(home).backend.name == "keychain"
    assert same(unlocked(home).records(), ENTRIES)


@pytest.mark.skipif(places.SERVICE != "gnome", reason="KeePassXC keeps its file when it likes")
def test_full_disk_of_the_keychain(home: Path, gnome: object, desktop: GnomeKeyring) -> None:
    """A keychain whose disk is full keeps the old value, and a migration to it loses nothing."""
    del gnome
    store = unlocked(home)
    store.backend.change(ENTRIES)
    backend(home, "keychain").put("other", ONE)
    desktop.fill_disk()

    with pytest.raises(StorageError, match="may be full"):
        backend(home, "keychain").put("other", api_key("k" * 4000))
    with pytest.raises(StorageError, match="may be full"):
        migration.migrate(unlocked(home), "keychain")
    desktop.restart("pw")

    assert same(backend(home, "keychain").get("other"), ONE)
    assert same(unlocked(home).records(), ENTRIES)
