"""One private file: what is read and written, its mode, its owner, its size, and who sees it."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import TooLargeError, UnsafeFileError
from codemesh.files._system import system
from codemesh.files.private import LIMIT, PrivateFile
from files_support import NEW, NOBODY, OLD, as_nobody, as_root, mode_of, private_file, refused

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    pytest.skip("modes and owners of POSIX", allow_module_level=True)


def test_round_trip(private: Path) -> None:
    """What was saved is read back, and a later save replaces all of it."""
    file = PrivateFile(str(private / "auth.json"))

    file.replace(OLD * 1000)
    file.replace(NEW)

    assert file.read() == NEW
    assert os.listdir(private) == ["auth.json"]


def test_absent_file_and_absent_folder(private: Path) -> None:
    """A file that is not there reads as None and can be removed, with or without a folder."""
    for path in (private / "auth.json", private / "no" / "where" / "auth.json"):
        file = PrivateFile(str(path))

        assert file.read() is None
        assert file.signature() is None
        assert file.leftovers() == []
        assert file.problems() == []
        assert not file.tighten()
        assert file.real_path() == str(path)
        file.remove()
        file.sweep()

    assert os.listdir(private) == []


def test_empty_file_is_not_an_absent_one(private: Path) -> None:
    """A file of zero bytes is read as zero bytes, not as None."""
    private_file(private / "auth.json", b"")

    assert PrivateFile(str(private / "auth.json")).read() == b""


def test_relative_path(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name means a file in the current folder."""
    monkeypatch.chdir(private)
    file = PrivateFile("auth.json")

    file.replace(NEW)

    assert file.read() == NEW
    assert (private / "auth.json").read_bytes() == NEW


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o277, 0o777])
def test_mode_is_exact_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    """First and later writes leave exactly 0600 in folders of exactly 0700."""
    path = tmp_path / "new" / "deeper" / "auth.json"
    os.umask(mask)

    for content in (OLD, NEW):
        PrivateFile(str(path)).replace(content)

        assert mode_of(path) == 0o600
        assert mode_of(path.parent) == 0o700
        assert mode_of(path.parent.parent) == 0o700
        assert path.read_bytes() == content


def test_limits(private: Path) -> None:
    """Exactly the limit is allowed, one byte more is refused and changes nothing."""
    path = private / "auth.json"
    file = PrivateFile(str(path), limit=10)
    file.replace(b"0123456789")

    with pytest.raises(TooLargeError, match="10 bytes"):
        file.replace(b"0123456789a")

    assert file.read() == b"0123456789"
    private_file(path, b"0123456789a")
    for action in (file.read, lambda: file.replace(b""), file.remove):
        with pytest.raises(TooLargeError, match="10 bytes"):
            action()
    assert path.read_bytes() == b"0123456789a"
    assert [problem.id for problem in file.problems()] == ["too-large"]


def test_default_limit_on_a_sparse_file(private: Path) -> None:
    """A store over 64 MiB is refused at once, and the error names the figure."""
    path = private_file(private / "auth.json", b"")
    os.truncate(path, LIMIT + 1)

    with pytest.raises(TooLargeError, match="64 MiB"):
        PrivateFile(str(path)).read()


def test_file_that_grows_while_it_is_read(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The read is bounded by the limit, not by the size that the file had."""
    sizes: list[int] = []

    def endless(_fd: int, count: int) -> bytes:
        sizes.append(count)
        return b"x" * count

    monkeypatch.setattr(os, "read", endless)

    with pytest.raises(TooLargeError):
        PrivateFile(str(store), limit=100_000).read()

    assert sum(sizes) == 100_001


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o640, 0o620, 0o604, 0o602, 0o610, 0o601])
def test_loose_mode_is_refused_untouched(store: Path, mode: int) -> None:
    """A file with any permission for others is refused, and stays as it is."""
    store.chmod(mode)

    sentence = refused(store)

    assert f"mode {mode:04o}" in sentence
    assert store.read_bytes() == OLD
    assert mode_of(store) == mode
    assert os.listdir(store.parent) == ["auth.json"]


@as_root
def test_foreign_owner_is_refused_untouched(store: Path) -> None:
    """A file of another user is refused, even by root, and stays as it is."""
    os.chown(store, NOBODY, NOBODY)

    sentence = refused(store)

    assert "another user" in sentence
    assert store.read_bytes() == OLD
    assert store.stat().st_uid == NOBODY


@as_root
def test_foreign_owner_is_refused_as_another_user(tmp_path: Path) -> None:
    """A user who is not root is refused the files of root."""
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o755)
    private_file(folder / "auth.json")

    def act() -> bool:
        try:
            PrivateFile("auth.json").read()
        except UnsafeFileError as error:
            return "another user (uid 0)" in str(error)
        return False

    assert as_nobody(folder, act)


def test_folder_that_others_may_write_is_refused(store: Path) -> None:
    """A file in a folder that others may write is refused, sticky bit or not."""
    for mode in (0o770, 0o707, 0o777, 0o1777):
        store.parent.chmod(mode)

        sentence = refused(store)

        assert "others may write" in sentence
        assert store.read_bytes() == OLD
        assert mode_of(store.parent) == mode


def test_folder_that_others_may_read_keeps_its_mode(store: Path) -> None:
    """A folder that others may read is used as it is: it may be no folder of codemesh."""
    store.parent.chmod(0o755)
    file = PrivateFile(str(store))

    assert file.read() == OLD
    file.replace(NEW)

    assert mode_of(store.parent) == 0o755
    assert store.read_bytes() == NEW


@as_root
def test_nobody_else_ever_reads_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user who polls an enterable folder during 2,000 saves reads nothing."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(system, "flush", lambda _fd: None)
    handle, (ready, started), (told, tell) = os.open(folder, os.O_RDONLY), os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        spy(handle, started, tell)
    try:
        os.read(ready, 1)
        file = PrivateFile(str(folder / "auth.json"))
        for number in range(2000):
            file.replace(b"secret %d" % number)
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)

    seen, temps, stolen = map(int, os.read(told, 100).split())
    for fd in (handle, ready, started, told, tell):
        os.close(fd)
    assert seen > 1000
    assert temps > 0
    assert stolen == 0


def spy(handle: int, started: int, tell: int) -> None:
    """As nobody, open all that appears in the folder, until told to stop."""
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    counts = [0, 0, 0]

    def stop(_number: int, _frame: object) -> None:
        os.write(tell, " ".join(map(str, counts)).encode())
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    os.write(started, b"x")
    while True:
        for name in os.listdir(handle):
            counts[0] += 1
            counts[1] += name.endswith(".tmp")
            try:
                fd = os.open(name, os.O_RDONLY, dir_fd=handle)
            except OSError:
                continue
            counts[2] += len(os.read(fd, 1))
            os.close(fd)
