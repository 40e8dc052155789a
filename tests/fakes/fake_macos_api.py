"""The keychain of macOS, as keyring's module `keyring.backends.macOS.api` shows it.

A set is a delete and then an add, two steps: what comes between them loses the old value.
"""
# ruff: noqa: INP001, N818 - this folder is put on the path; the errors are named as there

from __future__ import annotations

import contextlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import fake_storage
from fake_faults import Kind, RefusedError, step

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEM_NOT_FOUND = -25300
DUPLICATE_ITEM = -25299
KEYCHAIN_DENIED = -128
AUTH_FAILED = -25293
PLIST_MISSING = -67030
INTERACTION_NOT_ALLOWED = -25308
NO_DEFAULT_KEYCHAIN = -25307
DISK_FULL = -34


class Error(Exception):
    """A call of macOS that failed: its status and a text."""

    @classmethod
    def raise_for_status(cls, status: int) -> None:
        """Raise the error of a status, unless it is a good one."""
        if status == 0:
            return
        if status == ITEM_NOT_FOUND:
            raise NotFound(status, "Item not found")
        if status == KEYCHAIN_DENIED:
            raise KeychainDenied(status, "Keychain Access Denied")
        if status in {AUTH_FAILED, PLIST_MISSING}:
            raise SecAuthFailure(
                status,
                "Security Auth Failure: make sure executable is signed with codesign util",
            )
        raise cls(status, "Unknown Error")


class NotFound(Error):
    """There is no such item."""


class KeychainDenied(Error):
    """Somebody was asked and refused."""


class SecAuthFailure(Error):
    """The password was wrong, or the program is not signed as it should be."""


def find_generic_password(
    kc_name: str | None,
    service: str,
    username: str,
    not_found_ok: bool = False,  # noqa: FBT001, FBT002  as there
) -> str | None:
    """The value of an item. Raises NotFound if there is none, unless that is ok."""
    del kc_name
    with _call("read", ITEM_NOT_FOUND if not_found_ok else 0):
        state = fake_storage.read(fake_storage.keychain())
        value = _accounts(state, service).get(_c_string(username))
        if value is None:
            raise RefusedError(ITEM_NOT_FOUND)
        return bytes.fromhex(value).decode()
    return None


def set_generic_password(name: str | None, service: str, username: str, password: str) -> None:
    """Delete the item, if there is one, and add it anew."""
    with contextlib.suppress(NotFound):
        delete_generic_password(name, service, username)
    # Only now, as there: a password that UTF-8 cannot have costs the old one.
    value = password.encode().split(b"\0", 1)[0]
    with _call("write") as wanted:
        if wanted:
            with fake_storage.changing(fake_storage.keychain()) as state:
                accounts = _accounts(state, service)
                if _c_string(username) in accounts:
                    raise RefusedError(DUPLICATE_ITEM)
                accounts[_c_string(username)] = value.hex()


def delete_generic_password(name: str | None, service: str, username: str) -> None:
    """Delete an item. Raises NotFound if there is none."""
    del name
    with _call("delete") as wanted:
        if wanted:
            with fake_storage.changing(fake_storage.keychain()) as state:
                accounts = _accounts(state, service)
                if accounts.pop(_c_string(username), None) is None:
                    raise RefusedError(ITEM_NOT_FOUND)
                if not accounts:
                    del state["macos"][_c_string(service)]


@contextmanager
def _call(kind: Kind, fine: int = 0) -> Iterator[bool]:
    """One call of macOS; see `fake_faults.step`. Raises its error unless `fine` is it."""
    status = 0
    try:
        with step(kind) as wanted:
            yield wanted
    except RefusedError as refused:
        status = refused.number
    if status != fine:
        Error.raise_for_status(status)


def _accounts(state: dict[str, dict[str, dict[str, str]]], service: str) -> dict[str, str]:
    return state.setdefault("macos", {}).setdefault(_c_string(service), {})


def _c_string(text: str) -> str:
    """Each string crosses as one that ends at its first NUL, and has to be Unicode."""
    return text.encode().split(b"\0", 1)[0].decode()
