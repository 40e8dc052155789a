"""The writing half of a private file: new files, their leftovers, and modes.

Apart from `private`, because the many readers never need it. Everything here works
on an open and checked folder, and may raise OSError; `private` translates.
"""

from __future__ import annotations

import errno
import os
import stat

from codemesh.files._system import system
from codemesh.files.problem import of_file, refuse

_RANDOM = 8  # bytes, twice as many hex digits
_HEX = frozenset("0123456789abcdef")

ASIDE = "damaged-"
"""How the name of a copy goes on after the name of its file and a dot."""


def put(directory: system.Directory, name: str, data: bytes) -> None:
    """Give `name` the content `data`, or raise and leave everything as it was.

    The new content is on the medium before it takes the name. That the name is, too,
    takes a `directory.sync()`.
    """
    temp = f".{name}.{os.urandom(_RANDOM).hex()}.tmp"
    renamed = False
    try:
        _fill(directory, temp, data)
        directory.rename(temp, name)
        renamed = True
    finally:
        # Also after an interrupt. Behind a rename there is nothing to be found.
        if not renamed:
            _discard(directory, temp)


def temps(directory: system.Directory, name: str) -> list[str]:
    """The new files of `name` that nobody finished, sorted: regular ones of ours.

    Those of a copy that was being set aside too; the lock of `name` covers both.
    """
    found = []
    for entry in directory.names():
        if not _of(name, entry):
            continue
        facts = directory.look(entry)
        if facts is not None and stat.S_ISREG(facts.st_mode) and not system.foreign(facts):
            found.append(entry)
    return sorted(found)


def _of(name: str, entry: str) -> bool:
    """Whether `entry` is how a new file of `name`, or of a copy set aside, is called."""
    head, tail = f".{name}.", ".tmp"
    if (
        len(entry) < len(head) + len(tail)
        or not entry.startswith(head)
        or not entry.endswith(tail)
    ):
        return False
    aside, dot, digits = entry[len(head) : -len(tail)].rpartition(".")
    if dot and not aside.startswith(ASIDE):
        return False
    return len(digits) == 2 * _RANDOM and _HEX.issuperset(digits)


def sweep(directory: system.Directory, name: str, *, strict: bool = False) -> int:
    """Remove the leftovers of `name`, and say how many there were.

    Unless `strict`, one that cannot be removed is no reason to stop.
    """
    found = temps(directory, name)
    for entry in found:
        if strict:
            directory.unlink(entry)
        else:
            _discard(directory, entry)
    return len(found)


def tighten(directory: system.Directory, name: str, path: str) -> bool:
    """Set `name` to 0600 when others had a part in it; whether that was so."""
    facts = directory.look(name)
    if facts is None:
        return False
    refuse([problem for problem in of_file(facts) if not problem.mendable], path)
    fd = directory.open(name)
    try:
        # Again, as the name may stand for another file by now.
        found = of_file(os.fstat(fd))
        refuse([problem for problem in found if not problem.mendable], path)
        if not any(problem.mendable for problem in found):
            return False
        system.restrict(fd, 0o600)
        return True
    finally:
        system.close_quietly(fd)


def _fill(directory: system.Directory, temp: str, data: bytes) -> None:
    fd = directory.create(temp)
    is_open = True
    try:
        _write(fd, data)
        system.flush(fd)
        is_open = False
        # Some network file systems report a failed write only here.
        os.close(fd)
    finally:
        if is_open:
            system.close_quietly(fd)


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        count = os.write(fd, rest)
        if count == 0:
            raise OSError(errno.EIO, "the disk took nothing")
        rest = rest[count:]


def _discard(directory: system.Directory, name: str) -> None:
    try:
        directory.unlink(name)
    except OSError:
        return
