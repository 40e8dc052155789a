"""Chat completions: what is sent to whom, and what the dialects answer."""

from __future__ import annotations

import traceback

import pytest

from chatserver import (
    COMPLETIONS,
    HELLO,
    SECRET,
    TEXT,
    ChatServer,
    Reply,
    event,
    fault,
    halves,
    response,
)
from codemesh.errors import ProviderError, UnauthorizedError
from codemesh.providers.chat import (
    Delta,
    Message,
    Target,
    completions,
    endpoint,
    events,
    stream,
)

WHOLE = Reply((COMPLETIONS,))
COUNTS = {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}


def said(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def refusal(*replies: Reply) -> ProviderError:
    with ChatServer(replies) as server, pytest.raises(ProviderError) as caught:
        list(stream(server.target("completions"), HELLO))
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/chat/completions"),
        ("http://[::1]:8080", "http://[::1]:8080/v1/chat/completions"),
        (
            "https://me.openai.azure.com/openai/v1/",
            "https://me.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
        ),
    ],
)
def test_the_address_is_made_of_the_base_url(base: str, address: str) -> None:
    """A path stands in place of v1, and a lone slash is one: Copilot has no v1."""
    assert endpoint(Target(base, "m", "completions", ())) == address


def test_a_question_is_sent_as_chat_completions_want_it() -> None:
    """What the system says is the first message, and counts are asked for."""
    messages = (Message("system", "Be short."), Message("user", "Grüß 👋"))
    with ChatServer([WHOLE]) as server:
        list(stream(server.target("completions"), messages, max_tokens=7))

    (seen,) = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {SECRET}"
    assert "anthropic-version" not in seen.headers
    assert seen.body == {
        "model": "model-1",
        "max_tokens": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [message._asdict() for message in messages],
    }


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("https://api.openai.com", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://me.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://me.services.ai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://api.openai.com.test", "max_tokens"),
        ("https://notapi.openai.com", "max_tokens"),
        ("http://127.0.0.1:8080", "max_tokens"),
    ],
)
def test_the_limit_has_the_name_that_the_provider_knows(base: str, name: str) -> None:
    """Newer models of OpenAI refuse the old one, local servers do not know the new one."""
    body = completions.body(Target(base, "m", "completions", ()), HELLO, 5)

    assert body[name] == 5
    assert len({"max_tokens", "max_completion_tokens"} & set(body)) == 1


def test_an_answer_may_be_split_at_every_byte() -> None:
    """Its text, the reason for its end and its counts are the same."""
    for parts in halves(COMPLETIONS):
        answer = list(completions.deltas(events.documents(response(parts), ())))
        assert said(answer) == TEXT, parts
        assert answer[-2:] == [Delta("", None, "stop"), Delta("", COUNTS, None)]


def test_an_answer_may_be_split_on_its_way() -> None:
    """Through a server and a client, at some of these places."""
    some = halves(COMPLETIONS)[::43]
    with ChatServer(map(Reply, some)) as server:
        for parts in some:
            assert said(list(stream(server.target("completions"), HELLO))) == TEXT, parts


def test_an_answer_may_come_byte_by_byte() -> None:
    """With the line ends of Windows, too."""
    raw = COMPLETIONS.replace(b"\n", b"\r\n")

    with ChatServer([Reply(tuple(raw[i : i + 1] for i in range(len(raw))))]) as server:
        assert said(list(stream(server.target("completions"), HELLO))) == TEXT


def test_what_servers_add_or_leave_out_does_no_harm() -> None:
    """Choices that are none, content that is no text, and the text of a refusal."""
    documents: list[dict[str, object] | None] = [
        {},
        {"choices": None},
        {"choices": [7]},
        {"choices": [{"delta": None, "finish_reason": ""}]},
        {"choices": [{"delta": {"content": ["no"], "reasoning_content": "no"}}], "usage": []},
        {"choices": [{"delta": {"content": None, "refusal": "I will not."}}]},
        {"choices": [{"delta": {"content": "yes"}, "finish_reason": "stop"}], "usage": {"n": 1}},
        None,
        {"choices": [{"delta": {"content": "late"}}]},
    ]

    assert list(completions.deltas(documents)) == [
        Delta("I will not.", None, None),
        Delta("yes", {"n": 1}, "stop"),
    ]


def test_a_stream_without_its_end_is_cut() -> None:
    """A reason for the end is none yet: the counts may follow."""
    assert "ended in the middle" in str(refusal(Reply((COMPLETIONS[: -len(event("[DONE]"))],))))


def test_an_error_in_the_middle_comes_after_the_text() -> None:
    """In the words of the server, without the credential."""
    raw = COMPLETIONS[: COMPLETIONS.index(b'data: {"choices": [], "usage"')]
    heard: list[Delta] = []
    told = event({"error": {"type": "server_error", "message": f"lost \x1b[31m{SECRET}"}})
    with ChatServer([Reply((raw, told))]) as server:
        answer = stream(server.target("completions"), HELLO)
        with pytest.raises(ProviderError) as caught:
            heard.extend(iter(answer))

    assert said(heard) == TEXT
    assert str(caught.value).endswith(" broke off: server_error: lost  [31m********")


def test_a_token_is_hidden_without_its_scheme() -> None:
    """A server that repeats the token alone is not quoted either."""
    error = refusal(fault({"error": {"message": f"Incorrect API key: {SECRET}"}}, 401))

    assert isinstance(error, UnauthorizedError)
    assert str(error).endswith(" answered 401: Incorrect API key: ********")


def test_the_error_of_gemini_is_found_in_its_list() -> None:
    """Its compatible endpoint wraps it so."""
    reply = Reply((b'[{"error": {"code": 404, "message": "no such model"}}]',), 404, ())

    assert str(refusal(reply)).endswith(" answered 404: no such model")


def test_a_busy_server_is_asked_again() -> None:
    """As for the other format."""
    waited: list[float] = []
    with ChatServer([fault({}, 429, ("Retry-After", "3")), WHOLE]) as server:
        answer = list(stream(server.target("completions"), HELLO, wait=waited.append))

    assert said(answer) == TEXT
    assert waited == [3.0]
