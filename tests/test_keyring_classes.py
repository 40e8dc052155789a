"""Which class of the keyring library is used: the one that is named, and no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import keyrings
from codemesh.backends.base import same
from codemesh.errors import BackendUnavailableError, CodemeshError, ConfigError
from keyrings import Ring
from places import Place
from support import CANARY, ONE, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from codemesh.backends.keychain import KeychainBackend

pytestmark = pytest.mark.usefixtures("fakes")
windows = keyrings.windows

ACTS: dict[str, Callable[[KeychainBackend], object]] = {
    "get": lambda backend: backend.get("openai"),
    "records": lambda backend: backend.records(),
    "status": lambda backend: backend.status(),
    "put": lambda backend: backend.put("openai", ONE),
    "prepare": lambda backend: backend.prepare(),
    "probe": lambda backend: backend.probe(),
    "doctor": lambda backend: backend.faults(["openai"]),
}
MODULE = """
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

class Nothing(null.Keyring):
    priority = 9

class Failing(fail.Keyring):
    priority = 9

class Both(chainer.ChainerBackend):
    pass

class Other:
    priority = 5

class Mixed(Other, null.Keyring):
    pass

Renamed = null.Keyring

class Absent(KeyringBackend):
    @property
    def priority(cls):
        raise RuntimeError("no such system")

class Foreign(KeyringBackend):
    from keyring.compat import properties
    @properties.classproperty
    def priority(cls):
        raise RuntimeError("SECRET")
    def get_password(self, service, username): ...
    def set_password(self, service, username, password): ...

class Unset(KeyringBackend):
    priority = 5
    def __init__(self):
        raise ValueError("SECRET")
    def get_password(self, service, username): ...
    def set_password(self, service, username, password): ...

number = 5
""".replace("SECRET", CANARY)
LOADED = """
import json, sys
from codemesh.backends.context import Context
from codemesh.backends.keychain import KeychainBackend
home, options = sys.argv[1], json.loads(sys.argv[2])
backend = KeychainBackend(Context(home, options, 60.0, None))
backend.put("openai", {"type": "api_key", "key": "one"})
backend.get("openai")
backend.probe()
print(sorted(name for name in sys.modules if name.startswith("keyring.backends.")))
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with classes that are no good."""
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "odd_rings.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "odd_rings", raising=False)
    return "odd_rings"


def failure(home: Path, path: str) -> CodemeshError:
    """The one error that every act on a keychain of this class ends with."""
    ring = Ring("stranger", Place({"keyring_backend": path}, lambda _: {}), home)
    errors = []
    for act in ACTS.values():
        with pytest.raises(CodemeshError) as caught:
            act(ring.open())
        assert CANARY not in shown(caught.value)
        errors.append(caught.value)
    assert len({(type(error), str(error), error.hint) for error in errors}) == 1
    return errors[0]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("keyring.backends.null.Keyring", "it keeps nothing"),
        ("keyring.backends.fail.Keyring", "it keeps nothing"),
        ("keyring.backends.chainer.ChainerBackend", "reads from several"),
    ],
)
def test_classes_that_are_never_used(home: Path, path: str, why: str) -> None:
    """null, fail and chainer are refused, with the reason, before they are loaded."""
    error = failure(home, path)

    assert (type(error), error.exit_code) == (ConfigError, 2)
    assert f"keyring_backend: {path} is never used" in str(error)
    assert why in str(error)


@pytest.mark.parametrize("name", ["Nothing", "Failing", "Both", "Mixed", "Renamed"])
def test_their_children_are_not_used_either(home: Path, odd: str, name: str) -> None:
    """A class that is made from one of them, or is one by another name, is refused as well."""
    error = failure(home, f"{odd}.{name}")

    assert (type(error), error.exit_code) == (ConfigError, 2)
    assert f"{odd}.{name} is never used, because" in str(error)


@pytest.mark.parametrize(
    "path",
    ["odd_rings.Other", "odd_rings.number", "odd_rings.Missing", "os.path", "json.JSONDecoder"],
)
def test_what_is_no_keyring_backend(home: Path, odd: str, path: str) -> None:
    """A class that is not there, or is no keyring backend, is a mistake in config.toml."""
    del odd

    error = failure(home, path)

    assert (type(error), error.exit_code) == (ConfigError, 2)
    assert str(error) == f"keyring_backend: {path} is no keyring backend"


@pytest.mark.parametrize("path", ["no_such_module.Keyring", "json.no_such.Keyring"])
def test_a_module_that_is_missing(home: Path, path: str) -> None:
    """A module that is not installed is named, with what to do."""
    error = failure(home, path)

    assert (type(error), error.exit_code) == (BackendUnavailableError, 5)
    assert f"{path} cannot be loaded" in str(error)
    assert "no_such" in str(error)
    assert "pip install keyring" in error.hint


@pytest.mark.parametrize(
    "code",
    [
        f"raise ValueError('{CANARY}')",
        f"raise SystemExit('{CANARY}')",
        f"'{CANARY}' = 1",
        f"def __getattr__(name): raise KeyError('{CANARY}')",
    ],
)
def test_a_module_that_breaks(home: Path, odd: str, tmp_path: Path, code: str) -> None:
    """A module that fails while it is loaded is named, and nothing that it says is told."""
    del odd
    sys.modules.pop("broken_ring", None)
    (tmp_path / "odd" / "broken_ring.py").write_text(code, encoding="utf-8")

    error = failure(home, "broken_ring.Keyring")

    assert (type(error), error.exit_code) == (BackendUnavailableError, 5)
    assert "broken_ring.Keyring cannot be loaded" in str(error)


@pytest.mark.parametrize("path", [".Keyring", "..Keyring", "a..Keyring"])
def test_a_path_that_is_none(home: Path, path: str) -> None:
    """A path that config.toml may have, and that names no module, is told as one."""
    error = failure(home, path)

    assert error.exit_code in {2, 5}
    assert path in str(error)


@pytest.mark.parametrize(
    "path",
    [
        "odd_rings.Foreign",
        "keyring.backends.macOS.Keyring",
        "keyring.backends.kwallet.DBusKeyring",
        "keyring.backend.KeyringBackend",
    ],
)
def test_a_class_that_does_not_work_here(home: Path, odd: str, path: str) -> None:
    """A class that says of itself that it cannot work here is not tried."""
    del odd

    error = failure(home, path)

    assert (type(error), error.exit_code) == (BackendUnavailableError, 5)
    assert f"{path} does not work on this machine" in str(error)
    assert "codemesh backend use encrypted" in error.hint


def test_a_class_that_cannot_be_made(home: Path, odd: str) -> None:
    """A class whose constructor fails is told, without what it said."""
    error = failure(home, f"{odd}.Unset")

    assert error.exit_code in {1, 5}
    assert f"{odd}.Unset" in str(error)


# -- and no other ------------------------------------------------------------------------


def test_the_named_class_is_the_only_one(windows: Ring, tmp_path: Path) -> None:
    """Neither the environment nor keyringrc.cfg chooses a class, loads one or runs code."""
    marker = tmp_path / "was here"
    folder = tmp_path / "config" / "python_keyring"
    folder.mkdir(parents=True)
    (folder / "hostile_ring.py").write_text(
        f"open({str(marker)!r}, 'w').close()\nfrom keyring.backends.null import Keyring\n",
        encoding="utf-8",
    )
    (folder / "keyringrc.cfg").write_text(
        f"[backend]\ndefault-keyring=hostile_ring.Keyring\nkeyring-path={folder}\n",
        encoding="utf-8",
    )
    hostile = {
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "config"),
        "KEYRING_PROPERTY_PERSIST": "session",
        "KEYCHAIN_PATH": str(tmp_path / "elsewhere"),
        "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
    }

    child = subprocess.run(
        [sys.executable, "-c", LOADED, str(windows.home), json.dumps(windows.options)],
        env={**os.environ, **hostile},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = {"keyring.backends.Windows", "keyring.backends.fail"}  # the library loads that one
    assert child.stdout == f"{sorted(loaded)}\n"
    assert not marker.exists()
    assert same(windows.open().records(), {"openai": ONE})
    assert {each["Persist"] for each in keyrings.kept()["windows"].values()} == {2}


@pytest.mark.parametrize("value", ["null", "/elsewhere"])
def test_macos_keeps_to_its_own_keychain(
    like_macos: Place, home: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A keychain file that the environment names is neither used nor warned of."""
    monkeypatch.setenv("KEYRING_PROPERTY_KEYCHAIN", value)
    monkeypatch.setenv("KEYCHAIN_PATH", value)
    ring = Ring("like_macos", like_macos, home)

    ring.open().put("openai", ONE)

    assert same(ring.open().records(), {"openai": ONE})
