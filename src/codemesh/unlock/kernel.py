"""The kernel's keyring of this user (keyrings(7)): where an unlocked key rests on Linux.

The kernel keeps it in memory that is never swapped out, forgets it on time and at a reboot,
and shows it to no other user. It is asked by two system calls, through ctypes: the library
that wraps them, libkeyutils, is not everywhere.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

from codemesh.errors import BackendUnavailableError, StorageError

assert sys.platform == "linux"  # noqa: S101  the form that type checkers understand

_TYPE = b"user"
_PREFIX = "codemesh:"
_LONGEST = 32_767  # bytes of a key of type `user`

# add_key(2) and keyctl(2), by machine; where it is not named, the generic numbers hold.
_NUMBERS = {
    "x86_64": (248, 250),
    "i386": (286, 288),
    "arm": (309, 311),
    "ppc64le": (269, 271),
    "s390x": (278, 280),
}
_GENERIC = (217, 219)
_NARROW = {"x86_64": "i386", "aarch64": "arm"}  # what a 32-bit program there is

_THREAD_KEYRING = -1
_USER_KEYRING = -4
_SETPERM, _LINK, _UNLINK, _SEARCH, _READ, _SET_TIMEOUT, _INVALIDATE = 5, 8, 9, 10, 11, 15, 21
# All for whoever holds it, and all for the user. By default only its holder may read a key,
# and a session that su, systemd or cron began holds another keyring than the one that unlocked.
_OURS = 0x3F3F0000

_ABSENT = {errno.ENOKEY, errno.EKEYEXPIRED, errno.EKEYREVOKED, errno.ENOTDIR}
_REFUSED = {errno.EPERM, errno.ENOSYS, errno.EACCES}


class KernelKeyring:
    """Short secrets by name in the keyring of this user, each with an end of its own."""

    title = "the kernel's keyring"

    def __init__(self) -> None:
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long
        self._add_key, self._keyctl = _numbers()

    def find(self, name: str) -> bytes | None:
        """What rests under a name; None if nothing does, or the system refuses to look."""
        try:
            key = self._search(name)
            buffer = ctypes.create_string_buffer(_LONGEST)
            size = self._control(_READ, key, buffer, len(buffer))
        except OSError:
            return None
        return buffer.raw[:size]

    def keep(self, name: str, secret: bytes, seconds: float) -> None:
        """Let a secret rest under a name for so many seconds, in place of what did.

        A kill leaves the old one, or the new one with its end: it is made in a keyring that
        dies with this thread, and only then shown to the user's.

        Raises:
            BackendUnavailableError: the system has no such keyring, or refuses it.
            StorageError: the keyring is full, or was revoked.

        """
        try:
            arguments = (_TYPE, _described(name), secret, len(secret), _THREAD_KEYRING)
            key = self._call(self._add_key, *arguments)
            try:
                self._control(_SETPERM, key, _OURS)
                self._control(_SET_TIMEOUT, key, max(1, round(seconds)))
                self._control(_LINK, key, _USER_KEYRING)
            finally:
                self._control(_UNLINK, key, _THREAD_KEYRING)
        except OSError as error:
            raise _explained(error) from None

    def drop(self, name: str) -> bool:
        """Forget what rests under a name, wherever it is linked. Returns whether anything did.

        Raises StorageError if it is there and stays.
        """
        try:
            key = self._search(name)
        except OSError as error:
            if error.errno in _ABSENT | _REFUSED:
                return False
            raise _explained(error) from None
        try:
            self._control(_INVALIDATE, key)
        except OSError as error:
            if error.errno in _ABSENT:
                return False
            raise StorageError(
                f"the key stays in {self.title}: {error.strerror}",
                hint="Remove it: keyctl purge user " + _described(name).decode(),
            ) from None
        return True

    def _search(self, name: str) -> int:
        return self._control(_SEARCH, _USER_KEYRING, _TYPE, _described(name), 0)

    def _control(self, operation: int, *arguments: object) -> int:
        return self._call(self._keyctl, operation, *arguments)

    def _call(self, number: int, *arguments: object) -> int:
        # Without a width of its own, ctypes would hand a number over as 32 bits.
        wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
        result = self._syscall(ctypes.c_long(number), *wide)
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return int(result)


def _numbers() -> tuple[int, int]:
    machine = os.uname().machine
    if sys.maxsize < 2**32:
        machine = _NARROW.get(machine, machine)
    if machine.startswith("armv"):
        machine = "arm"
    elif machine in {"i486", "i586", "i686"}:
        machine = "i386"
    return _NUMBERS.get(machine, _GENERIC)


def _described(name: str) -> bytes:
    return (_PREFIX + name).encode("ascii")


def _explained(error: OSError) -> BackendUnavailableError | StorageError:
    """What a refusal of the kernel means, and what to do."""
    instead = (
        "Give the passphrase at each command, as by CODEMESH_PASSPHRASE_FILE, or let the key rest "
        "in the keychain: codemesh config set backends.encrypted.unlock_cache keychain"
    )
    if error.errno in _REFUSED:
        return BackendUnavailableError(
            f"the kernel's keyring is closed here, as in many containers: {error.strerror}",
            hint=instead,
        )
    if error.errno == errno.EDQUOT:
        return StorageError(
            "the kernel's keyring of this user is full",
            hint="The store is as locked as it was. See what fills it: keyctl show @u",
        )
    if error.errno in _ABSENT:
        return StorageError(
            f"the kernel's keyring of this user cannot be used: {error.strerror}",
            hint=f"The store is as locked as it was. {instead}",
        )
    return StorageError(
        f"the kernel's keyring took no key: {error.strerror}",
        hint=f"The store is as locked as it was. {instead}",
    )
