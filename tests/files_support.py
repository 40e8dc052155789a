"""What the tests of private files share."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codemesh import errors
from codemesh.errors import UnsafeFileError
from codemesh.files.private import PrivateFile

if TYPE_CHECKING:
    from collections.abc import Callable

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


def in_child(act: Callable[[], bool]) -> bool:
    """Whether `act` returned True in a forked process."""
    if sys.platform == "win32":
        return False
    pid = os.fork()
    if pid == 0:
        good = False
        try:
            good = act()
        finally:
            os._exit(0 if good else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
