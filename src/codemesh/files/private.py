"""One private file: read it whole, replace it whole.

Reading opens nothing that it has not judged, and judges again what it opened.
Replacing goes: new file, write, flush, rename, flush of the folder. The old content
stays in place, whole, until the one step in which the new content takes its name.
"""

from __future__ import annotations

import os
import stat

from codemesh.errors import (
    CodemeshError,
    NotDurableError,
    TooLargeError,
    UnsafeFileError,
    UsageError,
)
from codemesh.files import folder
from codemesh.files._system import system
from codemesh.files._words import Translated, cause, shown
from codemesh.files.problem import Problem, of_file, refuse

LIMIT = 64 * 2**20
_UNIT = 2**20


class PrivateFile:
    """A file for our eyes only, at most `limit` bytes long.

    With `others_may_read` it is one that only we may write, such as a configuration.

    Constructing one touches nothing. `replace`, `remove` and `sweep` are for a caller
    that holds the lock of the file; everything else needs no lock. Threads may share
    an object.

    Every method but `problems` raises:
        UnsafeFileError: the file, its folder, or the link at its path is not safe.
        UsageError: no file can have that path.
        StorageError: the disk or the system refused.
    """

    __slots__ = ("limit", "others_may_read", "path")

    def __init__(self, path: str, *, limit: int = LIMIT, others_may_read: bool = False) -> None:
        self.path = path
        self.limit = limit
        self.others_may_read = others_may_read

    def real_path(self) -> str:
        """Where the file lies: `path`, or what the link at `path` leads to.

        A link is followed once, when it and its target are ours and nobody else can
        write in a folder on the way. The target may be absent, its folder may not.
        """
        with Translated(self.path, "cannot be looked up"):
            return self._real_path()

    def read(self) -> bytes | None:
        """The whole content, or None when there is no file.

        Raises:
            TooLargeError: it is longer than the limit.

        """
        with Translated(self.path, "cannot be read"):
            return self._read()

    def replace(self, data: bytes) -> None:
        """Make `data` the whole content. The caller holds the lock.

        The folder is made if it is absent. A file that `read` would refuse is not replaced
        either. The new file is 0600, whatever the umask. After an error other than
        NotDurableError, the old content is in place and no other file is left; after a
        kill one may be, and the next call removes it. Nothing is ever copied over the
        old content, so a hard link to it keeps the old content.

        Raises:
            TooLargeError: `data`, or what is there, is longer than the limit.
            NotDurableError: it is saved, but would perhaps not survive a power cut.

        """
        with Translated(self.path, "cannot be saved"):
            from codemesh.files import _saving

            if len(data) > self.limit:
                raise self._too_large("what is to be saved")
            folder.ensure(os.path.dirname(self.path) or ".")
            directory, name = self._open_folder()
            with directory:
                self._judge(directory.look(name))
                _saving.sweep(directory, name)
                _saving.put(directory, name, data)
                self._confirm(directory, "saved")

    def remove(self) -> None:
        """Remove the file and its leftovers. An absent one is fine.

        Where `path` is a link, its target is removed and the link stays: what must be
        gone is the content, and a link that dangles is an absent file to `read` and
        still leads `replace` to the place that the user chose. The caller holds the
        lock.

        Raises:
            NotDurableError: it is removed, but may be back after a power cut.

        """
        with Translated(self.path, "cannot be removed"):
            from codemesh.files import _saving

            try:
                directory, name = self._open_folder()
            except FileNotFoundError:
                return
            with directory:
                facts = directory.look(name)
                self._judge(facts)
                removed = _saving.sweep(directory, name, strict=True)
                if facts is not None:
                    directory.unlink(name)
                elif not removed:
                    return
                self._confirm(directory, "removed")

    def leftovers(self) -> list[str]:
        """The absolute paths of new files that a killed process left behind."""
        with Translated(self.path, "cannot be searched for leftovers"):
            from codemesh.files import _saving

            real = self._real_path()
            try:
                directory, name = self._open_folder()
            except FileNotFoundError:
                return []
            with directory:
                beside = os.path.join(os.getcwd(), os.path.dirname(real))
                return [os.path.join(beside, temp) for temp in _saving.temps(directory, name)]

    def sweep(self) -> None:
        """Remove the leftovers. The caller holds the lock, so none is in use."""
        with Translated(self.path, "cannot be cleared of leftovers"):
            from codemesh.files import _saving

            try:
                directory, name = self._open_folder()
            except FileNotFoundError:
                return
            with directory:
                _saving.sweep(directory, name, strict=True)

    def signature(self) -> tuple[int, int, int, int] | None:
        """(device, inode, bytes, nanoseconds of the last change); None when absent.

        Another signature means another content; for caches. An unsafe file has none
        and is refused, as in `read`.
        """
        with Translated(self.path, "cannot be looked up"):
            try:
                directory, name = self._open_folder()
            except FileNotFoundError:
                return None
            with directory:
                facts = directory.look(name)
            self._judge(facts)
            if facts is None:
                return None
            return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)

    def problems(self) -> list[Problem]:
        """What is wrong with the file, the worst first; empty when it is absent.

        For an inspection: nothing is raised and nothing is changed. The folder has
        `folder.problems`, and what is behind a link is judged where it lies.
        """
        try:
            with Translated(self.path, "cannot be inspected"):
                return self._inspected()
        except UnsafeFileError as error:
            return [Problem("unsafe-link", error.message)]
        except CodemeshError as error:
            return [Problem("unreadable", error.message)]

    def tighten(self) -> bool:
        """Set a file of ours to 0600. True when its mode was changed.

        A second call returns False, and so does one without a file. Its folder is
        to be mended first: `folder.tighten`. What others read meanwhile stays read, so
        the caller tells the user that the content was exposed.
        """
        with Translated(self.path, "cannot be tightened"):
            from codemesh.files import _saving

            try:
                directory, name = self._open_folder()
                with directory:
                    return _saving.tighten(directory, name, self.path)
            except FileNotFoundError:
                return False

    def _real_path(self) -> str:
        head, name = os.path.split(self.path)
        if name in ("", ".", ".."):
            raise UsageError("this is the path of a folder, not of a file", where=shown(self.path))
        try:
            with folder.opened(head or ".") as directory:
                facts = directory.look(name)
        except FileNotFoundError:
            return self.path
        if facts is None or not stat.S_ISLNK(facts.st_mode):
            return self.path
        return system.follow(self.path)

    def _open_folder(self) -> tuple[system.Directory, str]:
        """The folder of the real file, open and checked, and the name in it."""
        head, name = os.path.split(self._real_path())
        return folder.opened(head or "."), name

    def _read(self) -> bytes | None:
        try:
            directory, name = self._open_folder()
            with directory:
                facts = directory.look(name)
                if facts is None:
                    return None
                # Judged before it is opened: to open a device can be to use it.
                self._judge(facts)
                fd = directory.open(name)
        except FileNotFoundError:
            return None
        try:
            facts = os.fstat(fd)
            self._judge(facts)
            return self._bounded(fd, facts.st_size)
        finally:
            system.close_quietly(fd)

    def _bounded(self, fd: int, size: int) -> bytes:
        # The size is a guess, as the file may grow; one byte more finds the end early.
        chunks = []
        total = 0
        wanted = size + 1
        while chunk := os.read(fd, min(wanted, self.limit + 1 - total)):
            chunks.append(chunk)
            total += len(chunk)
            if total > self.limit:
                raise self._too_large("its content")
            wanted = max(size + 1 - total, 4096)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _judge(self, facts: os.stat_result | None) -> None:
        if facts is None:
            return
        refuse(of_file(facts, others_may_read=self.others_may_read), self.path)
        if facts.st_size > self.limit:
            raise self._too_large("its content")

    def _too_large(self, what: str) -> TooLargeError:
        size = f"{self.limit // _UNIT} MiB" if self.limit >= _UNIT else f"{self.limit} bytes"
        return TooLargeError(f"{what} is over the limit of {size}", where=shown(self.path))

    def _confirm(self, directory: system.Directory, done: str) -> None:
        try:
            directory.sync()
        except OSError as error:
            raise NotDurableError(
                f"{done}, but durability is not confirmed: {cause(error)}",
                where=shown(self.path),
            ) from error

    def _inspected(self) -> list[Problem]:
        try:
            facts = os.lstat(self.path)
            if stat.S_ISLNK(facts.st_mode):
                facts = os.lstat(system.follow(self.path))
        except FileNotFoundError:
            return []
        found = of_file(facts, others_may_read=self.others_may_read)
        if facts.st_size > self.limit and stat.S_ISREG(facts.st_mode):
            found.append(Problem("too-large", self._too_large("its content").message))
        return found
