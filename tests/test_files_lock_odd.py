"""What stands in the way of a lock: planted files, file systems, full disks."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import BusyError, StorageError, UnsafeFileError, UsageError
from codemesh.files._system import system
from codemesh.files.lock import FileLock
from files_support import NOBODY, as_root, mode_of

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.platform == "win32":
    pytest.skip("modes and owners of POSIX", allow_module_level=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "auth.lock"


def lock(path: Path, timeout: float = 0) -> FileLock:
    return FileLock(str(path), timeout=timeout, what="the store")


def is_free(path: Path) -> bool:
    try:
        with lock(path):
            return True
    except BusyError:
        return False


def plant(path: Path, make: Callable[[Path], None]) -> None:
    path.parent.mkdir(mode=0o700)
    make(path)


def test_planted_link(path: Path, tmp_path: Path) -> None:
    """A link is refused, and its target untouched, there or not."""
    target = tmp_path / "target"
    plant(path, lambda place: place.symlink_to(target))

    with pytest.raises(UnsafeFileError, match="link"), lock(path):
        pytest.fail("entered")
    assert not target.exists()
    target.write_bytes(b"precious")
    with pytest.raises(UnsafeFileError, match="link"), lock(path):
        pytest.fail("entered")

    assert target.read_bytes() == b"precious"


def test_planted_hard_link(path: Path, tmp_path: Path) -> None:
    """A file with a second name may be somebody's content, and is not written."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    plant(path, lambda place: os.link(precious, place))

    with pytest.raises(UnsafeFileError, match="second name"), lock(path):
        pytest.fail("entered")

    assert precious.read_bytes() == b"precious"


def test_planted_pipe(path: Path) -> None:
    """A FIFO is refused without waiting for its other end."""
    plant(path, os.mkfifo)

    with pytest.raises(UnsafeFileError, match="FIFO"), lock(path):
        pytest.fail("entered")


@as_root
def test_foreign_lock_file(path: Path) -> None:
    """A lock file of another user is refused."""
    plant(path, Path.touch)
    os.chown(path, NOBODY, NOBODY)

    with pytest.raises(UnsafeFileError, match="another user"), lock(path):
        pytest.fail("entered")

    assert path.read_bytes() == b""


def test_loose_lock_file_is_tightened(path: Path) -> None:
    """There is no secret in it, so a loose mode is put right without a word."""
    plant(path, Path.touch)
    path.chmod(0o666)

    with lock(path):
        assert mode_of(path) == 0o600


def test_unsafe_folder(path: Path) -> None:
    """Where others may write, they could exchange the lock file."""
    path.parent.mkdir()
    path.parent.chmod(0o777)

    with pytest.raises(UnsafeFileError, match="others may write"), lock(path):
        pytest.fail("entered")

    assert os.listdir(path.parent) == []


def test_impossible_path() -> None:
    """A path that no file can have is an error of usage."""
    with pytest.raises(UsageError), lock(Path("a\0b")):
        pytest.fail("entered")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_file_system_without_locks(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Without locks nothing is written, and the error says why."""

    def refuse(_fd: int) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(system, "try_lock", refuse)

    with pytest.raises(StorageError, match="refuses locks, so nothing was written"), lock(path):
        pytest.fail("entered")


def test_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for the number the lock still works, as removing may need it."""

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr(os, "write", full)

    with lock(path):
        assert not is_free(path)

    assert is_free(path)


def test_release_keeps_the_error_on_its_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that fails hides nothing, and the lock is free all the same."""

    def refuse(_fd: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(system, "unlock", refuse)

    with pytest.raises(KeyError, match="first"), lock(path):
        raise KeyError("first")

    assert is_free(path)


def test_exchange_for_a_link_between_look_and_open(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that appears at the last moment is not followed, and makes no file."""
    original = system.Directory.open_lock

    def exchange(directory: system.Directory, name: str) -> int:
        path.symlink_to(tmp_path / "target")
        return original(directory, name)

    monkeypatch.setattr(system.Directory, "open_lock", exchange)

    with pytest.raises(StorageError, match="symbolic links"), lock(path):
        pytest.fail("entered")

    assert not (tmp_path / "target").exists()
