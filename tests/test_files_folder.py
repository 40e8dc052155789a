"""The folder of a private file: checked, made, reported and mended."""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import StorageError, UnsafeFileError, UsageError
from codemesh.files import folder
from codemesh.files._system import system
from files_support import NOBODY, as_nobody, as_root, mode_of

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    pytest.skip("modes and owners of POSIX", allow_module_level=True)


def made(path: Path, mode: int) -> Path:
    path.mkdir()
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o277, 0o777])
def test_new_folders_are_private_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    """A folder and its missing parents are made with exactly 0700."""
    os.umask(mask)

    folder.prepare(str(tmp_path / "a" / "b" / "c"))

    for path in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"):
        assert mode_of(path) == 0o700


def test_new_folder_is_never_looser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new folder has its mode from the very beginning, not from a later step."""
    os.umask(0)
    seen: list[int] = []
    chmod = os.chmod

    def watch(name: str, mode: int, *, dir_fd: int, follow_symlinks: bool) -> None:
        seen.append(stat.S_IMODE(os.stat(name, dir_fd=dir_fd).st_mode))
        chmod(name, mode, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "chmod", watch)
    # The module asks whether this very function can leave links alone.
    monkeypatch.setattr(os, "supports_follow_symlinks", set())

    folder.prepare(str(tmp_path / "a" / "b"))

    assert seen == [0o700, 0o700]


def test_each_new_folder_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder above each new one is flushed, and a second call does nothing."""
    flushed: list[tuple[int, int]] = []

    def note(fd: int) -> None:
        facts = os.fstat(fd)
        flushed.append((facts.st_dev, facts.st_ino))

    monkeypatch.setattr(os, "fsync", note)

    folder.prepare(str(tmp_path / "a" / "b"))
    first = list(flushed)
    folder.prepare(str(tmp_path / "a" / "b"))

    above = [tmp_path.stat(), (tmp_path / "a").stat()]
    assert first == [(facts.st_dev, facts.st_ino) for facts in above]
    assert flushed == first


def test_folder_that_could_not_be_flushed_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new folder that could not be flushed is removed, and the next attempt makes it."""

    def broken(_fd: int) -> None:
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(StorageError, match="input/output"):
            folder.prepare(str(tmp_path / "new"))

    assert os.listdir(tmp_path) == []
    folder.prepare(str(tmp_path / "new"))
    assert mode_of(tmp_path / "new") == 0o700


def test_two_who_prepare_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that appears between the look and the making is taken as it is."""
    make_folder = system.make_folder

    def overtaken(path: str) -> None:
        os.mkdir(path, 0o700)
        make_folder(path)

    monkeypatch.setattr(system, "make_folder", overtaken)

    folder.prepare(str(tmp_path / "new"))

    assert mode_of(tmp_path / "new") == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o711, 0o701, 0o2755])
def test_readable_folder_is_fine_and_tightened_before_a_write(tmp_path: Path, mode: int) -> None:
    """Where others may read or enter, reading goes on, and preparing sets 0700."""
    path = made(tmp_path / "home", mode)

    folder.check(str(path))
    assert mode_of(path) == mode
    folder.prepare(str(path))

    assert mode_of(path) == 0o700


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_writable_folder_is_refused_until_it_is_mended(tmp_path: Path, mode: int) -> None:
    """Where others may write, sticky or not, only `tighten` helps."""
    path = made(tmp_path / "home", mode)

    for action in (folder.check, folder.prepare):
        with pytest.raises(UnsafeFileError, match=f"others may write.*{mode:04o}"):
            action(str(path))
    assert mode_of(path) == mode
    (problem,) = folder.problems(str(path))
    first, second = folder.tighten(str(path)), folder.tighten(str(path))

    assert (problem.id, problem.mendable, problem.refused) == ("folder-writable", True, True)
    assert (first, second) == (True, False)
    assert mode_of(path) == 0o700
    assert folder.problems(str(path)) == []


def test_our_own_narrow_mode_is_left(tmp_path: Path) -> None:
    """A folder that its owner closed even to himself keeps its mode."""
    path = made(tmp_path / "home", 0o500)

    folder.prepare(str(path))

    assert mode_of(path) == 0o500


@as_root
def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """A foreign folder is refused, reported and left alone."""
    path = made(tmp_path / "home", 0o755)
    os.chown(path, NOBODY, NOBODY)

    for action in (folder.check, folder.prepare, folder.tighten):
        with pytest.raises(UnsafeFileError, match="another user"):
            action(str(path))

    found = [(problem.id, problem.mendable) for problem in folder.problems(str(path))]
    assert found == [("foreign-owner", False), ("folder-readable", False)]
    assert mode_of(path) == 0o755


@as_root
def test_folder_of_root_is_fine_for_others(tmp_path: Path) -> None:
    """A folder of root is accepted from a user who is not root, and left as it is."""
    path = made(tmp_path / "home", 0o755)

    def act() -> bool:
        folder.check(".")
        folder.prepare(".")
        found = [(problem.id, problem.mendable) for problem in folder.problems(".")]
        return found == [("folder-readable", False)]

    assert as_nobody(path, act)
    assert mode_of(path) == 0o755


def test_absent_folder(tmp_path: Path) -> None:
    """What is absent is safe, has no problems and nothing to mend."""
    path = str(tmp_path / "a" / "b")

    folder.check(path)

    assert folder.problems(path) == []
    assert not folder.tighten(path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "fifo", "link to a file"])
def test_no_folder(tmp_path: Path, kind: str) -> None:
    """What is no folder is refused without hanging, and left alone."""
    path = tmp_path / "home"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        target = path if kind == "file" else tmp_path / "file"
        target.write_bytes(b"content")
        if target != path:
            path.symlink_to(target)

    for action in (folder.check, folder.prepare, folder.tighten):
        with pytest.raises(UnsafeFileError, match="not a folder"):
            action(str(path))

    assert [problem.id for problem in folder.problems(str(path))] == ["not-a-folder"]


def test_link_to_a_folder(tmp_path: Path) -> None:
    """A link of ours is followed; one that leads nowhere is refused, and nothing is made."""
    real = made(tmp_path / "real", 0o755)
    (tmp_path / "good").symlink_to("real")
    (tmp_path / "bad").symlink_to("unmounted")

    folder.prepare(f"{tmp_path}/good/")

    assert mode_of(real) == 0o700
    for action in (folder.check, folder.prepare, folder.tighten):
        with pytest.raises(UnsafeFileError, match="missing"):
            action(str(tmp_path / "bad"))
    assert [problem.id for problem in folder.problems(str(tmp_path / "bad"))] == ["unsafe-link"]
    assert not (tmp_path / "unmounted").exists()


@as_root
def test_link_that_another_user_made(tmp_path: Path) -> None:
    """A planted link is refused even when it leads to a folder of ours."""
    made(tmp_path / "real", 0o700)
    os.symlink("real", tmp_path / "home")
    os.chown(tmp_path / "home", NOBODY, NOBODY, follow_symlinks=False)

    for action in (folder.check, folder.prepare, folder.tighten):
        with pytest.raises(UnsafeFileError, match="another user made"):
            action(str(tmp_path / "home"))

    assert [problem.id for problem in folder.problems(str(tmp_path / "home"))] == ["unsafe-link"]


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_impossible_path(tmp_path: Path, name: str) -> None:
    """A path that no folder can have is an error of usage."""
    path = str(tmp_path / name)

    for action in (folder.check, folder.prepare, folder.tighten):
        with pytest.raises(UsageError):
            action(path)

    assert [problem.id for problem in folder.problems(path)] == ["unreadable"]


def test_name_that_is_too_long(tmp_path: Path) -> None:
    """A name that is too long for the system is refused in plain words."""
    with pytest.raises(StorageError, match="name is too long"):
        folder.prepare(str(tmp_path / ("x" * 300)))


def test_deep_path(tmp_path: Path) -> None:
    """However much is missing above it, a folder is made step by step."""
    path = tmp_path.joinpath(*["d"] * 1200)
    (tmp_path / "stays").touch()

    folder.prepare(str(path))

    assert mode_of(path) == 0o700
    # Too deep for the recursive removal with which pytest tidies up.
    os.removedirs(path)


def test_mode_that_does_not_stick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder on a file system that keeps no permissions is refused."""
    path = made(tmp_path / "home", 0o755)
    monkeypatch.setattr(os, "fchmod", lambda _fd, _mode: None)

    for action in (folder.prepare, folder.tighten):
        with pytest.raises(StorageError, match="does not keep permissions") as caught:
            action(str(path))

        assert str(path) in str(caught.value)
