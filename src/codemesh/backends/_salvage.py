"""Reading what can still be read of a damaged store file; pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from codemesh import strictjson
from codemesh.backends.base import Salvage
from codemesh.errors import DamagedError, NotAVaultError

if TYPE_CHECKING:
    from codemesh.model import Record

_OPENING = re.compile(r'("(?:[^"\\]|\\.){0,1530}")\s{0,9}:\s*(?=\{)')  # 255 escaped characters
_UNREADABLE = "\ufffd"


def entries(raw: bytes) -> Salvage:
    """The entries of a damaged plaintext store that still parse, and those that do not.

    An entry is a name followed by a JSON object with a `type`. Where a name stands
    twice, the last one counts, as for any JSON reader, and the first is told as lost.
    """
    text = raw.decode("utf-8", "replace").removeprefix("\ufeff")
    records: dict[str, Record] = {}
    lost: list[str] = []
    position = 0
    while (match := _OPENING.search(text, position)) is not None:
        name = _string(match[1])
        position = match.end()
        record, end = _object(text, position)
        if name == "credentials" and not (record and isinstance(record.get("type"), str)):
            continue  # the object around all entries, not an entry of that name
        if record is None:
            if name != "data":  # a part of a custom credential, which is told by its own name
                lost.append(_named(name))
        elif isinstance(record.get("type"), str) and name:
            if name in records:
                lost.append(f"{name} (an earlier entry of that name)")
            records[name] = record
        position = end
    return Salvage(records, [name for name in lost if name not in records])


def rest(raw: bytes) -> dict[str, object]:
    """The top-level keys of others; none unless the file as a whole is still a JSON object."""
    try:
        document = strictjson.loads(raw)
    except DamagedError:
        return {}
    if not isinstance(document, dict):
        return {}
    return {key: value for key, value in document.items() if key != "credentials"}


def sealed(raw: bytes) -> bytes:
    """The canonical bytes of a sealed document that was reformatted or appended to.

    Raises NotAVaultError if there is no JSON object at the start.
    """
    text = raw.decode("utf-8", "replace").removeprefix("\ufeff").lstrip()
    document, _ = _object(text, 0)
    if document is None:
        raise NotAVaultError("it is cut off or overwritten, and a sealed store opens whole or not")
    return json.dumps(document, indent=2).encode() + b"\n"


def _object(text: str, start: int) -> tuple[Record | None, int]:
    """The JSON object at `start` and where it ends; None and the next character if broken."""
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
        strict = strictjson.loads(text[start:end].encode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError, DamagedError):
        return None, start + 1
    if not isinstance(strict, dict) or _UNREADABLE in text[start:end]:
        return None, end if isinstance(value, dict) else start + 1
    return strict, end


def _string(literal: str) -> str | None:
    try:
        value = json.loads(literal)
    except ValueError:
        return None
    return value if isinstance(value, str) and _UNREADABLE not in value else None


def _named(name: str | None) -> str:
    return name or "an entry whose name is unreadable"
