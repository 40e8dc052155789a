"""What the room needs of Linux, macOS and the BSDs.

Everything here may raise OSError; the callers translate. `_windows` offers the same
names.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys

from codemesh.errors import StorageError, UnsafeFileError
from codemesh.files._words import shown

# A type checker that is asked about Windows skips the rest of this file.
assert sys.platform != "win32"  # noqa: S101 - the form that type checkers understand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK, because the plain open of a FIFO waits for a writer, possibly for ever.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

# Said by file systems that have no such operation, as opposed to one that failed.
_UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY)


def foreign(facts: os.stat_result) -> bool:
    """Whether somebody else than the effective user owns it."""
    return facts.st_uid != os.geteuid()


def open_to_others(facts: os.stat_result) -> int:
    """The permission bits that group and others have; 0 when it is private."""
    return facts.st_mode & 0o077


def close_quietly(fd: int) -> None:
    """Close `fd` where a failure to close could only hide a more important error."""
    try:
        os.close(fd)
    except OSError:
        return


def flush(fd: int) -> None:
    """Return once the content behind `fd` is on the medium.

    On macOS fsync stops at the cache of the drive and F_FULLFSYNC does not; fsync is
    the fall-back only where the file system has no F_FULLFSYNC. After a failure the
    kernel may have dropped the content, so a caller must not try the same fd again.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(fd, full)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    os.fsync(fd)


def restrict(fd: int, mode: int) -> None:
    """Set the permissions behind `fd` to exactly `mode`, and see that they stuck.

    Raises:
        StorageError: the file system accepts the change and forgets it.

    """
    os.fchmod(fd, mode)
    if open_to_others(os.fstat(fd)):
        raise StorageError("this file system does not keep permissions, so nothing is private")


def try_lock(fd: int) -> bool:
    """Take the lock of the open file behind `fd` if it is free; never wait."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int) -> None:
    """Give the lock back, also where a forked child still has the same open file."""
    fcntl.flock(fd, fcntl.LOCK_UN)


class Directory:
    """An open folder; every name in it is looked up relative to it.

    A link to a folder is followed when we or root made it. Use it as a context
    manager, or call `close()`.
    """

    __slots__ = ("_fd",)

    def __init__(self, path: str) -> None:
        linked = stat.S_ISLNK((facts := os.lstat(path.rstrip("/") or "/")).st_mode)
        if linked and foreign(facts) and facts.st_uid != 0:
            raise UnsafeFileError("is a link that another user made", where=shown(path))
        try:
            self._fd = os.open(path, _FOLDER)
        except FileNotFoundError:
            if not linked:
                raise
            # Not "absent": the disk with the store may just not be mounted.
            raise UnsafeFileError("links to a folder that is missing", where=shown(path)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder. Nothing was written through it that could fail now."""
        close_quietly(self._fd)

    def facts(self) -> os.stat_result:
        """The fstat of the folder itself."""
        return os.fstat(self._fd)

    def restrict(self) -> None:
        """Set the folder to 0700. A second call changes nothing."""
        restrict(self._fd, 0o700)

    def look(self, name: str) -> os.stat_result | None:
        """The lstat of `name`, or None when there is nothing of that name."""
        try:
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """Every name in the folder."""
        return os.listdir(self._fd)

    def open(self, name: str) -> int:
        """Open a file for reading, without following a link or waiting for a pipe."""
        return os.open(name, _READ, dir_fd=self._fd)

    def create(self, name: str) -> int:
        """Make a new file for writing, 0600 whatever the umask."""
        fd = os.open(name, _CREATE, 0o600, dir_fd=self._fd)
        try:
            # The umask can only have taken bits away, so it was private all along.
            restrict(fd, 0o600)
        except (OSError, StorageError):
            close_quietly(fd)
            raise
        return fd

    def open_lock(self, name: str) -> int:
        """Open a lock file for reading and writing; make it, 0600, when it is absent."""
        return os.open(name, _LOCK, 0o600, dir_fd=self._fd)

    def holds(self, name: str, fd: int) -> bool:
        """Whether `name` still stands for the file behind `fd`."""
        facts = self.look(name)
        return facts is not None and os.path.samestat(facts, os.fstat(fd))

    def rename(self, source: str, target: str) -> None:
        """Give `source` the name `target`, in one step, over whatever had it."""
        os.rename(source, target, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def unlink(self, name: str) -> None:
        """Remove the file `name`."""
        os.unlink(name, dir_fd=self._fd)

    def sync(self) -> None:
        """Return once the names in the folder are on the medium, where that exists."""
        try:
            flush(self._fd)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise

    def make(self, name: str) -> None:
        """Make the folder `name` inside, 0700 whatever the umask, and see to its safety.

        One that is there already is left alone. After a failure it is removed again,
        so that the next attempt flushes it too.
        """
        try:
            os.mkdir(name, 0o700, dir_fd=self._fd)
        except FileExistsError:
            return
        try:
            # The umask may have taken our own bits, so it cannot be opened to change it.
            os.chmod(
                name,
                0o700,
                dir_fd=self._fd,
                follow_symlinks=os.chmod not in os.supports_follow_symlinks,
            )
            self.sync()
        except OSError:
            os.rmdir(name, dir_fd=self._fd)
            raise


def make_folder(path: str) -> None:
    """Make a folder and what is missing above it, each 0700 and flushed."""
    steps = []
    parent = path
    while True:
        parent, name = os.path.split(parent.rstrip("/"))
        steps.append((parent or ".", name))
        try:
            Directory(parent or ".").close()
            break
        except FileNotFoundError:
            if not parent:
                raise
    for beneath, name in reversed(steps):
        with Directory(beneath) as above:
            above.make(name)


def follow(path: str) -> str:
    """Where the link at `path` leads, followed once under the rules of `_links`.

    Raises:
        UnsafeFileError: when the link or the way it takes is not safe.

    """
    from codemesh.files import _links

    return _links.follow(path)
