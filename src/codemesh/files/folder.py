"""The folder of a private file: look at it, make it, mend it.

Others may not write in it, and it belongs to us or to root. That others may read it
is no reason to refuse a read, as the files inside guard themselves; it is put right
before the first write.
"""

from __future__ import annotations

import os
import stat

from codemesh.errors import CodemeshError, UnsafeFileError
from codemesh.files._system import system
from codemesh.files._words import Translated, shown
from codemesh.files.problem import Problem, of_folder, refuse


def check(path: str) -> None:
    """See that the folder is safe to read from. An absent one is fine.

    Changes nothing; a second call looks again.

    Raises:
        UnsafeFileError: it is no folder, belongs to somebody else than us or root, or
            others may write in it, sticky or not.
        StorageError: the system did not let us look.

    """
    with Translated(path, "cannot be checked"):
        try:
            opened(path).close()
        except FileNotFoundError:
            return


def ensure(path: str) -> None:
    """See that there is a safe folder; make it if it is absent.

    What is made is 0700, and so is what was missing above it; each is flushed, so that
    it survives a power cut. One that is there is checked as in `check`, and keeps its
    mode: others may have business there. A second call does nothing.

    Raises:
        UnsafeFileError: as in `check`.
        StorageError: it cannot be made.

    """
    with Translated(path, "cannot be made ready for writing"):
        try:
            opened(path).close()
        except FileNotFoundError:
            system.make_folder(path)
            opened(path).close()


def prepare(path: str) -> None:
    """Make a folder of codemesh's own ready: as `ensure`, and for our eyes only.

    One that others may read or enter is set to 0700. A second call does nothing.

    Raises:
        UnsafeFileError: as in `check`.
        StorageError: it cannot be made, or does not keep its permissions.

    """
    ensure(path)
    with Translated(path, "cannot be made ready for writing"), opened(path) as directory:
        if any(problem.mendable for problem in of_folder(directory.facts())):
            directory.restrict()


def problems(path: str) -> list[Problem]:
    """What is wrong with the folder, the worst first; empty when it is absent.

    For an inspection: nothing is raised and nothing is changed.
    """
    try:
        with Translated(path, "cannot be inspected"):
            return _inspected(path)
    except UnsafeFileError as error:
        return [Problem("unsafe-link", error.message)]
    except CodemeshError as error:
        return [Problem("unreadable", error.message)]


def tighten(path: str) -> bool:
    """Set a folder of ours to 0700, also one that others may write.

    True when something was changed, so a second call returns False; False too when
    there is no folder. What others put there while they could is not looked for.

    Raises:
        UnsafeFileError: it is no folder, or belongs to somebody else.
        StorageError: the system refused, or the mode did not stick.

    """
    with Translated(path, "cannot be tightened"):
        try:
            directory = _open(path)
        except FileNotFoundError:
            return False
        with directory:
            found = of_folder(directory.facts())
            refuse([problem for problem in found if not problem.mendable], path)
            if not found:
                return False
            directory.restrict()
            return True


def opened(path: str) -> system.Directory:
    """The folder, open and checked as in `check`; for the other files of this room.

    Raises:
        FileNotFoundError: it is absent.
        OSError: anything else; the caller translates.
        UnsafeFileError: as in `check`.

    """
    directory = _open(path)
    try:
        refuse(of_folder(directory.facts()), path)
    except (OSError, UnsafeFileError):
        directory.close()
        raise
    return directory


def _open(path: str) -> system.Directory:
    try:
        return system.Directory(path)
    except NotADirectoryError:
        raise UnsafeFileError("is not a folder", where=shown(path)) from None


def _inspected(path: str) -> list[Problem]:
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        if not os.path.lexists(path):
            return []
        facts = None
    if facts is not None and not stat.S_ISDIR(facts.st_mode):
        return [Problem("not-a-folder", "is not a folder")]
    # Opening it judges the link that it may be.
    with _open(path) as directory:
        return of_folder(directory.facts())


__all__ = ["check", "ensure", "opened", "prepare", "problems", "tighten"]
