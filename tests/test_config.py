"""config.toml: found, read, and checked to the last key and value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh import checks
from codemesh import config as configuration
from codemesh.backends import registry
from codemesh.choice import load_config
from codemesh.errors import ConfigError, UnsafeFileError
from homes import FULL_CONFIG

if TYPE_CHECKING:
    from pathlib import Path

# -- where it is -------------------------------------------------------------------------


def test_home_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The home is ~/.code-mesh unless CODEMESH_HOME says otherwise; an empty one says nothing."""
    monkeypatch.setenv("HOME", str(tmp_path))
    found = [configuration.find_home({}), configuration.find_home({"CODEMESH_HOME": ""})]

    assert found == [str(tmp_path / ".code-mesh")] * 2
    assert configuration.find_home({"CODEMESH_HOME": "/a/b/../c/"}) == "/a/c"
    assert configuration.find_home({"CODEMESH_HOME": "~/x"}) == str(tmp_path / "x")


@pytest.mark.parametrize("named", [".", "relative/path", "./x", "..", "no~home"])
def test_relative_home(named: str) -> None:
    """A home that depends on the current folder is refused."""
    with pytest.raises(ConfigError, match="relative"):
        configuration.find_home({"CODEMESH_HOME": named})


# -- reading -----------------------------------------------------------------------------


def test_no_file_is_an_empty_one(home: Path) -> None:
    """Without a file every value is its default, and nothing is written."""
    config = load_config()

    assert (config.backend, config.lock_timeout, config.account("openai")) == (None, 10.0, None)
    assert config.tables == {}
    assert not home.exists()


def test_full_file(config_file: Path) -> None:
    """Every key of the documentation is known and read."""
    config_file.write_text(FULL_CONFIG)

    config = load_config()

    assert config.backend == "encrypted"
    assert config.lock_timeout == 0.5
    assert config.account("openai") == "work"
    options = config.backend_options("encrypted", registry.find("encrypted").options)
    assert options["passphrase_command"] == ["pass", "show", "codemesh"]


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ('backnd = "plaintext"', "backnd", "backend"),
        ("[backend]\n", "backend", ""),
        ('[backends.encrypted]\ncots = "strong"', "backends.encrypted.cots", "cost"),
        ('[backends.plaintext]\npth = "x"', "backends.plaintext.pth", "path"),
        ('[run]\nmodle = "x"', "run.modle", "run.model"),
        ('[provider.x]\nbase_url = "y"', "provider", "providers"),
        ('[providers.x]\nbase_ulr = "y"', "providers.x.base_ulr", "base_url"),
        ('[providers.x.oauth]\nclientid = "y"', "providers.x.oauth.clientid", "client_id"),
        ("[accounts]\nopenai = 1", "accounts.openai", ""),
        ("[accounts.openai]\nname = 'x'", "accounts.openai", ""),
        ("backends = 1", "backends", ""),
        ("[backends]\nplaintext = 1", "backends.plaintext", ""),
        ("[providers]\nx = 1", "providers.x", ""),
        ("[[providers]]\nx = 1", "providers", ""),
        ('backend = ""', "backend", ""),
        ("backend = true", "backend", ""),
        ("lock_timeout = 10", "lock_timeout", ""),
        ('lock_timeout = "10"', "lock_timeout", ""),
        ('[backends.encrypted]\ncost = "floor"', "backends.encrypted.cost", ""),
        ('[backends.encrypted]\ncost = ["strong"]', "backends.encrypted.cost", ""),
        ('[backends.encrypted]\npassphrase_command = "x"', "passphrase_command", ""),
        ("[backends.encrypted]\npassphrase_command = []", "passphrase_command", ""),
        ("[backends.encrypted]\npassphrase_command = [1]", "passphrase_command", ""),
    ],
)
def test_wrong_key_or_value(config_file: Path, text: str, key: str, nearest: str) -> None:
    """What is wrong is an error that names the file, the key and the nearest known one."""
    config_file.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load_config()

    assert caught.value.exit_code == 2
    assert str(config_file) in str(caught.value)
    assert key in str(caught.value)
    assert nearest in caught.value.hint


@pytest.mark.parametrize(
    "raw",
    [
        b"backend",
        b"\xff",
        b"\xef\xbb\xbfbackend = 'plaintext'",
        b"a = 1\na = 2",
        b"\x00",
        b"a = " + b"[" * 10_000,
        b"x = 2020-13-01",
    ],
)
def test_what_is_no_toml(config_file: Path, raw: bytes) -> None:
    """A file that is no TOML is an error that names it."""
    config_file.write_bytes(raw)

    with pytest.raises(ConfigError, match=r"config\.toml"):
        load_config()


def test_tables_of_plug_ins_are_theirs(config_file: Path) -> None:
    """What stands under the plug-in that is named is left to it."""
    config_file.write_text('backend = "elsewhere"\n[backends.elsewhere]\nanything = 1\n')

    assert load_config().backend_options("elsewhere", None) == {"anything": 1}


def test_table_of_no_backend(config_file: Path) -> None:
    """A table that no backend will ever read is an unknown key, with the nearest one."""
    config_file.write_text("[backends.encripted]\ncost = 'strong'\n")

    with pytest.raises(ConfigError, match="encripted") as caught:
        load_config()

    assert "backends.encrypted" in caught.value.hint


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_file_that_others_may_write(config_file: Path, mode: int) -> None:
    """A configuration that others may write is refused: it can name a command to run."""
    config_file.write_text(FULL_CONFIG)
    config_file.chmod(mode)

    with pytest.raises(UnsafeFileError):
        load_config()


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400])
def test_file_that_others_may_read(config_file: Path, mode: int) -> None:
    """A configuration that others may only read is fine."""
    config_file.write_text(FULL_CONFIG)
    config_file.chmod(mode)

    assert load_config().backend == "encrypted"


# -- durations ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("500ms", 0.5),
        ("8h", 28_800.0),
        ("2m", 120.0),
        ("1d", 86_400.0),
        ("1.5s", 1.5),
        ("0s", 0.0),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    """A length of time is a number and a unit."""
    assert checks.duration(text) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s",
        "10",
        "10 s",
        "-1s",
        "+1s",
        "1e3s",
        "1.2.3s",
        "\u0661s",
        "10S",
        ".s",
        "inf s",
        1,
        [],
    ],
)
def test_what_is_no_duration(value: object) -> None:
    """Anything else is no length of time."""
    with pytest.raises(ValueError, match="length of time"):
        checks.duration(value)
