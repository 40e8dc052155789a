"""Conversations, saved as JSON: one private file each, in `sessions/` of the home.

What people ask a model is as private as their keys, so the files keep the rules of the
store files: 0600, replaced whole, refused where others may read them. The id of a
session is the name of its file, and no other name is ever made into a path.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

from codemesh import strictjson
from codemesh.errors import (
    CodemeshError,
    DamagedError,
    NewerVersionError,
    StorageError,
    UsageError,
)
from codemesh.files import folder
from codemesh.files.private import PrivateFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codemesh.files.lock import FileLock

FOLDER = "sessions"
LIMIT = 16 * 2**20
"""The most bytes of one session."""

TITLE_LENGTH = 60
"""The most characters of a title."""

_VERSION = 1
_ENDING = ".json"
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}", re.ASCII)
_PREFIX = re.compile(r"[0-9a-f-]+", re.ASCII)
_ROLES = frozenset({"user", "assistant", "system"})
_LAST = 2**40  # seconds; no clock shows more
_NAMED = 5  # candidates in one message
_LOCK_TIMEOUT = 10.0  # seconds; a save takes milliseconds


class Turn(NamedTuple):
    """What one side said."""

    role: str
    """`user`, `assistant` or `system`."""

    content: str


class Session(NamedTuple):
    """One conversation."""

    id: str
    """`YYYYMMDD-HHMMSS-xxxxxx`: the time in UTC when it began, and three random bytes."""

    created_at: int
    """UNIX seconds, as `updated_at`."""

    updated_at: int
    provider: str
    model: str
    messages: tuple[Turn, ...] = ()
    title: str = ""
    """The first line of the first message, cut and printable."""


class Listed(NamedTuple):
    """One file of the folder: a session, or an id and what is wrong with its file."""

    id: str
    session: Session | None
    problem: str = ""


def begun(provider: str, model: str, *, now: float | None = None) -> Session:
    """A new session without messages, at `now` (UNIX seconds); nothing is saved."""
    at = time.time() if now is None else now
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(at))
    return Session(f"{stamp}-{secrets.token_hex(3)}", int(at), int(at), provider, model)


def continued(session: Session, turns: Iterable[Turn], *, now: float | None = None) -> Session:
    """The session with more turns, a title and the time of the change; nothing is saved."""
    messages = (*session.messages, *turns)
    at = int(time.time() if now is None else now)
    return session._replace(messages=messages, updated_at=at, title=title_of(messages))


def title_of(messages: Iterable[Turn]) -> str:
    """The first line of the first message, printable, at most `TITLE_LENGTH` characters."""
    for turn in messages:
        return _title(turn.content)
    return ""


def save(home: str, session: Session) -> None:
    """Write a session, in place of what has its id; a second call writes it again.

    Readers see the old file or the new one. Of two that save one session at a time,
    the later one's content stays, whole. The folder is made, and is ours alone.

    Raises:
        UsageError: the id is none, or a text cannot be stored.
        TooLargeError: it has more than `LIMIT` bytes.
        BusyError: another process was saving for ten seconds.
        UnsafeFileError: the folder, or a file of that name, is open to others.
        StorageError: the disk or the system refused.

    """
    if not _ID.fullmatch(session.id):
        raise UsageError("that is no id of a session")
    document = session._asdict()
    document["messages"] = [turn._asdict() for turn in session.messages]
    data = strictjson.canonical({"version": _VERSION, **document})
    with _writing(home):
        _file(home, session.id).replace(data)


def load(home: str, id_prefix: str) -> Session:
    """Read the session whose id begins so.

    Raises:
        UsageError: none or several do; it names some of them.
        DamagedError: its file is damaged, or of a newer codemesh.
        TooLargeError, UnsafeFileError, StorageError: as `PrivateFile.read`.

    """
    id_ = _found(home, id_prefix)
    session = _read(home, id_)
    if session is None:
        raise UsageError(f"the session {id_} is gone")
    return session


def latest(home: str) -> Session | None:
    """The session that was changed last; None where there is none.

    Raises the error of a damaged file that is newer than all that can be read: to go
    on with another conversation would be a surprise.
    """
    for item in listed(home):
        return item.session or _read(home, item.id)
    return None


def listed(home: str) -> list[Listed]:
    """Every session, the one that changed last first; a damaged one by when it began.

    A file that cannot be used says so in its place, and hides no other one. Raises
    UnsafeFileError or StorageError where the folder itself cannot be used.
    """
    found = []
    for id_ in _ids(home):
        try:
            session = _read(home, id_)
        except CodemeshError as error:
            found.append(Listed(id_, None, error.message))
        else:
            if session is not None:  # or it was removed meanwhile
                found.append(Listed(id_, session))
    return sorted(found, key=lambda item: _newness(home, item), reverse=True)


def remove(home: str, id_prefix: str) -> str:
    """Remove the session whose id begins so, damaged or not, and return its id.

    Raises UsageError as `load`, so a second call does; else as `PrivateFile.remove`.
    """
    id_ = _found(home, id_prefix)
    with _writing(home):
        _file(home, id_).remove()
    return id_


def _writing(home: str) -> FileLock:
    """The lock of everybody who changes a session, in folders that are there and ours."""
    from codemesh.files.lock import FileLock

    folder.prepare(home)
    folder.prepare(os.path.join(home, FOLDER))
    path = os.path.join(home, "state", "sessions.lock")
    return FileLock(path, timeout=_LOCK_TIMEOUT, what="the sessions")


def _file(home: str, id_: str) -> PrivateFile:
    return PrivateFile(os.path.join(home, FOLDER, id_ + _ENDING), limit=LIMIT)


def _ids(home: str) -> list[str]:
    """The ids that have a file, in order. Files with other names are none of ours."""
    path = os.path.join(home, FOLDER)
    folder.check(path)
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError("cannot be listed", where=path) from error
    ids = [name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)]
    return sorted(id_ for id_ in ids if _ID.fullmatch(id_))


def _found(home: str, id_prefix: str) -> str:
    if not _PREFIX.fullmatch(id_prefix):
        raise UsageError("the id of a session consists of digits, a to f and -")
    found = [id_ for id_ in _ids(home) if id_.startswith(id_prefix)]
    if not found:
        raise UsageError(
            f"no session begins with {id_prefix[:TITLE_LENGTH]}",
            hint="See what there is: codemesh sessions list",
        )
    if len(found) > 1:
        names = ", ".join(found[:_NAMED]) + (", …" if len(found) > _NAMED else "")
        raise UsageError(
            f"several sessions begin with {id_prefix}: {names}", hint="Give more of the id."
        )
    return found[0]


def _read(home: str, id_: str) -> Session | None:
    file = _file(home, id_)
    raw = file.read()
    if raw is None:
        return None
    try:
        return _parsed(raw, id_)
    except NewerVersionError as error:
        raise error.at(file.path) from None
    except DamagedError as error:
        hint = f"Look at it, or remove it: codemesh sessions remove {id_}"
        raise DamagedError(error.message, hint=hint, where=file.path) from None


def _parsed(raw: bytes, id_: str) -> Session:
    document = strictjson.loads(raw)
    if isinstance(document, dict) and _newer(document.get("version")):
        raise NewerVersionError("a newer codemesh wrote it")
    session = _session(document)
    if session is None or session.id != id_:
        raise DamagedError("it is not what codemesh saves as a session")
    return session


def _newer(version: object) -> bool:
    return type(version) is int and version > _VERSION


def _session(document: object) -> Session | None:
    """The session that a document is; None if it is none."""
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        return None
    texts = [document.get(name) for name in ("id", "provider", "model", "title")]
    times = [document.get(name) for name in ("created_at", "updated_at")]
    messages = document.get("messages")
    if not all(isinstance(text, str) for text in texts) or not isinstance(messages, list):
        return None
    if not all(type(at) is int and 0 <= at < _LAST for at in times):
        return None
    turns = [turn for turn in map(_turn, messages) if turn is not None]
    if len(turns) != len(messages):
        return None
    known = {name: document[name] for name in Session._fields}
    return Session(**(known | {"messages": tuple(turns), "title": _title(document["title"])}))


def _turn(value: object) -> Turn | None:
    if not isinstance(value, dict):
        return None
    role, content = value.get("role"), value.get("content")
    if isinstance(role, str) and role in _ROLES and isinstance(content, str):
        return Turn(role, content)
    return None


def _title(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    return "".join(char for char in lines[0] if char.isprintable())[:TITLE_LENGTH].strip()


def _newness(home: str, item: Listed) -> tuple[float, float, str]:
    """When a session was changed; of two in one second, whose file was written later."""
    if item.session is not None:
        try:
            signature = _file(home, item.id).signature()
        except CodemeshError:
            signature = None
        return item.session.updated_at, 0 if signature is None else signature[3], item.id
    try:
        from calendar import timegm

        return timegm(time.strptime(item.id[:15], "%Y%m%d-%H%M%S")), 0, item.id
    except ValueError:
        return 0, 0, item.id
