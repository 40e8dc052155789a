"""The only code that opens a store file: private, locked, bounded, replaced atomically.

Readers take no lock, because a file is replaced in one step. Writers hold a lock of its
own, which is never deleted: in the `state` folder of the home that the file lies in, be
it ours or another one, and beside a file that lies in none, so that two homes that share
a file also share its lock.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from codemesh.errors import DamagedError
from codemesh.files import folder
from codemesh.files.private import PrivateFile

if TYPE_CHECKING:
    from codemesh.backends.context import Context
    from codemesh.files.lock import FileLock


class StoreFile:
    """One store file, found through the `path` option of its backend."""

    def __init__(self, context: Context, default: str) -> None:
        path = context.options.get("path", default)
        named = os.path.expanduser(path if isinstance(path, str) else default)
        self._context = context
        self._file = PrivateFile(os.path.normpath(os.path.join(context.home, named)))

    @property
    def path(self) -> str:
        """The path as config.toml has it, made absolute."""
        return self._file.path

    def read(self) -> bytes | None:
        """The bytes of the store, or None where there is none.

        Raises DamagedError for a file of length zero: no store ever wrote one.
        """
        raw = self._file.read()
        if raw == b"":
            raise DamagedError("the file is empty", where=self.path)
        return raw

    def read_damaged(self) -> bytes:
        """The bytes of the store whatever they are; none where there is no store."""
        return self._file.read() or b""

    def lock(self, *, timeout: float | None = None) -> FileLock:
        """The lock that every writer of this file takes; not re-entrant.

        `timeout` is in seconds, by default what config.toml says.
        """
        from codemesh.files.lock import FileLock

        self._file.signature()  # refuses an unsafe file before a lock is made beside it
        folder.prepare(self._context.home)
        beside, name = os.path.split(self._file.real_path())
        if os.path.realpath(self._context.home) == os.path.realpath(beside):
            path = os.path.join(self._context.home, "state", f"{name}.lock")
        elif os.path.lexists(os.path.join(beside, "state", "config.lock")):
            path = os.path.join(beside, "state", f"{name}.lock")  # the home of somebody else
        else:
            path = os.path.join(beside, f".{name}.lock")
        wait = self._context.lock_timeout if timeout is None else timeout
        return FileLock(path, timeout=wait, what=self.path)

    def replace(self, data: bytes) -> None:
        """Put new bytes in place of the old, all or nothing. The caller holds the lock."""
        self._file.replace(data)

    def remove(self) -> None:
        """Remove the file; none is fine. The caller holds the lock."""
        self._file.remove()

    def leftovers(self) -> list[str]:
        """The paths of new files that killed writers left behind."""
        return self._file.leftovers()

    def sweep(self) -> None:
        """Remove the leftovers; takes the lock."""
        with self.lock():
            self._file.sweep()

    def set_aside(self) -> str:
        """Write a private copy of the bytes of a damaged store, and return its path.

        Nothing is overwritten: a second call makes a second copy. The caller holds the
        lock.
        """
        from codemesh.files._saving import ASIDE

        raw = self.read_damaged()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        base = f"{self._file.real_path()}.{ASIDE}{stamp}"
        path, number = base, 1
        while os.path.lexists(path):
            number += 1
            path = f"{base}-{number}"
        PrivateFile(path).replace(raw)
        return path
