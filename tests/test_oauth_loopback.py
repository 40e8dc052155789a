"""The listener for a redirect: the one request that it hears, and all that it does not."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest

from codemesh.errors import CodemeshError, NetworkError, ProviderError
from codemesh.providers import loopback
from codemesh.providers.loopback import Listener
from codemesh.providers.oauth import Attempt
from codemesh.providers.table import Endpoints
from support import CANARY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

CODE = f"code-{CANARY}"


class Wait:
    """A listener that is waited for in a thread, and a browser to visit it with."""

    def __init__(self, attempt: Attempt, timeout: float = 30.0) -> None:
        self.attempt = attempt
        self.listener = Listener()
        self.port = urlsplit(self.listener.redirect_uri).port or 0
        self.host = f"127.0.0.1:{self.port}"
        self.stop = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self.code: Future[str] = self._pool.submit(
            self.listener.wait, attempt, timeout, self.stop.is_set
        )

    def query(self, **fields: str) -> str:
        """The query of a good redirect, with these parameters besides or instead."""
        return urlencode({"code": CODE, "state": self.attempt.state} | fields)

    def visit(self, query: str | None = None, path: str = "/callback", **head: str) -> Page:
        """What a browser gets; other methods and hosts as `method` and `host`."""
        target = f"{path}?{self.query() if query is None else query}"
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=20)) as browser:
            browser.putrequest(head.get("method", "GET"), target, skip_host=True)
            browser.putheader("Host", head.get("host", self.host))
            body = head.get("body", "").encode()
            browser.putheader("Content-Length", str(len(body)))
            browser.endheaders(body or None)
            answer = browser.getresponse()
            return Page(answer.status, dict(answer.getheaders()), answer.read().decode())

    def say(self, text: str) -> bytes:
        """What comes back for a request spelt out, to its end."""
        with self.dial() as line:
            line.sendall(text.format(host=self.host, query=self.query()).encode("latin-1"))
            return b"".join(iter(lambda: line.recv(65536), b""))

    def dial(self) -> socket.socket:
        """A connection that says nothing yet."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def error(self) -> CodemeshError:
        """The error that the wait ended with."""
        error = self.code.exception(20)
        assert isinstance(error, CodemeshError)
        return error

    def end(self) -> None:
        """Give up waiting, and leave no thread."""
        self.stop.set()
        self._pool.shutdown()
        self.listener.close()


class Page(NamedTuple):
    """What a browser got."""

    status: int
    headers: dict[str, str]
    text: str


@pytest.fixture
def waiting() -> Iterator[Wait]:
    """A listener that is waited for."""
    wait = Wait(Attempt())
    yield wait
    wait.end()


def goes_on(waiting: Wait) -> None:
    """See that the listener still waits, and takes the right redirect."""
    assert not waiting.code.done()
    assert waiting.visit().status == 200
    assert waiting.code.result(20) == CODE


def test_a_redirect(waiting: Wait) -> None:
    """The code of the right redirect comes back, and the port is given up."""
    assert waiting.visit().status == 200
    assert waiting.code.result(20) == CODE

    with pytest.raises(ConnectionRefusedError):
        waiting.dial()


def test_where_it_listens() -> None:
    """It listens on the loopback by its number alone, on a port that nobody can share."""
    with Listener() as first, Listener() as second:
        address, port = first._server.getsockname()
        shared = first._server.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)

        assert address == "127.0.0.1"
        assert first.redirect_uri == f"http://127.0.0.1:{port}/callback"
        assert first.redirect_uri != second.redirect_uri
        assert not shared
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="Err"):
                thief.bind((address, port))


def test_the_page_tells_nothing(waiting: Wait) -> None:
    """The page shows no parameter, is not stored, names nobody, and loads nothing."""
    query = waiting.query(scope="<script>alert(1)</script>")

    page = waiting.visit(query)

    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert int(page.headers["Content-Length"]) == len(page.text)
    assert "script" not in page.text
    assert CODE not in page.text + str(page.headers)
    assert waiting.attempt.state not in page.text


def test_nothing_is_logged(
    waiting: Wait, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is printed or logged, neither of a good redirect nor of another."""
    caplog.set_level(0)

    waiting.visit(path="/other")
    waiting.visit()

    assert waiting.code.result(20) == CODE
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


@pytest.mark.parametrize(
    "query",
    [
        *("", "code=a", "state=STATE", "code=a&state=", "code=a&state=wrong", "code=a&state=%ff"),
        *("code=a&state=STATEx", "code=&state=STATE", "code=a%0d%0ab&state=STATE"),
        *("code=a&code=b&state=STATE", "code=a&state=STATE&state=STATE"),
        "code=a&state=STATE&x=1&x=2",
        *("code=a&error=b&state=STATE", "error=access_denied", "error=access_denied&state=wrong"),
        "code=a&state=STATE&" + "&".join(f"x{number}=" for number in range(40)),
    ],
)  # fmt: skip
def test_another_query(waiting: Wait, query: str) -> None:
    """Whatever is not the one answer to this login is not found, and the wait goes on."""
    page = waiting.visit(query.replace("STATE", waiting.attempt.state))

    assert page.status == 404
    goes_on(waiting)


@pytest.mark.parametrize(
    "path",
    ["/", "/callback/", "/Callback", "//callback", "/callback/../callback", "/%63allback", "*"],
)
def test_another_path(waiting: Wait, path: str) -> None:
    """Only the exact path is heard."""
    assert waiting.visit(path=path).status == 404
    goes_on(waiting)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost:PORT", "evil.example", "evil.example:PORT", "127.0.0.1", "127.0.0.1:1", ""),
        *("[::1]:PORT", "127.0.0.1:PORT.evil.example", "127.0.0.1:PORT, evil.example"),
    ],
)
def test_another_host(waiting: Wait, host: str) -> None:
    """A page of the web whose own name leads here is not heard (DNS rebinding)."""
    assert waiting.visit(host=host.replace("PORT", str(waiting.port))).status == 404
    goes_on(waiting)


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS", "DELETE", "get"])
def test_another_method(waiting: Wait, method: str) -> None:
    """Only GET is heard, whatever body comes with another."""
    body = "" if method in {"HEAD", "get"} else waiting.query() * 1000

    assert waiting.visit(method=method, body=body).status == 404
    goes_on(waiting)


@pytest.mark.parametrize(
    "text",
    [
        "GET /callback?{query} HTTP/1.1\r\n\r\n",
        "GET /callback?{query} HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n",
        "GET /callback?{query} HTTP/1.1\r\nHost : {host}\r\n\r\n",
        "GET /callback?{query} HTTP/1.1\r\nX: y\nHost: {host}\r\n\r\n",
        "GET http://{host}/callback?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /callback?{query}\r\nHost: {host}\r\n\r\n",
        "GET /callback?{query} HTTP/2.0\r\nHost: {host}\r\n\r\n",
        "GET  /callback?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /callback?{query} x HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "\r\n\r\n",
        "\x16\x03\x01\xff\x00\r\n\r\n",
        "GET /callback?{query} HTTP/1.1\r\nHost: {host}\r\nX: " + "x" * 17_000 + "\r\n\r\n",
    ],
    ids=lambda text: text[:60],
)
def test_another_request(waiting: Wait, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is spelt as no browser does, or is too long, is not found; that ends its answer."""
    monkeypatch.setattr(loopback, "PATIENCE", 60)

    assert waiting.say(text).startswith(b"HTTP/1.1 404 ")
    goes_on(waiting)


def test_more_after_the_answer(waiting: Wait) -> None:
    """What a visitor says after its answer is neither heard nor kept."""
    with waiting.dial() as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 404 ")
        text = f"GET /callback?{waiting.query()} HTTP/1.1\r\nHost: {waiting.host}\r\n\r\n"
        line.sendall(text.encode())
        waiting.visit(path="/")  # by now it was read

        [said] = [len(each.received) for each in waiting.listener._visitors[:1]]
        assert said < 100

    goes_on(waiting)


def test_a_head_without_end(waiting: Wait) -> None:
    """A request that goes on and on is cut off, and holds nobody up."""
    assert waiting.say("GET /" + "x" * 20_000).startswith(b"HTTP/1.1 404 ")
    goes_on(waiting)


def test_a_request_in_pieces(waiting: Wait) -> None:
    """A request is heard however it is cut on its way."""
    text = f"GET /callback?{waiting.query()} HTTP/1.1\r\nhOST:{waiting.host}\r\n\r\n"

    with waiting.dial() as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for char in text:
            line.sendall(char.encode())
        assert line.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")

    assert waiting.code.result(20) == CODE


def test_silent_and_slow_visitors(waiting: Wait) -> None:
    """A browser that dials ahead, and programs that trickle, hold nobody up."""
    lines = [waiting.dial() for _ in range(20)]
    for line in lines[::2]:
        line.sendall(b"GET /callback?co")

    began = time.monotonic()
    assert waiting.visit().status == 200
    assert waiting.code.result(20) == CODE

    assert time.monotonic() - began < loopback.PATIENCE
    for line in lines:
        line.close()


def test_more_visitors_than_places(waiting: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all places are taken the oldest visitor goes, so the browser gets in."""
    monkeypatch.setattr(loopback, "PATIENCE", 60)
    lines = [waiting.dial() for _ in range(100)]

    assert lines[0].recv(1) == b""
    goes_on(waiting)

    for line in lines:
        line.close()


def test_a_visitor_is_sent_off(waiting: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says nothing, or goes on for too long, loses the connection; the wait goes on."""
    monkeypatch.setattr(loopback, "PATIENCE", 0.3)

    with waiting.dial() as silent, waiting.dial() as slow:
        slow.sendall(b"GET /")
        assert (silent.recv(1), slow.recv(1)) == (b"", b"")

    goes_on(waiting)


def test_a_visitor_hangs_up(waiting: Wait) -> None:
    """Who goes away, in the middle or with a reset, changes nothing."""
    with waiting.dial() as polite:
        polite.sendall(b"GET /callback")
    with waiting.dial() as rude:
        rude.sendall(b"GET /callback")
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    goes_on(waiting)


def test_a_path_and_a_port_that_are_registered() -> None:
    """A provider that knows one address alone is sent back to that one."""
    with Listener() as taken:
        port = int(taken.redirect_uri.rsplit(":", 1)[1].split("/")[0])

    with Listener(path="/done", port=port) as listener:
        assert listener.redirect_uri == f"http://127.0.0.1:{port}/done"


def test_two_at_once(waiting: Wait) -> None:
    """Of two right redirects one wins, and its code is what comes back."""
    codes = [f"code-{number}" for number in range(8)]
    barrier = threading.Barrier(len(codes))

    def visit(code: str) -> int:
        barrier.wait()
        try:
            return waiting.visit(waiting.query(code=code)).status
        except OSError:  # the port is closed by now
            return 0

    with ThreadPoolExecutor(len(codes)) as pool:
        answers = dict(zip(codes, pool.map(visit, codes), strict=True))

    assert [code for code, status in answers.items() if status == 200] == [waiting.code.result(20)]


def test_a_refusal(waiting: Wait) -> None:
    """A refusal with the right state ends the wait, in cleaned words; the page has none."""
    words = urlencode(
        {
            "error": "access_denied",
            "error_description": "no\x1b[31m",
            "state": waiting.attempt.state,
        }
    )

    page = waiting.visit(words)

    error = waiting.error()
    assert type(error) is ProviderError
    assert error.message == "the provider refused the login: access_denied: no [31m"
    assert "denied" not in page.text
    assert page.status == 200


def test_another_issuer() -> None:
    """An answer with the right state from somebody else ends the wait (RFC 9207)."""
    attempt = Attempt()
    attempt.url(Endpoints("https://a.example/authorize"), "https://a.example/", {})
    waiting = Wait(attempt)

    waiting.visit(waiting.query(iss="https://evil.example"))

    assert "not asked" in waiting.error().message
    waiting.end()


def test_a_browser_that_never_comes_back() -> None:
    """The wait has an end, which says what to do, and gives the port up."""
    began = time.monotonic()
    waiting = Wait(Attempt(), timeout=0.3)

    error = waiting.error()

    assert type(error) is NetworkError
    assert "--no-browser" in error.hint
    assert 0.3 <= time.monotonic() - began < 5
    with pytest.raises(ConnectionRefusedError):
        waiting.dial()
    waiting.end()


def test_giving_up(waiting: Wait) -> None:
    """Told to stop, it stops at once and gives the port up."""
    waiting.stop.set()

    assert "given up" in waiting.error().message
    with pytest.raises(ConnectionRefusedError):
        waiting.dial()


def test_a_second_wait(waiting: Wait) -> None:
    """A listener is for one redirect; waited for again it says so."""
    waiting.visit()
    waiting.code.result(20)
    waiting.listener.close()

    with pytest.raises(NetworkError, match="any more"):
        waiting.listener.wait(waiting.attempt, 1, lambda: False)


def test_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no port can be had the hint names the other way."""
    monkeypatch.setattr(loopback, "_ADDRESS", "192.0.2.1")

    with pytest.raises(NetworkError, match="no port") as caught:
        Listener()

    assert "--no-browser" in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way there")
def test_ctrl_c() -> None:
    """Ctrl-C ends the wait at once, and gives the port up."""
    with Listener() as listener:
        port = urlsplit(listener.redirect_uri).port
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        began = time.monotonic()

        with pytest.raises(KeyboardInterrupt):
            listener.wait(Attempt(), 60, lambda: False)

        assert time.monotonic() - began < 5
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port or 0), timeout=5)
    timer.join()
