"""The Windows branch, as far as it runs elsewhere: with fakes for what only Windows has."""

from __future__ import annotations

import errno
import os
import stat
import sys
import types
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import BusyError, StorageError, UnsafeFileError
from codemesh.files import _saving, _windows, folder, lock, private, problem
from codemesh.files._system import system
from codemesh.files.lock import FileLock
from codemesh.files.private import PrivateFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class WindowsError(OSError):
    """An OSError as Windows raises it, with the system's own number."""

    def __init__(self, winerror: int, number: int = errno.EACCES) -> None:
        super().__init__(number, os.strerror(number))
        self.number = winerror

    @property
    def winerror(self) -> int:  # type: ignore[override,unused-ignore]
        """The number."""
        return self.number


class FakeLocks(types.ModuleType):
    """msvcrt as far as it locks: one byte, held by one open file."""

    LK_NBLCK = 2
    LK_UNLCK = 0

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.holder = -1
        self.broken = 0

    def locking(self, fd: int, mode: int, count: int) -> None:
        """Take the byte, or fail as the original does."""
        assert (count, os.lseek(fd, 0, os.SEEK_CUR)) == (1, 2**20)
        if self.broken:
            raise OSError(self.broken, os.strerror(self.broken))
        if mode == self.LK_UNLCK:
            self.holder = -1
        elif self.holder == -1:
            self.holder = fd
        else:
            raise OSError(errno.EACCES, "Permission denied")


@pytest.fixture
def locks(monkeypatch: pytest.MonkeyPatch) -> FakeLocks:
    fake = FakeLocks()
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    return fake


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch, locks: FakeLocks) -> FakeLocks:
    """The whole room, on the Windows branch."""
    for module in (_saving, folder, lock, private, problem):
        monkeypatch.setattr(module, "system", _windows)
    monkeypatch.setattr(_windows, "_in_profile", lambda _path: True)
    return locks


def failing(winerror: int, times: int) -> Callable[[], str]:
    errors = [WindowsError(winerror) for _ in range(times)]

    def action() -> str:
        if errors:
            raise errors.pop()
        return "done"

    return action


def test_both_branches_offer_the_same() -> None:
    """What the room uses of one platform exists on the other."""
    shared = {name for name in vars(system) if not name.startswith("_")}
    inside = {name for name in vars(system.Directory) if not name.startswith("_")}

    missing = {
        name
        for name in shared
        if not hasattr(_windows, name) and not isinstance(vars(system)[name], types.ModuleType)
    }

    assert missing == set()
    assert inside - {"make"} <= set(vars(_windows.Directory))


@pytest.mark.parametrize("winerror", [5, 32, 33])
def test_passing_trouble_is_waited_out(winerror: int) -> None:
    """While another program has the file open, the step is tried again."""
    pauses: list[float] = []

    result = _windows.patiently(failing(winerror, 4), pauses.append)

    assert result == "done"
    assert pauses == [0.01, 0.02, 0.04, 0.08]


@pytest.mark.parametrize("winerror", [5, 32, 33])
def test_patience_ends(winerror: int) -> None:
    """After about 2.5 seconds the error comes out."""
    pauses: list[float] = []

    with pytest.raises(WindowsError):
        _windows.patiently(failing(winerror, 1000), pauses.append)

    assert 2.5 <= sum(pauses) < 2.8


@pytest.mark.parametrize("winerror", [2, 3, 17, 112])
def test_other_trouble_is_not_waited_out(winerror: int) -> None:
    """Absent, another disk, full: these do not pass by waiting."""
    pauses: list[float] = []

    with pytest.raises(WindowsError):
        _windows.patiently(failing(winerror, 1), pauses.append)

    assert pauses == []


def test_file_round_trip(windows: FakeLocks, tmp_path: Path) -> None:
    """Reading, saving, sweeping and removing work on the Windows branch."""
    assert windows.holder == -1
    file = PrivateFile(str(tmp_path / "new" / "deep" / "auth.json"))

    assert file.read() is None
    file.replace(b"one")
    (tmp_path / "new" / "deep" / ".auth.json.0123456789abcdef.tmp").write_bytes(b"")
    assert len(file.leftovers()) == 1
    file.replace(b"two")

    assert file.read() == b"two"
    assert file.problems() == []
    assert not file.tighten()
    assert file.signature() is not None
    assert os.listdir(tmp_path / "new" / "deep") == ["auth.json"]
    file.remove()
    assert file.read() is None


def test_refused_replacement_leaves_the_old(
    windows: FakeLocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that stays open elsewhere is kept, nothing is copied over it, nothing is left."""
    assert windows.holder == -1
    file = PrivateFile(str(tmp_path / "auth.json"))
    file.replace(b"old")

    def refuse(_source: str, _target: str) -> None:
        raise WindowsError(32)

    monkeypatch.setattr(_windows, "_PATIENCE", 0.01)
    monkeypatch.setattr(os, "replace", refuse)

    with pytest.raises(StorageError, match="another program has the file open"):
        file.replace(b"new")

    assert file.read() == b"old"
    assert os.listdir(tmp_path) == ["auth.json"]


def test_links_are_refused(windows: FakeLocks, tmp_path: Path) -> None:
    """Neither a link to a file nor one to a folder is followed."""
    assert windows.holder == -1
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "auth.json").write_bytes(b"old")
    (tmp_path / "auth.json").symlink_to("real/auth.json")
    (tmp_path / "folder").symlink_to("real")

    with pytest.raises(UnsafeFileError, match="not followed on Windows"):
        PrivateFile(str(tmp_path / "auth.json")).read()
    with pytest.raises(UnsafeFileError, match="link or a junction"):
        PrivateFile(str(tmp_path / "folder" / "auth.json")).replace(b"new")

    assert (tmp_path / "real" / "auth.json").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("tag", "refused"),
    [(0xA000000C, True), (0xA0000003, True), (0x9000001A, False), (0x80000013, False), (0, False)],
)
def test_junctions_and_their_look_alikes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: int, *, refused: bool
) -> None:
    """Links and junctions stand for another path; cloud and deduplicated files do not."""
    facts = SimpleNamespace(st_mode=stat.S_IFDIR | 0o777, st_reparse_tag=tag)
    monkeypatch.setattr(os, "lstat", lambda _path: facts)

    if refused:
        with pytest.raises(UnsafeFileError):
            _windows.Directory(str(tmp_path))
    else:
        _windows.Directory(str(tmp_path))


def test_no_folder(windows: FakeLocks, tmp_path: Path) -> None:
    """A file where the folder should be is refused."""
    assert windows.holder == -1
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(UnsafeFileError, match="not a folder"):
        folder.check(str(tmp_path / "file"))


def test_lock_and_its_release(windows: FakeLocks, tmp_path: Path) -> None:
    """The byte that is locked lies beyond the number, which others can read."""
    path = str(tmp_path / "auth.lock")

    with FileLock(path, timeout=0, what="the store"):
        assert windows.holder != -1
        with (
            pytest.raises(BusyError, match=f"\\({os.getpid()}\\)"),
            FileLock(path, timeout=0.01, what="the store"),
        ):
            pytest.fail("two holders")

    assert windows.holder == -1


def test_lock_that_fails(windows: FakeLocks, tmp_path: Path) -> None:
    """Any other failure of the lock is an error, and no lock."""
    windows.broken = errno.EBADF

    with (
        pytest.raises(StorageError, match="cannot be locked"),
        FileLock(str(tmp_path / "auth.lock"), timeout=0, what="the store"),
    ):
        pytest.fail("entered")
