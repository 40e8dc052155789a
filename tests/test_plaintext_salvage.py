"""The damaged plaintext store: what of it can still be read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from codemesh.backends import _salvage
from codemesh.backends.base import Context, same
from codemesh.backends.plaintext import PlaintextBackend
from support import passphrases

if TYPE_CHECKING:
    from pathlib import Path


RUST = b"""{
  "credentials": {
    "anthropic": {
      "type": "oauth",
      "access_token": "a",
      "refresh_token": "r",
      "expires_at": 1700000000
    },
    "openai": {
      "type": "apikey",
      "key": "k"
    }
  }
}"""


def store(home: Path, **options: object) -> PlaintextBackend:
    """The store, with options as config.toml gives them."""
    return PlaintextBackend(Context(str(home), options, 0.2, passphrases))


@pytest.fixture
def path(home: Path) -> Path:
    """The file of a store as the Rust program leaves it, in a folder that others may read."""
    home.mkdir(mode=0o755)
    file = home / "auth.json"
    file.write_bytes(RUST)
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("length", range(0, len(RUST), 9))
def test_every_cut_is_salvaged(path: Path, length: int) -> None:
    """Of a file that was cut off, every entry that is whole is saved, to the last type."""
    path.write_bytes(RUST[:length])
    whole = json.loads(RUST)["credentials"]

    salvaged = store(path.parent).salvage()

    assert all(same(record, whole[name]) for name, record in salvaged.records.items())
    assert "anthropic" in salvaged.records or length < RUST.index(b'"openai"')
    assert path.read_bytes() == RUST[:length]


@pytest.mark.parametrize(
    ("raw", "saved", "lost"),
    [
        (RUST + RUST, ["anthropic", "openai"], 2),
        (RUST.replace(b'"k"', b"NaN"), ["anthropic"], 1),
        (RUST.replace(b'"a"', b'"\xff"'), ["openai"], 1),
        (RUST.replace(b"1700000000", b""), ["openai"], 1),
        (b"\xef\xbb\xbf" + RUST + b"\x00", ["anthropic", "openai"], 0),
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
