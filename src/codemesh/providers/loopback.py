"""A listener for one redirect of a browser to this machine (RFC 8252, section 7.3).

Any program and any web page of this machine can reach it, so it listens only while it is
waited for, hears one kind of request alone, and gives the code to nobody but its caller:
nothing is logged or echoed. It speaks the little HTTP that it needs on sockets of its own,
because http.server prints each path, and with it the code, and looks names up.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from codemesh.errors import NetworkError, ProviderError, UsageError
from codemesh.providers import oauth

if TYPE_CHECKING:
    from collections.abc import Callable

    from codemesh.providers.oauth import Attempt

HEAD_LIMIT = 16 * 1024
"""The most bytes of a request's first line and headers together."""

PATIENCE = 5.0
"""How long one connection may last, in seconds."""

_ADDRESS = "127.0.0.1"  # never a name, which others may resolve (RFC 8252, section 8.3)
_PATH = "/callback"
_TICK = 0.1  # seconds; Windows wakes nobody who waits for a socket when Ctrl-C is pressed
_CONNECTIONS = 64
_END = b"\r\n\r\n"
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HINT = "Log in again; where no browser can reach this machine: --no-browser"


class Listener:
    """A port of this machine's loopback that waits for one redirect.

    It listens from its making until `wait` returns or raises, or until `close`. Raises
    NetworkError if no port can be had.
    """

    def __init__(self, *, path: str = _PATH, port: int = 0) -> None:
        """`port` 0 is any free one, which a provider has to allow (RFC 8252, section 7.3)."""
        self._path = path
        self._server = _listening(port)
        self._host = f"{_ADDRESS}:{self._server.getsockname()[1]}"
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._visitors: list[_Visitor] = []  # the oldest first
        self._closed = False

    @property
    def redirect_uri(self) -> str:
        """Where the provider is to send the browser."""
        return f"http://{self._host}{self._path}"

    def wait(self, attempt: Attempt, timeout: float, cancelled: Callable[[], bool]) -> str:
        """The code of the first redirect that answers `attempt`; then it is closed.

        `timeout` is in seconds; `cancelled` is asked several times a second. Whatever else
        comes in gets a 404 and changes nothing. Raises ProviderError if the redirect is a
        refusal, and NetworkError if none came in time, if `cancelled` said yes, or if it
        was closed before.
        """
        deadline = time.monotonic() + timeout
        try:
            while not self._closed:
                if cancelled():
                    raise NetworkError("the login was given up", hint=_HINT)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NetworkError("the browser did not come back in time", hint=_HINT)
                code = self._hear(attempt, min(left, _TICK))
                if code is not None:
                    return code
            raise NetworkError("nothing listens for the browser any more", hint=_HINT)
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening, and end every connection. A second call changes nothing."""
        if self._closed:
            return
        self._closed = True
        for visitor in [*self._visitors]:
            self._drop(visitor)
        self._selector.close()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hear(self, attempt: Attempt, seconds: float) -> str | None:
        """What happens within so many seconds; the code, if it came."""
        for key, _ in self._selector.select(seconds):
            visitor = key.data
            if visitor is None:
                self._accept()
            elif visitor in self._visitors:  # else it was dropped for a newer one just now
                code = self._read(visitor, attempt)
                if code is not None:
                    return code
        now = time.monotonic()
        for late in [visitor for visitor in self._visitors if visitor.deadline <= now]:
            self._drop(late)
        return None

    def _accept(self) -> None:
        try:
            connection, _ = self._server.accept()
        except OSError:  # it is gone again, or there is no descriptor for it now
            return
        connection.settimeout(0)
        if len(self._visitors) >= _CONNECTIONS:  # the oldest had the most time to speak
            self._drop(self._visitors[0])
        visitor = _Visitor(connection)
        self._visitors.append(visitor)
        self._selector.register(connection, selectors.EVENT_READ, visitor)

    def _drop(self, visitor: _Visitor) -> None:
        self._visitors.remove(visitor)
        self._selector.unregister(visitor.connection)
        visitor.connection.close()

    def _read(self, visitor: _Visitor, attempt: Attempt) -> str | None:
        try:
            chunk = visitor.connection.recv(HEAD_LIMIT)
        except BlockingIOError:
            return None
        except OSError:
            chunk = b""
        if not chunk:
            self._drop(visitor)
        elif not visitor.answered:
            visitor.received += chunk
            head, end, _ = visitor.received.partition(_END)
            if len(head) > HEAD_LIMIT:
                visitor.answer(_NOT_FOUND)
            elif end:
                return self._judge(visitor, bytes(head), attempt)
        return None

    def _judge(self, visitor: _Visitor, head: bytes, attempt: Attempt) -> str | None:
        try:
            code = oauth.parse_redirect(_query(head, self._host, self._path), attempt)
        except UsageError:
            visitor.answer(_NOT_FOUND)
            return None
        except ProviderError:
            visitor.answer(_REFUSED)
            raise
        visitor.answer(_DONE)
        return code


class _Visitor:
    """One connection, what it said so far, and when it has lasted long enough."""

    __slots__ = ("answered", "connection", "deadline", "received")

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.deadline = time.monotonic() + PATIENCE
        self.received = bytearray()
        self.answered = False

    def answer(self, page: bytes) -> None:
        """Send a page, as far as that does not wait, and the end of it.

        The connection itself stays a while: closed with something unread, it would be
        reset, and the browser would show that instead of the page.
        """
        self.answered = True
        with suppress(OSError):
            self.connection.sendall(page)
            self.connection.shutdown(socket.SHUT_WR)


def _listening(port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":  # there another program could bind the same port
            server.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        server.bind((_ADDRESS, port))
        server.listen()
        server.settimeout(0)
    except OSError:
        server.close()
        raise NetworkError("no port of this machine can be had", hint=_HINT) from None
    return server


def _query(head: bytes, host: str, wanted: str) -> str:
    """The query of a redirect's request (RFC 9112, 3). Raises UsageError for another's.

    The host is compared because a page of the web may have its own name lead here: DNS
    rebinding.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, rest = first.partition(" ")
    target, _, protocol = rest.partition(" ")
    path, _, query = target.partition("?")
    if (method, path) != ("GET", wanted) or protocol not in {"HTTP/1.1", "HTTP/1.0"}:
        raise UsageError("not the request of a redirect")
    headers = [line.partition(":") for line in lines]
    if [value.strip(" \t") for name, _, value in headers if name.lower() == "host"] != [host]:
        raise UsageError("a request for another host")
    return query


def _page(status: str, text: str) -> bytes:
    """An answer that shows nothing of the request, keeps nothing and loads nothing."""
    body = f"<!doctype html><html lang=en><title>codemesh</title><p>{text}</p></html>\n"
    head = (
        f"HTTP/1.1 {status}",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        f"Content-Security-Policy: {_POLICY}",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    )
    return "\r\n".join((*head, "", body)).encode("ascii")


_DONE = _page("200 OK", "codemesh has the answer. Close this page, and go back to your terminal.")
_REFUSED = _page("200 OK", "The login was refused. Your terminal says why.")
_NOT_FOUND = _page("404 Not Found", "There is nothing here.")
