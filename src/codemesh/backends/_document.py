"""Records and the JSON document of the plaintext store, both ways; pure.

The document is `{"credentials": {name: record}}`, as the Rust program code-mesh writes
it. Other keys at its top belong to somebody else: they are kept as they are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from codemesh import strictjson
from codemesh.errors import DamagedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codemesh.model import Record


class Document(NamedTuple):
    """The parsed plaintext store."""

    records: dict[str, Record]
    rest: dict[str, object]
    """The top-level keys that are not ours."""


EMPTY = Document({}, {})


def decode(raw: bytes) -> Document:
    """Parse the bytes of a plaintext store.

    Raises DamagedError for anything but a JSON object whose `credentials` is an object
    of objects, read strictly: UTF-8, no duplicate keys, no NaN, nothing after the end.
    """
    document = strictjson.loads(raw)
    if not isinstance(document, dict):
        raise DamagedError("the top of the document is not an object")
    if "credentials" not in document:
        raise DamagedError("the document has no credentials key")
    records = check_records(document.pop("credentials"), "credentials")
    return Document(records, document)


def check_records(value: object, what: str) -> dict[str, Record]:
    """Return `value` if it is an object of objects, otherwise raise DamagedError."""
    if not isinstance(value, dict):
        raise DamagedError(f"{what} is not an object")
    for name, record in value.items():
        if not isinstance(record, dict):
            raise DamagedError(f"the entry {name} of {what} is not an object")
    return value


def encode(document: Document) -> bytes:
    """The bytes of a plaintext store: indented by two, ASCII, one newline at the end.

    The order of entries and fields is kept. The bytes are read back before they are
    returned; UsageError is raised if they do not say the same, as with a number that
    JSON does not have.
    """
    tree = {"credentials": document.records, **document.rest}
    raw = _dump(tree)
    if strictjson.loads(raw) != tree:
        raise UsageError("a record holds something that JSON does not keep")
    return raw


def check_puts(puts: Mapping[str, Record]) -> None:
    """Raise UsageError naming a record that cannot be stored: see `Backend.change`.

    The same records are fit for every store, so each of them can move to any other.
    """
    try:
        strictjson.canonical({"entries": dict(puts)})
        if all(type(record) is dict for record in puts.values()):
            return
    except UsageError:
        pass
    for name, record in puts.items():
        if type(record) is not dict:
            raise UsageError(f"the record of {name} is no JSON object")
        try:
            strictjson.canonical({"entries": {name: record}})
        except UsageError:
            raise UsageError(
                f"the record of {name} holds something that JSON does not keep"
            ) from None


def _dump(tree: object) -> bytes:
    try:
        return json.dumps(tree, indent=2, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError, RecursionError):
        # the error's own text could quote a value
        raise UsageError("a record holds something that JSON does not have") from None
