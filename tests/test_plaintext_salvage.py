"""The damaged plaintext store: what of it can still be read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from codemesh.backends import _salvage
from codemesh.backends.base import same
from codemesh.backends.context import Context
from codemesh.backends.plaintext import PlaintextBackend
from homes import RUST_STORE
from support import passphrases

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("length", range(0, len(RUST_STORE), 9))
def test_every_cut_is_salvaged(rust_file: Path, length: int) -> None:
    """Of a file that was cut off, every entry that is whole is saved, to the last type."""
    rust_file.write_bytes(RUST_STORE[:length])
    whole = json.loads(RUST_STORE)["credentials"]

    salvaged = PlaintextBackend(Context(str(rust_file.parent), {}, 0.2, passphrases)).salvage()

    assert all(same(record, whole[name]) for name, record in salvaged.records.items())
    assert "anthropic" in salvaged.records or length < RUST_STORE.index(b'"openai"')
    assert rust_file.read_bytes() == RUST_STORE[:length]


@pytest.mark.parametrize(
    ("raw", "saved", "lost"),
    [
        (RUST_STORE + RUST_STORE, ["anthropic", "openai"], 2),
        (RUST_STORE.replace(b'"k"', b"NaN"), ["anthropic"], 1),
        (RUST_STORE.replace(b'"a"', b'"\xff"'), ["openai"], 1),
        (RUST_STORE.replace(b"1700000000", b""), ["openai"], 1),
        (b"\xef\xbb\xbf" + RUST_STORE + b"\x00", ["anthropic", "openai"], 0),
        (b'{"credentials": {"credentials": {"type": "x"}, "a": 5', ["credentials"], 0),
        (b'{"credentials": {"type": {"type": "x"}, "a": 5', ["type"], 0),
        (b"", [], 0),
        (b"garbage", [], 0),
        (b"[" * 100_000, [], 0),
    ],
)
def test_what_is_saved_and_lost(raw: bytes, saved: list[str], lost: int) -> None:
    """What still parses is saved, and of what does not it is told how much is lost."""
    salvaged = _salvage.entries(raw)

    assert sorted(salvaged.records) == saved
    assert len(salvaged.lost) == lost
