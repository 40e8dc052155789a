"""Sealed documents that tests can afford: one passphrase, and each key derived once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from codemesh.backends import _kdf, _vault
from codemesh.backends._kdf import PROFILES

if TYPE_CHECKING:
    from codemesh.backends._vault import Sealing

PASSPHRASE = "a passphrase of tests"

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
