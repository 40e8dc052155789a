"""A small authorization server on this machine that answers as it is told.

It records every request. An answer is a function that is given the request's handler, so
that it can be a wrong one in any way: `tokens`, `json`, `raw`, `redirect`, `endless`, `slow`
and `broken` make the usual ones.
"""

from __future__ import annotations

import json as jsons
import socketserver
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable

    Respond = Callable[[BaseHTTPRequestHandler], None]


class Request(NamedTuple):
    """One request as it came in; the names of its headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """The body as a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))

    @property
    def document(self) -> object:
        """The body as JSON."""
        return jsons.loads(self.body)


def raw(body: bytes, *, status: int = 200, kind: str = "text/html", **headers: str) -> Respond:
    """An answer of these bytes; `_` in the name of a header stands for `-`."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def json(document: object, *, status: int = 200) -> Respond:
    """An answer in JSON; NaN is written as Python does."""
    return raw(jsons.dumps(document).encode(), status=status, kind="application/json")


def tokens(**fields: object) -> Respond:
    """A good answer of a token endpoint, with these fields besides or instead."""
    usual = {"access_token": "at-1", "token_type": "Bearer", "refresh_token": "rt-1"}
    return json(usual | {"expires_in": 3600} | fields)


def redirect(url: str, *, status: int = 307) -> Respond:
    """An answer that sends elsewhere; 307 has the request repeated there, body and all."""
    return raw(b"", status=status, Location=url)


def endless(size: int = 1 << 30) -> Respond:
    """An answer of so many bytes, sent until nobody reads on."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        for _ in range(size >> 16):
            handler.wfile.write(b" " * (1 << 16))

    return respond


def broken(handler: BaseHTTPRequestHandler) -> None:
    """An answer that ends in its middle."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"access_token": "at-')


class AuthServer(socketserver.ThreadingTCPServer):
    """A server on a port of its own, in threads; leaving the `with` block ends it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[Request] = []
        self.answer: Respond = tokens()
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    def slow(self, handler: BaseHTTPRequestHandler) -> None:
        """No answer, for as long as the server is there."""
        del handler
        self.ended.wait(60)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go away while they are answered; that is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: AuthServer

    def _any(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        self.server.requests.append(Request(self.command, self.path, headers, body))
        with suppress(ConnectionError):
            self.server.answer(self)

    do_GET = do_POST = _any  # noqa: N815  the names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as its parent has it
        """Print nothing."""
