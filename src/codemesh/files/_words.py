"""The causes of failure, in plain words and in the errors of codemesh.

Every call into the system is made under `Translated`, so no OSError leaves the room
and a path that cannot exist is refused before the system sees it.
"""

from __future__ import annotations

import errno
import os

from codemesh.errors import StorageError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

# Our own words, because those of the C library differ between platforms.
_CAUSES = {
    errno.EACCES: "permission denied",
    errno.EBUSY: "it is in use by the system",
    errno.EDQUOT: "disk quota exceeded",
    errno.EFBIG: "file size limit exceeded",
    errno.EIO: "input/output error of the disk",
    errno.ELOOP: "too many symbolic links",
    errno.EMFILE: "too many open files in this process",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENFILE: "too many open files in the system",
    errno.ENOENT: "no such file or folder",
    errno.ENOSPC: "no space left on device",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.EPERM: "operation not permitted",
    errno.EROFS: "read-only file system",
    errno.ESTALE: "the network file system lost the file",
    errno.EXDEV: "the folder spans two file systems",
}

# Windows says one errno for many causes; these two have words of their own.
_IN_USE = (32, 33)


def cause(error: OSError) -> str:
    """The cause of `error`, in plain words and without a path."""
    if getattr(error, "winerror", None) in _IN_USE:
        return "another program has the file open"
    if error.errno is None:
        return "unknown error of the system"
    return _CAUSES.get(error.errno) or os.strerror(error.errno).lower()


def shown(path: str) -> str:
    """`path` in a form that can always be printed."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


class Translated:
    """A block in which every OSError becomes a StorageError that names the path.

    `failure` says what did not work, as in "cannot be read". Errors of codemesh and
    an interrupt pass; a StorageError that names no file is told this one. Blocks may
    be nested, and the innermost one speaks.

    Raises:
        UsageError: on entry, when no file can have that path.
        StorageError: on exit, in place of an OSError.

    """

    __slots__ = ("_failure", "_path")

    def __init__(self, path: str, failure: str) -> None:
        self._path = path
        self._failure = failure

    def __enter__(self) -> None:
        try:
            usable = bool(self._path) and b"\0" not in os.fsencode(self._path)
        except UnicodeEncodeError:
            usable = False
        if not usable:
            # The cause is left out: an encoding error carries the whole text along.
            raise UsageError(
                "no file can have this path: it is empty or holds an impossible character",
                where=repr(shown(self._path)),
            ) from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, StorageError):
            error.at(shown(self._path))
        elif isinstance(error, OSError):
            raise StorageError(
                f"{self._failure}: {cause(error)}", where=shown(self._path)
            ) from error
