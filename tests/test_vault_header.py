"""The header of the sealed document: cheap checks first, in their order, and no bombs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from functools import partial

import pytest

from codemesh.backends import _vault
from codemesh.errors import CodemeshError, NewerVersionError, NotAVaultError, UnsafeKdfError
from support import quick_once
from vaults import sealing

RAW = _vault.seal(sealing(), 0, {"openai": {"type": "api_key", "key": "sk-marked"}})


def with_kdf(**fields: object) -> bytes:
    """A document whose key derivation was edited."""
    document = json.loads(RAW)
    document["kdf"] |= fields
    return json.dumps(document, indent=2).encode() + b"\n"


def test_newer_version_is_told_before_its_shape() -> None:
    """Whatever a later version looks like, it is called newer and not damaged."""
    with pytest.raises(NewerVersionError):
        _vault.parse(b'{"version": 2, "format": "codemesh-vault", "keys": []}')


def test_line_ends_of_windows_are_accepted() -> None:
    """CR LF is read as LF; a lone CR is not."""
    assert _vault.parse(RAW.replace(b"\n", b"\r\n")) == _vault.parse(RAW)

    with pytest.raises(NotAVaultError):
        _vault.parse(RAW.replace(b"\n", b"\r"))


BOMB = RAW.replace(b'"m": 19456', b'"m": 4294967295')
FIRST_FAULTS: dict[str, tuple[bytes, type[CodemeshError]]] = {
    "not JSON": (BOMB[:-2], NotAVaultError),
    "other format": (BOMB.replace(b"codemesh-vault", b"codemesh-fault"), NotAVaultError),
    "newer version": (BOMB.replace(b'"version": 1', b'"version": 2'), NewerVersionError),
    "no such version": (BOMB.replace(b'"version": 1', b'"version": 0'), NotAVaultError),
    "key order": (BOMB.replace(b'"t": 2,\n    "p": 1', b'"p": 1,\n    "t": 2'), NotAVaultError),
    "bool": (BOMB.replace(b'"p": 1', b'"p": true'), NotAVaultError),
    "float": (BOMB.replace(b'"p": 1', b'"p": 1.0'), NotAVaultError),
    "base64": (BOMB.replace(b'"\n  }\n}\n', b'="\n  }\n}\n'), NotAVaultError),
    "revision": (BOMB.replace(b'"revision": 0', b'"revision": -1'), NotAVaultError),
    "none but the bomb": (BOMB, UnsafeKdfError),
    "spelling comes later": (BOMB + b"\n", UnsafeKdfError),
}


@pytest.mark.parametrize(("raw", "error"), FIRST_FAULTS.values(), ids=FIRST_FAULTS.keys())
def test_the_first_fault_is_told(raw: bytes, error: type[CodemeshError]) -> None:
    """Of two faults the one that the format checks first decides; bounds come late."""
    with pytest.raises(error) as caught:
        _vault.parse(raw)

    assert type(caught.value) is error


BOMBS: list[dict[str, object]] = [
    {"m": 2**32 - 1}, {"m": 2**64 + 19_456}, {"t": 2**31}, {"p": 65_535}, {"m": -19_456},
    {"m": True}, {"t": True}, {"p": True}, {"m": 19_456.0}, {"t": 2.0}, {"p": 1.0},
    {"m": "19456"}, {"m": "1e9"}, {"t": None}, {"p": [1]}, {"m": {}}, {"m": 10**4000},
]  # fmt: skip


@pytest.mark.parametrize("fields", BOMBS, ids=str)
def test_kdf_bombs_are_refused_by_parsing(fields: dict[str, object]) -> None:
    """Parameters of a stranger are refused before a passphrase is even asked for."""
    with pytest.raises((UnsafeKdfError, NotAVaultError)):
        _vault.parse(with_kdf(**fields))


def test_kdf_bombs_are_refused_quickly() -> None:
    """No bomb takes 50 ms to refuse."""

    def refuse(raw: bytes) -> float:
        start = time.perf_counter()
        with pytest.raises((UnsafeKdfError, NotAVaultError)):
            _vault.parse(raw)
        return time.perf_counter() - start

    for fields in BOMBS:
        assert quick_once(0.05, partial(refuse, with_kdf(**fields)))


CHILD = """
import resource, sys
from codemesh.backends import _kdf, _vault
from codemesh.errors import CodemeshError
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, refused = peak(), 0
for raw in sys.stdin.buffer.read().split(b"\\0"):
    try:
        vault = _vault.parse(raw)
        _kdf.derive_root("passphrase", vault.kdf)
    except CodemeshError:
        refused += 1
print(refused, (peak() - before) // (1024 if sys.platform == "darwin" else 1))
"""


@pytest.mark.skipif(os.name == "nt", reason="needs getrusage")
def test_kdf_bombs_take_no_memory() -> None:
    """A process that is fed every bomb grows by less than 50 MiB."""
    bombs = [with_kdf(**fields) for fields in BOMBS]

    result = subprocess.run(
        [sys.executable, "-c", CHILD], input=b"\0".join(bombs), capture_output=True, check=True
    )

    refused, grown = map(int, result.stdout.split())
    assert refused == len(BOMBS)
    assert grown < 50 * 1024


@pytest.mark.parametrize(
    "fields", [{"name": 0}, {"name": None}, {"name": []}, {"name": "scrypt", "v": "19"}]
)
def test_a_wrong_type_comes_before_a_wrong_algorithm(fields: dict[str, object]) -> None:
    """What has not the types of the format is no vault, whatever else it says."""
    with pytest.raises(NotAVaultError):
        _vault.parse(with_kdf(**fields))
