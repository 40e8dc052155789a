"""The examples of the documentation work, and its figures can be computed again.

The sealed format is computed here by a second path: nothing of codemesh is used for it.
"""

from __future__ import annotations

import hmac
import json
import re
import sys
from base64 import urlsafe_b64decode
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize

import pytest
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import codemesh
import test_backend_contract
from codemesh.backends import registry
from codemesh.checks import text
from codemesh.errors import DamagedError
from homes import write_config
from support import Bench

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"

# -- the worked example of vault-format.md -----------------------------------------------


def worked_example() -> dict[str, str]:
    """The values of the worked example by their names; what was on several lines joined."""
    page = (DOCS / "vault-format.md").read_text(encoding="utf-8")
    values: dict[str, str] = {}
    name = ""
    for line in page.partition("## Worked example")[2].splitlines():
        if not line.startswith("    "):
            continue
        left, equals, right = line.partition(" = ")
        if equals:
            name = left.strip()
            values[name] = right
        else:
            values[name] += line
    raw = {"passphrase", "inner"}
    return {key: value if key in raw else "".join(value.split()) for key, value in values.items()}


def vector(name: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The header of a vector and the store in it."""
    head, _, store = (TESTS / "vectors" / "v1" / name).read_bytes().partition(b"\n\n")
    lines = (line.partition(": ") for line in head.decode().split("\n"))
    return {key: value for key, _, value in lines}, json.loads(store)


def binary(value: str) -> bytes:
    """Bytes that were written as base64url without padding."""
    return urlsafe_b64decode(value + "=" * (-len(value) % 4))


def pae(*pieces: bytes | int) -> bytes:
    """The pieces, each after its length, after their number."""
    raw = [piece.to_bytes(8, "big") if isinstance(piece, int) else piece for piece in pieces]
    return len(raw).to_bytes(8, "little") + b"".join(
        len(piece).to_bytes(8, "little") + piece for piece in raw
    )


def hkdf(key: bytes, salt: bytes, info: bytes) -> tuple[bytes, bytes]:
    """The two halves of 64 bytes of HKDF-SHA-256 (RFC 5869)."""
    extracted = hmac.digest(salt, key, "sha256")
    first = hmac.digest(extracted, info + b"\x01", "sha256")
    return first, hmac.digest(extracted, first + info + b"\x02", "sha256")


def test_worked_example() -> None:
    """Every value of the worked example follows from the passphrase and the vector."""
    shown = worked_example()
    header, store = vector("success_floor")
    kdf, wrap, payload = store["kdf"], store["wrap"], store["payload"]
    cost = [int(kdf[name]) for name in "mtp"]
    store_id, salt = binary(str(store["id"])), binary(kdf["salt"])
    revision = json.loads(str(store["revision"]))
    nonce = bytes(12)

    root = hash_secret_raw(
        normalize("NFC", header["passphrase"]).encode(),
        salt,
        cost[1],
        cost[0],
        cost[2],
        32,
        Type.ID,
        0x13,
    )
    wrap_key, check = hkdf(root, bytes(32), b"codemesh-vault/1/kek")
    aad = pae(b"codemesh-vault/1/wrap", store_id, b"argon2id", 19, *cost, salt)
    data_key = AESGCM(wrap_key).decrypt(nonce, binary(wrap["key"]), aad)
    pieces = pae(
        *(b"codemesh-vault/1/payload", store_id, revision, *cost, salt),
        *(binary(wrap["check"]), binary(wrap["key"])),
    )
    context = sha256(pieces).digest()
    payload_key, commit = hkdf(data_key, binary(payload["salt"]), context)
    padded = AESGCM(payload_key).decrypt(nonce, binary(payload["data"]), None)
    inner = padded[4 : 4 + int.from_bytes(padded[:4], "big")]

    assert (check, commit) == (binary(wrap["check"]), binary(payload["commit"]))
    assert (len(aad), len(pieces), len(padded), len(inner)) == (165, 248, 1024, 62)
    assert shown == {
        "passphrase": header["passphrase"],
        "revision": str(revision),
        "m, t, p": ",".join(map(str, cost)),
        "id": store_id.hex(),
        "kdf.salt": salt.hex(),
        "root": root.hex(),
        "wrap key": wrap_key.hex(),
        "wrap.check": check.hex(),
        "aad": aad.hex(),
        "data key": data_key.hex(),
        "pieces": pieces.hex(),
        "context": context.hex(),
        "payload.salt": binary(payload["salt"]).hex(),
        "payload key": payload_key.hex(),
        "payload.commit": commit.hex(),
        "length": padded[:4].hex(),
        "inner": inner.decode(),
        "payload": header["payload"],
    }
    assert header["payload"] == sha256(inner).hexdigest()


# -- the example of adding-a-backend.md --------------------------------------------------

CONTRACT = [
    test
    for name, test in vars(test_backend_contract).items()
    if name.startswith("test_") and list(signature(test).parameters) == ["bench"]
]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> registry.Entry:
    """The example backend, saved and entered into the table as the page says."""
    page = (DOCS / "adding-a-backend.md").read_text(encoding="utf-8")
    module_text, line = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "canonical.py"
    file.write_text(module_text, encoding="utf-8")
    spec = spec_from_file_location("codemesh.backends.canonical", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "codemesh.backends.canonical", module)
    entry = eval(line, {"Entry": registry.Entry, "text": text})  # noqa: S307  our own page
    assert isinstance(entry, registry.Entry)
    monkeypatch.setattr(registry, "TABLE", (*registry.TABLE, entry))
    return entry


@pytest.mark.parametrize("test", CONTRACT, ids=lambda test: test.__name__)
def test_example_keeps_the_contract(
    test: Callable[[Bench], None], example: registry.Entry, home: Path
) -> None:
    """The example backend passes the contract's tests, as those of the table do."""
    test(Bench(example, home))


def test_example_is_a_store(example: registry.Entry, home: Path) -> None:
    """With `backend = "canonical"` the library keeps credentials in the example."""
    write_config(home, 'backend = "canonical"\n')

    codemesh.open_store().put("openai", codemesh.ApiKey.new("made up"))

    assert codemesh.open_store().token("openai").reveal() == "made up"
    assert (home / example.file).read_bytes() == (
        b'{"entries":{"openai":{"key":"made up","type":"api_key"}}}'
    )


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{}", b"[]", b"null", b"\xff", b'{"entries":5}', b'{"entries":{"a":5}}'),
        *(b'{"entries":{}} ', b'{"entries":{},"more":{}}', b'{"entries":{}'),
    ],
)
def test_example_refuses_damage(example: registry.Entry, home: Path, raw: bytes) -> None:
    """The example backend takes no damaged file for an empty one, and leaves it alone."""
    bench = Bench(example, home)
    bench.filled({"a": {"type": "api_key", "key": "made up"}})
    bench.overwrite(raw)

    with pytest.raises(DamagedError):
        bench.open().change({"b": {}})

    assert bench.raw() == raw
