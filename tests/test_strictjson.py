"""Strict JSON: what is refused, what comes back exactly, and what an error keeps to itself."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemesh import strictjson
from codemesh.errors import DamagedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "sk-marked-secret"

DAMAGED = {
    "empty": b"",
    "white space": b" \n",
    "not JSON": b"{'a': 1}",
    "comment": b"// a\n{}",
    "trailing comma": b"[1,]",
    "trailing data": b"{} {}",
    "trailing NUL": b"{}\0",
    "cut": b'{"a": ',
    "duplicate key": b'{"a": 1, "a": 1}',
    "duplicate key, escaped": b'{"a": 1, "\\u0061": 2}',
    "duplicate key, deep": b'[{"b": [{"a": 1, "a": 1}]}]',
    "NaN": b"[NaN]",
    "Infinity": b"[Infinity]",
    "-Infinity": b"[-Infinity]",
    "overflow": b"[1e400]",
    "negative overflow": b"[-1e400]",
    "4,301 digits": b"[" + b"1" * 4301 + b"]",
    "leading zero": b"[01]",
    "plus": b"[+1]",
    "hex": b"[0x10]",
    "raw control character": b'["\n"]',
    "100,000 arrays": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a": 1}'.encode("utf-16-le"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "invalid UTF-8": b'["\xff"]',
    "overlong UTF-8": b'["\xc0\xaf"]',
    "surrogate bytes": b'["\xed\xa0\x80"]',
    "high surrogate alone": b'["\\ud800"]',
    "low surrogate alone": b'["\\uDC00"]',
    "pair the wrong way round": b'["\\ude00\\ud83d"]',
    "surrogate in a key": b'{"\\ud800": 1}',
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
)


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED.keys())
def test_refuses_what_is_not_strict_json(raw: bytes) -> None:
    """Whatever Python reads beyond JSON is damage."""
    with pytest.raises(DamagedError):
        strictjson.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        f'{{"key": "{MARK}"'.encode(),
        f'{{"{MARK}": 1, "{MARK}": 1}}'.encode(),
        f'["{MARK}", NaN]'.encode(),
        f'["{MARK}", 1e400]'.encode(),
        f'["{MARK}", "\\ud800"]'.encode(),
        f'["{MARK}", {"1" * 5000}]'.encode(),
        MARK.encode() + b"\xff",
    ],
)
def test_errors_do_not_carry_the_document(raw: bytes) -> None:
    """Neither the text of an error nor anything chained to it holds what was read."""
    with pytest.raises(DamagedError) as caught:
        strictjson.loads(raw)

    error = caught.value
    assert MARK not in repr(error) + str(vars(error))
    assert error.__cause__ is None
    assert error.__context__ is None


def test_accepts_json_in_any_layout() -> None:
    """White space, escapes of true pairs and UTF-8 are as good as the canonical form."""
    raw = b' {"a" : [1, 2.5,\r\n\tnull ], "\\ud83d\\ude00": "\xc3\xa9\\\\ud800"} '

    value = strictjson.loads(raw)

    assert value == {"a": [1, 2.5, None], "\U0001f600": "\u00e9\\ud800"}


@given(json_values)
def test_round_trip_is_exact(value: object) -> None:
    """Each value comes back with its type and, for floats, its sign of zero."""
    back = strictjson.loads_canonical(strictjson.canonical(value))

    assert repr(back) == repr(json.loads(json.dumps(value, sort_keys=True)))
    assert back == value


def test_canonical_form() -> None:
    """ASCII, keys by code point, no spaces, exact integers, shortest floats."""
    value = {"\U00010000": -0.0, "\ue000": 10**30, "b": [True, None, 0.1], "a": {"d": 1, "c": "é"}}

    raw = strictjson.canonical(value)

    assert raw == (
        b'{"a":{"c":"\\u00e9","d":1},"b":[true,null,0.1],'
        b'"\\ue000":1000000000000000000000000000000,"\\ud800\\udc00":-0.0}'
    )


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        "\ud800",
        {"\udfff": 1},
        {1: 2},
        {None: 2},
        {"a": {True: 1}},
        {"a": 1, 2: 1},
        b"bytes",
        {"a": {1, 2}},
        (1, 2),
        10**5000,
        nested(65),
        nested(5000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refuses_to_write_what_would_not_read_back(value: object) -> None:
    """What JSON has not, or turns into something else, is the caller's error."""
    with pytest.raises(UsageError) as caught:
        strictjson.canonical({"value": value} if not isinstance(value, list) else value)

    assert caught.value.__context__ is None


def test_refuses_to_write_a_circle() -> None:
    """A list within itself ends in an error, not in a loop."""
    circle: list[object] = []
    circle += [circle, circle]

    with pytest.raises(UsageError):
        strictjson.canonical(circle)


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}], ids=["lists", "objects"])
@pytest.mark.parametrize("core", [[], {}, 1], ids=["list", "object", "number"])
def test_nesting_ends_at_64(wrap: Callable[[object], object], core: object) -> None:
    """64 containers within each other are fine, 65 are not, whatever is in the innermost."""
    value = core
    for _ in range(64 if core == 1 else 63):
        value = wrap(value)

    strictjson.check_depth(value)
    assert strictjson.loads_canonical(strictjson.canonical(value)) == value

    with pytest.raises(DamagedError):
        strictjson.check_depth(wrap(value))
    with pytest.raises(UsageError):
        strictjson.canonical(wrap(value))


@pytest.mark.parametrize(
    "raw",
    [b"[1, 2]", b"[1]\n", b'{"b":1,"a":1}', b"[1.50]", b"[1e2]", b"[-0]", b'["\\u00E9"]'],
)
def test_canonical_reader_accepts_one_spelling(raw: bytes) -> None:
    """Sound JSON in another spelling is damage where only our own bytes can be."""
    assert strictjson.loads(raw) is not None

    with pytest.raises(DamagedError):
        strictjson.loads_canonical(raw)
