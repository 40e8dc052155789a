"""The contract of `backends/base.py`: hostile names and values, on every backend."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import pytest

from codemesh.backends.base import same
from codemesh.errors import UsageError
from support import CANARY, api_key, shown

if TYPE_CHECKING:
    from codemesh.model import Record
    from support import Bench

# Written as escapes, so that no editor can quietly spoil them; guarded by a test below.
NUL = "open\x00ai"
NEWLINE = "open\nai"
CARRIAGE_RETURN = "open\rai"
ESCAPE = "\x1b]0;title\x07\x1b[31mopenai"
C1_CONTROL = "open\x9b31mai"
BIDI_OVERRIDE = "open\u202eia"
RIGHT_TO_LEFT = "\u05de\u05e4\u05ea\u05d7"
EMOJI = "\U0001f511\U0001f3fd\u200d\U0001f4bb"
COMBINING = "cafe\u0301"
COMPOSED = "caf\u00e9"
BYTE_ORDER_MARK = "\ufeffopenai"
LINE_SEPARATOR = "open\u2028ai"
TRAVERSAL = "../../etc/passwd"
DEVICE = "CON"
PERCENT = "%00%2e%2e%s%(x)s"
AT = "openai@work"
SLASHES = "/openai//work/"
SPACES = "  open ai  "
QUOTES = "\"open\"'ai'`"
BACKSLASHES = "open\\ai\\"
PROTOTYPE = "__proto__"
CONTAINER = "credentials"
SHORTEST = "x"
LONGEST = "x" * 255
LONGEST_WIDE = "\U0001f511" * 255

NAMES = {
    name: value
    for name, value in list(globals().items())
    if name.isupper() and name not in {"CANARY", "TYPE_CHECKING"}
}

NOT_A_NUMBER = float("nan")
SURROGATE = "half \ud83d of a pair"


def nested(levels: int) -> Record:
    """A record that nests this many levels of objects and lists in turn."""
    value: object = []
    for level in range(levels - 2):
        value = {"a": value} if level % 2 else [value]
    return {"data": value}


VALUES: dict[str, object] = {
    "lone carriage return": "\r",
    "line ends": "a\r\nb\nc\r",
    "nul": "a\x00b",
    "pem": "-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n",
    "64 KiB": "x" * 65_536,
    "astral": "\U0001f511\U0010ffff",
    "not normalised": COMBINING,
    "empty": "",
    "blank": " ",
    "json": '{"a": [1, "\\u0000"]}',
    "null": None,
    "true": True,
    "one": 1,
    "one point nought": 1.0,
    "minus nought": -0.0,
    "denormal": 1e-320,
    "largest float": 1.7976931348623157e308,
    "over 64 bits": 2**64,
    "far over 64 bits": -(10**400),
    "empty object": {},
    "empty list": [],
    "mixed list": [0, False, 0.0, -0.0, "0", None, [], {}],
    "hostile keys": {"": 1, "\x00": 2, "__proto__": 3, "\U0001f511": 4, "a": {"": {"": None}}},
}


def test_constants_are_as_written() -> None:
    """No editor has normalised or stripped the hostile names."""
    assert len(NAMES) == 25
    assert len(COMBINING) == len(COMPOSED) + 1
    assert len(set(NAMES.values())) == 25
    assert ord(BIDI_OVERRIDE[4]) == 0x202E


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_hostile_name(bench: Bench, name: str) -> None:
    """Any text of 1 to 255 characters is a name: kept, listed, replaced and removed."""
    backend = bench.filled({name: api_key("one"), "other": api_key("other")})

    backend.put(name, api_key("two"))

    assert backend.names() == sorted([name, "other"])
    assert same(backend.get(name), api_key("two"))
    backend.remove(name)
    assert same(bench.open().records(), {"other": api_key("other")})


def test_all_hostile_names_at_once(bench: Bench) -> None:
    """No two hostile names are taken for one another, and nothing is written elsewhere."""
    batch = {name: api_key(f"key {number}") for number, name in enumerate(NAMES.values())}

    bench.open().change(batch)

    assert same(bench.open().records(), batch)
    assert not (bench.home.parent / "etc").exists()


@pytest.mark.parametrize("name", ["", "x" * 256, "open\ud83dai", "\udc80", "\U0001f511" * 256])
def test_impossible_name(bench: Bench, name: str) -> None:
    """A name that is empty, too long or no text is refused, and no store comes to be."""
    backend = bench.open()

    with pytest.raises(UsageError):
        backend.put(name, api_key("one"))

    assert bench.raw() is None


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_hostile_value(bench: Bench, value: object) -> None:
    """Whatever JSON can say comes back to the last type, as a field and as one inside."""
    record: Record = {"type": "custom", "key": value, "data": {"inner": [value]}}

    bench.open().put("openai", record)

    assert same(bench.open().get("openai"), record)


def test_types_are_kept_apart(bench: Bench) -> None:
    """A boolean, an integer and a float of the same value stay what they are."""
    values: list[object] = [True, 1, 1.0, False, 0, 0.0, -0.0]

    bench.open().put("openai", {"values": values})

    found = bench.open().get("openai")["values"]
    assert isinstance(found, list)
    assert [repr(value) for value in found] == [repr(value) for value in values]


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"type": "unheard-of", "field": 1},
        {"type": 7},
        {"type": None, "key": None},
        {"type": "api_key"},
        {"type": "apikey", "key": "k", "x-vendor": {"a": [None]}, "label": None},
        {"type": "oauth", "access_token": "a", "refresh_token": None, "scope": ["a", "b"]},
    ],
)
def test_unknown_and_null_is_kept(bench: Bench, record: Record) -> None:
    """Unknown types, unknown fields and explicit nulls survive writes of other entries."""
    bench.open().put("theirs", record)

    bench.open().change({"ours": api_key("one")})
    bench.open().remove("ours")

    assert same(bench.open().get("theirs"), record)


def test_deepest_record(bench: Bench) -> None:
    """A record of 62 levels is kept, one of 63 is refused, and so is a bottomless one."""
    backend = bench.open()
    backend.put("deep", nested(62))
    endless: Record = {}
    endless["endless"] = endless

    for record in (nested(63), nested(5000), endless):
        with pytest.raises(UsageError):
            backend.put("deep", record)

    assert same(bench.open().records(), {"deep": nested(62)})


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        NOT_A_NUMBER,
        float("inf"),
        float("-inf"),
        SURROGATE,
        {SURROGATE: 1},
        b"bytes",
        bytearray(b"bytes"),
        ("a", "tuple"),
        {"a", "set"},
        {1: "number"},
        {None: "null"},
        {True: "boolean"},
        {("a",): "tuple"},
        object(),
        1j,
        Colour.RED,
        Text("text"),
        10**5000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_that_json_does_not_have(bench: Bench, value: object) -> None:
    """What would not come back as it is is refused, without a word of what lies beside it."""
    backend = bench.filled({"openai": api_key("old")})
    before = bench.raw()

    with pytest.raises(UsageError) as caught:
        backend.put("openai", {"type": "custom", "data": {"key": CANARY, "bad": [value]}})

    assert bench.raw() == before
    assert "openai" in str(caught.value)
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize("record", [None, [], "text", 1, [("key", "k")], api_key])
def test_record_that_is_no_object(bench: Bench, record: object) -> None:
    """A record that is no JSON object is refused."""
    backend = bench.open()

    with pytest.raises(UsageError):
        backend.put("openai", record)  # type: ignore[arg-type]

    assert bench.raw() is None
