"""A GitHub token is exchanged for one of Copilot."""

from __future__ import annotations

import pytest

from codemesh import __version__
from codemesh.errors import CodemeshError, NetworkError, ProviderError, UsageError
from codemesh.providers import copilot, web
from codemesh.providers.copilot import CopilotToken
from codemesh.secret import Secret
from deviceserver import DROP, DeviceServer, Told

GITHUB = "gho_canary4f9d2c71"
COPILOT = "tid=canary4f9d2c71;exp=1900000000;sku=free"
PATH = "/copilot_internal/v2/token"
GOOD: dict[str, object] = {
    "token": COPILOT,
    "expires_at": 1_900_000_000,
    "refresh_in": 1500,
    "endpoints": {"api": "https://api.individual.example"},
}


def exchange(answer: Told | str, token: str = GITHUB) -> CopilotToken:
    """Exchange a token at a server that answers so."""
    with DeviceServer(answer) as server:
        return copilot.exchange(Secret(token), url=server.url(PATH))


def failure(answer: Told | str) -> CodemeshError:
    """The error that comes of such an answer; it never has either token."""
    with pytest.raises(ProviderError) as caught:
        exchange(answer)
    error = caught.value
    told = f"{error!r} {error} {error.message} {error.hint}"
    assert GITHUB not in told
    assert COPILOT not in told
    return error


def test_a_token_is_exchanged() -> None:
    """The answer has the token, when it expires, and where the chat is."""
    got = exchange(Told(200, GOOD))

    assert got == CopilotToken(Secret(COPILOT), 1_900_000_000, "https://api.individual.example")
    assert COPILOT not in repr(got)


def test_the_request_says_who_asks() -> None:
    """It carries the token as RFC 6750 says, and names no editor but codemesh."""
    with DeviceServer(Told(200, GOOD)) as server:
        copilot.exchange(Secret(GITHUB), url=server.url(PATH))

    (asked,) = server.asked
    own = f"codemesh/{__version__}"
    assert (asked.method, asked.path) == ("GET", PATH)
    assert asked.headers["authorization"] == f"Bearer {GITHUB}"
    assert asked.headers["user-agent"] == own
    assert asked.headers["editor-version"] == own
    assert asked.headers["editor-plugin-version"] == own
    assert asked.headers["openai-intent"] == "conversation-edits"
    assert "vscode" not in str(asked.headers)


def test_the_exchange_is_made_at_github(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing else is said, the token goes to GitHub, by https."""
    asked = []

    def get(url: str, **_: object) -> web.Answer:
        asked.append(url)
        return web.Answer(200, GOOD)

    monkeypatch.setattr(web, "get", get)
    copilot.exchange(Secret(GITHUB))

    assert asked == ["https://api.github.com/copilot_internal/v2/token"]


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (401, "GitHub does not take this token", "codemesh auth login github"),
        (403, "GitHub does not let this token use Copilot", "settings/copilot"),
        (404, "GitHub has no Copilot for this token", "client_id"),
        (500, " answered 500 instead of a Copilot token", ""),
        (201, " answered 201 instead of a Copilot token", ""),
    ],
)
def test_a_refusal(status: int, message: str, hint: str) -> None:
    """Each says what to do next, and none in words that could repeat the token."""
    error = failure(Told(status, {"message": f"no {GITHUB}", **GOOD}))

    assert error.message.endswith(message)
    assert hint in error.hint


def test_no_answer() -> None:
    """A network that fails is told apart from a refusal."""
    assert isinstance(failure(DROP), NetworkError)


@pytest.mark.parametrize(
    "changes",
    [
        {"token": None},
        {"token": ""},
        {"token": 5},
        {"token": f"{COPILOT}\r\nX-Evil: 1"},
        {"token": f"{COPILOT}\N{SNOWMAN}"},
        {"token": "x" * 16385},
        {"expires_at": None},
        {"expires_at": True},
        {"expires_at": "1900000000"},
        {"expires_at": 0},
        {"expires_at": -1},
        {"expires_at": 10**15},
        {"endpoints": None},
        {"endpoints": []},
        {"endpoints": {}},
        {"endpoints": {"api": 5}},
        {"endpoints": {"api": "http://api.example"}},
        {"endpoints": {"api": "https://user:pw@api.example"}},
        {"endpoints": {"api": "javascript:alert(1)"}},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_an_answer_that_cannot_be_used(changes: dict[str, object]) -> None:
    """A token without an end or a place to use it is refused, and so is an odd one."""
    error = failure(Told(200, {**GOOD, **changes}))

    assert " answered with no usable Copilot token: " in error.message


def test_the_chat_is_not_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub cannot send the token to a port of this machine; a server on it can."""
    here = {**GOOD, "endpoints": {"api": "http://127.0.0.1:1/"}}
    assert exchange(Told(200, here)).api == "http://127.0.0.1:1"

    monkeypatch.setattr(web, "get", lambda *_, **__: web.Answer(200, here))
    with pytest.raises(ProviderError, match="would be on this machine"):
        copilot.exchange(Secret(GITHUB))


@pytest.mark.parametrize("token", ["", "a b", "a\n", "a\r\nX-Evil: 1", "a\N{SNOWMAN}", "a\ud800"])
def test_a_token_that_no_header_carries(token: str) -> None:
    """What would break the request, or come back in its error, is not sent."""
    with DeviceServer(Told(200, GOOD)) as server, pytest.raises(UsageError) as caught:
        copilot.exchange(Secret(token), url=server.url(PATH))

    assert not server.asked
    assert caught.value.message == (
        "the GitHub token is empty, or has characters that no token has"
    )


def test_a_token_is_not_sent_by_http() -> None:
    """Nobody on the way reads it."""
    with pytest.raises(UsageError):
        copilot.exchange(Secret(GITHUB), url="http://api.example/token")
