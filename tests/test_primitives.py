"""Published vectors, run against the primitives of the sealed format; see `primitives`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from argon2.low_level import Type, core, ffi
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent / "primitives"


def load(name: str) -> Any:  # noqa: ANN401  whatever the file holds
    return json.loads((FOLDER / name).read_bytes())


def wycheproof(name: str) -> Iterator[tuple[dict[str, int], dict[str, Any]]]:
    """Each test of a file, after the sizes of its group."""
    return ((group, test) for group in load(name)["testGroups"] for test in group["tests"])


def unhex(test: dict[str, Any], *fields: str) -> list[bytes]:
    return [bytes.fromhex(test[field]) for field in fields]


def test_aes_gcm() -> None:
    """Each sound test of Wycheproof seals and opens, and each altered one does not open."""
    ran: Counter[tuple[int, int, str]] = Counter()
    refused: Counter[tuple[int, str]] = Counter()
    for group, test in wycheproof("aes_gcm_test.json"):
        key, nonce, aad, plain, body, tag = unhex(test, "key", "iv", "aad", "msg", "ct", "tag")
        aes, sealed, case = AESGCM(key), body + tag, f"tcId {test['tcId']}"
        if not 8 <= len(nonce) <= 128:
            refused[group["ivSize"], test["result"]] += 1
            with pytest.raises(ValueError, match="between 8 and 128 bytes"):
                aes.encrypt(nonce, plain, aad)
            with pytest.raises(ValueError, match="between 8 and 128 bytes"):
                aes.decrypt(nonce, sealed, aad)
            continue
        ran[group["keySize"], group["ivSize"], test["result"]] += 1
        assert (aes.encrypt(nonce, plain, aad) == sealed) == (test["result"] == "valid"), case
        try:
            opened = aes.decrypt(nonce, sealed, aad)
        except InvalidTag:
            assert test["result"] == "invalid", case
        else:
            assert (test["result"], opened) == ("valid", plain), case

    # What the format uses: a key of 256 bits, a nonce of 96. Every tag has 128.
    assert (ran[256, 96, "valid"], ran[256, 96, "invalid"]) == (39, 27)
    # Other sizes, which the format does not use and AESGCM takes.
    assert ran.total() == 66 + 217
    # Nonces that AESGCM takes neither to seal nor to open; only the empty one is invalid.
    assert refused == {
        (0, "invalid"): 6,
        (8, "valid"): 6,
        (16, "valid"): 6,
        (32, "valid"): 6,
        (48, "valid"): 6,
        (2056, "valid"): 3,
    }
    assert ran.total() + refused.total() == load("aes_gcm_test.json")["numberOfTests"] == 316


def test_hkdf_sha256() -> None:
    """Each test of Wycheproof gives its key, and too long a one is refused."""
    ran: Counter[str] = Counter()
    for _, test in wycheproof("hkdf_sha256_test.json"):
        key, salt, info, derived = unhex(test, "ikm", "salt", "info", "okm")
        ran[test["result"]] += 1
        if test["result"] == "invalid":
            with pytest.raises(ValueError, match="8160"):
                HKDF(SHA256(), test["size"], salt, info)
            continue
        # The format also derives without a salt, which stands as an empty one in the file.
        for same in {salt, salt or None}:
            result = HKDF(SHA256(), test["size"], same, info).derive(key)
            assert result == derived, f"tcId {test['tcId']}"

    assert ran == {"valid": 83, "invalid": 3}
    assert ran.total() == load("hkdf_sha256_test.json")["numberOfTests"]


def pointer(piece: bytes | bytearray) -> Any:  # noqa: ANN401  C data has no type here
    return ffi.from_buffer("uint8_t[]", piece)


def test_argon2id() -> None:
    """The C code that derives the root key gives the tag of RFC 9106, section 5.3.

    `hash_secret_raw` takes neither a secret nor associated data; what it calls does.
    """
    test = load("argon2id_rfc9106.json")
    pieces = unhex(test, "password", "salt", "secret", "associated_data", "tag")
    password, salt, secret, associated, tag = pieces
    out = bytearray(len(tag))
    context = ffi.new("argon2_context *")
    context.version = test["version"]
    context.m_cost, context.t_cost = test["memory_kib"], test["passes"]
    context.lanes = context.threads = test["lanes"]
    # The context only points to these; the names above keep them alive.
    context.pwd, context.pwdlen = pointer(password), len(password)
    context.salt, context.saltlen = pointer(salt), len(salt)
    context.secret, context.secretlen = pointer(secret), len(secret)
    context.ad, context.adlen = pointer(associated), len(associated)
    context.out, context.outlen = pointer(out), len(out)

    code = core(context, Type.ID.value)

    assert code == 0
    assert out == tag
