"""Leftovers, failures half-way, and the inspection and mending of one private file."""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import NotDurableError, StorageError, UnsafeFileError
from codemesh.files import _saving
from codemesh.files._system import system
from codemesh.files.private import PrivateFile
from files_support import NEW, NOBODY, OLD, as_root, mode_of, private_file

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    pytest.skip("modes and owners of POSIX", allow_module_level=True)


def test_leftovers_are_found_and_swept(private: Path, store: Path) -> None:
    """The temp files of this very file are found and removed, and no other file is."""
    temp = private_file(private / ".auth.json.0123456789abcdef.tmp", b"secret")
    spared = {
        ".auth.json.0123456789ABCDEF.tmp",
        ".auth.json.0123456789abcde.tmp",
        ".auth.json.0123456789abcdefa.tmp",
        ".auth.json.tmp",
        ".other.json.0123456789abcdef.tmp",
        "auth.json.0123456789abcdef.tmp",
        ".auth.json.0123456789abcdeg.tmp",
    }
    for name in spared:
        private_file(private / name)
    (private / ".auth.json.1111111111111111.tmp").symlink_to(store)
    (private / ".auth.json.2222222222222222.tmp").mkdir()
    file = PrivateFile(str(store))

    assert file.leftovers() == [str(temp)]
    file.sweep()

    assert file.leftovers() == []
    assert spared < set(os.listdir(private))
    assert store.read_bytes() == OLD


@pytest.mark.parametrize("action", ["replace", "remove"])
def test_saving_and_removing_sweep(store: Path, action: str) -> None:
    """A save and a removal leave no temp file of an earlier save beside the file."""
    private_file(store.parent / ".auth.json.0123456789abcdef.tmp", b"secret")
    file = PrivateFile(str(store))

    if action == "replace":
        file.replace(NEW)
    else:
        file.remove()

    assert os.listdir(store.parent) == (["auth.json"] if action == "replace" else [])


@as_root
def test_foreign_leftover_is_spared(store: Path) -> None:
    """A temp file of another user is not removed."""
    temp = private_file(store.parent / ".auth.json.0123456789abcdef.tmp")
    os.chown(temp, NOBODY, NOBODY)

    PrivateFile(str(store)).replace(NEW)

    assert temp.exists()


@pytest.mark.parametrize("step", ["create", "_write", "flush", "rename"])
def test_interrupt_leaves_nothing(store: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Ctrl-C before the rename removes the new file and passes on."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    owner = {"create": system.Directory, "rename": system.Directory, "flush": system}
    monkeypatch.setattr(owner.get(step, _saving), step, interrupt)

    with pytest.raises(KeyboardInterrupt):
        PrivateFile(str(store)).replace(NEW)

    assert os.listdir(store.parent) == ["auth.json"]
    assert store.read_bytes() == OLD


def test_disk_that_takes_nothing(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write of zero bytes is an error, and no endless loop."""
    monkeypatch.setattr(os, "write", lambda _fd, _data: 0)

    with pytest.raises(StorageError, match="input/output"):
        PrivateFile(str(store)).replace(NEW)

    assert os.listdir(store.parent) == ["auth.json"]


def test_mode_that_does_not_stick(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without permissions nothing is saved, and mending says why."""
    monkeypatch.setattr(os, "fchmod", lambda _fd, _mode: None)
    store.chmod(0o644)
    file = PrivateFile(str(store))

    with pytest.raises(StorageError, match="does not keep permissions") as caught:
        file.tighten()

    assert str(store) in str(caught.value)
    monkeypatch.setattr(os, "fchmod", lambda fd, _mode: os.chmod(fd, 0o666))  # noqa: S103 - a disk that forgets
    store.chmod(0o600)
    with pytest.raises(StorageError, match="does not keep permissions"):
        file.replace(NEW)
    assert os.listdir(store.parent) == ["auth.json"]
    assert store.read_bytes() == OLD


@pytest.mark.parametrize(
    ("number", "falls_back"), [(errno.ENOTSUP, True), (errno.EINVAL, True), (errno.EIO, False)]
)
def test_full_flush_of_the_drive(
    store: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, falls_back: bool
) -> None:
    """Where F_FULLFSYNC exists it is used; fsync only follows where it is not supported."""
    import fcntl

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    def refuse(_fd: int, command: int) -> None:
        assert command == 51
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    file = PrivateFile(str(store))

    if falls_back:
        file.replace(NEW)
    else:
        with pytest.raises(StorageError, match="input/output"):
            file.replace(NEW)

    assert len(synced) == (2 if falls_back else 0)
    assert store.read_bytes() == (NEW if falls_back else OLD)
    monkeypatch.setattr(fcntl, "fcntl", lambda _fd, _command: 0)
    file.replace(OLD)
    assert len(synced) == (2 if falls_back else 0)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_folder_that_cannot_be_flushed(
    store: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A file system that does not flush folders is no reason to fail."""
    fsync = os.fsync

    def no_folders(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", no_folders)
    file = PrivateFile(str(store))

    file.replace(NEW)
    assert store.read_bytes() == NEW
    file.remove()

    assert not store.exists()


def test_removal_that_is_not_confirmed(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a removal that the disk does not confirm, the error says both things."""

    def broken(_fd: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "fsync", broken)

    with pytest.raises(NotDurableError, match="removed, but durability is not confirmed"):
        PrivateFile(str(store)).remove()

    assert not store.exists()


def test_hard_link_keeps_the_old_content(store: Path, tmp_path: Path) -> None:
    """A file with a second name is reported and saved anew, and the second name keeps the old."""
    os.link(store, tmp_path / "second")
    file = PrivateFile(str(store))

    (problem,) = file.problems()
    file.replace(NEW)

    assert (problem.id, problem.mendable, problem.refused) == ("hard-link", False, False)
    assert (tmp_path / "second").read_bytes() == OLD
    assert file.read() == NEW
    assert file.problems() == []


def test_signature_changes_with_each_save(store: Path) -> None:
    """The signature stays the same until a save, and is another one after it."""
    file = PrivateFile(str(store))
    facts = store.stat()

    first = file.signature()
    file.replace(NEW)

    assert first == (facts.st_dev, facts.st_ino, len(OLD), facts.st_mtime_ns)
    assert file.signature() != first
    assert file.signature() == file.signature()


def test_tighten_mends_a_loose_mode(store: Path) -> None:
    """A loose file is reported as mendable, mended once, and then usable."""
    store.chmod(0o664)
    file = PrivateFile(str(store))

    (problem,) = file.problems()
    first, second = file.tighten(), file.tighten()

    assert (problem.id, problem.mendable, problem.refused) == ("loose-mode", True, True)
    assert "0664" in problem.sentence
    assert "loose-mode" in repr(problem)
    assert (first, second) == (True, False)
    assert mode_of(store) == 0o600
    assert file.read() == OLD
    assert file.problems() == []


@as_root
def test_tighten_leaves_the_files_of_others(store: Path) -> None:
    """A foreign file is reported, but not mended."""
    os.chown(store, NOBODY, NOBODY)
    store.chmod(0o644)
    file = PrivateFile(str(store))

    found = [(problem.id, problem.mendable) for problem in file.problems()]
    with pytest.raises(UnsafeFileError, match="another user"):
        file.tighten()

    assert found == [("foreign-owner", False), ("loose-mode", False)]
    assert mode_of(store) == 0o644


def test_inspection_of_what_cannot_be_inspected(store: Path) -> None:
    """A path that cannot be looked at is reported as unreadable."""
    (found,) = PrivateFile(str(store / "beneath")).problems()

    assert (found.id, found.mendable) == ("unreadable", False)


def test_inspection_of_an_unsafe_link(private: Path, tmp_path: Path) -> None:
    """A link that leads nowhere safe is reported with the reason."""
    (private / "auth.json").symlink_to(tmp_path / "no" / "file")

    (found,) = PrivateFile(str(private / "auth.json")).problems()

    assert found.id == "unsafe-link"
    assert "missing" in found.sentence
