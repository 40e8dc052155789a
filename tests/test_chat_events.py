"""Server-sent events are read as they come, whatever they are split into."""

from __future__ import annotations

import json
from itertools import takewhile
from typing import TYPE_CHECKING

import httpx2
import pytest

from chatserver import SECRET, event, response, split
from codemesh.errors import NetworkError, ProviderError
from codemesh.providers.chat import events

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

END = event("[DONE]")
LINES = (
    '\ufeffdata: {"z": 0}\n\n'
    ": a comment\n"
    'event: x\ndata: {"a":\ndata: "Grüße 👋"}\n\n'
    "id: 7\nretry: 10\n\n"
    ":\n\n"
    'data:{"b": 1}\n\n'
    "data: [DONE]\n\n"
)
READ: list[dict[str, object]] = [{"z": 0}, {"a": "Grüße 👋"}, {"b": 1}]


def read(parts: Iterable[bytes]) -> list[dict[str, object]]:
    """Every document before the end."""
    documents = events.documents(response(parts), (SECRET,))
    return [document for document in takewhile(lambda it: it is not None, documents) if document]


def failure(*parts: bytes) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        read(iter(parts))
    return caught.value


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_a_stream_may_be_split_at_every_byte(end: str) -> None:
    """Whatever ends the lines, no place of a split changes what is read."""
    raw = LINES.replace("\n", end).encode()

    for place in range(len(raw)):
        assert read(iter(split(raw, place))) == READ, place
    assert read(raw[i : i + 1] for i in range(len(raw))) == READ


def test_a_document_is_there_before_the_next_one_is_sent() -> None:
    """Nothing is held back until more comes."""
    sent = []

    def parts() -> Iterator[bytes]:
        for number in range(3):
            sent.append(number)
            yield event({"number": number})

    documents = events.documents(response(parts()), ())

    assert next(documents) == {"number": 0}
    assert sent == [0]


def test_text_is_utf_8_whatever_the_header_says() -> None:
    """The standard knows no other encoding."""
    answer = response(
        iter([event({"a": "ü"})]), [("Content-Type", "text/event-stream; charset=latin-1")]
    )

    assert next(events.documents(answer, ())) == {"a": "ü"}


def test_a_stream_that_just_ends_is_cut() -> None:
    """An event without its empty line was not sent whole, and is not read."""
    error = failure(event({"a": 1}), END[:-1])

    assert str(error) == "the answer of https://host:443 ended in the middle"


def test_a_body_without_events_is_no_stream() -> None:
    """Whatever its header claims."""
    assert "no stream of events" in str(failure(b"<html>hello</html>\n\n"))
    assert "no stream of events" in str(failure())


@pytest.mark.parametrize(
    "line", [b"data: ", b": ", b"data"], ids=["a field", "a comment", "no field"]
)
def test_an_event_that_never_ends_is_refused(line: bytes) -> None:
    """At a MiB, not when memory is full."""
    asked = []

    def parts() -> Iterator[bytes]:
        yield line
        for number in range(64):
            asked.append(number)
            yield b"x" * 2**16

    with pytest.raises(ProviderError, match="more than 1048576 bytes"):
        read(parts())

    assert len(asked) <= 17


def test_an_event_of_many_lines_is_bounded_too() -> None:
    """Its lines count together."""
    assert "more than 1048576 bytes" in str(failure((b"data: " + b"x" * 1000 + b"\n") * 1100))


def test_an_event_just_below_the_limit_is_read() -> None:
    """The limit is a MiB."""
    text = "x" * (2**20 - 100)

    assert read(iter([event({"a": text}), END])) == [{"a": text}]


@pytest.mark.parametrize("data", ["{", "[1]", "null", '{"a": 1, "a": 2}', '{"a": NaN}'])
def test_an_event_that_is_no_json_object_is_refused(data: str) -> None:
    """Strictly, as everything that strangers write."""
    assert "no JSON object" in str(failure(event(data)))


@pytest.mark.parametrize(
    "raw",
    [
        event(
            {"type": "error", "error": {"type": "overloaded_error", "message": "Full"}}, "error"
        ),
        event({"error": {"type": "overloaded_error", "message": "Full"}}),
        event({"error": "overloaded_error: Full"}),
        event({"object": "error", "message": "overloaded_error: Full"}),
    ],
)
def test_an_error_may_come_as_an_event(raw: bytes) -> None:
    """In each of the forms that servers know."""
    assert str(failure(raw)) == "https://host:443 broke off: overloaded_error: Full"


def test_a_server_that_repeats_the_credential_is_not_quoted() -> None:
    """Nor do its terminal escapes get through, and the library's error is not dragged along."""
    said = f"bad key {SECRET}\x1b]0;owned\x07\u202e"

    error = failure(event({"error": {"message": said}}))

    assert str(error) == "https://host:443 broke off: bad key ******** ]0;owned  "


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (httpx2.ReadTimeout("late"), "did not go on in time"),
        (httpx2.RemoteProtocolError("cut"), "ended in the middle"),
        (httpx2.DecodingError("bad gzip"), "ended in the middle"),
    ],
)
def test_a_connection_that_breaks_is_a_network_error(
    raised: httpx2.RequestError, said: str
) -> None:
    """It keeps nothing of the library's, which holds the request."""

    def parts() -> Iterator[bytes]:
        yield event({"a": 1})
        raise raised

    with pytest.raises(NetworkError, match=said) as caught:
        read(parts())

    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_what_an_error_document_says_is_found() -> None:
    """In a list too, as Gemini sends it; anything else says nothing."""
    document = {"error": {"code": 400, "message": "no such model"}}

    assert events.told([document], ()) == "no such model"
    assert events.told(document, ()) == "no such model"
    silent: list[object] = [[], None, "text", {}, [[]]]
    assert {events.told(value, ()) for value in silent} == {""}
    assert events.parsed(json.dumps(document).encode()) == document
    assert events.parsed(b"<html>") is None
