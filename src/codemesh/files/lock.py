"""One writer at a time: a lock on a file of its own.

The lock is the kernel's, so it ends with its holder, however that ends, and nobody
needs to guess whether a lock is stale. The lock file is never the store itself, which
changes its identity at every save, and is never deleted, because that would split
those who wait from those who come.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from codemesh.errors import BusyError, CodemeshError, StorageError
from codemesh.files import folder
from codemesh.files._system import system
from codemesh.files._words import Translated, cause, shown
from codemesh.files.problem import of_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_FIRST_PAUSE = 0.001  # seconds
_LONGEST_PAUSE = 0.05
_NOTE_LENGTH = 21
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


class FileLock:
    """The exclusive lock at `path`, for a `with` block.

    Entering waits at most `timeout` seconds, 0 for a single attempt; the folder and
    the lock file are made when they are absent. `what` names the thing that is locked,
    as in "the store". The lock holds against other processes and against other threads
    of this one, which may share the object. It is not re-entrant: who enters a second
    time waits for itself, until the deadline. A forked child does not hold it and
    cannot release it. Leaving never raises, and the object can be entered again.

    Entering raises:
        BusyError: another held it until the deadline; names its process.
        UnsafeFileError: the lock file is a link, no regular file, or not ours.
        StorageError: the file system has no locks, or the system refused.
    """

    __slots__ = ("_fd", "_pid", "path", "timeout", "what")

    def __init__(self, path: str, *, timeout: float, what: str) -> None:
        self.path = path
        self.timeout = timeout
        self.what = what
        self._fd: int | None = None
        self._pid = 0

    def __enter__(self) -> Self:
        with Translated(self.path, "cannot be locked"):
            folder.ensure(os.path.dirname(self.path) or ".")
            fd = self._acquire()
        self._fd, self._pid = fd, os.getpid()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Taken before the release, after which another thread may put its own here.
        fd, self._fd = self._fd, None
        if fd is None:
            return
        try:
            # A forked child shares the lock, and giving it back would rob the parent.
            if self._pid == os.getpid():
                system.unlock(fd)
        except OSError:
            # To close it gives it back, too.
            return
        finally:
            system.close_quietly(fd)

    def _acquire(self) -> int:
        head, name = os.path.split(self.path)
        deadline = time.monotonic() + self.timeout
        with folder.opened(head or ".") as directory:
            while True:
                fd = _open(directory, name, self.path)
                held = False
                try:
                    self._wait(fd, deadline)
                    # Somebody may have deleted the file while we waited for it; then
                    # those who come next would lock another one.
                    held = directory.holds(name, fd)
                finally:
                    if not held:
                        system.close_quietly(fd)
                if held:
                    _sign(fd)
                    return fd

    def _wait(self, fd: int, deadline: float) -> None:
        pause = _FIRST_PAUSE
        while not self._try(fd):
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._busy(fd)
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _try(self, fd: int) -> bool:
        try:
            return system.try_lock(fd)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise StorageError(
                f"this file system refuses locks, so nothing was written: {cause(error)}",
                hint="Keep the folder of codemesh on a disk of this machine.",
                where=shown(self.path),
            ) from error

    def _busy(self, fd: int) -> BusyError:
        pid = _signature(fd)
        holder = f"process {pid}" if pid else "another process"
        if pid == os.getpid():
            holder = f"another thread of this process ({pid})"
        return BusyError(f"{self.what} is being changed by {holder}; waited {self.timeout:g} s")


def _open(directory: system.Directory, name: str, path: str) -> int:
    # Looked at first, because to open a device can be to use it.
    _judge(directory.look(name), path)
    fd = directory.open_lock(name)
    try:
        facts = os.fstat(fd)
        _judge(facts, path)
        # An odd umask when it was made, or a folder that was copied here.
        if stat.S_IMODE(facts.st_mode) != 0o600:  # noqa: PLR2004 - a mode is best read as figures
            system.restrict(fd, 0o600)
    except (OSError, CodemeshError):
        system.close_quietly(fd)
        raise
    return fd


def _judge(facts: os.stat_result | None, path: str) -> None:
    """Refuse what is no lock file. Unlike a store, a loose one has nothing to expose."""
    if facts is None:
        return
    for problem in of_file(facts):
        if problem.id != "loose-mode":
            # With a second name, we would write our number into somebody's file.
            raise problem.error(path)


def _sign(fd: int) -> None:
    """Leave our number for the message of those who wait; without it they do, too."""
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, f"{os.getpid()}\n".rjust(_NOTE_LENGTH).encode("ascii"))
    except OSError:
        return


def _signature(fd: int) -> int:
    """The number of the holder, or 0 when it left none."""
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        note = os.read(fd, _NOTE_LENGTH).strip()
    except OSError:
        return 0
    return int(note) if note.isdigit() else 0
