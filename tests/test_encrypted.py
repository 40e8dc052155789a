"""The encrypted store as a file: passphrases, what was seen, and how little is derived."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from codemesh.backends import _keys, _vault
from codemesh.backends._kdf import PROFILES
from codemesh.backends.base import same
from codemesh.backends.context import Context
from codemesh.backends.encrypted import EncryptedBackend
from codemesh.errors import (
    LockedError,
    TooLargeError,
    UnsafeFileError,
    WrongPassphraseError,
)
from codemesh.unlock.passphrases import Passphrases
from support import CANARY, PASSPHRASE, api_key, passphrases, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from codemesh.backends._kdf import Kdf

pytestmark = pytest.mark.usefixtures("cheap")


class Asked:
    """A person who knows some passphrases and is asked for them."""

    def __init__(self, *answers: str) -> None:
        self.answers = answers
        self.times = 0

    def __call__(self, *, new: bool) -> Iterator[str]:
        """Give the answers one after the other."""
        del new
        for answer in self.answers:
            self.times += 1
            yield answer


def store(home: Path, *answers: str, path: str = "auth.vault.json") -> EncryptedBackend:
    """The store, opened by somebody who gives these answers."""
    source = Asked(*answers) if answers else passphrases
    return EncryptedBackend(Context(str(home), {"path": path}, 10.0, source))


@pytest.fixture
def vault(home: Path) -> Path:
    """A store with one entry, as its file."""
    store(home).put("openai", api_key(CANARY))
    return home / "auth.vault.json"


@pytest.fixture
def derivations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passphrases that keys were derived from."""
    made: list[str] = []
    for module in (_keys, _vault):
        real = module.derive_root

        def derive(passphrase: str, kdf: Kdf, real: object = real) -> bytes:
            made.append(passphrase)
            assert callable(real)
            root = real(passphrase, kdf)
            assert isinstance(root, bytes)
            return root

        monkeypatch.setattr(module, "derive_root", derive)
    return made


# -- the file ----------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_modes(home: Path, umask: int) -> None:
    """The file is 0600 and its folders are 0700, whatever the umask."""
    os.umask(umask)

    store(home).put("openai", api_key("one"))
    store(home).put("openai", api_key("two"))

    assert (home / "auth.vault.json").stat().st_mode & 0o7777 == 0o600
    assert all(home.joinpath(sub).stat().st_mode & 0o777 == 0o700 for sub in (".", "state"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_loose_file_is_refused(vault: Path, mode: int) -> None:
    """A file that others may read or write is refused and left as it is."""
    vault.chmod(mode)

    for action in (store(vault.parent).records, store(vault.parent).status):
        with pytest.raises(UnsafeFileError):
            action()

    assert vault.stat().st_mode & 0o777 == mode


def test_too_large_a_file(vault: Path) -> None:
    """A file over the limit is refused without being read."""
    with vault.open("r+b") as file:
        file.truncate(64 * 2**20 + 1)

    with pytest.raises(TooLargeError):
        store(vault.parent).records()


def test_status_of_a_locked_store(vault: Path, derivations: list[str]) -> None:
    """A store that nobody unlocked is locked, of unknown size, and nothing is derived."""
    status = store(vault.parent).status()

    assert status == (str(vault), True, True, True, None, None)
    assert derivations == []


def test_names_are_not_in_the_file(vault: Path) -> None:
    """Neither the names nor the number of entries show in the file's size or bytes."""
    before = len(vault.read_bytes())

    store(vault.parent).put("google", api_key("two"))

    assert len(vault.read_bytes()) == before
    assert b"google" not in vault.read_bytes()


# -- passphrases -------------------------------------------------------------------------


def test_wrong_passphrase(vault: Path) -> None:
    """A wrong passphrase is an error of its own, and the file is as it was."""
    before = vault.read_bytes()

    actions: list[Callable[[EncryptedBackend], object]] = [
        lambda wrong: wrong.records(),
        lambda wrong: wrong.put("google", api_key("two")),
        lambda wrong: wrong.retire({"openai": api_key(CANARY)}),
        lambda wrong: wrong.accept_revision(),
    ]
    for action in actions:
        with pytest.raises(WrongPassphraseError) as caught:
            action(store(vault.parent, "wrong " + CANARY))
        assert CANARY not in shown(caught.value)
        assert str(vault) in str(caught.value)

    assert vault.read_bytes() == before


def test_three_tries(vault: Path, derivations: list[str]) -> None:
    """A person is asked three times at most, and the third answer may be the right one."""
    answers = iter(["a", "b", PASSPHRASE, "c", "d", "e", "f"])
    source = Passphrases(environ={}, prompt=lambda **_: next(answers))
    context = Context(str(vault.parent), {}, 10.0, source)

    assert EncryptedBackend(context).names() == ["openai"]
    with pytest.raises(WrongPassphraseError):
        EncryptedBackend(context).names()

    assert derivations == ["a", "b", PASSPHRASE, "c", "d", "e"]


def test_nobody_gives_one(vault: Path) -> None:
    """Without a passphrase the store is locked, and says so."""
    source = Passphrases(environ={})

    with pytest.raises(LockedError):
        EncryptedBackend(Context(str(vault.parent), {}, 10.0, source)).records()


@pytest.mark.parametrize(
    ("written", "typed"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")]
)
def test_both_unicode_forms(home: Path, written: str, typed: str) -> None:
    """A passphrase opens the store in either Unicode form."""
    store(home, written).put("openai", api_key("one"))

    assert store(home, typed).names() == ["openai"]


def test_one_derivation(home: Path, derivations: list[str]) -> None:
    """An opened store derives its key once, however much is done with it."""
    opened = store(home)

    for number in range(5):
        opened.put(f"entry{number}", api_key("k"))
        opened.records()
        opened.get("entry0")
        opened.status()
    opened.change({}, ["entry0", "entry1"])
    opened.accept_revision()

    assert derivations == [PASSPHRASE]


def test_one_derivation_to_read(vault: Path, derivations: list[str]) -> None:
    """A store that is there is opened with one derivation, for reading and then writing."""
    opened = store(vault.parent)

    opened.get("openai")
    opened.names()
    opened.put("google", api_key("two"))
    opened.retire(opened.records())

    assert derivations == [PASSPHRASE]


def test_passphrase_changed_by_another(vault: Path) -> None:
    """A store that was exchanged for one with another passphrase needs that one."""
    opened = store(vault.parent)
    opened.records()
    vault.unlink()
    store(vault.parent, "another").put("google", api_key("two"))

    with pytest.raises(WrongPassphraseError):
        opened.records()


@pytest.mark.parametrize("cost", ["default", "strong"])
def test_cost_of_a_new_store(home: Path, cost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new store has the cost that config.toml asks for."""
    monkeypatch.setitem(PROFILES, "strong", (19_456, 3, 1))
    context = Context(str(home), {"cost": cost}, 10.0, passphrases)

    EncryptedBackend(context).put("openai", api_key("one"))

    kdf = json.loads((home / "auth.vault.json").read_text())["kdf"]
    assert (kdf["m"], kdf["t"], kdf["p"]) == PROFILES[cost]


# -- damage ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "harm",
    [
        lambda raw: raw + b"\n\n",
        lambda raw: json.dumps(json.loads(raw)).encode(),
        lambda raw: b"\xef\xbb\xbf" + raw,
        lambda raw: raw + b"<<<<<<< HEAD\n",
    ],
    ids=["newlines", "reformatted", "byte order mark", "something behind"],
)
def test_reformatted_store_is_salvaged(vault: Path, harm: object) -> None:
    """A sealed document that was only reformatted or appended to gives all it had."""
    assert callable(harm)
    vault.write_bytes(harm(vault.read_bytes()))

    salvaged = store(vault.parent).salvage()

    assert same(salvaged.records, {"openai": api_key(CANARY)})
    assert salvaged.lost == []


def test_restart_under_a_new_passphrase(vault: Path) -> None:
    """A damaged store is started anew under a new passphrase, as a store of its own."""
    vault.write_bytes(vault.read_bytes()[:100])

    store(vault.parent, "new").restart({"openai": api_key("one")})

    assert store(vault.parent, "new").names() == ["openai"]
    with pytest.raises(WrongPassphraseError):
        store(vault.parent).names()
