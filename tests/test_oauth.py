"""The authorization code flow with PKCE, against a server of the tests' own."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

import authserver
from authserver import AuthServer
from codemesh.errors import (
    CodemeshError,
    NetworkError,
    ProviderError,
    RefusedGrantError,
    UsageError,
)
from codemesh.providers import oauth, tokens, web
from codemesh.providers.oauth import Attempt
from codemesh.providers.table import Endpoints
from codemesh.secret import Secret
from support import CANARY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.server import BaseHTTPRequestHandler

    from authserver import Respond

NOW = 1_800_000_000
CALLBACK = "http://127.0.0.1:1455/callback"
RFC_7636_B = bytes([
    *(116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186),
    *(22, 212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121),
])  # fmt: skip
CLAUDE = Endpoints(
    client_id="cid",
    token_url="https://console.example/token",
    authorize_url="https://claude.example/oauth/authorize",
    scopes=("user:profile", "user:inference"),
)
IMPATIENT = {"form": None, "json": None, "headers": None, "timeout": 0.3}
UNUSABLE = [
    pytest.param(authserver.raw(b"<html>Sorry</html>"), ProviderError, id="html"),
    pytest.param(authserver.raw(b"<html>", status=503), NetworkError, id="html of an outage"),
    pytest.param(authserver.raw(b""), ProviderError, id="nothing"),
    pytest.param(authserver.json(["access_token"]), ProviderError, id="list"),
    pytest.param(authserver.json({}), ProviderError, id="empty object"),
    pytest.param(authserver.tokens(access_token=""), ProviderError, id="empty token"),
    pytest.param(authserver.tokens(token_type="mac"), ProviderError, id="mac"),
    pytest.param(authserver.tokens(expires_in=float("nan")), ProviderError, id="nan"),
    pytest.param(authserver.tokens(expires_in=-1), ProviderError, id="negative"),
    pytest.param(
        authserver.raw(b'{"access_token":"a","access_token":"b"}'), ProviderError, id="twice"
    ),
    pytest.param(authserver.endless(), ProviderError, id="1 GB"),
    pytest.param(authserver.broken, NetworkError, id="broken"),
    pytest.param(authserver.json({"error": "invalid_grant"}), ProviderError, id="error with 200"),
]


@pytest.fixture
def server() -> Iterator[AuthServer]:
    """An authorization server that gives tokens, until it is told otherwise."""
    with AuthServer() as running:
        yield running


def endpoints(server: AuthServer, *, style: str = "form") -> Endpoints:
    """Where that server's OAuth lives."""
    return Endpoints(
        client_id="cid",
        token_url=f"{server.url}/token",
        authorize_url=f"{server.url}/authorize",
        revoke_url=f"{server.url}/revoke",
        create_key_url=f"{server.url}/create_key",
        style=style,
        headers=(("anthropic-beta", "oauth-2025-04-20"),),
    )


def refresh(server: AuthServer) -> tokens.Tokens:
    """One refresh, with a token that must not show."""
    return oauth.refresh(endpoints(server), Secret(CANARY), NOW)


def exchange(server: AuthServer) -> tokens.Tokens:
    """One exchange of a code that must not show."""
    return oauth.exchange(endpoints(server), Attempt(), CANARY, CALLBACK, NOW)


def create_key(server: AuthServer) -> Secret:
    """One API key for a token that must not show."""
    return oauth.create_key(endpoints(server), Secret(CANARY))


def revoke(server: AuthServer) -> None:
    """Revoke a token that must not show."""
    oauth.revoke(endpoints(server), Secret(CANARY))


def shown(error: CodemeshError) -> str:
    """Everything that a person may see of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + error.hint


# -- an attempt --------------------------------------------------------------------------


def test_rfc_7636_appendix_b() -> None:
    """The verifier and the challenge of the RFC's own example."""
    attempt = Attempt(lambda _: RFC_7636_B)

    assert attempt.verifier.reveal() == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert attempt.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_state_is_not_the_verifier() -> None:
    """Each login has 32 bytes for its state and 32 others for its verifier, all of them new."""
    asked: list[int] = []

    def random(count: int) -> bytes:
        asked.append(count)
        return bytes([len(asked)]) * count

    made, others = Attempt(random), [Attempt() for _ in range(20)]
    texts = {text for each in others for text in (each.state, each.verifier.reveal())}

    assert asked == [32, 32]
    assert made.state != made.verifier.reveal()
    assert len(texts) == 40
    assert {len(text) for text in texts} == {43}


def test_an_attempt_hides_its_verifier() -> None:
    """Neither the `repr` of a login nor its web address shows the verifier."""
    attempt = Attempt()

    verifier = attempt.verifier.reveal()

    assert verifier not in repr(attempt)
    assert verifier not in attempt.url(CLAUDE, CALLBACK, {"code": "true"})


def test_the_address_for_the_browser() -> None:
    """The web address asks for a code with S256, and keeps what the endpoint's own query has."""
    attempt = Attempt()
    asked = CLAUDE._replace(authorize_url="https://claude.example/a?tenant=1#top")

    url = urlsplit(attempt.url(asked, CALLBACK, {"code": "true", "state": "x", "a b": "&="}))

    assert url[:3] == ("https", "claude.example", "/a")
    assert not url.fragment
    assert parse_qs(url.query, strict_parsing=True) == {
        "tenant": ["1"],
        "code": ["true"],
        "a b": ["&="],
        "response_type": ["code"],
        "client_id": ["cid"],
        "redirect_uri": [CALLBACK],
        "scope": ["user:profile user:inference"],
        "state": [attempt.state],
        "code_challenge": [attempt.challenge],
        "code_challenge_method": ["S256"],
    }


@pytest.mark.parametrize(
    "url",
    [
        *("", "http://claude.example/authorize", "javascript:alert(1)", "file:///etc/passwd"),
        *("https://", "https://user@claude.example/", "https://claude.example/\x1b[2J", "a:$(id)"),
        *("calc.exe", "-https://claude.example", "https://cl\u0430ude.example/"),
    ],
    ids=ascii,
)
def test_only_https_is_given_to_a_browser(url: str) -> None:
    """No browser opener is ever given anything but a web address (CVE-2025-6514)."""
    with pytest.raises(UsageError):
        Attempt().url(CLAUDE._replace(authorize_url=url), CALLBACK, {})
    with pytest.raises(UsageError):
        Attempt().url(CLAUDE, url, {})


# -- what was pasted ---------------------------------------------------------------------


@pytest.mark.parametrize("around", ["{}", "  {}\n", "\t{}\r\n"])
def test_a_pasted_code(around: str) -> None:
    """The code and the state, with the first # between them, whatever is around."""
    attempt = Attempt()

    assert oauth.parse_pasted(around.format(f"co-de#{attempt.state}"), attempt) == "co-de"


@pytest.mark.parametrize("start", ["https://console.example/cb", "HTTP://127.0.0.1:9/callback"])
@pytest.mark.parametrize("end", ["", "#", "#_=_"])
def test_a_pasted_redirect(start: str, end: str) -> None:
    """The whole address of the page that the browser landed on."""
    attempt = Attempt()
    query = urlencode({"code": "4/0+A b", "state": attempt.state, "scope": "x"})

    assert oauth.parse_pasted(f"{start}?{query}{end}", attempt) == "4/0+A b"


@pytest.mark.parametrize(
    "pasted",
    [
        *(
            "",
            " \n",
            "#",
            "code#",
            "#STATE",
            " #STATE",
            "code",
            "STATE",
            "code#state",
            "STATE#code",
        ),
        *(
            "code#STATE#",
            "code##STATE",
            "code#STATE x",
            "code#x STATE",
            "code# STATE",
            "code#stat\u00e9",
        ),
        *(
            "co\nde#STATE",
            "co\x00de#STATE",
            "co\x1b[2Jde#STATE",
            "co\u202ede#STATE",
            "\ud83d#STATE",
        ),
        "c" * 4096 + "#STATE",
        *("https://c.example/?code=a", "https://c.example/?code=a&state=x", "https://c.example/"),
        "https://c.example/?state=STATE",
        "https://c.example/\x1b[2J?code=a&state=STATE",
        "https://c.exam\nple/?code=a&state=STATE",
        "https://c.example/?code=&state=STATE",
        "https://c.example/?code=a&code=a&state=STATE",
        "https://c.example/?code=a&state=STATE&state=STATE",
        "https://c.example/?code=a&state=STATE&scope=b&scope=c",
        "https://c.example/?code=a&state=STATE&error=b",
        "https://c.example/?code=a%0Ab&state=STATE",
        "https://c.example/?code=%ff&state=STATE",
        "https://c.example/#code=a&state=STATE",
        "https://c.example/?code=a&state=STATE" + "&a" * 40 + "=",
        *("https://[/?code=a", "ftp://c.example/?code=a&state=STATE", "code=a&state=STATE"),
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_what_is_no_answer(pasted: str) -> None:
    """An answer without the state of this login, or with anything odd about it, is refused."""
    attempt = Attempt()

    with pytest.raises(UsageError) as caught:
        oauth.parse_pasted(pasted.replace("STATE", attempt.state), attempt)

    assert caught.value.hint
    assert attempt.state not in shown(caught.value)


def test_a_code_without_state_says_what_to_paste() -> None:
    """A bare code may be another person's login; the hint says what to copy."""
    with pytest.raises(UsageError, match="no state") as caught:
        oauth.parse_pasted(CANARY, Attempt())

    assert "the code, a # and the state" in caught.value.hint
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize("state", ["", "&state=STATE", "&state=other"])
def test_a_pasted_refusal(state: str) -> None:
    """A refusal is told in the provider's words, without what could move a terminal."""
    attempt = Attempt()
    query = urlencode(
        {"error": "access_denied", "error_description": "no\x1b]0;x\x07\r\n\u202e" + "x" * 999}
    ) + state.replace("STATE", attempt.state)

    with pytest.raises(ProviderError, match=r"access_denied: no ]0;x    x") as caught:
        oauth.parse_pasted(f"https://c.example/?{query}", attempt)

    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_a_refusal_without_words() -> None:
    """An empty error is a refusal all the same."""
    with pytest.raises(ProviderError, match="refused the login"):
        oauth.parse_pasted("https://c.example/?error=", Attempt())


@pytest.mark.parametrize(
    ("issuer", "iss", "accepted"),
    [
        ("", None, True),
        ("", "https://claude.example", True),
        ("", "https://evil.example", False),
        ("", "", False),
        ("https://issuer.example", "https://issuer.example", True),
        ("https://issuer.example", "https://issuer.example/", False),
        ("https://issuer.example", "https://claude.example", False),
        ("https://issuer.example", None, False),
    ],
)
@pytest.mark.parametrize("result", ["code", "error"])
def test_mix_up(issuer: str, iss: str | None, result: str, *, accepted: bool) -> None:
    """An answer that says who gives it must say the one who was asked (RFC 9207, 2.4)."""
    attempt = Attempt()
    attempt.url(CLAUDE._replace(issuer=issuer), CALLBACK, {})
    fields = {result: "a", "state": attempt.state} | ({} if iss is None else {"iss": iss})

    if accepted and result == "code":
        assert oauth.parse_redirect(urlencode(fields), attempt) == "a"
    else:
        with pytest.raises(ProviderError, match="the login: a" if accepted else "not asked"):
            oauth.parse_redirect(urlencode(fields), attempt)


# -- requests ----------------------------------------------------------------------------


def test_exchange_as_a_form(server: AuthServer) -> None:
    """A code goes out once, as the RFC has it, without a secret in the address or the head."""
    attempt = Attempt()
    server.answer = authserver.tokens(scope="a", account="me")

    got = oauth.exchange(endpoints(server), attempt, "c+d&", CALLBACK, NOW)

    [request] = server.requests
    assert got == tokens.Tokens(Secret("at-1"), Secret("rt-1"), NOW + 3600, "a", {"account": "me"})
    assert (request.method, request.path) == ("POST", "/token")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["anthropic-beta"] == "oauth-2025-04-20"
    assert "authorization" not in request.headers
    assert request.fields == {
        "grant_type": "authorization_code",
        "code": "c+d&",
        "redirect_uri": CALLBACK,
        "client_id": "cid",
        "code_verifier": attempt.verifier.reveal(),
    }


def test_exchange_as_json(server: AuthServer) -> None:
    """Anthropic's endpoint takes JSON, and the state besides."""
    attempt = Attempt()

    oauth.exchange(endpoints(server, style="json"), attempt, "code", CALLBACK, NOW)

    [request] = server.requests
    assert request.headers["content-type"] == "application/json"
    assert request.document == {
        "grant_type": "authorization_code",
        "code": "code",
        "state": attempt.state,
        "redirect_uri": CALLBACK,
        "client_id": "cid",
        "code_verifier": attempt.verifier.reveal(),
    }


@pytest.mark.parametrize("style", ["form", "json"])
def test_refresh(server: AuthServer, style: str) -> None:
    """A refresh token goes out once; an answer without a new one says so."""
    server.answer = authserver.tokens(refresh_token=None)

    got = oauth.refresh(endpoints(server, style=style), Secret(CANARY), NOW)

    [request] = server.requests
    sent = request.fields if style == "form" else request.document
    assert got.refresh_token is None
    assert sent == {"grant_type": "refresh_token", "refresh_token": CANARY, "client_id": "cid"}


@pytest.mark.parametrize("ask", [exchange, refresh])
@pytest.mark.parametrize(("answer", "error"), UNUSABLE)
def test_an_answer_of_no_use(
    server: AuthServer,
    ask: Callable[[AuthServer], object],
    answer: Respond,
    error: type[ProviderError],
) -> None:
    """Whatever else a token endpoint answers is an error with its name, after one request."""
    server.answer = answer

    with pytest.raises(ProviderError) as caught:
        ask(server)

    assert type(caught.value) is error
    assert server.url in str(caught.value)
    assert len(server.requests) == 1
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize("ask", [exchange, refresh, create_key, revoke])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(
    server: AuthServer, ask: Callable[[AuthServer], object], status: int
) -> None:
    """A token never travels to where an answer points."""
    with AuthServer() as elsewhere:
        server.answer = authserver.redirect(f"{elsewhere.url}/token", status=status)

        with pytest.raises(ProviderError, match="sends elsewhere") as caught:
            ask(server)

        assert (len(server.requests), elsewhere.requests) == (1, [])
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize("ask", [exchange, refresh, create_key, revoke])
def test_a_silent_server(
    server: AuthServer, ask: Callable[[AuthServer], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer in time is an error, and is not asked again."""
    monkeypatch.setattr(web.post, "__kwdefaults__", IMPATIENT)
    server.answer = server.slow

    with pytest.raises(NetworkError, match="did not answer in time") as caught:
        ask(server)

    assert len(server.requests) == 1
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize("ask", [exchange, refresh, create_key, revoke])
def test_no_server(ask: Callable[[AuthServer], object]) -> None:
    """Nobody there is a network error."""
    with AuthServer() as gone:
        pass

    with pytest.raises(NetworkError, match="cannot be reached") as caught:
        ask(gone)

    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize("ask", [exchange, refresh])
@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, "invalid_grant", RefusedGrantError),
        (401, "invalid_grant", RefusedGrantError),
        (500, "invalid_grant", ProviderError),
        (429, "invalid_grant", ProviderError),
        (400, "invalid_request", ProviderError),
        (401, "invalid_client", ProviderError),
        (400, {"type": "invalid_grant", "message": "no"}, ProviderError),
    ],
)
def test_refused_grants(
    server: AuthServer,
    ask: Callable[[AuthServer], object],
    status: int,
    error: object,
    kind: type[ProviderError],
) -> None:
    """Only an `invalid_grant` with its own status says that a login is over."""
    server.answer = authserver.json({"error": error}, status=status)

    with pytest.raises(ProviderError, match=f"refused with {status}: invalid_") as caught:
        ask(server)

    assert type(caught.value) is kind
    assert caught.value.exit_code == 10


@pytest.mark.parametrize("ask", [exchange, refresh, create_key, revoke])
def test_a_refusal_that_says_200(server: AuthServer, ask: Callable[[AuthServer], object]) -> None:
    """GitHub refuses with status 200: an answer with an error in it grants nothing."""
    server.answer = authserver.tokens(error="bad_refresh_token", raw_key="sk-1")

    with pytest.raises(ProviderError, match="refused with 200: bad_refresh_token"):
        ask(server)


@pytest.mark.parametrize("ask", [exchange, refresh, create_key, revoke])
@pytest.mark.parametrize("nested", [False, True])
def test_the_words_of_a_refusal(
    server: AuthServer, ask: Callable[[AuthServer], object], *, nested: bool
) -> None:
    """They are cleaned and cut, and what was sent and comes back in them is masked."""
    words = f"bad token {CANARY}\x1b[31m\x9b\u2028\n" + "x" * 1000
    document = {"error": "no", "error_description": words}
    server.answer = authserver.json(
        {"error": {"type": "no", "message": words}} if nested else document, status=403
    )

    with pytest.raises(ProviderError, match=r"403: no: bad token \*+ \[31m   x+…") as caught:
        ask(server)

    assert caught.value.message.isprintable()
    assert CANARY not in shown(caught.value)


def test_the_verifier_is_masked_too(server: AuthServer) -> None:
    """A server that echoes the whole request gives nothing away."""

    def echo(handler: BaseHTTPRequestHandler) -> None:
        words = server.requests[0].body.decode()
        authserver.json({"error": "no", "message": words}, status=400)(handler)

    server.answer = echo
    attempt = Attempt()

    with pytest.raises(ProviderError) as caught:
        oauth.exchange(endpoints(server), attempt, CANARY, CALLBACK, NOW)

    assert attempt.verifier.reveal() not in shown(caught.value)
    assert CANARY not in shown(caught.value)


def test_tokens_go_over_https_alone() -> None:
    """No endpoint is asked in the clear."""
    plain = CLAUDE._replace(
        token_url="http://c.example/", revoke_url="http://c.example/", create_key_url=""
    )

    for ask in (
        lambda: oauth.refresh(plain, Secret("rt"), NOW),
        lambda: oauth.exchange(plain, Attempt(), "code", CALLBACK, NOW),
        lambda: oauth.revoke(plain, Secret("rt")),
        lambda: oauth.create_key(plain, Secret("at")),
    ):
        with pytest.raises(UsageError):
            ask()


def test_create_key(server: AuthServer) -> None:
    """The access token is in the head alone, and the key hides itself."""
    server.answer = authserver.json({"raw_key": "sk-1", "key_id": "k"}, status=201)

    key = create_key(server)

    [request] = server.requests
    assert key == Secret("sk-1")
    assert (request.method, request.path, request.body) == ("POST", "/create_key", b"")
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("key", [None, "", 5, "a\nb", "\x1b[2J"], ids=ascii)
def test_no_key_in_the_answer(server: AuthServer, key: object) -> None:
    """An answer without a key that could be one is an error."""
    server.answer = authserver.json({"raw_key": key})

    with pytest.raises(ProviderError, match="without an API key"):
        create_key(server)


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_revoke(server: AuthServer, body: bytes) -> None:
    """The token goes out in a form; an empty answer will do (RFC 7009, 2.2)."""
    server.answer = authserver.raw(body)

    revoke(server)

    [request] = server.requests
    assert request.path == "/revoke"
    assert dict(parse_qsl(request.body.decode())) == {"token": CANARY, "client_id": "cid"}


def test_nobody_to_revoke_at() -> None:
    """Where a provider has no such endpoint, nothing happens."""
    oauth.revoke(CLAUDE, Secret(CANARY))


@pytest.mark.parametrize("token", ["", "a\nb", "ät", "\ud83d"], ids=ascii)
def test_a_token_that_cannot_be_sent(server: AuthServer, token: str) -> None:
    """What was stored and is no token is not sent anywhere."""
    for ask in (oauth.revoke, oauth.create_key):
        with pytest.raises(ProviderError, match="stored token"):
            ask(endpoints(server), Secret(token))
    with pytest.raises(ProviderError, match="stored token"):
        oauth.refresh(endpoints(server), Secret(token), NOW)

    assert server.requests == []
