"""The sealed document: what it keeps, what it hides, and what it refuses."""

from __future__ import annotations

import itertools
import json
import os
from hashlib import sha256

import pytest

from codemesh.backends import _vault
from codemesh.backends._kdf import PROFILES
from codemesh.errors import (
    NotAVaultError,
    PayloadDamagedError,
    RefusedError,
    TooLargeError,
    UnsafeKdfError,
    UsageError,
    WrongPassphraseError,
)
from vaults import PASSPHRASE, open_all, root_of, sealing

ENTRIES: dict[str, dict[str, object]] = {
    "openai/work": {"type": "api_key", "key": "sk-marked"},
    "z": {"n": [1, 1.0, True]},
}

# -- round trip --------------------------------------------------------------------


def test_round_trip() -> None:
    """What was sealed comes back, with the revision, and types are kept."""
    raw = _vault.seal(sealing(), 41, ENTRIES)

    assert repr(open_all(raw)["z"]) == repr(ENTRIES["z"])
    assert open_all(raw) == ENTRIES
    assert _vault.parse(raw).revision == 41


def test_document_is_as_the_format_says() -> None:
    """Keys and their order, two spaces, ASCII, LF, one newline, no padding."""
    raw = _vault.seal(sealing(), 3, ENTRIES)
    document = json.loads(raw)

    assert raw == json.dumps(document, indent=2).encode("ascii") + b"\n"
    assert list(document) == ["format", "version", "id", "revision", "kdf", "wrap", "payload"]
    assert list(document["kdf"]) == ["name", "v", "m", "t", "p", "salt"]
    assert list(document["wrap"]) == ["check", "key"]
    assert list(document["payload"]) == ["salt", "commit", "data"]
    assert b"=" not in raw


def test_size_hides_the_number_of_credentials() -> None:
    """None, one or two credentials make a file of the same size, and names are hidden."""
    sizes = {
        len(_vault.seal(sealing(), 0, dict(itertools.islice(ENTRIES.items(), count))))
        for count in range(3)
    }

    assert sizes == {1927}
    assert b"openai" not in _vault.seal(sealing(), 0, ENTRIES)


def test_a_write_shows_nothing_of_the_last() -> None:
    """Two writes of the same records have another salt, commitment and ciphertext."""
    one, two = (_vault.parse(_vault.seal(sealing(), 5, ENTRIES)) for _ in range(2))

    assert one[:5] == two[:5]
    assert one.payload_salt != two.payload_salt
    assert one.commit != two.commit
    assert one.data != two.data
    assert _vault.fingerprint(one) != _vault.fingerprint(two)
    assert _vault.fingerprint(one) == sha256(one.payload_salt).hexdigest()


def test_repeated_randomness_shows_equality_alone() -> None:
    """A cloned machine that draws the same bytes again still uses no key twice."""
    same = _vault.seal(sealing(), 5, ENTRIES, random=bytes)
    other_entries = _vault.seal(sealing(), 5, {}, random=bytes)
    other_revision = _vault.seal(sealing(), 6, ENTRIES, random=bytes)

    assert same == _vault.seal(sealing(), 5, ENTRIES, random=bytes)
    salts = {_vault.parse(raw).payload_salt for raw in (same, other_entries, other_revision)}
    assert len(salts) == 3


def test_next_write_keeps_the_wrap() -> None:
    """An opened store is sealed again without its passphrase."""
    vault = _vault.parse(_vault.seal(sealing(), 0, ENTRIES))
    data_key = _vault.unwrap(vault, root_of(PASSPHRASE, vault.kdf))

    again = _vault.sealing_of(vault, data_key)

    assert again == sealing()
    assert open_all(_vault.seal(again, 1, {})) == {}


def test_new_sealings_share_nothing() -> None:
    """A new wrap has a new salt always, and a new id and data key unless they are given."""
    new = _vault.new_sealing(PASSPHRASE, PROFILES["floor"])
    kept = _vault.new_sealing(
        PASSPHRASE, PROFILES["floor"], store_id=sealing().id, data_key=sealing().data_key
    )

    assert not set(new) & set(sealing())
    assert new.kdf.salt != sealing().kdf.salt
    assert set(kept) & set(sealing()) == {sealing().id, sealing().data_key}
    assert open_all(_vault.seal(kept, 1, ENTRIES)) == ENTRIES


def test_repr_hides_the_data_key() -> None:
    """A sealing in a log or a traceback shows no key."""
    shown = f"{sealing()!r} {sealing()}"

    assert sealing().data_key.hex() not in shown
    assert repr(sealing().data_key) not in shown


# -- limits ------------------------------------------------------------------------


def test_last_revision() -> None:
    """The largest revision can be written and read; none comes after it."""
    assert open_all(_vault.seal(sealing(), 2**53 - 1, ENTRIES)) == ENTRIES

    with pytest.raises(RefusedError):
        _vault.seal(sealing(), 2**53, ENTRIES)
    with pytest.raises(RefusedError):
        _vault.seal(sealing(), -1, ENTRIES)


def test_size_limit() -> None:
    """A document over 64 MiB is neither written nor read."""
    with pytest.raises(TooLargeError):
        _vault.seal(sealing(), 0, {"a": {"key": "k" * (3 * _vault.LIMIT // 4)}})
    with pytest.raises(TooLargeError):
        _vault.seal(sealing(), 0, {"a": {"key": "k" * _vault.LIMIT}})
    with pytest.raises(TooLargeError):
        _vault.parse(b" " * (_vault.LIMIT + 1))
    with pytest.raises(NotAVaultError):
        _vault.parse(b" " * _vault.LIMIT)


@pytest.mark.parametrize("name", ["", "n" * 256, "\ud800"])
def test_refuses_names_that_cannot_be_stored(name: str) -> None:
    """A name has 1 to 255 characters, and each of them has a UTF-8."""
    with pytest.raises(UsageError):
        _vault.seal(sealing(), 0, {name: {}})


@pytest.mark.parametrize("name", ["n", "n" * 255, "\U0001f511" * 255, "\0", "a/b c"])
def test_accepts_any_other_name(name: str) -> None:
    """The store takes names that the rest of codemesh would not make."""
    assert open_all(_vault.seal(sealing(), 0, {name: {}})) == {name: {}}


@pytest.mark.parametrize("size", [1018, 1019, 1020, 1021, 2044, 2045])
def test_padding_edges(size: int) -> None:
    """Content that fills its blocks has no padding, and a byte more takes a block more."""
    entries = {"a": {"k": "v" * (size - len('{"entries":{"a":{"k":""}}}'))}}

    raw = _vault.seal(sealing(), 0, entries)

    assert len(_vault.parse(raw).data) == -(-(size + 4) // 1024) * 1024 + 16
    assert open_all(raw) == entries


# -- refusals ----------------------------------------------------------------------


def test_wrong_passphrase_says_both() -> None:
    """A wrong passphrase and an altered header cannot be told apart, so both are named."""
    with pytest.raises(WrongPassphraseError, match=r"wrong passphrase.*altered"):
        open_all(_vault.seal(sealing(), 0, ENTRIES), "another passphrase")


def test_another_data_key_does_not_open() -> None:
    """A data key that rested elsewhere opens its own store alone."""
    vault = _vault.parse(_vault.seal(sealing(), 0, ENTRIES))

    with pytest.raises(PayloadDamagedError):
        _vault.open_payload(vault, os.urandom(32))


def test_a_cost_out_of_bounds_is_not_sealed() -> None:
    """A program cannot write what no reader would open."""
    with pytest.raises(UnsafeKdfError):
        _vault.new_sealing(PASSPHRASE, (8192, 1, 1))
