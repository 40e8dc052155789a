"""The Credential Manager of Windows, as pywin32-ctypes shows it: generic credentials only.

Limits are those of wincred.h. What Windows answers to more was observed on Windows 10: a
blob that is too long is bad data to the stub (1783), a target is out of bounds (1734).
"""
# ruff: noqa: N802, N803 - functions and parameters have the names that callers use

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

import fake_storage
from fake_faults import Kind, RefusedError, step

from win32ctypes.pywin32.pywintypes import error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CRED_TYPE_GENERIC = 1
CRED_PERSIST_SESSION = 1
CRED_PERSIST_LOCAL_MACHINE = 2
CRED_PERSIST_ENTERPRISE = 3
CRED_PRESERVE_CREDENTIAL_BLOB = 0
CRED_ENUMERATE_ALL_CREDENTIALS = 1

_LONGEST_BLOB = 2560  # bytes
_LONGEST = {"TargetName": 32767, "UserName": 513, "Comment": 256}  # UTF-16 units

_TEXTS = {
    5: "Access is denied.",
    8: "Not enough memory resources are available to process this command.",
    87: "The parameter is incorrect.",
    1004: "Invalid flags.",
    1168: "Element not found.",
    1312: "A specified logon session does not exist. It may already have been terminated.",
    1734: "The array bounds are invalid.",
    1783: "The stub received bad data.",
}


class Found(TypedDict):
    """What a read gives: every key that pywin32-ctypes has."""

    Type: int
    TargetName: str
    Persist: int
    UserName: str | None
    Comment: str | None
    CredentialBlob: bytes


class _Kept(TypedDict):
    """What is kept of it; the type is always the same."""

    TargetName: str
    Persist: int
    UserName: str | None
    Comment: str | None
    CredentialBlob: str


def CredRead(TargetName: str, Type: int, Flags: int = 0) -> Found:
    """One credential. Raises error 1168 if there is none."""
    del Flags
    _only_generic(Type)
    with _call("read", "CredRead"):
        kept = _all(fake_storage.read(fake_storage.keychain())).get(_key(TargetName))
        if kept is None:
            raise RefusedError(1168)
        return _found(kept)


def CredEnumerate(Filter: str | None = None, Flags: int = 0) -> list[Found]:
    """All credentials, or those of a target; `Filter` may end with an asterisk.

    Raises error 1168 if there are none.
    """
    with _call("list", "CredEnumerate"):
        if Flags and Filter is not None:
            raise RefusedError(1004)
        kept = _all(fake_storage.read(fake_storage.keychain()))
        found = [_found(kept[key]) for key in sorted(kept) if _matches(key, Filter)]
        if not found:
            raise RefusedError(1168)
        for each in found:
            if Flags:
                each["TargetName"] = f"LegacyGeneric:target={each['TargetName']}"
        return found


def CredWrite(Credential: Mapping[str, object], Flags: int = 0) -> None:
    """Write a credential, in the place of the one of the same target if there is one."""
    unknown = Credential.keys() - Found.__annotations__.keys()
    if unknown:
        raise ValueError(f"Unsupported keys: {unknown}")
    if Flags != 0:
        raise ValueError("flag != 0 not yet supported")
    with _call("write", "CredWrite") as wanted:
        kept = _checked(Credential)
        if wanted:
            with fake_storage.changing(fake_storage.keychain()) as state:
                _all(state)[_key(kept["TargetName"])] = kept


def CredDelete(TargetName: str, Type: int, Flags: int = 0) -> None:
    """Delete a credential. Raises error 1168 if there is none."""
    del Flags
    _only_generic(Type)
    with _call("delete", "CredDelete") as wanted:
        if wanted:
            with fake_storage.changing(fake_storage.keychain()) as state:
                if _all(state).pop(_key(TargetName), None) is None:
                    raise RefusedError(1168)


def _only_generic(kind: int) -> None:
    if kind != CRED_TYPE_GENERIC:
        raise ValueError("Type != CRED_TYPE_GENERIC not yet supported")


@contextmanager
def _call(kind: Kind, name: str) -> Iterator[bool]:
    """One call of Windows; see `fake_faults.step`. Raises `error` where it fails."""
    try:
        with step(kind) as wanted:
            yield wanted
    except RefusedError as refused:
        number = refused.number
        raise error(number, name, _TEXTS.get(number, "Unknown error.")) from None


def _all(state: dict[str, dict[str, _Kept]]) -> dict[str, _Kept]:
    return state.setdefault("windows", {})


def _found(kept: _Kept) -> Found:
    blob = bytes.fromhex(kept["CredentialBlob"])
    return {**kept, "Type": CRED_TYPE_GENERIC, "CredentialBlob": blob}


def _matches(key: str, wanted: str | None) -> bool:
    if wanted is None:
        return True
    if wanted.endswith("*"):
        return key.startswith(_key(wanted[:-1]))
    return key == _key(wanted)


def _key(target: str) -> str:
    """Targets are the same whatever their case, which Windows changes unit by unit."""
    capitals = ((char, char.upper()) for char in _until_nul(target))
    return "".join(upper if len(upper) == 1 else char for char, upper in capitals)


def _until_nul(text: str) -> str:
    """What is passed as a C string ends at its first NUL."""
    return text.split("\0", 1)[0]


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")  # Windows takes half a pair


def _checked(credential: Mapping[str, object]) -> _Kept:
    """What is kept of a credential. Raises RefusedError as Windows refuses it."""
    texts: dict[str, str | None] = {}
    for name, longest in _LONGEST.items():
        value = credential.get(name)
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} has to be text")
        texts[name] = None if value is None else _until_nul(value)
        if len(_utf16(texts[name] or "")) > 2 * longest:
            raise RefusedError(1734)
    text = credential.get("CredentialBlob", "")
    if not isinstance(text, str):
        raise TypeError("CredentialBlob has to be text")
    blob = _utf16(text)  # all of it: only this is passed with its length
    if len(blob) > _LONGEST_BLOB:
        raise RefusedError(1783)
    target = texts["TargetName"]
    persist = credential.get("Persist")
    if not target or credential.get("Type") != CRED_TYPE_GENERIC:
        raise RefusedError(87)
    if not isinstance(persist, int) or not 1 <= persist <= CRED_PERSIST_ENTERPRISE:
        raise RefusedError(87)
    return {
        "TargetName": target,
        "Persist": persist,
        "UserName": texts["UserName"],
        "Comment": texts["Comment"],
        "CredentialBlob": blob.hex(),
    }
