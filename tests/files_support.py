"""What the tests of private files share."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import threading
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codemesh import errors
from codemesh.errors import BusyError, UnsafeFileError
from codemesh.files._system import system
from codemesh.files.lock import FileLock
from codemesh.files.private import PrivateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534
OLD = b'{"credentials": {"old": {}}}'
NEW = b'{"credentials": {"new": {}}}'
SOURCE = str(Path(errors.__file__).parents[1])

as_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="a second user needs root"
)


def private_file(path: Path, content: bytes = OLD, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def refused(path: Path) -> str:
    """The sentence with which reading, replacing and removing are all refused."""
    file = PrivateFile(str(path))
    sentences = set()
    for action in (file.read, lambda: file.replace(NEW), file.remove, file.signature):
        with pytest.raises(UnsafeFileError) as caught:
            action()
        sentences.add(str(caught.value))
    assert len(sentences) == 1
    return sentences.pop()


def lock(path: Path, timeout: float = 0) -> FileLock:
    """A lock on this file, which is given up for at once unless there is a timeout."""
    return FileLock(str(path), timeout=timeout, what="the store")


def note_refusals(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What is set once this process tried to lock and could not, so that it waits."""
    refused = threading.Event()
    try_lock = system.try_lock

    def note(fd: int) -> bool:
        taken = try_lock(fd)
        if not taken:
            refused.set()
        return taken

    monkeypatch.setattr(system, "try_lock", note)
    return refused


def is_free(path: Path) -> bool:
    """Whether the lock on this file can be taken now."""
    try:
        with lock(path):
            return True
    except BusyError:
        return False


def make_socket(path: Path) -> None:
    """Leave the socket of a listener that is gone."""
    # The path of a socket is short, so it is bound from within its folder.
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
    path.chmod(0o600)


@contextmanager
def no_hanging() -> Iterator[None]:
    """Fail what would wait for ever: a minute is more than any step of a test takes."""
    if sys.platform == "win32":
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        pytest.fail("this waits")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def as_nobody(folder: Path, act: Callable[[], bool]) -> bool:
    """Whether `act` returned True for another user who stands in this folder."""
    if sys.platform == "win32":
        return False
    pid = os.fork()
    if pid == 0:
        good = False
        try:
            os.chdir(folder)
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            good = act()
        finally:
            os._exit(0 if good else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
