"""Whether a link to a store may be followed, on Linux, macOS and the BSDs.

People keep their files in a repository and link to them, so links are followed; but
one that others made, or that leads through folders where others could exchange
things, would let them choose which file we read and write.
"""

from __future__ import annotations

import os
import stat
import sys

from codemesh.errors import UnsafeFileError
from codemesh.files._words import shown

# A type checker that is asked about Windows skips the rest of this file.
assert sys.platform != "win32"  # noqa: S101 - the form that type checkers understand

_MAX_HOPS = 40


def follow(path: str) -> str:
    """Where the link at `path` leads, followed once: a real folder and a name in it.

    The link must be ours, and no folder on the way may let others exchange what we
    are about to meet. Nobody is asked whether the target exists.

    Raises:
        UnsafeFileError: when one of these does not hold.

    """
    if os.lstat(path).st_uid != os.geteuid():
        raise UnsafeFileError("is a link that another user made", where=shown(path))
    start = os.path.dirname(path)
    if not start.startswith("/"):
        start = os.path.join(os.getcwd(), start)
    folder, name = os.path.split(os.path.join(start, os.readlink(path)))
    if name in ("", ".", ".."):
        raise UnsafeFileError("links to a folder, not to a file", where=shown(path))
    return os.path.join(_walk(folder, path), name)


def _walk(folder: str, link: str) -> str:
    """The path of `folder` without links, every step judged. `link` is for messages."""
    where = shown(link)
    ahead = folder.split("/")[::-1]
    current = "/"
    hops = 0
    while ahead:
        step = ahead.pop()
        if step == "..":
            # Right without asking: `current` holds no links.
            current = os.path.dirname(current)
        if step in ("", ".", ".."):
            continue
        reached = os.path.join(current, step)
        try:
            facts = os.lstat(reached)
        except FileNotFoundError:
            raise UnsafeFileError(
                f"links into a folder that is missing: {shown(reached)}", where=where
            ) from None
        _judge_step(facts, reached, where)
        if not stat.S_ISLNK(facts.st_mode):
            current = reached
            continue
        hops += 1
        if hops > _MAX_HOPS:
            raise UnsafeFileError("leads through too many links", where=where)
        onward = os.readlink(reached)
        ahead.extend(onward.split("/")[::-1])
        if onward.startswith("/"):
            current = "/"
    return current


def _judge_step(facts: os.stat_result, reached: str, where: str) -> None:
    """Refuse a step that others could exchange."""
    if facts.st_uid not in (0, os.geteuid()):
        raise UnsafeFileError(
            f"leads through what another user owns: {shown(reached)}", where=where
        )
    mode = facts.st_mode
    if stat.S_ISLNK(mode):
        return
    if not stat.S_ISDIR(mode):
        raise UnsafeFileError(f"leads through no folder: {shown(reached)}", where=where)
    # In a sticky folder of root, as /tmp, others cannot exchange what is not theirs.
    if mode & 0o022 and not (mode & stat.S_ISVTX and facts.st_uid == 0):
        raise UnsafeFileError(
            f"leads through a folder that others may write: {shown(reached)}", where=where
        )
