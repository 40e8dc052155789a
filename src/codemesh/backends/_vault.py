"""The sealed document of the encrypted store: passphrase and bytes, both ways; pure.

`docs/vault-format.md` is the format and says why it is so. Opening is three steps, each
of which authenticates what the next one uses: `parse` (cheap checks, no key), `unwrap`
(the root key gives the data key), `open_payload` (the data key gives the records).
Nothing of the payload is looked at before all of it is authentic.

HKDF, HMAC, SHA-256 and the comparisons in constant time all come from cryptography.
hashlib and hmac would do as well, but they load a second OpenSSL, which takes 3 ms; the
two modules used in their place take less than 1 ms.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidKey, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from codemesh import strictjson
from codemesh.backends._kdf import NAME as KDF_NAME
from codemesh.backends._kdf import VERSION as KDF_VERSION
from codemesh.backends._kdf import Kdf, derive_root
from codemesh.backends._vaultjson import LIMIT, MAX_REVISION, Vault, parse, serialise
from codemesh.errors import (
    DamagedError,
    PayloadDamagedError,
    RefusedError,
    TooLargeError,
    UsageError,
    WrapDamagedError,
    WrongPassphraseError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "LIMIT",
    "MAX_REVISION",
    "Kdf",
    "Sealing",
    "Vault",
    "fingerprint",
    "new_sealing",
    "open_payload",
    "parse",
    "seal",
    "sealing_of",
    "sha256",
    "unwrap",
    "wrap_id",
]

_BLOCK = 1024
_NAME_LIMIT = 255
_KEK_INFO = b"codemesh-vault/1/kek"
_SALT_INFO = b"codemesh-vault/1/salt"
# One nonce for all is sound, because no AES key is used twice: the wrap key is new with
# the salt of every wrap, the payload key with the salt of every write.
_NONCE = bytes(12)


class Sealing(NamedTuple):
    """All that the next write keeps: the store's identity, its wrap and its data key."""

    id: bytes
    kdf: Kdf
    check: bytes
    wrapped_key: bytes
    data_key: bytes

    def __repr__(self) -> str:
        return f"Sealing(id={self.id.hex()}, …)"  # the data key is a secret


# -- reading -----------------------------------------------------------------------


def unwrap(vault: Vault, root: bytes) -> bytes:
    """Open the data key with the root key that `derive_root` made of the passphrase.

    Raises:
        WrongPassphraseError: `root` is not the store's. A header that was altered looks
            the same, and the message says both.
        WrapDamagedError: `root` is right, but the sealed data key was altered.

    """
    wrap_key = _committed(root, None, _KEK_INFO, vault.check)
    if wrap_key is None:
        raise WrongPassphraseError("wrong passphrase, or the header of the store was altered")
    try:
        context = _wrap_context(vault.id, vault.kdf)
        return AESGCM(wrap_key).decrypt(_NONCE, vault.wrapped_key, context)
    except InvalidTag:
        raise WrapDamagedError("the store is damaged: its sealed key does not open") from None


def open_payload(vault: Vault, data_key: bytes) -> dict[str, dict[str, object]]:
    """Open the records with the data key, and with it authenticate the whole header.

    Raises:
        PayloadDamagedError: any byte of the header or the payload was altered, the data
            key is another one, or what was sealed is no set of records.

    """
    context = _payload_context(sealing_of(vault, data_key), vault.revision)
    key = _committed(data_key, vault.payload_salt, context, vault.commit)
    if key is None:
        raise PayloadDamagedError(
            "the store is damaged: the payload does not belong to this key and header"
        )
    try:
        padded = AESGCM(key).decrypt(_NONCE, vault.data, None)
    except InvalidTag:
        raise PayloadDamagedError("the store is damaged: the payload does not open") from None
    inner = padded[4 : 4 + int.from_bytes(padded[:4], "big")]
    if _pad(inner) != padded:
        raise PayloadDamagedError(
            "the store is damaged: the payload is not padded as it should be"
        )
    try:
        document = strictjson.loads_canonical(inner)
    except DamagedError as error:
        raise PayloadDamagedError(
            f"the store is damaged: its payload is {error.message}"
        ) from None
    return _entries(document)


def sealing_of(vault: Vault, data_key: bytes) -> Sealing:
    """What the next write of an opened document keeps."""
    return Sealing(vault.id, vault.kdf, vault.check, vault.wrapped_key, data_key)


def fingerprint(vault: Vault) -> str:
    """The hex SHA-256 of the payload's salt, which tells two writes of one revision apart."""
    return sha256(vault.payload_salt).hex()


def wrap_id(wrapped: Vault | Sealing) -> bytes:
    """What tells one wrap of a data key from every other: a hash of all that seals it."""
    return sha256(_pae(b"wrap", wrapped.id, *wrapped.kdf, wrapped.check, wrapped.wrapped_key))


# -- writing -----------------------------------------------------------------------


def new_sealing(
    passphrase: str,
    cost: tuple[int, int, int],
    *,
    store_id: bytes | None = None,
    data_key: bytes | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> Sealing:
    """Wrap a data key under a passphrase, with a new salt; `cost` is memory, passes, lanes.

    A new store has a new `store_id` and `data_key`. A new passphrase keeps the `store_id`, and the
    data key only if it is told to.

    Raises:
        UnsafeKdfError: `cost` is outside the bounds of the format.
        UsageError: as `derive_root`.
        StorageError: as `derive_root`.

    """
    store_id = random(16) if store_id is None else store_id
    data_key = random(32) if data_key is None else data_key
    kdf = Kdf(*cost, random(16))
    keys = _hkdf(derive_root(passphrase, kdf), None, _KEK_INFO)
    wrapped_key = AESGCM(keys[:32]).encrypt(_NONCE, data_key, _wrap_context(store_id, kdf))
    return Sealing(store_id, kdf, keys[32:], wrapped_key, data_key)


def seal(
    sealing: Sealing,
    revision: int,
    entries: Mapping[str, Mapping[str, object]],
    *,
    random: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Seal all records into the bytes of a document, with a new payload salt and key.

    Raises:
        UsageError: a name or a record cannot be stored.
        TooLargeError: the document would be over `LIMIT`.
        RefusedError: `revision` is past the last one.

    """
    if not 0 <= revision <= MAX_REVISION:
        raise RefusedError("the store has no revision after its last one")
    if not all(1 <= len(name) <= _NAME_LIMIT for name in entries):
        raise UsageError(f"a name has 1 to {_NAME_LIMIT} characters")
    inner = strictjson.canonical({"entries": {name: dict(entries[name]) for name in entries}})
    padded = _pad(inner)
    if len(padded) > LIMIT:  # before more copies of it are made
        raise TooLargeError(f"the store would be larger than {LIMIT // 2**20} MiB")
    salt = _payload_salt(sealing.data_key, random(32), revision, padded)
    keys = _hkdf(sealing.data_key, salt, _payload_context(sealing, revision))
    data = AESGCM(keys[:32]).encrypt(_NONCE, padded, None)
    raw = serialise(Vault(sealing.id, revision, *sealing[1:4], salt, keys[32:], data))
    if len(raw) > LIMIT:
        raise TooLargeError(f"the store would be larger than {LIMIT // 2**20} MiB")
    return raw


# -- the construction --------------------------------------------------------------


def sha256(data: bytes) -> bytes:
    """SHA-256 (FIPS 180-4) without hashlib and the second OpenSSL that it loads."""
    state = Hash(SHA256())
    state.update(data)
    return state.finalize()


def _hkdf(key: bytes, salt: bytes | None, info: bytes, length: int = 64) -> bytes:
    """HKDF-SHA-256 (RFC 5869); no salt means its default, 32 zero bytes."""
    return HKDF(SHA256(), length, salt, info).derive(key)


def _committed(key: bytes, salt: bytes | None, info: bytes, commitment: bytes) -> bytes | None:
    """The AES key in the first half of 64 bytes, if the second half is `commitment`.

    AES-GCM alone opens one ciphertext under two keys if somebody built it so; this half
    is what pins the key. `HKDF.verify` compares in constant time.
    """
    aes_key = _hkdf(key, salt, info)[:32]
    try:
        HKDF(SHA256(), 64, salt, info).verify(key, aes_key + commitment)
    except InvalidKey:
        return None
    return aes_key


def _wrap_context(store_id: bytes, kdf: Kdf) -> bytes:
    name = KDF_NAME.encode("ascii")
    return _pae(b"codemesh-vault/1/wrap", store_id, name, KDF_VERSION, *kdf)


def _payload_context(sealing: Sealing, revision: int) -> bytes:
    store_id, kdf, check, wrapped_key, _ = sealing
    info = b"codemesh-vault/1/payload"
    return sha256(_pae(info, store_id, revision, *kdf, check, wrapped_key))


def _pae(*pieces: bytes | int) -> bytes:
    """The pieces as one text that no other pieces give (pre-authentication encoding, PASETO)."""
    encoded = [len(pieces).to_bytes(8, "little")]
    for piece in pieces:
        data = piece.to_bytes(8, "big") if isinstance(piece, int) else piece
        encoded += len(data).to_bytes(8, "little"), data
    return b"".join(encoded)


def _payload_salt(data_key: bytes, fresh: bytes, revision: int, padded: bytes) -> bytes:
    """A salt that differs with the content, even where the system's randomness repeats."""
    from cryptography.hazmat.primitives.hmac import HMAC

    mac = HMAC(_hkdf(data_key, None, _SALT_INFO, 32), SHA256())
    mac.update(fresh + revision.to_bytes(8, "big") + sha256(padded))
    return mac.finalize()


def _pad(inner: bytes) -> bytes:
    """Length, content, and zero bytes up to a whole block: the size tells little."""
    framed = len(inner).to_bytes(4, "big") + inner
    return framed + bytes(-len(framed) % _BLOCK)


def _entries(document: object) -> dict[str, dict[str, object]]:
    """The records of an authentic payload: `{"entries": {name: record}}`."""
    if not isinstance(document, dict) or list(document) != ["entries"]:
        raise PayloadDamagedError("the store is damaged: the payload is no set of entries")
    entries = document["entries"]
    if not isinstance(entries, dict):
        raise PayloadDamagedError("the store is damaged: the payload is no set of entries")
    if not all(1 <= len(name) <= _NAME_LIMIT for name in entries):
        raise PayloadDamagedError(f"a name in the payload has not 1 to {_NAME_LIMIT} characters")
    if not all(isinstance(record, dict) for record in entries.values()):
        raise PayloadDamagedError("a record in the payload is no object")
    return entries
