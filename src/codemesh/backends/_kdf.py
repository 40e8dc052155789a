"""From a passphrase to a key: Argon2id (RFC 9106) and the bounds on its cost.

The cost stands in the file, so a stranger may have written it. It is checked before
any memory is taken: a file can neither make codemesh eat the machine's memory nor
talk it into a key that is cheap to guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from codemesh.errors import StorageError, UnsafeKdfError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

SALT_BYTES = 16
ROOT_BYTES = 32
NAME = "argon2id"
VERSION = 19  # 0x13, the Argon2 of RFC 9106

_MEMORY = range(19_456, 2_097_152 + 1)
_TIME = range(1, 16 + 1)
_LANES = range(1, 16 + 1)
_WORK = range(38_912, 4_194_304 + 1)
_POLL = 0.05
"""Seconds after which a wait for the derivation notices Ctrl-C, where waits are deaf."""


class Cost(NamedTuple):
    """What one derivation costs: memory in KiB, passes over it, lanes."""

    m: int
    t: int
    p: int


class Kdf(NamedTuple):
    """The key derivation of one store: a cost, and a salt of 16 bytes."""

    m: int
    t: int
    p: int
    salt: bytes


PROFILES = {
    # RFC 9106, section 4, the second recommended option: 64 MiB.
    "default": Cost(65_536, 3, 4),
    # The same passes and lanes over four times the memory.
    "strong": Cost(262_144, 3, 4),
    # The least that the format allows, which is OWASP's minimum of 19 MiB and two
    # passes. For tests alone; config.toml does not know it.
    "floor": Cost(19_456, 2, 1),
}
"""Costs by name; `default` and `strong` are offered to users."""


def check_bounds(kdf: Kdf) -> None:
    """Refuse parameters that are too cheap to be safe or too dear to be tried.

    Raises:
        UnsafeKdfError: one of them, or two together, are outside the format's bounds.

    """
    m, t, p, salt = kdf
    for name, value, bounds in (("m", m, _MEMORY), ("t", t, _TIME), ("p", p, _LANES)):
        if value not in bounds:
            raise UnsafeKdfError(f"kdf.{name} is outside {bounds.start} to {bounds.stop - 1}")
    if m < 8 * p:  # Unreachable while the least m is over 8 times the most p; RFC 9106, 3.1.
        raise UnsafeKdfError("kdf.m is less than 8 times kdf.p")
    if m * t not in _WORK:
        raise UnsafeKdfError(f"kdf.m times kdf.t is outside {_WORK.start} to {_WORK.stop - 1}")
    if len(salt) != SALT_BYTES:
        raise UnsafeKdfError(f"kdf.salt is not {SALT_BYTES} bytes")


def raised(cost: Cost, kdf: Kdf) -> Cost:
    """The cost of a new wrap: `cost`, but in nothing cheaper than the old `kdf`.

    Where both together pass the upper bound, the old parameters stay as they are:
    only a store that already costs more than any profile gets there.
    """
    both = Cost(max(cost.m, kdf.m), max(cost.t, kdf.t), max(cost.p, kdf.p))
    return both if both.m * both.t in _WORK else Cost(kdf.m, kdf.t, kdf.p)


def derive_root(passphrase: str, kdf: Kdf) -> bytes:
    """Derive the 32-byte root key of a store: Argon2id version 0x13 (RFC 9106).

    The passphrase counts in Unicode NFC, as UTF-8, so that it is the same on every
    keyboard. Ctrl-C ends the wait at once.

    Raises:
        UnsafeKdfError: the parameters are out of bounds; no memory was taken.
        UsageError: the passphrase is empty, or no valid Unicode text.
        StorageError: the system has not the memory; a cheaper derivation is never tried.

    """
    check_bounds(kdf)
    secret = _encoded(passphrase)

    # Loaded here, because a store that is already unlocked needs no Argon2.
    from argon2.exceptions import HashingError
    from argon2.low_level import Type, hash_secret_raw

    m, t, p, salt = kdf
    try:
        return _interruptible(
            lambda: hash_secret_raw(secret, salt, t, m, p, ROOT_BYTES, Type.ID, VERSION)
        )
    except (HashingError, MemoryError) as error:
        raise StorageError(
            f"not enough memory to derive the key, which takes {m // 1024} MiB"
        ) from error


def _interruptible(call: Callable[[], bytes]) -> bytes:
    """Return or raise what `call` does, and let Ctrl-C in meanwhile.

    Python delivers Ctrl-C between two of its own steps, and Argon2 is one long step. So
    it runs in a daemon thread: an interrupted caller leaves it, and it dies with the
    process.
    """
    from threading import Thread

    done: list[bytes] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(call())
        except BaseException as error:  # noqa: BLE001  raised again in the thread that waits
            failed.append(error)

    thread = Thread(target=work, name="codemesh-kdf", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise StorageError("the system starts no thread to derive the key in") from error
    while thread.is_alive():
        thread.join(_POLL)
    if failed:
        raise failed[0]
    return done[0]


def _encoded(passphrase: str) -> bytes:
    if not passphrase:
        raise UsageError("the passphrase is empty")
    if not passphrase.isascii():
        from unicodedata import normalize

        passphrase = normalize("NFC", passphrase)
    try:
        return passphrase.encode("utf-8")
    except UnicodeEncodeError:
        pass  # This error holds the passphrase, so ours is raised without it.
    raise UsageError("the passphrase is not valid Unicode text")
