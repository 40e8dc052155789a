"""The key derivation: bounds before memory, one key for one passphrase, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import unicodedata

import argon2.low_level
import pytest
from argon2.exceptions import HashingError

from codemesh.backends import _kdf
from codemesh.backends._kdf import PROFILES, Cost, Kdf
from codemesh.errors import StorageError, UnsafeKdfError, UsageError
from support import TELL_DERIVING, quick_once

SALT = bytes(range(16))
FLOOR = Kdf(*PROFILES["floor"], SALT)

IN_BOUNDS = [
    (19_456, 2, 1),
    (38_912, 1, 16),
    (2_097_152, 1, 4),
    (2_097_152, 2, 16),
    (262_144, 16, 4),
]
BOMBS = [
    (2**32 - 1, 1, 1),
    (2**64 + 65_536, 3, 4),
    (65_536, 2**31, 4),
    (65_536, 3, 65_535),
    (2_097_153, 1, 1),
    (2_097_152, 3, 4),
    (262_145, 16, 4),
    (65_536, 17, 4),
    (65_536, 3, 17),
    (19_455, 3, 1),
    (19_456, 1, 1),
    (38_911, 1, 1),
    (-65_536, 3, 4),
    (65_536, -3, 4),
    (65_536, 3, -4),
    (0, 3, 4),
    (65_536, 0, 4),
    (65_536, 3, 0),
]


@pytest.fixture
def no_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if Argon2 is run at all."""

    def run(*_args: object) -> bytes:
        pytest.fail("Argon2 was run")

    monkeypatch.setattr(argon2.low_level, "hash_secret_raw", run)


@pytest.mark.parametrize("cost", [*IN_BOUNDS, *PROFILES.values()])
def test_bounds_admit_their_edges(
    cost: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every edge of the format and every profile gets as far as Argon2, as it is."""
    asked: list[tuple[object, ...]] = []

    def run(_secret: bytes, _salt: bytes, t: int, m: int, p: int, *_rest: object) -> bytes:
        asked.append((m, t, p))
        return SALT * 2

    monkeypatch.setattr(argon2.low_level, "hash_secret_raw", run)

    assert _kdf.derive_root("passphrase", Kdf(*cost, SALT)) == SALT * 2
    assert asked == [cost]


@pytest.mark.usefixtures("no_argon2")
@pytest.mark.parametrize("cost", BOMBS)
def test_out_of_bounds_is_refused_before_argon2(cost: tuple[int, int, int]) -> None:
    """A cost out of bounds is refused, and no memory is taken for it."""
    with pytest.raises(UnsafeKdfError):
        _kdf.derive_root("passphrase", Kdf(*cost, SALT))


@pytest.mark.usefixtures("no_argon2")
@pytest.mark.parametrize("length", [0, 8, 15, 17, 32])
def test_salt_has_16_bytes(length: int) -> None:
    """A salt of any other length is refused, although Argon2 would take it."""
    with pytest.raises(UnsafeKdfError):
        _kdf.derive_root("passphrase", Kdf(*PROFILES["floor"], bytes(length)))


def test_profiles() -> None:
    """The costs are those of the format; the cheapest is for tests."""
    assert PROFILES == {
        "default": (65_536, 3, 4),
        "strong": (262_144, 3, 4),
        "floor": (19_456, 2, 1),
    }


def test_derivation_is_argon2id() -> None:
    """The root key is what Argon2id gives for the bytes of the passphrase."""
    expected = argon2.low_level.hash_secret_raw(
        b"passphrase", SALT, 2, 19_456, 1, 32, argon2.low_level.Type.ID, 0x13
    )

    assert _kdf.derive_root("passphrase", FLOOR) == expected


def test_argon2id_published_vector() -> None:
    """The library gives the tag of RFC 9106, section 5.3, which uses a key and extra data."""
    ffi = argon2.low_level.ffi
    pieces = [ffi.new("uint8_t[]", bytes([n]) * size) for n, size in ((1, 32), (2, 16), (3, 8))]
    extra, out = ffi.new("uint8_t[]", bytes([4]) * 12), ffi.new("uint8_t[]", 32)
    context = ffi.new(
        "argon2_context *",
        {
            "out": out, "outlen": 32, "pwd": pieces[0], "pwdlen": 32, "salt": pieces[1],
            "saltlen": 16, "secret": pieces[2], "secretlen": 8, "ad": extra, "adlen": 12,
            "t_cost": 3, "m_cost": 32, "lanes": 4, "threads": 4, "version": 0x13,
            "allocate_cbk": ffi.NULL, "free_cbk": ffi.NULL, "flags": 0,
        },
    )  # fmt: skip

    status = argon2.low_level.core(context, argon2.low_level.Type.ID.value)

    assert status == 0
    assert bytes(ffi.buffer(out)).hex() == (
        "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    )


def test_unicode_forms_are_one_passphrase() -> None:
    """Composed and decomposed letters give one key; compatibility forms stay apart."""
    composed = unicodedata.normalize("NFC", "schlüssel café")
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed

    assert _kdf.derive_root(composed, FLOOR) == _kdf.derive_root(decomposed, FLOOR)
    assert _kdf.derive_root("\ufb03", FLOOR) != _kdf.derive_root("ffi", FLOOR)


@pytest.mark.usefixtures("no_argon2")
@pytest.mark.parametrize("passphrase", ["", "marked\udcff"])
def test_refuses_passphrases_without_bytes(passphrase: str) -> None:
    """An empty passphrase and a broken one are errors that do not carry it."""
    with pytest.raises(UsageError) as caught:
        _kdf.derive_root(passphrase, FLOOR)

    assert "marked" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("failure", [HashingError("Memory allocation error"), MemoryError()])
def test_failed_allocation_is_an_error(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """Without the memory there is no key; nothing cheaper is tried."""
    calls = []

    def run(*args: object) -> bytes:
        calls.append(args)
        raise failure

    monkeypatch.setattr(argon2.low_level, "hash_secret_raw", run)

    with pytest.raises(StorageError, match="not enough memory") as caught:
        _kdf.derive_root("passphrase", FLOOR)

    assert caught.value.__cause__ is failure
    assert len(calls) == 1


def test_other_errors_reach_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the thread is raised where the key was asked for."""

    def run(*_args: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(argon2.low_level, "hash_secret_raw", run)

    with pytest.raises(ZeroDivisionError):
        _kdf.derive_root("passphrase", FLOOR)


def test_derivation_does_not_keep_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is done in another thread, and in one that dies with the process."""
    threads = []

    def run(*_args: object) -> bytes:
        threads.append(threading.current_thread())
        return bytes(32)

    monkeypatch.setattr(argon2.low_level, "hash_secret_raw", run)

    _kdf.derive_root("passphrase", FLOOR)

    assert [thread.daemon for thread in threads] == [True]
    assert threads != [threading.current_thread()]


@pytest.mark.parametrize(
    ("cost", "old", "expected"),
    [
        ((65_536, 3, 4), (19_456, 2, 1), (65_536, 3, 4)),
        ((65_536, 3, 4), (262_144, 3, 4), (262_144, 3, 4)),
        ((65_536, 3, 4), (38_912, 16, 1), (65_536, 16, 4)),
        ((65_536, 3, 4), (2_097_152, 2, 1), (2_097_152, 2, 1)),
    ],
)
def test_a_new_wrap_is_never_cheaper(
    cost: tuple[int, int, int], old: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    """Each parameter is the larger of both, unless both together leave the bounds."""
    raised = _kdf.raised(Cost(*cost), Kdf(*old, SALT))

    assert raised == expected
    _kdf.check_bounds(Kdf(*raised, SALT))


CHILD = f"""
from codemesh.backends._kdf import PROFILES, Kdf, derive_root
derive_root("passphrase", Kdf(*PROFILES["floor"], bytes(16)))
{TELL_DERIVING}
m, t, p = PROFILES["strong"]
derive_root("passphrase", Kdf(m, 16, p, bytes(16)))
"""


@pytest.mark.skipif(os.name == "nt", reason="a console's Ctrl-C cannot be sent to one process")
def test_ctrl_c_ends_a_derivation() -> None:
    """A process in the middle of a derivation is gone 200 ms after Ctrl-C.

    The strong profile with the most passes, so that a wait for the end would show.
    """

    def interrupt() -> float:
        command = [sys.executable, "-c", CHILD]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "deriving\n"
            start = time.perf_counter()
            child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=60)
            taken = time.perf_counter() - start
        assert "KeyboardInterrupt" in errors
        return taken

    assert quick_once(0.2, interrupt)
