"""The plaintext store as a file: the Rust program's format, modes, links, faults."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from codemesh.backends.base import same
from codemesh.backends.context import Context
from codemesh.backends.plaintext import PlaintextBackend
from codemesh.errors import (
    BusyError,
    DamagedError,
    NotDurableError,
    StorageError,
    TooLargeError,
    UnsafeFileError,
)
from homes import RUST_STORE
from support import CANARY, api_key, passphrases, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from codemesh.model import Record


def store(home: Path, **options: object) -> PlaintextBackend:
    """The store, with options as config.toml gives them."""
    return PlaintextBackend(Context(str(home), options, 0.2, passphrases))


def read_and_write(home: Path) -> list[Callable[[], object]]:
    """A reading action and a writing one."""
    return [store(home).names, lambda: store(home).put("a", api_key("1"))]


# -- format ------------------------------------------------------------------------------


def test_file_of_the_rust_program(rust_file: Path) -> None:
    """A file of the Rust program is read as it is, and not touched by that."""
    records = store(rust_file.parent).records()

    assert same(records, json.loads(RUST_STORE)["credentials"])
    assert rust_file.read_bytes() == RUST_STORE
    assert rust_file.parent.stat().st_mode & 0o777 == 0o755


def test_rewrite_keeps_the_spelling(rust_file: Path) -> None:
    """A rewrite keeps the order of entries and fields, and the Rust spelling of a type."""
    store(rust_file.parent).put("zebra", api_key("z"))

    text = rust_file.read_bytes()
    assert text.startswith(RUST_STORE[:-8].rstrip().removesuffix(b"}"))
    assert list(json.loads(text)["credentials"]) == ["anthropic", "openai", "zebra"]


def test_file_is_ascii(rust_file: Path) -> None:
    """The file holds ASCII alone and ends with one newline, so any program can read it."""
    store(rust_file.parent).put("caf\u00e9", api_key("\U0001f511\x00\u2028"))

    raw = rust_file.read_bytes()

    assert raw.isascii()
    assert raw.endswith(b"}\n")
    assert raw.count(b"\x00") == 0


@pytest.mark.parametrize("theirs", [{"version": 1}, {"a": {"b": [None, 1.0]}, "": False}])
def test_unknown_top_level_keys(rust_file: Path, theirs: dict[str, object]) -> None:
    """Keys at the top that are not ours survive every rewrite, and keep the file alive."""
    rust_file.write_text(json.dumps({**theirs, "credentials": {"a": api_key("1")}}))
    backend = store(rust_file.parent)

    backend.put("b", api_key("2"))
    backend.remove("a")
    backend.retire({"b": api_key("2")})

    assert same(json.loads(rust_file.read_text()), {"credentials": {}, **theirs})
    assert backend.status().exists


@pytest.mark.parametrize(
    "content", [b'{"credentials": null}', b'{"Credentials": {}}', b'{"a": 1}']
)
def test_document_without_credentials(rust_file: Path, content: bytes) -> None:
    """A document without an object of credentials is damage, not an empty store."""
    rust_file.write_bytes(content)

    with pytest.raises(DamagedError, match=str(rust_file)):
        store(rust_file.parent).records()


@pytest.mark.parametrize("record", ["text", "5", "null", "[]", "true"])
def test_record_that_is_no_object(rust_file: Path, record: str) -> None:
    """One record that is no object is damage, and nothing is rewritten around it."""
    rust_file.write_text('{"credentials": {"a": {}, "b": ' + record.replace("text", '"t"') + "}}")
    before = rust_file.read_bytes()

    for action in (
        store(rust_file.parent).names,
        lambda: store(rust_file.parent).get("a"),
        lambda: store(rust_file.parent).put("a", api_key("1")),
    ):
        with pytest.raises(DamagedError):
            action()

    assert rust_file.read_bytes() == before


def test_zero_bytes(rust_file: Path) -> None:
    """A file of length zero is damaged, not empty."""
    rust_file.write_bytes(b"")

    with pytest.raises(DamagedError, match="empty"):
        store(rust_file.parent).names()


# -- safety ------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_modes(home: Path, umask: int) -> None:
    """The file is 0600 and its folders are 0700, whatever the umask, first and later."""
    os.umask(umask)

    store(home).put("openai", api_key("one"))
    first = (home / "auth.json").stat().st_mode & 0o7777
    store(home).put("openai", api_key("two"))

    assert (first, (home / "auth.json").stat().st_mode & 0o7777) == (0o600, 0o600)
    assert all(home.joinpath(sub).stat().st_mode & 0o777 == 0o700 for sub in (".", "state"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666])
def test_loose_file_is_refused(rust_file: Path, mode: int) -> None:
    """A file that others may read or write is refused by reads and writes, as it is."""
    rust_file.chmod(mode)

    for action in read_and_write(rust_file.parent):
        with pytest.raises(UnsafeFileError) as caught:
            action()
        assert "doctor --fix" in caught.value.hint

    assert (rust_file.read_bytes(), rust_file.stat().st_mode & 0o777) == (RUST_STORE, mode)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_folder_that_others_may_write(rust_file: Path, mode: int) -> None:
    """A folder that others may write is refused by reads and writes."""
    rust_file.parent.chmod(mode)

    for action in read_and_write(rust_file.parent):
        with pytest.raises(UnsafeFileError):
            action()


def test_folder_that_others_may_read(rust_file: Path) -> None:
    """A folder that others may only read is read from, and tightened by the first write."""
    store(rust_file.parent).put("a", api_key("1"))

    assert rust_file.parent.stat().st_mode & 0o777 == 0o700


def test_link_is_kept(rust_file: Path, tmp_path: Path) -> None:
    """A link of ours to a file of ours is followed, and survives a write."""
    target = tmp_path / "real.json"
    rust_file.rename(target)
    rust_file.symlink_to(target)

    store(rust_file.parent).put("a", api_key("1"))

    assert rust_file.is_symlink()
    assert "a" in json.loads(target.read_text())["credentials"]


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
def test_special_files(rust_file: Path, kind: str) -> None:
    """What is no regular file is refused and not waited for."""
    rust_file.unlink()
    if kind == "folder":
        rust_file.mkdir()
    elif kind == "fifo":
        os.mkfifo(rust_file, 0o600)
    else:
        rust_file.symlink_to("/dev/zero")

    for action in read_and_write(rust_file.parent):
        with pytest.raises(UnsafeFileError):
            action()


def test_too_large(rust_file: Path) -> None:
    """A file over the limit is refused, and so is a write that would make one."""
    with rust_file.open("r+b") as file:
        file.truncate(64 * 2**20 + 1)

    with pytest.raises(TooLargeError):
        store(rust_file.parent).names()


def test_too_large_a_write(rust_file: Path) -> None:
    """A write that would go over the limit is refused, and the store stays."""
    batch: dict[str, Record] = {f"e{number}": {"key": "x" * 2**20} for number in range(64)}

    with pytest.raises(TooLargeError):
        store(rust_file.parent).change(batch)

    assert rust_file.read_bytes() == RUST_STORE


def test_full_disk(rust_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full leaves the old file and no other, and shows no secret."""

    def write(fd: int, data: bytes) -> int:
        del fd, data
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(StorageError, match="space") as caught:
            store(rust_file.parent).put("a", api_key(CANARY))

    assert rust_file.read_bytes() == RUST_STORE
    assert store(rust_file.parent).leftovers() == []
    assert CANARY not in shown(caught.value)


def test_saved_but_not_confirmed(rust_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When only the folder's flush fails the change is saved, and that is what is said."""
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(5, "Input/output error")
        real(fd)

    store(rust_file.parent).names()
    (rust_file.parent / "state").mkdir(mode=0o700)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(NotDurableError, match="saved"):
            store(rust_file.parent).put("a", api_key("1"))

    assert same(store(rust_file.parent).get("a"), api_key("1"))


def test_busy(rust_file: Path) -> None:
    """While another holds the lock, reads go on and a write gives up at its deadline."""
    with store(rust_file.parent)._lock():
        assert store(rust_file.parent).names() == ["anthropic", "openai"]
        with pytest.raises(BusyError):
            store(rust_file.parent).put("a", api_key("1"))

    assert rust_file.read_bytes() == RUST_STORE


def test_two_homes_share_a_file(home: Path, tmp_path: Path) -> None:
    """Two homes that name one file by its path also share its lock."""
    shared = str(tmp_path / "shared" / "keys.json")
    one, other = store(home, path=shared), store(home.with_name("other"), path=shared)
    one.put("a", api_key("1"))

    with one._lock(), pytest.raises(BusyError):
        other.put("b", api_key("2"))

    assert other.names() == ["a"]
