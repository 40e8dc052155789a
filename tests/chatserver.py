"""A provider of models on this machine, which answers as it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import httpx2

from codemesh.providers.chat import Message, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Literal, Self

SECRET = "sk-canary-7b1e5f0c9d"
TEXT = "Grüße, 世界 👋🏽"
HELLO = (Message("user", "hello"),)
STREAM = (("Content-Type", "text/event-stream; charset=utf-8"),)
JSON = (("Content-Type", "application/json"),)
HTML = (("Content-Type", "text/html"),)


class Reply(NamedTuple):
    """One answer: its parts are sent one by one; `cut` ends it without its last chunk."""

    parts: tuple[bytes, ...] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = STREAM
    cut: bool = False


class Seen(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: dict[str, object]


def event(document: object, name: str = "") -> bytes:
    """One event, as providers write it."""
    data = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()


def _typed(kind: str, **members: object) -> bytes:
    return event({"type": kind, **members}, kind)


def _said(text: str) -> bytes:
    return _typed("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


ANTHROPIC = b"".join(
    [
        _typed(
            "message_start",
            message={
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "content": [],
                "usage": {
                    "input_tokens": 12,
                    "output_tokens": 1,
                    "cache_creation": {"ephemeral_5m_input_tokens": 0},
                    "service_tier": "standard",
                },
            },
        ),
        _typed("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _typed("ping"),
        _said(TEXT[:7]),
        _said(TEXT[7:]),
        _typed("content_block_stop", index=0),
        _typed(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": 9},
        ),
        _typed("message_stop"),
    ]
)
"""A whole answer of the Messages API; it says TEXT."""


def _chunk(delta: dict[str, object], stop: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": stop}
    return event({"id": "c1", "object": "chat.completion.chunk", "choices": [choice]})


COMPLETIONS = b"".join(
    [
        event({"choices": [], "prompt_filter_results": []}),  # Azure
        b": OPENROUTER PROCESSING\n\n",
        _chunk({"role": "assistant", "content": None}),
        _chunk({"content": TEXT[:7]}),
        _chunk({"content": TEXT[7:]}),
        _chunk({}, "stop"),
        event(
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 12,
                    "completion_tokens": 9,
                    "total_tokens": 21,
                    "prompt_tokens_details": {"cached_tokens": 0},
                },
            }
        ),
        event("[DONE]"),
    ]
)
"""A whole answer of chat completions; it says TEXT."""


def split(raw: bytes, *places: int) -> tuple[bytes, ...]:
    """The parts of `raw`, cut at these places."""
    ends = (0, *places, len(raw))
    return tuple(raw[start:end] for start, end in pairwise(ends))


def halves(raw: bytes) -> list[tuple[bytes, ...]]:
    """`raw` in two parts, in every way."""
    return [split(raw, place) for place in range(1, len(raw))]


def response(
    parts: Iterable[bytes], headers: Iterable[tuple[str, str]] = STREAM
) -> httpx2.Response:
    """An answer that needs no server, to a request with the marked secret."""
    request = httpx2.Request("POST", "https://host", headers={"Authorization": SECRET})
    return httpx2.Response(200, headers=list(headers), content=iter(parts), request=request)


def fault(document: object, status: int, *headers: tuple[str, str]) -> Reply:
    """An answer that is an error."""
    return Reply((json.dumps(document).encode(),), status, (*JSON, *headers))


class ChatServer:
    """Answers each request with the next reply, the last one again and again."""

    def __init__(self, replies: Iterable[Reply]) -> None:
        self._replies = list(replies)
        self._lock = threading.Lock()
        self.seen: list[Seen] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def target(
        self, form: Literal["anthropic", "completions"], headers: Sequence[tuple[str, str]] = ()
    ) -> Target:
        """The server, as a provider of that format, with the marked secret."""
        known = tuple(headers) or (("Authorization", f"Bearer {SECRET}"),)
        return Target(self.url, "model-1", form, known)

    def next(self, seen: Seen) -> Reply:
        """Note the request; return what it is answered with."""
        with self._lock:
            self.seen.append(seen)
            return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                _send(self, server.next(Seen(self.path, headers, json.loads(raw))))

            def do_GET(self) -> None:
                _send(self, server.next(Seen(self.path, dict(self.headers), {})))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name
                """Say nothing."""

        return Handler


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.close_connection = True
    try:
        handler.send_response(reply.status)
        for name, value in (*reply.headers, ("Transfer-Encoding", "chunked")):
            handler.send_header(name, value)
        handler.send_header("Connection", "close")
        handler.end_headers()
        for part in filter(None, reply.parts):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            handler.wfile.flush()
        if not reply.cut:
            handler.wfile.write(b"0\r\n\r\n")
    except ConnectionError:
        return  # whoever asked has heard enough
