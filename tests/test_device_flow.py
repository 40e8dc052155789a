"""The device authorization grant: a code that is entered in a browser somewhere else."""

from __future__ import annotations

import pytest

from codemesh.errors import CodemeshError, NetworkError, ProviderError, UsageError
from codemesh.providers import device
from codemesh.providers.device import Grant
from codemesh.secret import Secret
from deviceserver import DROP, DeviceServer, Told

CODE = "device-canary-4f9d2c71"
STARTED: dict[str, object] = {
    "device_code": CODE,
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://github.example/login/device",
    "expires_in": 900,
    "interval": 5,
}
TOKENS: dict[str, object] = {"access_token": "gho_made_up", "token_type": "bearer"}
OURS = {"X-Made-Up": "yes"}
PENDING = Told(400, {"error": "authorization_pending"})
SLOW_DOWN = Told(400, {"error": "slow_down"})
GRANTED = Told(200, TOKENS)


class Watch:
    """A clock that stands still but while somebody waits, or the server works."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def clock(self) -> float:
        """Seconds since some time."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Let that time pass."""
        self.waits.append(seconds)
        self.now += seconds


def grant(interval: int = 5, expires_in: int = 900) -> Grant:
    """A login that was started."""
    return Grant(Secret(CODE), "WDJB-MJHT", "https://a.example/device", None, expires_in, interval)


def started(**changes: object) -> Told:
    """An answer to the start of a login, with changes; None leaves a member out."""
    document = {**STARTED, **changes}
    return Told(200, {name: value for name, value in document.items() if value is not None})


def poll(*answers: Told | str, of: Grant | None = None) -> tuple[dict[str, object], Watch]:
    """Poll a server that answers so; returns the document, and how long was waited."""
    watch = Watch()
    with DeviceServer(*answers) as server:
        document = device.poll(
            server.url("/token"), "me", of or grant(), clock=watch.clock, wait=watch.wait
        )
    return document, watch


def refusal(*answers: Told | str, of: Grant | None = None) -> CodemeshError:
    """The error that polling such a server ends with; it never has the device code."""
    with pytest.raises(ProviderError) as caught:
        poll(*answers, of=of)
    error = caught.value
    assert CODE not in f"{error!r} {error} {error.message} {error.hint}"
    return error


# -- the start ---------------------------------------------------------------------------


def test_a_login_is_started() -> None:
    """The request names who asks and what for, and the answer is what RFC 8628 says."""
    page = "https://github.example/login/device"
    complete = f"{page}?user_code=WDJB-MJHT"
    with DeviceServer(started(verification_uri_complete=complete)) as server:
        got = device.start(server.url("/device"), "me", ("read:user", "b"), headers=OURS)

    (asked,) = server.asked
    accept, ours = asked.headers["accept"], asked.headers["x-made-up"]
    assert (asked.method, asked.path) == ("POST", "/device")
    assert asked.form == {"client_id": "me", "scope": "read:user b"}
    assert (accept, ours) == ("application/json", "yes")
    assert got == Grant(Secret(CODE), "WDJB-MJHT", page, complete, 900, 5)
    assert CODE not in repr(got)


@pytest.mark.parametrize(
    ("told", "interval", "expires_in"),
    [
        ({"interval": None}, 5, 900),
        ({"interval": 0}, 1, 900),
        ({"interval": 3600}, 60, 900),
        ({"interval": 7.9, "expires_in": 12.5}, 7, 12),
        ({"interval": "8", "expires_in": "60"}, 8, 60),
        ({"expires_in": 10**30}, 5, 3600),
    ],
    ids=str,
)
def test_lengths_of_time_are_bounded(
    told: dict[str, object], interval: int, expires_in: int
) -> None:
    """A life or an interval out of bounds counts as the bound, a missing interval as 5 s."""
    with DeviceServer(started(**told)) as server:
        got = device.start(server.url(), "me", ())

    assert (got.interval, got.expires_in) == (interval, expires_in)


@pytest.mark.parametrize(
    "told",
    [
        {"device_code": None},
        {"device_code": ""},
        {"device_code": "x" * 4097},
        {"user_code": None},
        {"user_code": 12},
        {"user_code": "  "},
        {"user_code": "\x1b[2J"},
        {"user_code": "AB\u202eCD"},
        {"user_code": "x" * 65},
        {"verification_uri": None},
        {"verification_uri": "http://github.example/device"},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "file:///bin/sh"},
        {"verification_uri": "https://user@github.example/"},
        {"verification_uri": "https://github.example/" + "x" * 2048},
        {"verification_uri_complete": "-oProxyCommand=x"},
        {"verification_uri_complete": 5},
        {"expires_in": None},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": True},
        {"expires_in": "soon"},
        {"interval": -5},
        {"interval": []},
    ],
    ids=str,
)
def test_an_answer_that_cannot_be_used(told: dict[str, object]) -> None:
    """What is missing, out of bounds or no web address for a browser is refused, unquoted."""
    with DeviceServer(started(**told)) as server, pytest.raises(ProviderError) as caught:
        device.start(server.url(), "me", ())

    message = caught.value.message
    assert message.startswith(f"{server.origin} started a login that cannot be used: ")
    assert message.isprintable()
    assert CODE not in message


def test_a_server_of_this_machine() -> None:
    """It needs no https, and without scopes the request has no scope at all."""
    with DeviceServer(started(verification_uri="http://127.0.0.1:1/device")) as server:
        got = device.start(server.url(), "me", ())

    assert server.asked[0].form == {"client_id": "me"}
    assert got.verification_uri == "http://127.0.0.1:1/device"


@pytest.mark.parametrize("status", [200, 400, 401])
def test_a_start_that_is_refused(status: int) -> None:
    """The provider's words are told, be it that they come with status 200 as from GitHub."""
    words = {"error": "device_flow_disabled", "error_description": "Not\nenabled."}
    with DeviceServer(Told(status, words)) as server, pytest.raises(ProviderError) as caught:
        device.start(server.url(), "me", ())

    error = caught.value
    assert (
        error.message == f"{server.origin} refused the login: device_flow_disabled: Not enabled."
    )
    assert "client_id" in error.hint


def test_a_start_that_is_not_answered_or_not_made() -> None:
    """It is not tried twice, nor made over a line that others read."""
    with DeviceServer(DROP) as server, pytest.raises(NetworkError):
        device.start(server.url(), "me", ())
    with pytest.raises(UsageError):
        device.start("http://github.example/device", "me", ())

    assert len(server.asked) == 1


# -- polling -----------------------------------------------------------------------------


def test_the_tokens_come_as_they_were_sent() -> None:
    """Once the code was entered, the document is returned as it is."""
    watch = Watch()
    with DeviceServer(PENDING, PENDING, GRANTED) as server:
        url, clock, wait = server.url("/token"), watch.clock, watch.wait
        document = device.poll(url, "me", grant(), headers=OURS, clock=clock, wait=wait)

    assert document == TOKENS
    assert watch.waits == [5, 5, 5]
    assert [asked.path for asked in server.asked] == ["/token"] * 3
    assert server.asked[0].headers["x-made-up"] == "yes"
    assert server.asked[2].form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": CODE,
        "client_id": "me",
    }


def test_github_answers_with_status_200() -> None:
    """An error that comes with status 200 is none the less one."""
    answers = [Told(200, {"error": error}) for error in ("authorization_pending", "slow_down")]

    document, watch = poll(*answers, GRANTED)

    assert document == TOKENS
    assert watch.waits == [5, 5, 10]


def test_slow_down_counts_for_good() -> None:
    """Each one adds 5 s to every wait that follows."""
    assert poll(SLOW_DOWN, PENDING, SLOW_DOWN, PENDING, GRANTED)[1].waits == [5, 10, 10, 15, 15]


@pytest.mark.parametrize(
    ("told", "expected"), [(30, 30), (1, 10), (10**9, 10), (-1, 10), ("30", 10)], ids=str
)
def test_slow_down_may_name_an_interval(told: object, expected: float) -> None:
    """GitHub says how long is long enough; it is never less than 5 s more."""
    slow = Told(200, {"error": "slow_down", "interval": told})

    _, watch = poll(slow, PENDING, GRANTED)

    assert watch.waits == [5, expected, expected]


@pytest.mark.parametrize(
    "failure", [DROP, Told(503, {}), Told(429, {"message": "busy"})], ids=["none", "503", "429"]
)
def test_a_failure_that_passes(failure: Told | str) -> None:
    """Without an answer it waits twice as long, up to a minute, and then as before."""
    _, watch = poll(PENDING, *[failure] * 5, PENDING, GRANTED)

    assert watch.waits == [5, 5, 10, 20, 40, 60, 60, 5]


def test_a_failure_does_not_shorten_a_long_interval() -> None:
    """After many `slow_down` the interval is over a minute, and stays so in a failure."""
    _, watch = poll(SLOW_DOWN, DROP, GRANTED, of=grant(interval=60))

    assert watch.waits == [60, 65, 65]


# -- the end -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message", "advice"),
    [
        ("access_denied", "the login was refused in the browser", "and allow it there."),
        ("expired_token", "the code was not entered in time", "and enter its new code."),
    ],
)
def test_the_end_of_a_login(error: str, message: str, advice: str) -> None:
    """Somebody said no, or nobody said anything in time: only a new login helps."""
    got = refusal(PENDING, Told(400, {"error": error}))

    assert got.message == message
    assert got.hint == f"Nothing was stored. Start the login again, {advice}"


@pytest.mark.parametrize("answer", [PENDING, DROP], ids=["pending", "no network"])
def test_the_life_of_the_code_ends_here_too(answer: Told | str) -> None:
    """No question is asked after the grant has expired, whatever the answers were."""
    watch = Watch()
    with DeviceServer(answer) as server, pytest.raises(ProviderError, match="not entered in time"):
        device.poll(server.url(), "me", grant(5, 21), clock=watch.clock, wait=watch.wait)

    assert sum(watch.waits) < 21
    assert len(server.asked) == len(watch.waits)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Told(400, {"error": "invalid_grant"}), "invalid_grant"),
        (Told(500, {"error": "server_error"}), "server_error"),
        (Told(401, {"message": "who?"}), "who?"),
        (Told(404, {}), "status 404"),
        (Told(200, {"error": {"type": "a", "message": "b"}}), "a: b"),
        (Told(400, {"error": "invalid_grant", "error_description": CODE}), "invalid_grant"),
        (Told(400, {"error": f"no {CODE}"}), "status 400"),
        (Told(400, {"error": {"message": f"no {CODE}"}}), "status 400"),
    ],
    ids=str,
)
def test_an_error_that_does_not_pass(answer: Told, told: str) -> None:
    """Any other error ends it, in the provider's words, unless they repeat the device code."""
    assert refusal(PENDING, answer).message.endswith(f" refused the login: {told}")
