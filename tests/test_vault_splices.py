"""Documents put together from true pieces, and ciphertexts that open under two keys.

Each piece here is authentic where it comes from. Only the bindings of the format, from
every part to every other, can tell.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from codemesh.backends import _vault, _vaultjson
from codemesh.backends._kdf import PROFILES, Kdf
from codemesh.errors import (
    CodemeshError,
    PayloadDamagedError,
    WrapDamagedError,
    WrongPassphraseError,
)
from vaults import PASSPHRASE, root_of, sealing

if TYPE_CHECKING:
    from codemesh.backends._vault import Sealing, Vault

OTHER = "another passphrase"
ENTRIES = {"openai": {"type": "api_key", "key": "sk-marked"}}
NONCE = bytes(12)


def vault_of(of: Sealing, revision: int = 7) -> Vault:
    return _vault.parse(_vault.seal(of, revision, ENTRIES))


def open_spliced(vault: Vault, passphrase: str = PASSPHRASE) -> object:
    """Write the document out and open it from its bytes, as a reader of the file would."""
    parsed = _vault.parse(_vaultjson.serialise(vault))
    return _vault.open_payload(parsed, _vault.unwrap(parsed, root_of(passphrase, parsed.kdf)))


# -- pieces of other documents -----------------------------------------------------


def test_unspliced_opens() -> None:
    """The pieces used below are sound where they come from."""
    assert open_spliced(vault_of(sealing())) == ENTRIES
    assert open_spliced(vault_of(sealing(1))) == ENTRIES


@pytest.mark.parametrize("fields", [("payload_salt", "commit", "data"), ("data",), ("commit",)])
@pytest.mark.parametrize("source", ["other store", "older copy"])
def test_payload_belongs_to_one_document(source: str, fields: tuple[str, ...]) -> None:
    """A payload of another store, or of an older copy, does not open here."""
    vault = vault_of(sealing())
    donor = vault_of(sealing(1)) if source == "other store" else vault_of(sealing(), 6)

    spliced = vault._replace(**{field: getattr(donor, field) for field in fields})

    with pytest.raises(PayloadDamagedError):
        open_spliced(spliced)


@pytest.mark.parametrize("revision", [0, 6, 8, 2**53 - 1])
def test_revision_is_authentic(revision: int) -> None:
    """A copy cannot be passed off as an older or a newer one."""
    with pytest.raises(PayloadDamagedError):
        open_spliced(vault_of(sealing())._replace(revision=revision))


@pytest.mark.parametrize("field", ["m", "t", "p", "salt"])
def test_kdf_is_authentic(field: str) -> None:
    """Parameters edited within bounds fail at the passphrase, and with a resting key too."""
    vault = vault_of(sealing())
    m, t, p, salt = vault.kdf
    edited = {"m": (m + 1, t, p, salt), "t": (m, t + 1, p, salt), "p": (m, t, p + 1, salt)}
    spliced = vault._replace(kdf=Kdf(*edited.get(field, (m, t, p, os.urandom(16)))))

    with pytest.raises(WrongPassphraseError):
        open_spliced(spliced)
    with pytest.raises(PayloadDamagedError):
        _vault.open_payload(spliced, sealing().data_key)


@pytest.mark.parametrize("field", ["id", "check", "wrapped_key"])
def test_header_is_authentic_to_a_resting_key(field: str) -> None:
    """Without the passphrase, the data key alone still notices an altered header."""
    donor = vault_of(sealing(1))
    spliced = vault_of(sealing())._replace(**{field: getattr(donor, field)})

    with pytest.raises(PayloadDamagedError):
        _vault.open_payload(spliced, sealing().data_key)


def test_id_is_bound_to_the_wrap() -> None:
    """A wrap does not open under the id of another store."""
    with pytest.raises(WrapDamagedError):
        open_spliced(vault_of(sealing())._replace(id=sealing(1).id))


def test_wrap_of_an_older_copy() -> None:
    """After a new passphrase that keeps the data key, the old passphrase's wrap is no use."""
    of = sealing()
    renewed = _vault.new_sealing(OTHER, PROFILES["floor"], store_id=of.id, data_key=of.data_key)
    assert open_spliced(vault_of(renewed, 8), OTHER) == ENTRIES

    spliced = vault_of(renewed, 8)._replace(kdf=of.kdf, check=of.check, wrapped_key=of.wrapped_key)

    with pytest.raises(PayloadDamagedError):
        open_spliced(spliced)


@pytest.mark.parametrize("part", ["kdf", "check", "wrapped_key"])
def test_wraps_do_not_mix(part: str) -> None:
    """One part of the wrap of an older copy opens nothing under either passphrase."""
    of = sealing()
    renewed = _vault.new_sealing(OTHER, PROFILES["floor"], store_id=of.id, data_key=of.data_key)
    spliced = vault_of(renewed, 8)._replace(**{part: getattr(of, part)})

    for passphrase in (PASSPHRASE, OTHER):
        with pytest.raises(CodemeshError):
            open_spliced(spliced, passphrase)


# -- one ciphertext, two keys ------------------------------------------------------
#
# AES-GCM's tag is a polynomial over the blocks of the ciphertext, and its coefficients
# can be chosen: one block is enough to make the polynomials of two keys agree.


def product(x: int, y: int) -> int:
    """Multiply in GF(2^128), bits in the order of NIST SP 800-38D, section 6.3."""
    result = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            result ^= y
        y = (y >> 1) ^ (0xE1 << 120 if y & 1 else 0)
    return result


def inverse(x: int) -> int:
    """The power 2^128 - 2, which is the inverse."""
    result = 1 << 127
    for bit in range(127, -1, -1):
        result = product(result, result)
        if bit:
            result = product(result, x)
    return result


def block(key: bytes, content: bytes) -> int:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block
    return int.from_bytes(encryptor.update(content), "big")


def ghash(key: int, aad: bytes, ciphertext: bytes) -> int:
    result = 0
    for part in (aad, ciphertext):
        padded = part + bytes(-len(part) % 16)
        for start in range(0, len(padded), 16):
            piece = int.from_bytes(padded[start : start + 16], "big")
            result = product(result ^ piece, key)
    return product(result ^ (len(aad) * 8 << 64 | len(ciphertext) * 8), key)


def two_key_ciphertext(one: bytes, two: bytes, aad: bytes, size: int) -> bytes:
    """A ciphertext of `size` bytes and a tag that AES-GCM opens under both keys."""
    first = os.urandom(size - 16)
    hash_keys = [block(key, bytes(16)) for key in (one, two)]
    masks = [block(key, NONCE + b"\0\0\0\1") for key in (one, two)]
    tags = [
        mask ^ ghash(key, aad, first + bytes(16))
        for key, mask in zip(hash_keys, masks, strict=True)
    ]
    squares = [product(key, key) for key in hash_keys]
    last = product(tags[0] ^ tags[1], inverse(squares[0] ^ squares[1]))
    ciphertext = first + last.to_bytes(16, "big")
    tag = masks[0] ^ ghash(hash_keys[0], aad, ciphertext)
    return ciphertext + tag.to_bytes(16, "big")


def test_check_refuses_a_wrap_of_two_keys() -> None:
    """A wrap that AES-GCM opens under two passphrases opens under the committed one alone."""
    of = sealing()
    context = _vault._wrap_context(of.id, of.kdf)
    one, two = (
        _vault._hkdf(root_of(passphrase, of.kdf), None, _vault._KEK_INFO)[:32]
        for passphrase in (PASSPHRASE, OTHER)
    )
    wrapped_key = two_key_ciphertext(one, two, context, 32)
    data_keys = [AESGCM(key).decrypt(NONCE, wrapped_key, context) for key in (one, two)]
    assert data_keys[0] != data_keys[1]

    forged = of._replace(wrapped_key=wrapped_key, data_key=data_keys[0])

    assert open_spliced(vault_of(forged)) == ENTRIES
    with pytest.raises(WrongPassphraseError):
        open_spliced(vault_of(forged), OTHER)


def test_commit_refuses_a_payload_of_two_keys() -> None:
    """A payload that AES-GCM opens under two data keys opens under the committed one alone."""
    vault = vault_of(sealing())
    data_keys = [sealing().data_key, os.urandom(32)]
    keys = [
        _vault._hkdf(
            key,
            vault.payload_salt,
            _vault._payload_context(_vault.sealing_of(vault, key), vault.revision),
        )
        for key in data_keys
    ]
    data = two_key_ciphertext(keys[0][:32], keys[1][:32], b"", 1024)
    assert all(AESGCM(key[:32]).decrypt(NONCE, data, None) for key in keys)

    forged = vault._replace(data=data, commit=keys[1][32:])

    with pytest.raises(PayloadDamagedError, match="does not belong to this key"):
        _vault.open_payload(forged, data_keys[0])
