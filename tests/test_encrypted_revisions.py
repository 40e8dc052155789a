"""The encrypted store and its older copies: what is noticed, and what may be forgotten."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from codemesh.backends._files import StoreFile
from codemesh.backends.base import same
from codemesh.backends.context import Context
from codemesh.backends.encrypted import EncryptedBackend
from codemesh.errors import CodemeshError, ForkError, RollbackError, StorageError
from codemesh.files.private import PrivateFile
from support import CANARY, api_key, passphrases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from codemesh.files.lock import FileLock

pytestmark = pytest.mark.usefixtures("cheap")


def store(home: Path) -> EncryptedBackend:
    """The store, opened by somebody who knows the passphrase."""
    return EncryptedBackend(Context(str(home), {}, 10.0, passphrases))


@pytest.fixture
def vault(home: Path) -> Path:
    """A store with one entry, as its file."""
    store(home).put("openai", api_key(CANARY))
    return home / "auth.vault.json"


def test_rollback_is_noticed_and_accepted(vault: Path) -> None:
    """An older copy is refused by reads and writes until it is accepted; then all is well."""
    shutil.copy2(vault, vault.with_name("copy"))
    store(vault.parent).put("openai", api_key("newer"))
    shutil.move(vault.with_name("copy"), vault)

    actions: list[Callable[[EncryptedBackend], object]] = [
        lambda old: old.records(),
        lambda old: old.get("openai"),
        lambda old: old.put("google", api_key("two")),
        lambda old: old.retire({}),
    ]
    for action in actions:
        with pytest.raises(RollbackError, match="revision 0"):
            action(store(vault.parent))

    assert store(vault.parent).accept_revision() == 0
    assert same(store(vault.parent).records(), {"openai": api_key(CANARY)})
    store(vault.parent).put("google", api_key("two"))
    assert store(vault.parent).names() == ["google", "openai"]


def test_fork_is_noticed_and_accepted(vault: Path, tmp_path: Path) -> None:
    """Two copies that were changed apart from each other are told apart until one is accepted."""
    shutil.copytree(vault.parent, tmp_path / "other")
    store(tmp_path / "other").put("there", api_key("1"))
    store(vault.parent).put("here", api_key("2"))
    shutil.copy2(tmp_path / "other" / vault.name, vault)

    with pytest.raises(ForkError):
        store(vault.parent).records()

    assert store(vault.parent).accept_revision() == 1
    assert store(vault.parent).names() == ["openai", "there"]


def test_new_store_after_a_removed_one(vault: Path) -> None:
    """A store that was removed by hand is no rollback of itself when it is written anew."""
    opened = store(vault.parent)
    for number in range(3):
        opened.put("openai", api_key(str(number)))
    vault.unlink()

    opened.put("google", api_key("two"))

    assert opened.names() == ["google"]
    assert store(vault.parent).names() == ["google"]


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b'{"x": 1}', b"x" * (2**20 + 1)])
def test_damaged_memory_of_revisions(vault: Path, content: bytes) -> None:
    """What was seen can be lost without harm to reads and writes."""
    (seen,) = (vault.parent / "state").glob("seen-*.json")
    seen.write_bytes(content)

    store(vault.parent).put("google", api_key("two"))

    assert store(vault.parent).names() == ["google", "openai"]


def test_memory_of_revisions_that_cannot_be_used(vault: Path) -> None:
    """A state file that is in the way never fails a read or a write."""
    (seen,) = (vault.parent / "state").glob("seen-*.json")
    seen.unlink()
    seen.mkdir(mode=0o700)

    store(vault.parent).put("google", api_key("two"))

    assert store(vault.parent).names() == ["google", "openai"]


def test_unwritable_state_folder(vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder that takes no file never fails a read or a write."""
    real = PrivateFile.replace

    def replace(self: PrivateFile, data: bytes) -> None:
        if os.path.basename(self.path).startswith("seen-"):
            raise StorageError("permission denied")
        real(self, data)

    monkeypatch.setattr(PrivateFile, "replace", replace)

    store(vault.parent).put("google", api_key("two"))

    assert store(vault.parent).names() == ["google", "openai"]


def test_an_old_copy_where_no_lock_can_be_taken(
    vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody can write, an older store is refused as that, not for the lock."""
    old = vault.read_bytes()
    store(vault.parent).put("google", api_key("two"))
    vault.write_bytes(old)

    def lock(*_: object, **__: object) -> FileLock:
        raise StorageError("read-only file system")

    monkeypatch.setattr(StoreFile, "lock", lock)

    with pytest.raises(RollbackError):
        store(vault.parent).records()


def test_state_folder_is_needed_to_write_alone(vault: Path) -> None:
    """Without a state folder that can be made, a store is read all the same."""
    shutil.rmtree(vault.parent / "state")
    (vault.parent / "state").write_text("in the way")

    assert store(vault.parent).names() == ["openai"]
    with pytest.raises(CodemeshError):
        store(vault.parent).put("google", api_key("two"))
    assert store(vault.parent).names() == ["openai"]
