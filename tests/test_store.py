"""The front door: which store it is, and that it stays the one."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from codemesh import ApiKey, open_store
from codemesh.choice import load_config
from codemesh.errors import (
    BackendUnavailableError,
    ConfigError,
    CredentialNotFoundError,
    DamagedError,
    LockedError,
)
from codemesh.unlock.passphrases import VARIABLE
from homes import write_config, write_plaintext
from support import PASSPHRASE, api_key

if TYPE_CHECKING:
    from pathlib import Path


KEY = ApiKey.new("one")


# -- which store -------------------------------------------------------------------------


def test_reading_decides_and_writes_nothing(home: Path) -> None:
    """With no files at all, reading finds nothing and writes nothing."""
    store = open_store()

    assert store.names() == []
    assert store.records() == {}
    with pytest.raises(CredentialNotFoundError):
        store.get("openai")
    assert not store.status().exists
    assert not home.exists()


def test_first_write_decides_once(home: Path) -> None:
    """The first write chooses the plaintext store and writes that into config.toml, once."""
    store = open_store()
    before = store.chosen_now

    store.put("openai", KEY)
    text = (home / "config.toml").read_text()
    store.put("google", KEY)

    assert (before, store.chosen_now) == (False, True)
    assert load_config().backend == "plaintext"
    assert (home / "config.toml").read_text() == text
    assert not open_store().chosen_now


@pytest.mark.parametrize("name", ["plaintext", "encrypted"])
@pytest.mark.usefixtures("cheap")
def test_store_that_is_there_is_the_store(home: Path, name: str) -> None:
    """With no config.toml, the one store that is there is used and nothing is decided."""
    write_config(home, f'backend = "{name}"\n')
    environ = {VARIABLE: PASSPHRASE}
    open_store(environ=environ).put("openai", KEY)
    (home / "config.toml").unlink()

    store = open_store(environ=environ)
    store.put("google", KEY)

    assert store.backend.name == name
    assert store.names() == ["google", "openai"]
    assert not (home / "config.toml").exists()


def test_two_stores_and_no_choice(home: Path) -> None:
    """With both stores there and no config.toml, the user is told to choose."""
    write_plaintext(home, {})
    (home / "auth.vault.json").write_text("{}")

    with pytest.raises(ConfigError, match="more than one") as caught:
        open_store()

    assert "codemesh backend use" in caught.value.hint


@pytest.mark.parametrize("content", ["", "{}", "garbage"])
def test_damaged_store_is_still_the_store(home: Path, content: str) -> None:
    """With no config.toml, a damaged store is the store; no other one is started."""
    write_plaintext(home, {})
    (home / "auth.json").write_text(content)

    for action in (lambda: open_store().names(), lambda: open_store().put("openai", KEY)):
        with pytest.raises(DamagedError):
            action()

    assert (home / "auth.json").read_text() == content


def test_dangling_link_is_a_store_that_is_there(home: Path, tmp_path: Path) -> None:
    """A link to a store that is not there now is still the choice of that store."""
    home.mkdir(mode=0o700)
    (home / "auth.vault.json").symlink_to(tmp_path / "unmounted.json")

    assert open_store().backend.name == "encrypted"


def test_configured_store_wins(home: Path) -> None:
    """What config.toml names is the store, whatever files lie about."""
    write_plaintext(home, {"openai": api_key("one")})
    write_config(home, 'backend = "encrypted"\n')

    store = open_store()

    assert store.backend.name == "encrypted"
    assert store.names() == []


@pytest.mark.parametrize("name", ["keychian", "../plaintext", "PLAINTEXT", "os:system"])
def test_unknown_backend(home: Path, name: str) -> None:
    """An unknown backend is an error that names the file and the known ones."""
    write_config(home, f'backend = "{name}"\n')

    with pytest.raises(ConfigError, match=r"config\.toml") as caught:
        open_store()

    assert "plaintext, encrypted" in caught.value.hint


def test_memory_is_no_choice(home: Path) -> None:
    """A backend that keeps nothing cannot be chosen."""
    write_config(home, 'backend = "memory"\n')

    with pytest.raises(ConfigError, match=r"config\.toml"):
        open_store()


def test_locked_store_is_never_replaced(home: Path) -> None:
    """A store whose passphrase nobody gives is an error, and nothing is written elsewhere."""
    write_config(home, 'backend = "encrypted"\n')

    with pytest.raises(LockedError):
        open_store(environ={}).put("openai", KEY)

    assert not (home / "auth.json").exists()
    assert not (home / "auth.vault.json").exists()


@pytest.mark.usefixtures("cheap")
def test_switched_store_is_followed(home: Path) -> None:
    """A write of a store that another process switched meanwhile goes to the new one."""
    write_config(home, 'backend = "plaintext"\n')
    store = open_store(environ={VARIABLE: PASSPHRASE})
    store.put("openai", KEY)
    write_config(home, 'backend = "encrypted"\nlock_timeout = "20s"\n')

    store.put("google", KEY)

    assert store.backend.name == "encrypted"
    assert store.names() == ["google"]
    assert list(json.loads((home / "auth.json").read_text())["credentials"]) == ["openai"]


def test_store_moved_by_its_path(home: Path, tmp_path: Path) -> None:
    """A path in config.toml moves the store; a relative one starts at the home."""
    write_config(home, f'[backends.plaintext]\npath = "{tmp_path}/other.json"\n')
    open_store().put("openai", KEY)

    write_config(home, 'backend = "plaintext"\n[backends.plaintext]\npath = "sub/own.json"\n')
    open_store().put("google", KEY)

    assert "openai" in (tmp_path / "other.json").read_text()
    assert "google" in (home / "sub" / "own.json").read_text()


def test_current_folder_decides_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of the current folder are never looked at."""
    write_config(tmp_path, 'backend = "encrypted"\n')
    write_plaintext(tmp_path, {"openai": api_key("planted")})
    (tmp_path / ".env").write_text("CODEMESH_HOME=.\n")
    monkeypatch.chdir(tmp_path)

    store = open_store()

    assert store.backend.name == "plaintext"
    assert store.config.home == str(home)
    assert store.names() == []


def test_missing_library(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend whose library is missing says what to install, and nothing else is used."""
    write_config(home, 'backend = "encrypted"\n')
    monkeypatch.setitem(sys.modules, "codemesh.backends.encrypted", None)

    with pytest.raises(BackendUnavailableError) as caught:
        open_store()

    assert "pip install" in caught.value.hint
