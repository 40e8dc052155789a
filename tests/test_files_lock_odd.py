"""What stands in the way of a lock: planted files, file systems, full disks."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import StorageError, UnsafeFileError, UsageError
from codemesh.files._system import system
from files_support import NOBODY, as_root, is_free, lock, mode_of, note_refusals

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.platform == "win32":
    pytest.skip("modes and owners of POSIX", allow_module_level=True)


def plant(lock_file: Path, make: Callable[[Path], None]) -> None:
    lock_file.parent.mkdir(mode=0o700)
    make(lock_file)


def test_planted_link(lock_file: Path, tmp_path: Path) -> None:
    """A link is refused, and its target untouched, there or not."""
    target = tmp_path / "target"
    plant(lock_file, lambda place: place.symlink_to(target))

    with pytest.raises(UnsafeFileError, match="link"), lock(lock_file):
        pytest.fail("entered")
    assert not target.exists()
    target.write_bytes(b"precious")
    with pytest.raises(UnsafeFileError, match="link"), lock(lock_file):
        pytest.fail("entered")

    assert target.read_bytes() == b"precious"


def test_planted_hard_link(lock_file: Path, tmp_path: Path) -> None:
    """A file with a second name may be somebody's content, and is not written."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    plant(lock_file, lambda place: os.link(precious, place))

    with pytest.raises(UnsafeFileError, match="second name"), lock(lock_file):
        pytest.fail("entered")

    assert precious.read_bytes() == b"precious"


def test_planted_pipe(lock_file: Path) -> None:
    """A FIFO is refused without waiting for its other end."""
    plant(lock_file, os.mkfifo)

    with pytest.raises(UnsafeFileError, match="FIFO"), lock(lock_file):
        pytest.fail("entered")


@as_root
def test_foreign_lock_file(lock_file: Path) -> None:
    """A lock file of another user is refused."""
    plant(lock_file, Path.touch)
    os.chown(lock_file, NOBODY, NOBODY)

    with pytest.raises(UnsafeFileError, match="another user"), lock(lock_file):
        pytest.fail("entered")

    assert lock_file.read_bytes() == b""


def test_loose_lock_file_is_tightened(lock_file: Path) -> None:
    """A lock file with a loose mode is set to 0600 without a word: it holds no secret."""
    plant(lock_file, Path.touch)
    lock_file.chmod(0o666)

    with lock(lock_file):
        assert mode_of(lock_file) == 0o600


def test_unsafe_folder(lock_file: Path) -> None:
    """A lock in a folder that others may write is refused, and no lock file is made."""
    lock_file.parent.mkdir()
    lock_file.parent.chmod(0o777)

    with pytest.raises(UnsafeFileError, match="others may write"), lock(lock_file):
        pytest.fail("entered")

    assert os.listdir(lock_file.parent) == []


def test_impossible_path() -> None:
    """A path that no file can have is an error of usage."""
    with pytest.raises(UsageError), lock(Path("a\0b")):
        pytest.fail("entered")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_file_system_without_locks(
    lock_file: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Without locks nothing is written, and the error says why."""

    def refuse(_fd: int) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(system, "try_lock", refuse)

    with (
        pytest.raises(StorageError, match="refuses locks, so nothing was written"),
        lock(lock_file),
    ):
        pytest.fail("entered")


def test_full_disk(lock_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock works without room for its number, because a removal may need it."""

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr(os, "write", full)

    with lock(lock_file):
        assert not is_free(lock_file)

    assert is_free(lock_file)


def test_release_keeps_the_error_on_its_way(
    lock_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that fails hides nothing, and the lock is free all the same."""

    def refuse(_fd: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(system, "unlock", refuse)

    with pytest.raises(KeyError, match="first"), lock(lock_file):
        raise KeyError("first")

    assert is_free(lock_file)


def test_exchange_for_a_link_between_look_and_open(
    lock_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that appears at the last moment is not followed, and makes no file."""
    original = system.Directory.open_lock

    def exchange(directory: system.Directory, name: str) -> int:
        lock_file.symlink_to(tmp_path / "target")
        return original(directory, name)

    monkeypatch.setattr(system.Directory, "open_lock", exchange)

    with pytest.raises(StorageError, match="symbolic links"), lock(lock_file):
        pytest.fail("entered")

    assert not (tmp_path / "target").exists()


def test_deleted_lock_file(lock_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waited on a file that somebody deleted locks the one that took its place."""
    first = lock(lock_file)
    refused = note_refusals(monkeypatch)
    entered = threading.Event()
    leave = threading.Event()

    def wait() -> None:
        with lock(lock_file, timeout=60):
            entered.set()
            leave.wait(60)

    with first:
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert refused.wait(60)
        lock_file.unlink()
        assert not entered.is_set()
    assert entered.wait(60)

    assert lock_file.exists()
    assert not is_free(lock_file)
    leave.set()
    waiter.join()
