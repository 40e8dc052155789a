"""Keychains that codemesh reaches through the keyring library, and what lies in them raw.

Each is a fake: that of Windows, that of macOS, and a stranger, of which codemesh knows
nothing and assumes the worst.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import places
from codemesh.backends.context import Context
from codemesh.backends.keychain import KeychainBackend
from codemesh.errors import CodemeshError, CredentialNotFoundError
from places import Place
from support import CANARY, api_key, passphrases, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyring.backend import KeyringBackend

    from codemesh.backends.base import Backend
    from codemesh.model import Record

PREFIX = "codemesh/"
"""What every service starts with in the home that everybody has."""

MANIFEST = '["codemesh-parts"'
"""What the text in the place of one that was split starts with."""

LIMITS = {"like_windows": 1280, "like_macos": None, "stranger": 1280}
"""The most characters of one item, by the name of the keychain."""

STRANGER = Place({"keyring_backend": "fake_stranger.Keyring"}, places.macos_items)


class Ring:
    """One keychain, and the store of a home in it."""

    def __init__(self, name: str, place: Place, home: Path) -> None:
        self.name = name
        self.options = place.options
        self.home = home
        self.limit = LIMITS[name]
        self._items = place.items

    def open(self, *, timeout: float = 60.0, lock_timeout: float = 60.0) -> KeychainBackend:
        """Open the store anew, as another process would; patient unless told otherwise."""
        options = {**self.options, "timeout": timeout}
        return KeychainBackend(Context(str(self.home), options, lock_timeout, passphrases))

    def fill(self, records: Mapping[str, Record]) -> KeychainBackend:
        """Write these entries, and open the store anew."""
        if records:
            self.open().change(records)
        return self.open()

    def at(self, home: Path) -> Ring:
        """The store of another home in the same keychain."""
        return Ring(self.name, Place(self.options, self._items), home)

    def foreign(self) -> KeyringBackend:
        """The keyring library's own way to it, as other programs have it."""
        module, _, name = str(self.options["keyring_backend"]).rpartition(".")
        make: Callable[[], KeyringBackend] = getattr(import_module(module), name)
        return make()

    def items(self) -> dict[str, str]:
        """The texts that lie there, seen past codemesh, by what they are found under."""
        return self._items(PREFIX)

    def key(self, name: str) -> str:
        """What the one item of an encoded name is found under."""
        (key,) = (key for key in self.items() if key.split(" ")[0] == PREFIX + name)
        return key

    def overwrite(self, key: str, text: str | None) -> None:
        """Put another text in the place of one, or take it away, past codemesh."""
        content = kept()
        if "windows" in content:
            found = content["windows"].pop(key.upper())
            if text is not None:
                found["CredentialBlob"] = text.encode("utf-16-le", "surrogatepass").hex()
                content["windows"][key.upper()] = found
        else:
            service, account = key.split(" ")
            del content["macos"][service][account]
            if text is not None:
                content["macos"][service][account] = text.encode().hex()
        restore(json.dumps(content))

    def tidy(self, records: Mapping[str, Record]) -> bool:
        """Whether nothing lies there but these records, each once, and one list of them."""
        items = self.items()
        entries = [text for key, text in items.items() if "%list" not in key]
        split = [self.parts(written(record)) for record in records.values()]
        return (
            sorted(text for text in entries if not text.startswith(MANIFEST))
            == sorted(part for parts in split for part in parts)
            and len(entries) == sum(len(parts) + (len(parts) > 1) for parts in split)
            and self._listed(items) == (set(records) or None)
        )

    def parts(self, text: str) -> list[str]:
        """A text as the items that it takes."""
        size = self.limit or len(text)
        return [text[start : start + size] for start in range(0, len(text), size)]

    def _listed(self, items: Mapping[str, str]) -> set[str] | None:
        """The names on the list; None if there is no list, nobody if there is more than one."""
        heads = [items[key] for key in items if key.endswith(("%list", "%list%2"))]
        numbers = [(int(key.rpartition("-")[2]), key) for key in items if "%list%part-" in key]
        if not heads and not numbers:
            return None
        manifest = json.loads(heads[0]) if heads and heads[0].startswith(MANIFEST) else [0] * 4
        if len(heads) != 1 or manifest[3] != len(numbers):
            return set()
        text = "".join(items[key] for _, key in sorted(numbers)) or heads[0]
        return set(json.loads(text)["slots"])


def failure(ring: Ring, act: Callable[[KeychainBackend], object]) -> CodemeshError:
    """The error of ours that an act ends with; it says what to do, and no secret."""
    with pytest.raises(CodemeshError) as caught:
        act(ring.open())
    assert CANARY not in shown(caught.value)
    assert caught.value.hint
    return caught.value


def state() -> str:
    """All that lies in the keychain, as one text that `restore` takes."""
    path = Path(os.environ["CODEMESH_FAKE_KEYCHAIN"])
    return path.read_text(encoding="ascii") if path.exists() else "{}"


def restore(text: str) -> None:
    """Put that back."""
    Path(os.environ["CODEMESH_FAKE_KEYCHAIN"]).write_text(text, encoding="ascii")


def passing(
    ring: Ring, act: Callable[[KeychainBackend], object], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Every state that the keychain goes through during an act, from that before it."""
    states = {state(): None}
    real = os.replace

    def replace(source: str, target: str) -> None:
        real(source, target)
        states[state()] = None

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        act(ring.open())
    return list(states)


def kept() -> dict[str, Any]:
    """All that lies in the keychain; `fake_storage` says how."""
    content: dict[str, Any] = json.loads(state())
    return content


class Change(NamedTuple):
    """A change of a store."""

    puts: dict[str, Record]
    removes: list[str]
    retires: dict[str, Record]

    def make(self, backend: Backend) -> None:
        """Make it, unless what it removes has gone already."""
        if self.retires:
            backend.retire(self.retires)
            return
        with suppress(CredentialNotFoundError):
            backend.change(self.puts, self.removes)

    def made(self, records: Mapping[str, Record]) -> dict[str, Record]:
        """The records after it."""
        gone = {*self.removes, *self.retires}
        return {name: records[name] for name in records if name not in gone} | self.puts


class Deaths(NamedTuple):
    """What came of it."""

    states: list[str]
    """What the keychain was left with, each once, as `state` has it."""

    alive: list[str]
    """The kills that struck nobody."""


def sized(length: int) -> Record:
    """A record whose JSON text has this length."""
    return api_key("x" * (length - len(written(api_key("")))))


def written(record: Record) -> str:
    """A record as its item has it."""
    return json.dumps(record, separators=(",", ":"))


@pytest.fixture(params=LIMITS)
def ring(request: pytest.FixtureRequest, home: Path) -> Ring:
    """Each keychain in turn, with nothing in it."""
    name: str = request.param
    request.getfixturevalue("fakes")
    return Ring(name, STRANGER if name == "stranger" else request.getfixturevalue(name), home)


@pytest.fixture
def windows(like_windows: Place, home: Path) -> Ring:
    """The keychain of Windows alone."""
    return Ring("like_windows", like_windows, home)


@pytest.fixture
def macos(like_macos: Place, home: Path) -> Ring:
    """The keychain of macOS alone."""
    return Ring("like_macos", like_macos, home)


@pytest.fixture
def stranger(fakes: None, home: Path) -> Ring:
    """The stranger alone."""
    del fakes
    return Ring("stranger", STRANGER, home)
