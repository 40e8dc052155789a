"""A token endpoint that rotates refresh tokens and takes a second use of one for theft."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from typing import Self


class TokenServer:
    """It answers `POST /token` on 127.0.0.1 while it is entered."""

    def __init__(self, *, latency: float = 0.0, life: int = 3600) -> None:
        self.latency = latency
        self.life = life
        self.current = "refresh-0"
        self.requests: list[str] = []
        """The refresh tokens that were sent, in their order."""
        self.revoked = False
        """Whether the whole login was ended, because an old refresh token was used."""
        self.answer: tuple[int, dict[str, Any]] | None = None
        """What is answered instead, to everything."""
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, document = outer.handle(parse_qs(body)["refresh_token"][0])
                raw = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where tokens are asked for."""
        return f"http://127.0.0.1:{self._server.server_port}/token"

    def config(self, provider: str = "anthropic") -> str:
        """What config.toml says of a provider to have its tokens renewed here."""
        return (
            f"[providers.{provider}.oauth]\n"
            f'client_id = "made-up"\nstyle = "form"\ntoken_url = "{self.url}"\n'
        )

    def handle(self, refresh_token: str) -> tuple[int, dict[str, Any]]:
        """One request: its status and answer."""
        time.sleep(self.latency)
        with self._lock:
            self.requests.append(refresh_token)
            if self.answer is not None:
                return self.answer
            if refresh_token != self.current:
                self.revoked = True
            if self.revoked:
                return 400, {"error": "invalid_grant"}
            number = int(self.current.partition("-")[2]) + 1
            self.current = f"refresh-{number}"
            return 200, {
                "access_token": f"access-{number}",
                "refresh_token": self.current,
                "token_type": "Bearer",
                "expires_in": self.life,
            }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
