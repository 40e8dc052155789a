"""Changing config.toml: one value, and no comment, order or other value lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from codemesh import config as configuration
from codemesh.backends import registry
from codemesh.choice import load_config
from codemesh.errors import ConfigError, UsageError
from homes import FULL_CONFIG

if TYPE_CHECKING:
    from pathlib import Path


def change(key: str, value: object) -> configuration.Config:
    """Change one value as the command line does."""
    config = load_config()
    with config.lock():
        return configuration.set_value(config, key, value, registry.option_checks())


def test_comments_and_order_stay(config_file: Path) -> None:
    """A change touches one value, and no comment, no order, no other value."""
    config_file.write_text(FULL_CONFIG)

    changed = change("backend", "plaintext")

    expected = FULL_CONFIG.replace('"encrypted" ', '"plaintext" ', 1)
    assert config_file.read_text(encoding="utf-8") == expected
    assert changed == load_config()
    assert config_file.stat().st_mode & 0o777 == 0o600


def test_second_change_writes_the_same(config_file: Path) -> None:
    """A second call with the same value writes the same file."""
    change("backends.encrypted.cost", "strong")
    first = config_file.read_text(encoding="utf-8")

    change("backends.encrypted.cost", "strong")

    assert config_file.read_text(encoding="utf-8") == first


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lock_timeout", "1s"),
        ("backends.encrypted.passphrase_command", ["a", "b c", 'd"\\', ""]),
        ("backends.plaintext.path", 'p\u00e4th with "quotes" and \\ and \t and \U0001f511'),
        ("accounts.openai", "work"),
        ("providers.new.oauth.client_id", "x"),
        ("backends.elsewhere.anything", "x"),
    ],
)
def test_value_comes_back(config_file: Path, key: str, value: object) -> None:
    """A value is written so that it reads back the same, beside what was there."""
    config_file.write_text(FULL_CONFIG)

    changed = change(key, value)

    assert dict(configuration.flatten(changed.tables))[key] == value
    assert config_file.read_text(encoding="utf-8").startswith("# my configuration\n")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backnd", "x"),
        ("backend", ""),
        ("backend", ["x"]),
        ("backends", "x"),
        ("backends.encrypted", "x"),
        ("backends.encrypted.cost", "cheap"),
        ("backends.encrypted.cost.more", "x"),
        ("", "x"),
        (".", "x"),
        ("backend.", "x"),
        (".backend", "x"),
        ("run.model", "half \ud83d"),
        ("accounts.\udc80", "x"),
    ],
)
def test_refused_change(config_file: Path, key: str, value: object) -> None:
    """A wrong key or value is refused, and the file stays as it is."""
    config_file.write_text(FULL_CONFIG)

    with pytest.raises(UsageError):
        change(key, value)

    assert config_file.read_text(encoding="utf-8") == FULL_CONFIG


def test_broken_file_is_not_changed(config_file: Path) -> None:
    """A file that does not read is not changed, either."""
    config = load_config()
    config_file.write_text("backend = ")

    with config.lock(), pytest.raises(ConfigError):
        configuration.set_value(config, "backend", "plaintext")

    assert config_file.read_text(encoding="utf-8") == "backend = "


def test_changed_by_another(config_file: Path) -> None:
    """A configuration knows whether its file is another one by now."""
    before = load_config()
    config_file.write_text(FULL_CONFIG)
    after = load_config()

    assert before.changed()
    assert not after.changed()
    config_file.unlink()
    assert after.changed()


@pytest.mark.parametrize(
    ("argument", "value"),
    [("x", "x"), ("10s", "10s"), ('["a", "b"]', ["a", "b"]), ("", ""), ("a[0]", "a[0]")],
)
def test_word_of_the_command_line(argument: str, value: object) -> None:
    """A word that reads as a list is one; anything else is text."""
    assert configuration.parse_argument("key", argument) == value


@pytest.mark.parametrize(
    "argument", ["[", "[a]", '["a"', '["a"]\nbackend = "x"', "[[x]]\ny=1", '["\udc80"]']
)
def test_list_that_does_not_read(argument: str) -> None:
    """A word that begins as a list and is none is refused, and smuggles no other key in."""
    with pytest.raises(UsageError):
        configuration.parse_argument("key", argument)


def test_lock_lies_in_the_state_folder(home: Path) -> None:
    """The lock of all writers lies in the state folder and makes the home if need be."""
    with load_config().lock():
        assert os.listdir(home / "state") == ["config.lock"]
