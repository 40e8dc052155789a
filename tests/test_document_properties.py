"""The plaintext document: whatever goes in comes out, and rubbish is damage and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemesh.backends import _document, _salvage
from codemesh.backends._document import Document
from codemesh.backends.base import same
from codemesh.errors import DamagedError, UsageError

if TYPE_CHECKING:
    from codemesh.model import Record

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
RECORDS = st.dictionaries(TEXT, VALUES, max_size=4)
DOCUMENTS = st.builds(
    Document,
    st.dictionaries(TEXT.filter(bool), RECORDS, max_size=4),
    st.dictionaries(TEXT.filter(lambda key: key != "credentials"), VALUES, max_size=3),
)
UNFIT = st.sampled_from([float("nan"), float("inf"), "\ud83d", b"x", (1,), {1}, {1: 1}, 1j])


@given(DOCUMENTS)
def test_round_trip(document: Document) -> None:
    """What is encoded is decoded to the last type, foreign keys included."""
    raw = _document.encode(document)

    assert same(_document.decode(raw).records, document.records)
    assert same(_document.decode(raw).rest, document.rest)


@given(DOCUMENTS)
def test_order_is_kept(document: Document) -> None:
    """Entries and their fields keep their order through a rewrite."""
    records = _document.decode(_document.encode(document)).records

    assert list(records) == list(document.records)
    assert [list(record) for record in records.values()] == [
        list(record) for record in document.records.values()
    ]


@given(DOCUMENTS)
def test_any_reader_reads_it(document: Document) -> None:
    """Any JSON reader finds the same in it, and it is ASCII with one newline at its end."""
    raw = _document.encode(document)

    assert same(json.loads(raw), {"credentials": document.records, **document.rest})
    assert raw.isascii()
    assert raw.endswith(b"}\n")


@given(st.binary(max_size=200))
def test_rubbish_is_damage(raw: bytes) -> None:
    """Arbitrary bytes are decoded or are damage; nothing else is raised."""
    try:
        document = _document.decode(raw)
    except DamagedError:
        return

    assert same(_document.decode(_document.encode(document)).records, document.records)


@given(DOCUMENTS, st.data())
def test_mutated_document_is_damage(document: Document, data: st.DataObject) -> None:
    """A document with bytes changed, left out or put in is damage, or as sound as any other."""
    raw = bytearray(_document.encode(document))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(raw) - 1))
        length = data.draw(st.integers(0, 3))
        raw[position : position + length] = data.draw(st.binary(max_size=3))
        raw = raw or bytearray(b" ")

    try:
        decoded = _document.decode(bytes(raw))
    except DamagedError:
        return

    assert same(_document.decode(_document.encode(decoded)).records, decoded.records)


@given(DOCUMENTS, st.data())
def test_every_cut_is_damage(document: Document, data: st.DataObject) -> None:
    """No document that is cut short passes for a whole one."""
    raw = _document.encode(document).rstrip()
    length = data.draw(st.integers(0, len(raw) - 1))

    with pytest.raises(DamagedError):
        _document.decode(raw[:length])


@given(st.recursive(st.none() | TEXT, st.lists, max_leaves=5))
def test_records_are_objects(value: object) -> None:
    """Anything but an object of objects under `credentials` is damage."""
    raw = json.dumps({"credentials": {"a": value}}).encode()

    with pytest.raises(DamagedError):
        _document.decode(raw)


@given(RECORDS, UNFIT, st.booleans())
def test_unfit_values_are_refused(record: Record, bad: object, deep: bool) -> None:  # noqa: FBT001
    """A value that JSON does not have is refused wherever it stands."""
    unfit = {**record, "bad": [{"x": bad}] if deep else bad}

    with pytest.raises(UsageError):
        _document.check_puts({"a": unfit})


@given(RECORDS)
def test_fit_values_pass(record: Record) -> None:
    """A record of JSON values can be stored, and comes back."""
    _document.check_puts({"a": record})

    raw = _document.encode(Document({"a": record}, {}))
    assert same(_document.decode(raw).records, {"a": record})


@given(st.binary(max_size=300) | DOCUMENTS.map(_document.encode).map(lambda raw: raw[:-9]))
def test_salvage_never_fails(raw: bytes) -> None:
    """Salvaging reads any bytes at all, and what it saves can be stored and comes back."""
    saved = _salvage.entries(raw).records

    _document.check_puts(saved)
    assert same(_document.decode(_document.encode(Document(saved, {}))).records, saved)
