"""The published vectors of the encrypted store; `vectors/v1/README.md` tells their layout."""

from __future__ import annotations

from hashlib import sha256

import pytest

from codemesh import strictjson
from codemesh.errors import (
    CodemeshError,
    NewerVersionError,
    NotAVaultError,
    PayloadDamagedError,
    UnsafeKdfError,
    WrapDamagedError,
    WrongPassphraseError,
)
from vaults import VECTOR_FOLDER, VECTORS, open_all, read_vector

FAILURES: dict[type[CodemeshError], str] = {
    NotAVaultError: "not-a-vault",
    NewerVersionError: "newer-version",
    UnsafeKdfError: "unsafe-kdf",
    WrongPassphraseError: "wrong-passphrase",
    WrapDamagedError: "wrap-damaged",
    PayloadDamagedError: "payload-damaged",
}


@pytest.mark.parametrize("name", VECTORS)
def test_vector(name: str) -> None:
    """A vector opens to the plaintext that it names, or fails in the way that it names."""
    header, raw = read_vector(name)
    try:
        plain = strictjson.canonical({"entries": open_all(raw, header["passphrase"])})
    except CodemeshError as error:
        result = FAILURES[type(error)]
    else:
        result = "success"
        assert sha256(plain).hexdigest() == header["payload"]

    assert result == header["expect"]


def test_vectors_are_all_there() -> None:
    """Every class is covered, and no checkout has changed the line ends of a vector."""
    headers = [read_vector(name)[0] for name in VECTORS]

    assert {header["expect"] for header in headers} == {"success", *FAILURES.values()}
    assert len(VECTORS) == 188
    assert b"\r\n" in (VECTOR_FOLDER / "success_crlf").read_bytes()
    assert b"\r" not in (VECTOR_FOLDER / "success_floor").read_bytes()
