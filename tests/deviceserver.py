"""A provider for tests that answers as it is told: one answer a request, and keeps what came."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

DROP = "drop"
"""An answer that is none: the connection is closed."""


class Told(NamedTuple):
    """One answer: a status and a JSON document."""

    status: int
    document: Mapping[str, object]


class Asked(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    """By name in lower case."""

    form: dict[str, str]


class DeviceServer:
    """A server on a free port of 127.0.0.1 that gives these answers, the last one for ever."""

    def __init__(self, *answers: Told | str) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str = "/") -> str:
        """The web address of a path."""
        return self.origin + path

    def answer(self, asked: Asked) -> Told | str:
        """Keep a request, and say what it gets."""
        self.asked.append(asked)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def _handler(server: DeviceServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as inherited
            """Say nothing."""

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            told = server.answer(Asked(self.command, self.path, headers, form))
            if not isinstance(told, Told):
                self.close_connection = True
                return
            content = json.dumps(told.document).encode()
            self.send_response(told.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
