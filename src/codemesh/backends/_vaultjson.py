"""The document of the encrypted store as JSON, both ways; pure, and without any key.

One store has exactly one spelling: the reader writes what it has read and compares.
Bytes that nothing authenticates would be room for somebody else's data.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import NamedTuple

from codemesh import strictjson
from codemesh.backends._kdf import NAME as KDF_NAME
from codemesh.backends._kdf import VERSION as KDF_VERSION
from codemesh.backends._kdf import Kdf, check_bounds
from codemesh.errors import (
    DamagedError,
    NewerVersionError,
    NotAVaultError,
    TooLargeError,
    UnsafeKdfError,
)

FORMAT = "codemesh-vault"
VERSION = 1
LIMIT = 64 * 2**20
"""The most bytes that a document may have."""
MAX_REVISION = 2**53 - 1
"""The last revision: every JSON reader keeps integers exact up to here."""

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


class Vault(NamedTuple):
    """A parsed document. Only `id`, `revision` and `kdf` may be acted on unopened."""

    id: bytes
    revision: int
    kdf: Kdf
    check: bytes
    wrapped_key: bytes
    payload_salt: bytes
    commit: bytes
    data: bytes


def parse(raw: bytes) -> Vault:
    """Check all of a document that can be checked without a key, cheapest first.

    Raises:
        TooLargeError: it is over `LIMIT`.
        NotAVaultError: it is no document of this format, or not in its one spelling.
        NewerVersionError: it is one of a later version of the format.
        UnsafeKdfError: its key derivation is too cheap or too dear; none was run.

    """
    if len(raw) > LIMIT:
        raise TooLargeError(f"it is larger than {LIMIT // 2**20} MiB")
    try:
        document = strictjson.loads(raw)
    except DamagedError as error:
        raise NotAVaultError(error.message) from None
    vault = _vault(document)
    # Git and editors on Windows turn LF into CRLF; nothing else is tolerated.
    if serialise(vault) != raw.replace(b"\r\n", b"\n"):
        raise NotAVaultError("the document is not in its one spelling")
    return vault


def serialise(vault: Vault) -> bytes:
    """The bytes of a document: two spaces of indent, ASCII, LF, one newline at the end."""
    kdf = vault.kdf
    return f"""{{
  "format": "{FORMAT}",
  "version": {VERSION},
  "id": "{_base64url(vault.id)}",
  "revision": {vault.revision},
  "kdf": {{
    "name": "{KDF_NAME}",
    "v": {KDF_VERSION},
    "m": {kdf.m},
    "t": {kdf.t},
    "p": {kdf.p},
    "salt": "{_base64url(kdf.salt)}"
  }},
  "wrap": {{
    "check": "{_base64url(vault.check)}",
    "key": "{_base64url(vault.wrapped_key)}"
  }},
  "payload": {{
    "salt": "{_base64url(vault.payload_salt)}",
    "commit": "{_base64url(vault.commit)}",
    "data": "{_base64url(vault.data)}"
  }}
}}
""".encode("ascii")


def _vault(document: object) -> Vault:
    """The fields by their types and lengths, then the bounds of the key derivation."""
    _check_version(document)
    _, _, store_id, revision, kdf, wrap, payload = _members(
        document, "format", "version", "id", "revision", "kdf", "wrap", "payload"
    )
    name, v, m, t, p, kdf_salt = _members(kdf, "name", "v", "m", "t", "p", "salt")
    check, wrapped_key = _members(wrap, "check", "key")
    payload_salt, commit, data = _members(payload, "salt", "commit", "data")
    vault = Vault(
        _binary(store_id, "id", 16),
        _integer(revision, "revision"),
        Kdf(
            _integer(m, "kdf.m"),
            _integer(t, "kdf.t"),
            _integer(p, "kdf.p"),
            _binary(kdf_salt, "kdf.salt"),
        ),
        _binary(check, "wrap.check", 32),
        _binary(wrapped_key, "wrap.key", 48),
        _binary(payload_salt, "payload.salt", 32),
        _binary(commit, "payload.commit", 32),
        _binary(data, "payload.data"),
    )
    kdf_version = _integer(v, "kdf.v")
    if not isinstance(name, str):
        raise NotAVaultError("kdf.name is no text")
    if not 0 <= vault.revision <= MAX_REVISION:
        raise NotAVaultError(f"revision is outside 0 to {MAX_REVISION}")
    if name != KDF_NAME or kdf_version != KDF_VERSION:
        raise UnsafeKdfError(f"the key derivation is not {KDF_NAME} of version {KDF_VERSION}")
    check_bounds(vault.kdf)
    return vault


def _check_version(document: object) -> None:
    """Look at the version before anything that a later version may have changed."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise NotAVaultError("it is no encrypted store of codemesh")
    version = _integer(document.get("version"), "version")
    if version > VERSION:
        raise NewerVersionError("it was written by a newer codemesh")
    if version < VERSION:
        raise NotAVaultError("there is no such version of the format")


def _members(value: object, *keys: str) -> list[object]:
    """The values of an object that has exactly these keys in this order."""
    if not isinstance(value, dict) or tuple(value) != keys:
        raise NotAVaultError(f"an object has not exactly the keys {', '.join(keys)}")
    return list(value.values())


def _integer(value: object, field: str) -> int:
    if type(value) is not int:  # a bool is an int to isinstance
        raise NotAVaultError(f"{field} is no integer")
    return value


def _binary(value: object, field: str, length: int | None = None) -> bytes:
    """Decode base64url (RFC 4648, section 5) without padding, in its one spelling."""
    if not isinstance(value, str) or not value.isascii():
        raise NotAVaultError(f"{field} is no base64url")
    try:
        padding = b"=" * (-len(value) % 4)
        data = a2b_base64(value.encode("ascii").translate(_FROM_URL) + padding)
    except Base64Error:
        raise NotAVaultError(f"{field} is no base64url") from None
    # The decoder skips what it does not know and takes stray bits at the end.
    if _base64url(data) != value:
        raise NotAVaultError(f"{field} is no canonical base64url")
    if length is not None and len(data) != length:
        raise NotAVaultError(f"{field} is not {length} bytes")
    return data


def _base64url(data: bytes) -> str:
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")
