"""What the room needs of Windows; the same names as in `_posix`.

Windows has no modes, no owners that a `stat` shows and no folder handles here. What
keeps a file private is the access list of its folder, so a folder that we make outside
the user's profile gets one of its own. Links of every kind are refused. The file can
be imported on other platforms, for tests.
"""

from __future__ import annotations

import errno
import importlib
import os
import stat
import time

from codemesh.errors import StorageError, UnsafeFileError
from codemesh.files._words import cause, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self, TypeVar

    Result = TypeVar("Result")

_PLAIN = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
# Access denied, sharing violation, lock violation: a virus scanner, an indexer or a
# reader has the file open and lets go of it soon.
_PASSING = (5, 32, 33)
_FIRST_PAUSE = 0.01  # seconds
_LONGEST_PAUSE = 0.25
_PATIENCE = 2.5
# Locks are binding here, so the locked byte lies beyond the note with our number.
_LOCKED_BYTE = 2**20
# The bit that marks a reparse point as standing for another path: links, junctions.
_SURROGATE = 0x20000000
_SYSTEM_SID = "S-1-5-18"
_TOOL_TIMEOUT = 30  # seconds


def foreign(facts: os.stat_result) -> bool:  # noqa: ARG001 - shared with _posix
    """False: who may do what is not in a stat."""
    return False


def open_to_others(facts: os.stat_result) -> int:  # noqa: ARG001 - shared with _posix
    """0: who may do what is not in a stat."""
    return 0


def close_quietly(fd: int) -> None:
    """Close `fd` where a failure to close could only hide a more important error."""
    try:
        os.close(fd)
    except OSError:
        return


def flush(fd: int) -> None:
    """Return once the content behind `fd` is on the medium."""
    os.fsync(fd)


def restrict(fd: int, mode: int) -> None:
    """Nothing: the access list of the folder holds for the files in it."""


def try_lock(fd: int) -> bool:
    """Take the lock of the open file behind `fd` if it is free; never wait."""
    msvcrt = importlib.import_module("msvcrt")
    os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True


def unlock(fd: int) -> None:
    """Give the lock back."""
    msvcrt = importlib.import_module("msvcrt")
    os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
    msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)


def patiently(action: Callable[[], Result], sleep: Callable[[float], None] = time.sleep) -> Result:
    """The result of `action`, tried again while another program has the file open.

    Gives up after about 2.5 seconds of pauses. There is no second way, such as a copy
    over the file, because a copy can be cut in half.
    """
    pause, slept = _FIRST_PAUSE, 0.0
    while True:
        try:
            return action()
        except OSError as error:
            if getattr(error, "winerror", None) not in _PASSING or slept >= _PATIENCE:
                raise
        sleep(pause)
        slept += pause
        pause = min(2 * pause, _LONGEST_PAUSE)


class Directory:
    """A folder; every name in it is joined to its path. No link, no junction."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        facts = os.lstat(path)
        if _stands_for_another(facts):
            raise UnsafeFileError("is a link or a junction", where=shown(path))
        if not stat.S_ISDIR(facts.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        self._path = path

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
        """Nothing: no handle is open."""

    def facts(self) -> os.stat_result:
        """The lstat of the folder itself."""
        return os.lstat(self._path)

    def restrict(self) -> None:
        """Nothing: `make_folder` sets the access list."""

    def look(self, name: str) -> os.stat_result | None:
        """The lstat of `name`, or None when there is nothing of that name."""
        try:
            return os.lstat(self._at(name))
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """Every name in the folder."""
        return os.listdir(self._path)

    def open(self, name: str) -> int:
        """Open a file for reading."""
        return patiently(lambda: os.open(self._at(name), os.O_RDONLY | _PLAIN))

    def create(self, name: str) -> int:
        """Make a new file for writing."""
        return os.open(self._at(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN, 0o600)

    def open_lock(self, name: str) -> int:
        """Open a lock file for reading and writing; make it when it is absent."""
        return os.open(self._at(name), os.O_RDWR | os.O_CREAT | _PLAIN, 0o600)

    def holds(self, name: str, fd: int) -> bool:  # noqa: ARG002 - shared with _posix
        """True: what is open cannot be deleted here."""
        return True

    def rename(self, source: str, target: str) -> None:
        """Give `source` the name `target`, in one step, over whatever had it."""
        patiently(lambda: os.replace(self._at(source), self._at(target)))

    def unlink(self, name: str) -> None:
        """Remove the file `name`."""
        patiently(lambda: os.unlink(self._at(name)))

    def sync(self) -> None:
        """Nothing: a folder cannot be flushed here."""

    def _at(self, name: str) -> str:
        return os.path.join(self._path, name)


def make_folder(path: str) -> None:
    """Make a folder and what is missing above it, each private before it is used."""
    missing = [os.path.abspath(path)]
    while not os.path.isdir(above := os.path.dirname(missing[-1])) and above != missing[-1]:
        missing.append(above)
    for folder in reversed(missing):
        try:
            # From Python 3.11.10 and 3.12.4 on, this mode makes a private access list.
            os.mkdir(folder, 0o700)
        except FileExistsError:
            continue
        if not _in_profile(folder):
            restrict_to_user(folder)


def follow(path: str) -> str:
    """Refuse, because links are not followed here.

    Raises:
        UnsafeFileError: always.

    """
    raise UnsafeFileError("is a link, and links are not followed on Windows", where=shown(path))


def restrict_to_user(path: str, run: Callable[[list[str]], bytes] | None = None) -> None:
    """Let only the user and the system into the new, empty folder, and what it inherits.

    When that fails, the folder is removed again, so that it is never taken for a
    private one. `run` runs a command and returns what it printed.

    Raises:
        StorageError: the access list could not be set.

    """
    run = run or _run
    tools = os.path.join(os.environ.get("SystemRoot", "C:\\Windows"), "System32")  # noqa: SIM112 - its spelling
    try:
        printed = run([os.path.join(tools, "whoami.exe"), "/user", "/fo", "csv", "/nh"])
        rights = [f"*{who}:(OI)(CI)F" for who in (_sid(printed), _SYSTEM_SID)]
        grant = ["/inheritance:r", "/grant:r", rights[0], "/grant:r", rights[1]]
        run([os.path.join(tools, "icacls.exe"), os.path.abspath(path), *grant])
    except OSError as error:
        os.rmdir(path)
        raise StorageError(f"cannot be made private: {cause(error)}", where=shown(path)) from error


def _sid(printed: bytes) -> str:
    """The number of the user, as a name may mean another user in another domain."""
    sid = printed.decode("ascii", "replace").strip().rpartition(",")[2].strip('"')
    if not sid.startswith("S-1-"):
        raise OSError(errno.EINVAL, "the system does not say who the user is")
    return sid


def _run(command: list[str]) -> bytes:
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603 - fixed tools of the system, no shell
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TOOL_TIMEOUT,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.SubprocessError as error:
        raise OSError(errno.EPERM, "the tool failed") from error
    return done.stdout


def _in_profile(path: str) -> bool:
    profile = os.path.normcase(os.path.abspath(os.path.expanduser("~")))
    inside = os.path.normcase(os.path.abspath(path))
    return inside.startswith(profile.rstrip(os.sep) + os.sep)


def _stands_for_another(facts: os.stat_result) -> bool:
    tag = getattr(facts, "st_reparse_tag", 0)
    return stat.S_ISLNK(facts.st_mode) or bool(tag & _SURROGATE)
