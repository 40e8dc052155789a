"""The contract of `backends/base.py`: a damaged store, on every backend.

Damage of only one kind would let a backend through that takes a damaged store for an
empty one, so there are many.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from codemesh.backends.base import same
from codemesh.errors import DamagedError
from support import CANARY, api_key, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from codemesh.backends.base import Backend
    from codemesh.model import Record
    from support import Bench

ENTRIES = {"openai": api_key(CANARY), "google": api_key("other")}


def wrong_value(raw: bytes) -> bytes:
    """The same document with a number for the last of its values."""
    document = json.loads(raw)
    document[list(document)[-1]] = 5
    return json.dumps(document, indent=2).encode() + b"\n"


def doubled_key(raw: bytes) -> bytes:
    """The same document with its first key twice."""
    first = json.dumps(next(iter(json.loads(raw))))
    return raw.replace(b"{", b"{" + first.encode() + b": null, ", 1)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "undecodable bytes": lambda raw: raw[:20] + b"\xff\xfe" + raw[20:],
    "surrogate bytes": lambda raw: raw[:20] + b"\xed\xa0\x80" + raw[20:],
    "not JSON": lambda raw: b"this is no store\n" + raw[:0],
    "cut in half": lambda raw: raw[: len(raw) // 2],
    "wrong top type": lambda raw: b"[" + raw + b"]",
    "null": lambda _: b"null\n",
    "wrong value type": wrong_value,
    "zero bytes": lambda _: b"",
    "one newline": lambda _: b"\n",
    "zeroed blocks": lambda raw: bytes(len(raw)),
    "key twice": doubled_key,
    "something behind": lambda raw: raw + b"{}",
    "byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "empty object": lambda _: b"{}\n",
    "nested too deeply": lambda _: b'{"credentials": ' + b"[" * 100_000,
}

READS: dict[str, Callable[[Backend], object]] = {
    "records": lambda backend: backend.records(),
    "names": lambda backend: backend.names(),
    "get": lambda backend: backend.get("openai"),
    "get what never was": lambda backend: backend.get("missing"),
    "status": lambda backend: backend.status(),
}

WRITES: dict[str, Callable[[Backend], object]] = {
    "put": lambda backend: backend.put("new", api_key("new")),
    "remove": lambda backend: backend.remove("openai"),
    "change": lambda backend: backend.change({}, []),
    "expect": lambda backend: backend.change({}, expect={"openai": None}),
    "retire": lambda backend: backend.retire(ENTRIES),
}


@pytest.fixture(params=list(DAMAGES.values()), ids=list(DAMAGES))
def damaged(request: pytest.FixtureRequest, document: Bench) -> bytes:
    """The bytes of a store that was damaged in one of the ways."""
    document.open().change(ENTRIES)
    raw = document.raw()
    assert raw is not None
    document.overwrite(request.param(raw))
    return request.param(raw)  # type: ignore[no-any-return]


def test_damage_is_told_by_reads(document: Bench, damaged: bytes) -> None:
    """Every way of reading a damaged store says so, as exit status 6, and touches nothing."""
    for read in READS.values():
        backend = document.open()

        with pytest.raises(DamagedError) as caught:
            read(backend)

        assert caught.value.exit_code == 6
        assert caught.value.hint
        assert CANARY not in shown(caught.value)
    assert document.raw() == damaged


def test_damage_stops_writes(document: Bench, damaged: bytes) -> None:
    """No write goes over a damaged store; it is left byte for byte as it is."""
    for write in WRITES.values():
        backend = document.open()

        with pytest.raises(DamagedError) as caught:
            write(backend)

        assert CANARY not in shown(caught.value)
        assert document.raw() == damaged


@pytest.mark.parametrize("damage", ["not JSON", "zero bytes", "wrong value type"])
def test_damage_under_an_opened_store(document: Bench, damage: str) -> None:
    """A store that is damaged after it was opened and read is reported as well."""
    backend = document.filled(ENTRIES)
    backend.records()
    raw = document.raw()
    assert raw is not None
    document.overwrite(DAMAGES[damage](raw))

    for action in (*READS.values(), *WRITES.values()):
        with pytest.raises(DamagedError):
            action(backend)

    assert document.raw() == DAMAGES[damage](raw)


def test_repaired_store_is_read_again(document: Bench) -> None:
    """An opened store that met damage reads on once the old bytes are back."""
    backend = document.filled(ENTRIES)
    raw = document.raw()
    assert raw is not None
    document.overwrite(b"")
    with pytest.raises(DamagedError):
        backend.records()

    document.overwrite(raw)

    assert same(backend.records(), ENTRIES)


# -- the way out -------------------------------------------------------------------------


def test_salvage_of_a_sound_store(bench: Bench) -> None:
    """Of a store that is not damaged everything is salvaged, and nothing is changed."""
    backend = bench.filled(ENTRIES)
    before = bench.raw()

    salvaged = backend.salvage()

    assert same(salvaged.records, ENTRIES)
    assert salvaged.lost == []
    assert bench.raw() == before


def test_salvage_changes_nothing(document: Bench, damaged: bytes) -> None:
    """Salvaging gives entries as they were or says that nothing can be saved."""
    backend = document.open()

    try:
        salvaged: dict[str, Record] = backend.salvage().records
    except DamagedError:
        salvaged = {}

    assert all(same(record, ENTRIES[name]) for name, record in salvaged.items())
    assert document.raw() == damaged


def test_restart(document: Bench, damaged: bytes) -> None:
    """A damaged store is set aside whole and private, and a new one holds what was saved."""
    backend = document.open()

    aside = backend.restart({"saved": api_key("saved")})

    assert document.aside(aside) == damaged
    assert same(backend.records(), {"saved": api_key("saved")})
    assert same(document.open().records(), {"saved": api_key("saved")})


def test_restart_twice_keeps_both(document: Bench) -> None:
    """A second restart sets aside a second copy and overwrites none."""
    backend = document.filled(ENTRIES)
    document.overwrite(b"first")
    first = backend.restart({})
    document.overwrite(b"second")

    second = backend.restart({})

    assert [document.aside(where) for where in (first, second)] == [b"first", b"second"]
