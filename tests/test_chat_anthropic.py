"""The Messages API: what is sent, what comes back, and everything that can go wrong between.

What holds for both formats is tested here, with this one.
"""

from __future__ import annotations

import copy
import time
import traceback
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from chatserver import (
    ANTHROPIC,
    HELLO,
    HTML,
    JSON,
    SECRET,
    STREAM,
    TEXT,
    ChatServer,
    Reply,
    event,
    fault,
    halves,
    response,
)
from codemesh.errors import (
    CodemeshError,
    NetworkError,
    ProviderError,
    UnauthorizedError,
    UsageError,
)
from codemesh.providers.chat import (
    Delta,
    Message,
    Target,
    anthropic,
    endpoint,
    events,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

WHOLE = Reply((ANTHROPIC,))
TAIL = ANTHROPIC.index(b"event: content_block_stop")
BUSY = fault({"type": "error", "error": {"type": "overloaded_error", "message": "Full"}}, 529)
KEY = (("x-api-key", SECRET),)


def never(_seconds: float) -> None:
    pytest.fail("nothing was to be waited for")


def said(deltas: Iterable[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def refusal(*replies: Reply) -> ProviderError:
    """The error of one question, which is asked once."""
    with ChatServer(replies) as server, pytest.raises(ProviderError) as caught:
        list(stream(server.target("anthropic", KEY), HELLO, wait=never))
    assert len(server.seen) == 1
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value


# -- what is sent ------------------------------------------------------------------------


def test_a_question_is_sent_as_the_messages_api_wants_it() -> None:
    """What the system says goes beside the conversation."""
    messages = (
        Message("system", "Be short."),
        Message("user", "Grüß 👋"),
        Message("assistant", "hello"),
        Message("user", "again"),
    )
    with ChatServer([WHOLE]) as server:
        list(stream(server.target("anthropic", KEY), messages, max_tokens=7))

    (seen,) = server.seen
    assert seen.path == "/v1/messages"
    assert seen.headers["x-api-key"] == SECRET
    assert seen.headers["anthropic-version"] == "2023-06-01"
    assert seen.headers["accept"] == "text/event-stream"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["user-agent"].startswith("codemesh/")
    assert seen.body == {
        "model": "model-1",
        "max_tokens": 7,
        "stream": True,
        "system": "Be short.",
        "messages": [message._asdict() for message in messages[1:]],
    }


def test_a_target_may_ask_for_another_version() -> None:
    """Its own header wins."""
    with ChatServer([WHOLE]) as server:
        target = server.target("anthropic", (*KEY, ("Anthropic-Version", "2030-01-01")))
        list(stream(target, HELLO))

    assert server.seen[0].headers["anthropic-version"] == "2030-01-01"
    assert "system" not in server.seen[0].body


def test_nothing_is_sent_before_the_answer_is_asked_for() -> None:
    """A stream that nobody reads costs nothing."""
    with ChatServer([WHOLE]) as server:
        answer = stream(server.target("anthropic"), HELLO)
        assert server.seen == []
        next(answer)
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/", "https://api.anthropic.com/v1/messages"),
        ("https://proxy.test/claude/", "https://proxy.test/claude/v1/messages"),
    ],
)
def test_the_address_is_made_of_the_base_url(base: str, address: str) -> None:
    """Its path stays."""
    assert endpoint(Target(base, "m", "anthropic", ())) == address


@pytest.mark.parametrize(
    "base",
    [
        "http://api.anthropic.com",
        "https://user:pw@api.anthropic.com",
        "https://host/?key=1",
        "https://host/?",
        "https://host#x",
        "ftp://host",
        "",
    ],
)
def test_a_base_url_that_is_unsafe_is_refused(base: str) -> None:
    """Before anything is sent."""
    target = Target(base, "m", "anthropic", KEY)

    with pytest.raises(UsageError):
        stream(target, HELLO)


@pytest.mark.parametrize("value", ["", "a\nb", "smart\u2019key", "padded ", "\ud800", "a\0b"])
def test_a_credential_that_no_header_carries_is_refused_unquoted(value: str) -> None:
    """The errors of the libraries would hold it."""
    target = Target("https://host", "m", "anthropic", (("x-api-key", value and SECRET + value),))

    with pytest.raises(UsageError, match="x-api-key") as caught:
        stream(target, HELLO)

    assert SECRET not in str(caught.value) + caught.value.hint
    assert caught.value.__context__ is None


def test_a_message_that_is_no_text_is_refused() -> None:
    """Half a surrogate pair, as an argument that is no UTF-8 becomes."""
    with pytest.raises(UsageError):
        stream(Target("https://host", "m", "anthropic", KEY), [Message("user", "a\udcff")])


def test_a_target_hides_its_headers() -> None:
    """In every way in which something is printed by accident."""
    target = Target("https://host", "m", "anthropic", KEY)

    shown = f"{target} {target!r} {copy.copy(target)!r} {[target]} {target._replace(model='n')}"

    assert SECRET not in shown
    assert "x-api-key: ********" in shown


# -- what comes back ---------------------------------------------------------------------


def test_an_answer_may_be_split_at_every_byte() -> None:
    """Its text, the reason for its end and its counts are the same."""
    for parts in halves(ANTHROPIC):
        answer = list(anthropic.deltas(events.documents(response(parts), ())))
        assert said(answer) == TEXT, parts
        assert answer[-1] == Delta("", {"input_tokens": 12, "output_tokens": 9}, "end_turn")


def test_an_answer_may_be_split_on_its_way() -> None:
    """Through a server and a client, at some of these places."""
    some = halves(ANTHROPIC)[::43]
    with ChatServer(map(Reply, some)) as server:
        for parts in some:
            assert said(list(stream(server.target("anthropic"), HELLO))) == TEXT, parts


def test_an_answer_may_come_byte_by_byte() -> None:
    """With the line ends of Windows, too."""
    raw = ANTHROPIC.replace(b"\n", b"\r\n")

    with ChatServer([Reply(tuple(raw[i : i + 1] for i in range(len(raw))))]) as server:
        assert said(stream(server.target("anthropic"), HELLO)) == TEXT


def test_the_text_of_a_thought_is_not_the_answer() -> None:
    """Nor is that of a tool, or of an event that is yet to be invented."""
    documents: list[dict[str, object] | None] = [
        {"type": "content_block_start", "content_block": {"type": "thinking", "text": "no"}},
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "no"}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": 7}},
        {"type": "message_delta", "delta": None, "usage": {"output_tokens": True}},
        {"type": "new", "delta": []},
        {"what": "ever"},
        None,
        {"type": "content_block_start", "content_block": {"type": "text", "text": "yes"}},
        {"type": "message_stop"},
        {"type": "content_block_start", "content_block": {"type": "text", "text": "late"}},
    ]

    assert list(anthropic.deltas(documents)) == [Delta("", None, None), Delta("yes", None, None)]


# -- what goes wrong ---------------------------------------------------------------------


@pytest.mark.parametrize("cut", [False, True], ids=["ended", "cut"])
def test_what_was_said_before_a_stream_breaks_is_there(cut: bool) -> None:  # noqa: FBT001  a parameter of the test
    """And the break is an error, however cleanly the connection ends."""
    heard: list[Delta] = []
    with ChatServer([Reply((ANTHROPIC[:TAIL],), cut=cut)]) as server:
        answer = stream(server.target("anthropic", KEY), HELLO, wait=never)
        with pytest.raises(ProviderError, match="ended in the middle"):
            heard.extend(iter(answer))

    assert said(heard) == TEXT


def test_no_cut_stream_passes_for_a_whole_one() -> None:
    """Wherever it is cut."""
    for start, _ in halves(ANTHROPIC):
        with pytest.raises(ProviderError, match=r"ended in the middle|is no stream"):
            list(anthropic.deltas(events.documents(response([start]), ())))


def test_an_error_in_the_middle_comes_after_the_text() -> None:
    """It is not tried again: the answer had begun."""
    broken = event({"type": "error", "error": {"type": "overloaded_error", "message": "Full"}})
    heard: list[Delta] = []
    with ChatServer([Reply((ANTHROPIC[:TAIL], broken))]) as server:
        answer = stream(server.target("anthropic"), HELLO, wait=never)
        with pytest.raises(ProviderError, match="broke off: overloaded_error: Full"):
            heard.extend(iter(answer))

    assert said(heard) == TEXT
    assert len(server.seen) == 1


def test_a_credential_that_is_not_accepted_has_an_error_of_its_own() -> None:
    """So that the caller can refresh it once."""
    error = refusal(fault({"error": {"type": "authentication_error", "message": "bad"}}, 401))

    assert isinstance(error, UnauthorizedError)
    assert str(error).endswith(" answered 401: authentication_error: bad")


def test_the_words_of_a_refusal_are_clean_and_hold_no_secret() -> None:
    """A server repeats the key and sends terminal escapes."""
    told = f"\x1b[2Jkey {SECRET} is \u202ebad\x9b" + "x" * 500

    error = refusal(fault({"error": {"type": "api_error", "message": told}}, 500))

    assert " answered 500: api_error:  [2Jkey ******** is  bad xxx" in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply((b"<html>hello</html>",), 200, HTML), "is no stream of events"),
        (Reply((b"<html>hello</html>",), 200, STREAM), "is no stream of events"),
        (Reply((b'{"type": "message"}',), 200, JSON), "is no stream of events"),
        (fault({"error": {"message": "quota"}}, 200), "answered 200: quota"),
        (Reply((b"<html>bad gateway</html>",), 502, HTML), "answered 502"),
        (Reply((b"x" * 2**20,), 500, JSON), "answered 500"),
        (Reply((), 204, ()), "answered 204"),
        (Reply((b'{"error": ',), 400, JSON, cut=True), "answered 400"),
    ],
)
def test_what_is_no_stream_is_refused(reply: Reply, expected: str) -> None:
    """Whatever it claims to be, and however long it is."""
    assert str(refusal(reply)).endswith(expected)


def test_a_redirect_is_not_followed() -> None:
    """The credential goes nowhere else, also not to the same server."""
    with ChatServer([WHOLE]) as other:
        error = refusal(Reply((), 307, (("Location", other.url + "/v1/messages"),)))

    assert "sends elsewhere" in str(error)
    assert other.seen == []


def test_a_loopback_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says."""
    with ChatServer([WHOLE]) as server, ChatServer([WHOLE]) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert said(stream(server.target("anthropic"), HELLO)) == TEXT

    assert proxy.seen == []


def test_a_server_that_is_not_there_is_a_network_error() -> None:
    """It keeps nothing of the library's, which holds the request."""
    with ChatServer([WHOLE]) as server:
        target = server.target("anthropic", KEY)

    with pytest.raises(NetworkError, match="cannot be reached") as caught:
        list(stream(target, HELLO, wait=never))

    assert caught.value.__context__ is None


def test_no_log_holds_the_credential(caplog: pytest.LogCaptureFixture) -> None:
    """Also where a program that uses codemesh logs everything."""
    with caplog.at_level("DEBUG"), ChatServer([WHOLE]) as server:
        list(stream(server.target("anthropic", KEY), HELLO))

    assert caplog.records
    assert SECRET not in "".join(
        f"{record.getMessage()}{record.args}" for record in caplog.records
    )


def test_nothing_was_broken_by_stopping_early() -> None:
    """Whoever has heard enough closes the stream."""
    with ChatServer([WHOLE, WHOLE]) as server:
        for _ in range(2):
            answer = stream(server.target("anthropic"), HELLO)
            assert next(answer).text == TEXT[:7]
            answer.close()  # type: ignore[attr-defined]  # a generator, which an Iterator hides


# -- a provider that is too busy -----------------------------------------------------------


def asked(replies: list[Reply]) -> tuple[list[float], int, str]:
    """The seconds waited, how often was asked, and the answer or the error."""
    waited: list[float] = []
    with ChatServer(replies) as server:
        try:
            told = said(stream(server.target("anthropic"), HELLO, wait=waited.append))
        except CodemeshError as error:
            told = str(error).partition(" ")[2]
    return waited, len(server.seen), told


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_busy_provider_is_asked_again(status: int) -> None:
    """After as long as it says."""
    busy = fault({}, status, ("Retry-After", "7"))

    assert asked([busy, busy, WHOLE]) == ([7.0, 7.0], 3, TEXT)


def test_a_provider_that_stays_busy_is_given_up() -> None:
    """After three attempts, in its own words."""
    assert asked([BUSY]) == ([2.0, 4.0], 3, "answered 529: overloaded_error: Full")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("3600", 60.0),
        ("9" * 5000, 60.0),
        ("-1", 2.0),
        ("1.5", 2.0),
        ("soon", 2.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 +9999999999999999999", 2.0),
        ("Thu, 99 Jan 99999 00:00:00 GMT", 2.0),
    ],
)
def test_a_provider_does_not_say_how_long_for_ever(header: str, seconds: float) -> None:
    """A pause is never longer than a minute, and never negative."""
    assert asked([fault({}, 429, ("Retry-After", header)), WHOLE]) == ([seconds], 2, TEXT)


def test_a_provider_may_say_until_when() -> None:
    """As a date of HTTP."""
    header = ("Retry-After", formatdate(time.time() + 30, usegmt=True))

    (waited,), times, told = asked([fault({}, 429, header), WHOLE])

    assert 20 < waited <= 30
    assert (times, told) == (2, TEXT)


@pytest.mark.parametrize("status", [400, 403, 404, 408, 413, 500, 502, 504])
def test_other_refusals_are_final(status: int) -> None:
    """Also with a Retry-After."""
    assert asked([fault({}, status, ("Retry-After", "1"))]) == ([], 1, f"answered {status}")
