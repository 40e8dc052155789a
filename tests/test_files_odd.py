"""What is no regular file, and paths that cannot be."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import StorageError, UnsafeFileError, UsageError
from codemesh.files._system import system
from codemesh.files.private import PrivateFile
from files_support import (
    NEW,
    SOURCE,
    as_nobody,
    as_root,
    make_socket,
    no_hanging,
    private_file,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

if sys.platform == "win32":
    pytest.skip("modes and owners of POSIX", allow_module_level=True)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "FIFO": lambda path: os.mkfifo(path, 0o600),
    "folder": lambda path: path.mkdir(mode=0o700),
    "socket": make_socket,
    "character device": lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5)),
    "block device": lambda path: os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 200)),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("linked", [False, True])
def test_special_file_is_refused_without_hanging(
    private: Path, tmp_path: Path, kind: str, *, linked: bool
) -> None:
    """What is no regular file is named and never opened, directly or behind a link."""
    if kind.endswith("device") and os.geteuid() != 0:
        pytest.skip("only root makes devices")
    path = private / "auth.json"
    SPECIAL[kind](tmp_path / "thing" if linked else path)
    if linked:
        path.symlink_to(tmp_path / "thing")

    with no_hanging():
        sentence = refused(path)

    assert kind in sentence
    assert [problem.id for problem in PrivateFile(str(path)).problems()] == ["special-file"]
    with pytest.raises(UnsafeFileError):
        PrivateFile(str(path)).tighten()


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "\0", ""])
def test_impossible_path(private: Path, name: str) -> None:
    """A path that no file can have is an error of usage, in every method."""
    file = PrivateFile(str(private / name) if name else "")

    for action in (
        file.read,
        lambda: file.replace(NEW),
        file.remove,
        file.leftovers,
        file.sweep,
        file.signature,
        file.tighten,
        file.real_path,
    ):
        with pytest.raises(UsageError) as caught:
            action()
        str(caught.value).encode("utf-8")
    assert [problem.id for problem in file.problems()] == ["unreadable"]


@pytest.mark.parametrize("tail", ["", ".", ".."])
def test_path_of_a_folder(private: Path, tail: str) -> None:
    """A path that ends like a folder's is an error of usage."""
    with pytest.raises(UsageError, match="folder"):
        PrivateFile(f"{private}/{tail}").read()


def test_undecodable_name(private: Path) -> None:
    """Names that are no UTF-8 are fine, and errors about them can be printed."""
    path = os.fsdecode(os.fsencode(private) + b"/\xff.json")
    file = PrivateFile(path)

    file.replace(NEW)

    assert file.read() == NEW
    os.chmod(path, 0o644)
    with pytest.raises(UnsafeFileError) as caught:
        file.read()
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize(
    ("name", "words"),
    [("x" * 300, "name is too long"), ("x" * 250, "name is too long"), ("y/" * 3000, "too long")],
)
def test_name_that_is_too_long(private: Path, name: str, words: str) -> None:
    """The system's refusal arrives in plain words; no folder or file is left behind."""
    file = PrivateFile(str(private / name.rstrip("/")))

    with pytest.raises(StorageError, match=words):
        file.replace(NEW)

    assert os.listdir(private) == []


def test_file_as_a_folder(store: Path) -> None:
    """A path beneath a file is refused."""
    with pytest.raises(UnsafeFileError, match="not a folder"):
        PrivateFile(str(store / "auth.json")).replace(NEW)


@as_root
def test_permission_denied(tmp_path: Path) -> None:
    """A folder that cannot be searched is an error, and no absent file."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)

    def act() -> bool:
        try:
            PrivateFile("closed/auth.json").read()
        except StorageError as error:
            return "permission denied" in str(error) and "closed/auth.json" in str(error)
        return False

    assert as_nobody(tmp_path, act)


def test_no_more_open_files(private: Path) -> None:
    """With the table of open files full, nothing is lost and the cause is named."""
    script = """if True:
        import os, resource, sys
        from codemesh.errors import StorageError
        from codemesh.files.private import PrivateFile
        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))
        held = []
        try:
            while True:
                held.append(os.open("/", os.O_RDONLY))
        except OSError:
            pass
        file = PrivateFile(sys.argv[1])
        for free in range(4):
            for action in (file.read, lambda: file.replace(b"x" * free), file.problems):
                try:
                    action()
                except StorageError as error:
                    assert "too many open files" in str(error), error
            os.close(held.pop())
        print(file.read().decode(), os.listdir(os.path.dirname(sys.argv[1])))
    """
    path = private_file(private / "auth.json")

    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout == "xxx ['auth.json']\n"


def test_exchange_for_a_pipe_between_look_and_open(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FIFO that takes the place of the file at the last moment is refused, not waited for."""
    original = system.Directory.open

    def exchange(directory: system.Directory, name: str) -> int:
        store.unlink()
        os.mkfifo(store, 0o600)
        return original(directory, name)

    monkeypatch.setattr(system.Directory, "open", exchange)

    with no_hanging(), pytest.raises(UnsafeFileError, match="FIFO"):
        PrivateFile(str(store)).read()
