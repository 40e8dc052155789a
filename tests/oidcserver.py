"""A real authorization server for tests: node-oidc-provider, which tests/oidc has the start of."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx2
import pytest

from nodes import installed, program

LOOPBACK = "codemesh"
"""The client whose redirect is a loopback, on any port; it may use the device flow."""

PASTE = "codemesh-paste"
"""The client whose redirect is `PASTE_REDIRECT`."""

LOOPBACK_REDIRECT = "http://127.0.0.1:49152/callback"
PASTE_REDIRECT = "https://paste.example/callback"
SCOPES = ("openid", "user:inference")

_FOLDER = Path(__file__).with_name("oidc")
_STEPS = 20  # pages of one login; it takes about six
_DEADLINE = 120.0  # seconds; only for what hangs


class Proof(NamedTuple):
    """A web address to log in at, and what goes with the code that comes of it (RFC 7636)."""

    url: str
    verifier: str
    redirect_uri: str
    client_id: str
    state: str


class OidcServer:
    """An authorization server on a free port of 127.0.0.1, with nobody known yet.

    Lives are in seconds, as is the latency: how long the token endpoint holds an answer
    back after it has done what it was asked for.
    """

    def __init__(
        self,
        *,
        access_ttl: int = 3600,
        refresh_ttl: int = 86400,
        device_ttl: int = 600,
        latency: float = 0.0,
    ) -> None:
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PORT": "0",
            "OIDC_ACCESS_TTL": str(access_ttl),
            "OIDC_REFRESH_TTL": str(refresh_ttl),
            "OIDC_DEVICE_TTL": str(device_ttl),
            "OIDC_LATENCY_MS": str(round(latency * 1000)),
        }
        folder = installed(_FOLDER, "server.mjs")
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                [program("node"), "server.mjs"],
                cwd=folder,
                env=environ,
                stdin=subprocess.PIPE,  # it ends with it, so it never outlives the tests
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            assert self._process.stdout is not None
            ready = self._process.stdout.readline()
            if not ready:
                self.stop()
                errors.seek(0)
                pytest.fail(f"the authorization server did not start: {errors.read()!r}")
        self.issuer: str = json.loads(ready)["issuer"]
        self.authorize_url = f"{self.issuer}/auth"
        self.token_url = f"{self.issuer}/token"
        self.revoke_url = f"{self.issuer}/token/revocation"
        self.device_url = f"{self.issuer}/device/auth"
        self.userinfo_url = f"{self.issuer}/me"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it. A second call does nothing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    # -- what it says --------------------------------------------------------------------

    def counters(self) -> dict[str, object]:
        """What it did so far: tokenRequests, tokensGiven, revocations and grantsRevoked."""
        with _client() as client:
            counted: dict[str, object] = client.get(f"{self.issuer}/-/counters").json()
        return counted

    def knows(self, access_token: str) -> bool:
        """Whether an access token of the scope `openid` is good now."""
        headers = {"Authorization": f"Bearer {access_token}"}
        with _client() as client:
            status = client.get(self.userinfo_url, headers=headers).status_code
        assert status in {200, 401}
        return status == 200

    # -- what a client does --------------------------------------------------------------

    def proof(self, client_id: str = LOOPBACK, redirect_uri: str = LOOPBACK_REDIRECT) -> Proof:
        """Begin a login of the browser, with PKCE."""
        verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        digest = hashlib.sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(SCOPES),
            "state": state,
            "code_challenge": urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        url = f"{self.authorize_url}?{urlencode(query)}"
        return Proof(url, verifier, redirect_uri, client_id, state)

    def post(self, url: str, **form: str) -> tuple[int, dict[str, object]]:
        """Post a form, and return the status and the JSON document, an empty one for none."""
        with _client() as client:
            answer = client.post(url, data=form)
        document: dict[str, object] = answer.json() if answer.content else {}
        return answer.status_code, document

    def exchange(self, proof: Proof, redirected: str) -> tuple[int, dict[str, object]]:
        """Ask for the tokens of a login that was redirected there."""
        return self.post(
            self.token_url,
            grant_type="authorization_code",
            code=query_of(redirected)["code"],
            client_id=proof.client_id,
            redirect_uri=proof.redirect_uri,
            code_verifier=proof.verifier,
        )

    def refresh(self, token: object, client_id: str = LOOPBACK) -> tuple[int, dict[str, object]]:
        """Use a refresh token."""
        form = {"refresh_token": str(token), "client_id": client_id}
        return self.post(self.token_url, grant_type="refresh_token", **form)

    def log_in(self) -> dict[str, object]:
        """Tokens of a whole login through the browser, as somebody new."""
        proof = self.proof()
        status, tokens = self.exchange(proof, login_by_forms(proof.url))
        assert status == 200, tokens
        return tokens


def query_of(url: str) -> dict[str, str]:
    """The parameters of a web address, each of which is there once."""
    found = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


# -- a browser without a window ----------------------------------------------------------


def login_by_forms(url: str, *, login: str = "ada", allow: bool = True) -> str:
    """Go through the server's pages as `login` would, saying yes, and return where it ends.

    That is the redirect to the client, which is not followed, or the last page where there
    is none, as in the device flow. With `allow` false, the login is cancelled.
    """
    answers = {"login": login, "password": "anything"}
    here, cancelled = urlsplit(url).netloc, False
    with _client() as browser:
        answer = browser.get(url)
        for _ in range(_STEPS):
            if answer.is_redirect:
                url = urljoin(url, answer.headers["location"])
                if urlsplit(url).netloc != here:
                    return url
                if not allow and "/interaction/" in url:
                    url += "/abort"
                    cancelled = True
                answer = browser.get(url)
                continue
            form = _Form(answer.text)
            if cancelled or form.action is None or answer.status_code >= 400:
                return url
            url = urljoin(url, form.action)
            fields = {name: answers.get(name, value) for name, value in form.fields.items()}
            answer = browser.post(url, data=fields)
    raise AssertionError(f"the login did not end, but came to {url}")


def _client() -> httpx2.Client:
    return httpx2.Client(follow_redirects=False, trust_env=False, timeout=_DEADLINE)


class _Form(HTMLParser):
    """The first form of a page: where it goes, and its fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = found["action"]
        if tag == "input" and self.action is not None and "name" in found:
            self.fields[found["name"]] = found.get("value", "")
