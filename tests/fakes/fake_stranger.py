"""A keychain that nobody told codemesh of: `fake_stranger.Keyring`, in the items of macOS.

It deletes and adds, as that of macOS does, takes no more than 1,280 bytes, and raises
errors of its own. It lies in the same place, so a test sees its items in the same way.
"""
# ruff: noqa: INP001 - this folder is put on the path; it is no package

from __future__ import annotations

from typing import ClassVar

import fake_macos_api
from keyring.backend import KeyringBackend

_LONGEST = 1280


class StrangeError(Exception):
    """It has no idea of the keyring library's errors."""


class Keyring(KeyringBackend):
    """A class of its own, with the methods that the keyring library asks for."""

    priority: ClassVar[float] = 1

    def get_password(self, service: str, username: str) -> str | None:
        """The value of an item."""
        return fake_macos_api.find_generic_password(None, service, username, not_found_ok=True)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Delete the item, if there is one, and add it anew."""
        if len(password.encode()) > _LONGEST:
            raise StrangeError(f"no more than {_LONGEST} bytes")
        fake_macos_api.set_generic_password(None, service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        """Delete an item."""
        fake_macos_api.delete_generic_password(None, service, username)
