"""Sealed documents that tests can afford: one passphrase, and each key derived once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from codemesh.backends import _kdf, _vault
from codemesh.backends._kdf import PROFILES

if TYPE_CHECKING:
    from codemesh.backends._vault import Sealing

PASSPHRASE = "a passphrase of tests"

VECTOR_FOLDER = Path(__file__).parent / "vectors" / "v1"
VECTORS = sorted(path.name for path in VECTOR_FOLDER.iterdir() if path.name != "README.md")
"""The published vectors of the format, by the names of their files."""

root_of = cache(_kdf.derive_root)


@cache
def sealing(number: int = 0) -> Sealing:
    """A store of its own for each number, all under one passphrase."""
    assert number >= 0
    return _vault.new_sealing(PASSPHRASE, PROFILES["floor"])


def open_all(raw: bytes, passphrase: str = PASSPHRASE) -> dict[str, dict[str, object]]:
    """The entries of a sealed document."""
    vault = _vault.parse(raw)
    return _vault.open_payload(vault, _vault.unwrap(vault, root_of(passphrase, vault.kdf)))


def read_vector(name: str) -> tuple[dict[str, str], bytes]:
    """The header lines of a vector and the file in it."""
    header, _, raw = (VECTOR_FOLDER / name).read_bytes().partition(b"\n\n")
    lines = (line.partition(": ") for line in header.decode("utf-8").split("\n"))
    return {key: value for key, _, value in lines}, raw
