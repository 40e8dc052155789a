"""A second reader of `codemesh-vault`, version 1, written from docs/vault-format.md alone.

It shares no code with codemesh, and none of its implementations of the primitives: Argon2id
is OpenSSL's, AES-GCM is PyCryptodome's, HKDF stands here on the standard library's HMAC.
"""

from __future__ import annotations

import hmac
import json
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import cache
from hashlib import sha256
from typing import NamedTuple
from unicodedata import normalize

from Crypto.Cipher import AES
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

KEYS = {
    "": ["format", "version", "id", "revision", "kdf", "wrap", "payload"],
    "kdf": ["name", "v", "m", "t", "p", "salt"],
    "wrap": ["check", "key"],
    "payload": ["salt", "commit", "data"],
}
ESCAPES = dict(zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True))


class Header(NamedTuple):
    """What a sealed file says, in raw bytes and integers."""

    id: bytes
    revision: int
    kdf: tuple[int, int, int, bytes]  # m, t, p and the salt
    check: bytes
    wrapped: bytes
    salt: bytes
    commit: bytes
    data: bytes


def read(raw: bytes, passphrase: str) -> bytes:
    """The canonical JSON in a sealed file.

    Raises:
        ValueError: with one word, a class of `vectors/v1/README.md`, or `too-large`.

    """
    header = _header(raw)
    inner = _unpadded(_payload(header, _data_key(header, passphrase)))
    if not _is_set_of_records(inner):
        raise ValueError("payload-damaged")
    return inner


def _header(raw: bytes) -> Header:
    """Steps 1 to 7 of "Opening"."""
    if len(raw) > 64 * 1024 * 1024:
        raise ValueError("too-large")
    try:
        document = _parsed(raw)
    except (ValueError, RecursionError):
        raise ValueError("not-a-vault") from None
    if not isinstance(document, dict) or document.get("format") != "codemesh-vault":
        raise ValueError("not-a-vault")
    version = document.get("version")
    if type(version) is int and version > 1:
        raise ValueError("newer-version")
    try:
        name, v, header = _fields(document)
    except (KeyError, TypeError, ValueError):
        raise ValueError("not-a-vault") from None
    if (name, v) != ("argon2id", 19) or not _is_safe(*header.kdf):
        raise ValueError("unsafe-kdf")
    spelled = json.dumps(document, indent=2) + "\n"
    if raw.replace(b"\r\n", b"\n") != spelled.encode("ascii"):
        raise ValueError("not-a-vault")
    return header


def _fields(document: dict[str, object]) -> tuple[str, int, Header]:
    """Check the closed schema; give `kdf.name`, `kdf.v` and the rest."""
    values: dict[str, object] = {}
    for place, keys in KEYS.items():
        part = document[place] if place else document
        if not isinstance(part, dict) or list(part) != keys:
            raise TypeError(place)
        values |= {f"{place}.{key}": value for key, value in part.items()}
    name, v, revision = values["kdf.name"], values["kdf.v"], _integer(values[".revision"])
    if _integer(values[".version"]) != 1 or not isinstance(name, str):
        raise TypeError("version or kdf.name")
    if not 0 <= revision < 2**53:
        raise ValueError("revision")
    m, t, p = (_integer(values[f"kdf.{key}"]) for key in "mtp")
    header = Header(
        _binary(values[".id"], 16),
        revision,
        (m, t, p, _binary(values["kdf.salt"])),
        _binary(values["wrap.check"], 32),
        _binary(values["wrap.key"], 48),
        _binary(values["payload.salt"], 32),
        _binary(values["payload.commit"], 32),
        _binary(values["payload.data"]),
    )
    return name, _integer(v), header


def _integer(value: object) -> int:
    if type(value) is not int:  # A truth value is an int to isinstance.
        raise TypeError("no integer")
    return value


def _binary(value: object, length: int | None = None) -> bytes:
    """Canonical base64url without padding, of `length` bytes where that is given."""
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z0-9_-]*", value):
        raise TypeError("no base64url")
    decoded = urlsafe_b64decode(value + "=" * (-len(value) % 4))
    if urlsafe_b64encode(decoded).rstrip(b"=") != value.encode("ascii"):
        raise ValueError("unused bits")
    if length is not None and len(decoded) != length:
        raise ValueError("length")
    return decoded


def _is_safe(m: int, t: int, p: int, salt: bytes) -> bool:
    in_bounds = 19_456 <= m <= 2_097_152 and 1 <= t <= 16 and 1 <= p <= 16 and m >= 8 * p
    return in_bounds and 38_912 <= m * t <= 4_194_304 and len(salt) == 16


def _data_key(header: Header, passphrase: str) -> bytes:
    """Steps 8 and 9."""
    if not passphrase:
        raise ValueError("wrong-passphrase")
    keys = _hkdf(_root(passphrase, *header.kdf), bytes(32), b"codemesh-vault/1/kek")
    if not hmac.compare_digest(keys[32:], header.check):
        raise ValueError("wrong-passphrase")
    aad = _pae(b"codemesh-vault/1/wrap", header.id, b"argon2id", 19, *header.kdf)
    return _opened(keys[:32], header.wrapped, aad, "wrap-damaged")


@cache  # Most vectors share one.
def _root(passphrase: str, m: int, t: int, p: int, salt: bytes) -> bytes:
    argon2id = Argon2id(salt=salt, length=32, iterations=t, lanes=p, memory_cost=m)
    return argon2id.derive(normalize("NFC", passphrase).encode("utf-8"))


def _payload(header: Header, data_key: bytes) -> bytes:
    """The begin of step 10: all but what the padded plaintext holds."""
    place = (b"codemesh-vault/1/payload", header.id, header.revision)
    context = sha256(_pae(*place, *header.kdf, header.check, header.wrapped)).digest()
    keys = _hkdf(data_key, header.salt, context)
    if not hmac.compare_digest(keys[32:], header.commit):
        raise ValueError("payload-damaged")
    return _opened(keys[:32], header.data, b"", "payload-damaged")


def _pae(*pieces: bytes | int) -> bytes:
    joined = len(pieces).to_bytes(8, "little")
    for piece in pieces:
        raw = piece.to_bytes(8, "big") if isinstance(piece, int) else piece
        joined += len(raw).to_bytes(8, "little") + raw
    return joined


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """64 bytes of HKDF-SHA-256 (RFC 5869): extract, and two blocks of expand."""
    extracted = hmac.digest(salt, key, "sha256")
    first = hmac.digest(extracted, info + b"\x01", "sha256")
    return first + hmac.digest(extracted, first + info + b"\x02", "sha256")


def _opened(key: bytes, sealed: bytes, aad: bytes, failure: str) -> bytes:
    """AES-256-GCM under the zero nonce; the tag is the last 16 bytes."""
    cipher = AES.new(key, AES.MODE_GCM, nonce=bytes(12), mac_len=16)
    cipher.update(aad)
    try:
        return cipher.decrypt_and_verify(sealed[:-16], sealed[-16:])
    except ValueError:
        raise ValueError(failure) from None


def _unpadded(padded: bytes) -> bytes:
    end = 4 + int.from_bytes(padded[:4], "big")
    if len(padded) != math.ceil(end / 1024) * 1024 or any(padded[end:]):
        raise ValueError("payload-damaged")
    return padded[4:end]


def _is_set_of_records(inner: bytes) -> bool:
    try:
        document = _parsed(inner)
        if _canonical(document, 1).encode("ascii") != inner:
            return False
    except (ValueError, RecursionError):
        return False
    if not isinstance(document, dict) or list(document) != ["entries"]:
        return False
    entries = document["entries"]
    return isinstance(entries, dict) and all(
        1 <= len(name) <= 255 and isinstance(record, dict) for name, record in entries.items()
    )


def _parsed(raw: bytes) -> object:
    """One strict JSON text; ValueError or RecursionError where it is none."""
    # Python's own limit of an integer is 4,300 digits.
    value: object = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_twins)
    # This fails on NaN, Infinity, overflow and half a surrogate pair.
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    return value


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("duplicate key")
    return dict(pairs)


def _canonical(value: object, depth: int) -> str:
    """The one spelling of the plaintext; ValueError where containers nest over 64 deep."""
    if isinstance(value, dict | list) and depth > 64:
        raise ValueError("too deep")
    match value:
        case dict():  # Python compares text by code points.
            keys = sorted(value)
            pairs = (
                f"{_canonical(key, depth)}:{_canonical(value[key], depth + 1)}" for key in keys
            )
            return "{" + ",".join(pairs) + "}"
        case list():
            return "[" + ",".join(_canonical(inner, depth + 1) for inner in value) + "]"
        case str():
            return '"' + "".join(_escaped(character) for character in value) + '"'
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case _:  # An integer, or a float as Python's `repr` writes it.
            return repr(value)


def _escaped(character: str) -> str:
    if character in ESCAPES:
        return "\\" + ESCAPES[character]
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
