"""Where the key of an unlocked store rests: the kernel's keyring, or the OS keychain."""

from __future__ import annotations

import sys
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING

from codemesh.checks import UNLOCKED_SERVICE
from codemesh.errors import BackendUnavailableError, CodemeshError

if TYPE_CHECKING:
    from collections.abc import Callable

    from codemesh.backends.context import KeychainItems, RestingPlace


PLACES = ("kernel", "keychain")
"""The values of `unlock_cache` under which a key rests somewhere."""


def place(cache: str, keychain: Callable[[str], KeychainItems]) -> RestingPlace | None:
    """Where keys rest, by the value of `unlock_cache`; None for `none`.

    `kernel` means the keychain where the kernel is not Linux.
    """
    if cache == "none":
        return None
    if cache == "kernel" and sys.platform == "linux":
        from codemesh.unlock.kernel import KernelKeyring

        return KernelKeyring()
    return KeychainPlace(keychain)


class KeychainPlace:
    """Short secrets by name in the OS keychain, each with its end in itself.

    The keychain forgets nothing on time: whoever finds an old one drops it.
    """

    title = "the keychain"

    def __init__(self, keychain: Callable[[str], KeychainItems]) -> None:
        self._items = keychain(UNLOCKED_SERVICE)

    def find(self, name: str) -> bytes | None:
        """What rests under a name; None if nothing does, or the keychain does not answer."""
        try:
            text = self._items.read(name, ask=False)
        except CodemeshError:
            return None  # the passphrase opens the store as well
        if text is None:
            return None
        try:
            return a2b_base64(text.encode("ascii", "replace"))
        except Base64Error:
            return b""  # nothing of ours, to be dropped

    def keep(self, name: str, secret: bytes, seconds: float) -> None:
        """Let a secret rest under a name, in place of what did; its end is within it."""
        del seconds
        try:
            self._items.write(name, b2a_base64(secret, newline=False).decode("ascii"))
        except BackendUnavailableError as error:
            error.hint = "See backends.encrypted.unlock_cache for where else a key can rest."
            raise

    def drop(self, name: str) -> bool:
        """Forget what rests under a name. Returns whether anything did."""
        return self._items.remove(name)
