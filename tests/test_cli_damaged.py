"""A damaged store: each kind of damage is told, and the file is left byte for byte alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import commandline
from commandline import ONE, PASSPHRASE, CommandLine, assert_refused, tree

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = json.dumps({"credentials": ONE}, indent=2)
DAMAGE = {
    "undecodable bytes": b'{"credentials": {"openai": {"type": "x", "key": "\xff\xfe\x80"}}}',
    "not JSON": b"backend = plaintext\n",
    "cut in half": GOOD[: len(GOOD) // 2].encode(),
    "empty": b"",
    "zero bytes": bytes(64),
    "a list at the top": b'[{"credentials": {}}]',
    "null at the top": b"null",
    "no credentials": b'{"openai": {"type": "api_key", "key": "sk-1"}}',
    "credentials of the wrong type": b'{"credentials": [{"type": "api_key"}]}',
    "credentials of null": b'{"credentials": null}',
    "an entry that is text": b'{"credentials": {"openai": "sk-1"}}',
    "an entry that is null": b'{"credentials": {"openai": null}}',
    "a duplicate entry": b'{"credentials": {"a": {"type": "x"}, "a": {"type": "y"}}}',
    "a duplicate field": b'{"credentials": {"a": {"type": "x", "type": "y"}}}',
    "a duplicate top key": b'{"credentials": {"a": {"type": "x"}}, "credentials": {}}',
    "NaN": b'{"credentials": {"a": {"type": "x", "n": NaN}}}',
    "Infinity": b'{"credentials": {"a": {"type": "x", "n": -Infinity}}}',
    "a number that overflows": b'{"credentials": {"a": {"type": "x", "n": 1e999}}}',
    "a number of 5,000 digits": b'{"credentials": {"a": {"n": ' + b"9" * 5_000 + b"}}}",
    "100,000 levels": b'{"credentials": {"a": {"n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}}",
    "100,000 open levels": b'{"credentials": {"a": ' + b'{"a":' * 100_000,
    "a byte-order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "UTF-16": GOOD.encode("utf-16"),
    "UTF-16 without a mark": GOOD.encode("utf-16-le"),
    "half a surrogate pair": b'{"credentials": {"a": {"type": "x", "n": "\\ud800"}}}',
    "an encoded surrogate": b'{"credentials": {"a": {"type": "x", "n": "\xed\xa0\x80"}}}',
    "text after the end": GOOD.encode() + b"\n{}",
}
# Ten seconds of the processor, however busy it is, and one GiB of addresses.
CONFINED = 'ulimit -t 10; ulimit -v 1048576 2>/dev/null; exec "$@"'
KDF_VALUES: dict[str, tuple[str, object]] = {
    "m of 4 TiB": ("m", 2**32 - 1),
    "m over the bound": ("m", 2_097_153),
    "m under the bound": ("m", 19_455),
    "m negative": ("m", -65_536),
    "m true": ("m", True),
    "m a float": ("m", 65536.0),
    "m text": ("m", "1e9"),
    "m null": ("m", None),
    "m of 400 digits": ("m", int("9" * 400)),
    "t of 2**31": ("t", 2**31),
    "t over the bound": ("t", 17),
    "t zero": ("t", 0),
    "t too few for m": ("t", 1),
    "p of 65,535": ("p", 65_535),
    "p over the bound": ("p", 17),
    "p zero": ("p", 0),
    "another version": ("v", 16),
    "another name": ("name", "argon2i"),
    "a short salt": ("salt", "AAAA"),
}
VAULT_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "not JSON": lambda _: b"\x00\x01 rubbish",
    "cut in half": lambda raw: raw[: len(raw) // 2],
    "one byte short": lambda raw: raw[:-3],
    "text after the end": lambda raw: raw + b"x",
    "another format": lambda raw: raw.replace(b"codemesh-vault", b"other-format"),
    "a list at the top": lambda _: b"[]",
    "an altered payload": lambda raw: _altered(raw, "payload", "data"),
    "an altered wrap": lambda raw: _altered(raw, "wrap", "key"),
    "an altered commitment": lambda raw: _altered(raw, "payload", "commit"),
    "a raised revision": lambda raw: raw.replace(b'"revision": 0', b'"revision": 7'),
    "a byte-order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "other spaces": lambda raw: json.dumps(json.loads(raw)).encode(),
}


@pytest.fixture(scope="module")
def sealed() -> bytes:
    """An encrypted store with one entry, quick to open."""
    return commandline.sealed(ONE)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_plaintext_store_is_told_and_left_alone(cli: CommandLine, damage: str) -> None:
    """Reading and writing end with 6, one message that names the file, and the file as it was."""
    path = cli.write(cli.plaintext, DAMAGE[damage])
    before = tree(cli.folder)

    outcomes = cli.both()

    for outcome in outcomes:
        assert_refused(outcome, 6, str(path), "codemesh auth recover")
    assert tree(cli.folder) == before


@pytest.mark.parametrize("damage", VAULT_DAMAGE)
def test_a_damaged_vault_is_told_and_left_alone(
    cli: CommandLine, sealed: bytes, damage: str
) -> None:
    """Reading and writing end with 6, one message that names the file, and the file as it was."""
    cli.choose("encrypted")
    path = cli.write(cli.vault, VAULT_DAMAGE[damage](sealed))
    before = tree(cli.folder)

    outcomes = cli.both(PASSPHRASE)

    for outcome in outcomes:
        assert_refused(outcome, 6, str(path))
    assert tree(cli.folder) == before


@pytest.mark.parametrize("value", KDF_VALUES)
def test_an_unsafe_derivation_is_refused_before_it_runs(
    cli: CommandLine, sealed: bytes, value: str
) -> None:
    """A cost out of bounds ends with 6, and takes neither the time nor the memory it asks for."""
    document = json.loads(sealed)
    key, number = KDF_VALUES[value]
    document["kdf"][key] = number
    cli.choose("encrypted")
    path = cli.write(cli.vault, json.dumps(document, indent=2) + "\n")
    before = tree(cli.folder)

    outcomes = cli.both(PASSPHRASE, through=CONFINED)

    for outcome in outcomes:
        assert_refused(outcome, 6, str(path))
    assert tree(cli.folder) == before


def test_a_newer_vault_asks_for_an_update(cli: CommandLine, sealed: bytes) -> None:
    """A store of a later version ends with 6 and says so, whatever else is in it."""
    document = {**json.loads(sealed), "version": 2, "added": {}}
    cli.choose("encrypted")
    path = cli.write(cli.vault, json.dumps(document, indent=2) + "\n")
    before = tree(cli.folder)

    outcomes = [*cli.both(PASSPHRASE), cli.run("auth", "recover", "--yes", passphrase=PASSPHRASE)]

    for outcome in outcomes:
        assert_refused(outcome, 6, str(path), "newer", "Update codemesh")
    assert tree(cli.folder) == before


def test_a_wrong_passphrase_has_its_own_status(cli: CommandLine, sealed: bytes) -> None:
    """A wrong passphrase ends with 9, for reading and for writing, and changes nothing."""
    cli.choose("encrypted")
    path = cli.write(cli.vault, sealed)
    before = tree(cli.folder)

    outcomes = cli.both("a wrong one")

    for outcome in outcomes:
        assert_refused(outcome, 9, str(path), "wrong passphrase")
    assert tree(cli.folder) == before


@pytest.mark.parametrize(
    ("passphrase", "word"),
    [("", "empty"), ("x" * 1025, "longer than 1024 bytes"), ("a\0b", "NUL")],
    ids=["empty", "too long", "NUL"],
)
def test_an_impossible_passphrase_is_refused(
    cli: CommandLine, sealed: bytes, passphrase: str, word: str
) -> None:
    """A passphrase that no store can have ends with 2, and says what is wrong with it."""
    cli.choose("encrypted")
    cli.write(cli.vault, sealed)
    before = tree(cli.folder)

    outcomes = cli.both(passphrase)

    for outcome in outcomes:
        assert_refused(outcome, 2, word)
    assert tree(cli.folder) == before


def test_one_record_that_is_not_understood_hides_no_other(cli: CommandLine) -> None:
    """An object of unknown type is listed as such; only its own token ends with 6."""
    cli.keep(
        {
            **ONE,
            "google": {"type": "api_key"},
            "future": {"type": "passkey", "id": 7},
            "typeless": {},
        }
    )

    listed = cli.good("auth", "list")

    assert listed.count("Not understood") == 3
    assert cli.good("auth", "token", "openai") == "sk-1\n"
    for name in ("google", "future", "typeless"):
        assert_refused(cli.run("auth", "token", name), 6, name)


def _altered(raw: bytes, table: str, key: str) -> bytes:
    document = json.loads(raw)
    value = document[table][key]
    document[table][key] = ("B" if value[0] == "A" else "A") + value[1:]
    return json.dumps(document, indent=2).encode() + b"\n"
