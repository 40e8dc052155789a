"""What codemesh writes and what its vectors say, judged by a reader of other hands."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import independent_reader
from codemesh import strictjson
from codemesh.backends import _vault
from codemesh.backends._kdf import PROFILES
from strategies import stores
from vaults import PASSPHRASE, VECTORS, read_vector, sealing

ENTRIES = {"openai": {"type": "api_key", "key": "sk-marked"}}


@pytest.mark.parametrize("name", VECTORS)
def test_vector(name: str) -> None:
    """A vector means the same to a reader that was written from the page alone."""
    header, raw = read_vector(name)
    try:
        plain = independent_reader.read(raw, header["passphrase"])
    except ValueError as error:
        result = str(error)
    else:
        result = "success"
        assert sha256(plain).hexdigest() == header["payload"]

    assert result == header["expect"]


@given(stores, st.integers(0, 2**53 - 1))
@example({}, 0)
@example({"n" * 255: {"long": "x" * 100_000}}, 2**53 - 1)
@settings(max_examples=50)
def test_a_written_store_opens_elsewhere(
    entries: dict[str, dict[str, object]], revision: int
) -> None:
    """Any records that codemesh seals are the same records to another reader."""
    raw = _vault.seal(sealing(), revision, entries)

    plain = independent_reader.read(raw, PASSPHRASE)

    assert plain == strictjson.canonical({"entries": entries})


@pytest.mark.parametrize("passphrase", ["x", " two ends ", "cafe\u0301 \ufb01", "\U0001f511" * 40])
def test_a_passphrase_means_the_same_elsewhere(passphrase: str) -> None:
    """A passphrase of any script, with blanks or marks, opens the store in another reader."""
    raw = _vault.seal(_vault.new_sealing(passphrase, PROFILES["floor"]), 0, ENTRIES)

    plain = independent_reader.read(raw, passphrase)

    assert plain == strictjson.canonical({"entries": ENTRIES})


def test_the_reader_shares_no_code() -> None:
    """The reader runs without a module of codemesh, and without argon2-cffi."""
    program = "import independent_reader, sys; print(*sys.modules)"
    tests = Path(independent_reader.__file__).parent

    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tests, capture_output=True, text=True, check=True
    )

    rooms = {name.partition(".")[0] for name in result.stdout.split()}
    assert {"independent_reader", "Crypto", "cryptography"} <= rooms
    assert not rooms & {"codemesh", "argon2", "_argon2_cffi_bindings", "vaults"}
