"""Every store comes back as it was, and no altered byte of one gets through."""

from __future__ import annotations

import json
import random
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemesh.backends import _vault
from codemesh.errors import CodemeshError
from strategies import json_values, stores
from vaults import PASSPHRASE, root_of, sealing

if TYPE_CHECKING:
    from codemesh.backends._kdf import Kdf

ENTRIES = {"openai": {"type": "api_key", "key": "sk-marked"}}

SEALING = sealing()
SMALL = _vault.seal(SEALING, 7, ENTRIES)
ROOT = root_of(PASSPHRASE, SEALING.kdf)


@cache
def some_root(kdf: Kdf) -> bytes:
    """The true root for the true parameters, and some other one for edited ones.

    Argon2 itself would take half an hour here, or 2 GiB where a digit of `m` flipped.
    """
    return ROOT if kdf == SEALING.kdf else sha256(repr(kdf).encode()).digest()


def open_all(raw: bytes) -> dict[str, dict[str, object]]:
    vault = _vault.parse(raw)
    return _vault.open_payload(vault, _vault.unwrap(vault, some_root(vault.kdf)))


def accepted(raw: bytes) -> bool:
    """Whether `raw` opens. Any error that is not one of codemesh fails the test."""
    try:
        open_all(raw)
    except CodemeshError:
        return False
    return True


@given(stores, st.integers(0, 2**53 - 1))
def test_round_trip_is_exact(entries: dict[str, dict[str, object]], revision: int) -> None:
    """Any records come back with their types, and with the sign of a zero."""
    raw = _vault.seal(SEALING, revision, entries)

    back = open_all(raw)

    assert repr(back) == repr(json.loads(json.dumps(entries, sort_keys=True)))
    assert back == entries
    assert _vault.parse(raw).revision == revision


@given(stores)
def test_document_has_one_spelling(entries: dict[str, dict[str, object]]) -> None:
    """A document, read and written as JSON, is the same bytes again."""
    raw = _vault.seal(SEALING, 0, entries)

    assert json.dumps(json.loads(raw), indent=2).encode() + b"\n" == raw


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(raw: bytes) -> None:
    """Nothing but a document is one, and no input makes another error than ours."""
    assert not accepted(raw)


@given(json_values)
def test_arbitrary_json_is_refused(value: object) -> None:
    """Sound JSON of any other shape is refused in the same way."""
    assert not accepted(json.dumps(value, indent=2).encode() + b"\n")


PATHS = [
    *((key,) for key in json.loads(SMALL)),
    *((key, inner) for key in ("kdf", "wrap", "payload") for inner in json.loads(SMALL)[key]),
]


@given(st.sampled_from(PATHS), json_values)
@settings(max_examples=300)
def test_any_other_value_of_a_field_is_refused(path: tuple[str, ...], value: object) -> None:
    """Each field of a valid document, replaced by any JSON value, is refused."""
    document = json.loads(SMALL)
    target = document
    for key in path[:-1]:
        target = target[key]
    unchanged = json.dumps(target[path[-1]]) == json.dumps(value)
    target[path[-1]] = value

    assert accepted(json.dumps(document, indent=2).encode() + b"\n") == unchanged


@given(st.data())
@settings(max_examples=300)
def test_several_edits_are_refused(data: st.DataObject) -> None:
    """Runs of bytes cut out, doubled, moved or overwritten do not go unnoticed."""
    raw = SMALL
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(start + 60, len(raw))))
        new = data.draw(st.binary(max_size=20) | st.just(raw[start:end] * 2))
        raw = raw[:start] + new + raw[end:]

    assert accepted(raw) == (raw.replace(b"\r\n", b"\n") == SMALL)


def test_small_store_opens() -> None:
    """The document that the tests below damage is sound."""
    assert open_all(SMALL) == ENTRIES


def test_every_bit_flip_is_refused() -> None:
    """No single bit of the file can change without an error of ours."""
    flips = 0
    for index in range(len(SMALL)):
        for bit in range(8):
            damaged = bytearray(SMALL)
            damaged[index] ^= 1 << bit
            assert not accepted(bytes(damaged)), (index, bit)
            flips += 1

    assert flips == 8 * len(SMALL)


def test_every_truncation_is_refused() -> None:
    """No beginning of the file opens, and none is taken for an empty store."""
    assert not any(accepted(SMALL[:length]) for length in range(len(SMALL)))


def test_every_deletion_is_refused() -> None:
    """No single byte of the file can be missing."""
    assert not any(accepted(SMALL[:at] + SMALL[at + 1 :]) for at in range(len(SMALL)))


@pytest.mark.parametrize("seed", range(3))
def test_insertions_are_refused(seed: int) -> None:
    """One byte more anywhere is refused: a random one, a space, a digit, a zero.

    CR is left out: before LF it makes CR LF, which is read as LF.
    """
    chosen = random.Random(seed)  # noqa: S311 - a sample, not a secret
    alphabet = bytes(set(range(256)) - {13})

    for at in range(len(SMALL) + 1):
        for byte in (chosen.choice(alphabet), *b" 0A\0"):
            assert not accepted(SMALL[:at] + bytes([byte]) + SMALL[at:]), (at, byte)
