"""What makes a file or a folder unsafe: the rules, each with its sentence.

Reading, writing and `doctor` judge by the same functions, so what one of them
refuses the others report.
"""

from __future__ import annotations

import stat

from codemesh.errors import UnsafeFileError
from codemesh.files._system import system
from codemesh.files._words import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

_BY_HAND = "codemesh leaves it alone: remove it or make it yours, or choose another path."

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class Problem:
    """One thing that is wrong with a file or a folder.

    `id` is stable: for a file "special-file", "unsafe-link", "foreign-owner",
    "loose-mode", "hard-link", "too-large" or "unreadable"; for a folder
    "not-a-folder", "unsafe-link", "foreign-owner", "folder-writable",
    "folder-readable" or "unreadable". `sentence` is a predicate without its subject
    ("may be read by others …"), `mendable` says whether `tighten()` mends it, and
    `refused` whether it keeps codemesh from using the file.
    """

    __slots__ = ("id", "mendable", "refused", "sentence")

    def __init__(
        self, ident: str, sentence: str, *, mendable: bool = False, refused: bool = True
    ) -> None:
        self.id = ident
        self.sentence = sentence
        self.mendable = mendable
        self.refused = refused

    def __repr__(self) -> str:
        return f"Problem({self.id!r}, {self.sentence!r}, mendable={self.mendable})"

    def error(self, path: str) -> UnsafeFileError:
        """The refusal that this problem causes at `path`."""
        hint = "" if self.mendable else _BY_HAND
        return UnsafeFileError(self.sentence, hint=hint, where=shown(path))


def of_file(facts: os.stat_result, *, others_may_read: bool = False) -> list[Problem]:
    """What is wrong with a file, the worst first. `facts` is its lstat or fstat."""
    mode = facts.st_mode
    if stat.S_ISLNK(mode):
        return [Problem("unsafe-link", "is, or leads to, a link where only a file may be")]
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "a special file")
        return [Problem("special-file", f"is {kind}, not a regular file")]
    found = []
    if system.foreign(facts):
        found.append(Problem("foreign-owner", f"belongs to another user (uid {facts.st_uid})"))
    allowed = 0o055 if others_may_read else 0
    if loose := system.open_to_others(facts) & ~allowed:
        doing = "read or written" if loose & 0o022 else "read"
        if not loose & 0o066:
            doing = "executed"
        sentence = f"may be {doing} by others (mode {stat.S_IMODE(mode):04o})"
        found.append(Problem("loose-mode", sentence, mendable=not found))
    if facts.st_nlink > 1:
        sentence = "has a second name (hard link), under which old content stays readable"
        found.append(Problem("hard-link", sentence, refused=False))
    return found


def of_folder(facts: os.stat_result) -> list[Problem]:
    """What is wrong with a folder, the worst first. `facts` is its fstat.

    Root may own it: whoever is root needs no trick to read what lies inside.
    """
    found = []
    if system.foreign(facts) and facts.st_uid != 0:
        found.append(Problem("foreign-owner", f"belongs to another user (uid {facts.st_uid})"))
    ours = not system.foreign(facts)
    mode = f"mode {stat.S_IMODE(facts.st_mode):04o}"
    loose = system.open_to_others(facts)
    if loose & 0o022:
        # Sticky or not: others could plant files that we would meet later.
        sentence = f"is a folder that others may write ({mode})"
        found.append(Problem("folder-writable", sentence, mendable=ours))
    elif loose:
        sentence = f"is a folder that others may read or enter ({mode})"
        found.append(Problem("folder-readable", sentence, mendable=ours, refused=False))
    return found


def refuse(problems: list[Problem], path: str) -> None:
    """Raise the refusal for the first problem that is a reason for one.

    Raises:
        UnsafeFileError: when there is such a problem.

    """
    for problem in problems:
        if problem.refused:
            raise problem.error(path)
