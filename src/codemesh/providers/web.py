"""The one way to a provider over the network: no redirects, bounded answers, strict JSON.

A credential goes to the origin that it belongs to, and nowhere else; an answer is read as
what a stranger wrote. Nothing that was sent, and nothing secret that came back, is in an
error.
"""

from __future__ import annotations

import ipaddress
import os
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import httpx2

from codemesh import strictjson
from codemesh.errors import DamagedError, NetworkError, ProviderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_LIMIT = 64 * 1024
"""The most bytes of an answer that is read whole."""

TIMEOUT = 30.0
"""How long a provider may take to connect, and between two parts of an answer, in seconds."""

_SERVER_ERRORS = 500
_TEXT_LIMIT = 300  # characters of a provider's own words in one message


class Answer(NamedTuple):
    """What a provider answered to one request, as JSON."""

    status: int
    document: dict[str, object]


def client(url: str, *, timeout: float = TIMEOUT) -> httpx2.Client:
    """A client for requests to `url`: it follows no redirect, and a loopback is never proxied.

    netrc and certificates named by the environment are not looked at. Raises UsageError
    for a web address that `check_url` refuses.
    """
    check_url(url)
    proxy = None if is_loopback(url) else _proxy()
    try:
        return httpx2.Client(
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            proxy=proxy,
            headers={
                "User-Agent": f"codemesh/{version('codemesh')}",
                "Accept": "application/json",
            },
        )
    except (ValueError, ImportError, httpx2.InvalidURL):
        raise UsageError(
            "the proxy that the environment names is not one by http or https",
            hint="See HTTPS_PROXY and ALL_PROXY.",
        ) from None


def post(
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    json: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Answer:
    """Send one POST and read the JSON object that comes back, whatever its status; no retry.

    Raises NetworkError if there was no answer, and ProviderError for an answer that is
    a redirect, larger than `ANSWER_LIMIT`, or no JSON object.
    """
    with client(url, timeout=timeout) as web:
        return _answer(web, web.build_request("POST", url, data=form, json=json, headers=headers))


def get(url: str, *, headers: Mapping[str, str], timeout: float = TIMEOUT) -> Answer:
    """As `post`, for a GET."""
    with client(url, timeout=timeout) as web:
        return _answer(web, web.build_request("GET", url, headers=headers))


def _answer(web: httpx2.Client, request: httpx2.Request) -> Answer:
    url = str(request.url)
    failure = ""
    end = time.monotonic() + TIMEOUT
    try:
        response = web.send(request, stream=True)
        try:
            body = read_bounded(response, end)
        finally:
            response.close()
    except httpx2.TimeoutException:
        failure = "did not answer in time"
    except httpx2.HTTPError as error:
        failure = f"cannot be reached: {type(error).__name__}"
    if failure:  # raised here, because that error holds the request, and what it carries
        raise NetworkError(f"{origin(url)} {failure}")
    if 300 <= response.status_code < 400:  # noqa: PLR2004  the class of redirects
        raise ProviderError(f"{origin(url)} sends elsewhere, which is not followed")
    return Answer(response.status_code, _object(body, url, response.status_code))


def read_bounded(response: httpx2.Response, end: float | None = None) -> bytes:
    """The body of an answer, at most `ANSWER_LIMIT` bytes and one.

    Raises httpx2.ReadTimeout if it goes on after `end`, a moment of the monotonic clock:
    a body that comes a byte at a time must not hold a lock for ever.
    """
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > ANSWER_LIMIT:
            return body[: ANSWER_LIMIT + 1]
        if end is not None and time.monotonic() > end:
            raise httpx2.ReadTimeout("the answer does not end")
    return body


def _object(body: bytes, url: str, status: int) -> dict[str, object]:
    if len(body) > ANSWER_LIMIT:
        raise ProviderError(f"{origin(url)} answered with more than {ANSWER_LIMIT} bytes")
    if not body:
        return {}
    try:
        document = strictjson.loads(body)
    except DamagedError:
        document = None
    if not isinstance(document, dict) and status >= _SERVER_ERRORS:
        # Somebody in between, at a bad time.
        raise NetworkError(f"{origin(url)} answered {status}")
    if not isinstance(document, dict):
        raise ProviderError(
            f"{origin(url)} answered {status} with something that is no JSON object"
        )
    return document


# -- web addresses -------------------------------------------------------------------


def check_url(url: str) -> str:
    """Return a web address that a credential may be sent to.

    That is https, or http to a loopback address, without a user or a password in it.
    Raises UsageError for any other.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError("a web address of a provider cannot be read") from None
    if not parts.hostname or port == 0 or not url.isascii() or not url.isprintable():
        raise UsageError("a web address of a provider has no host, or strange characters")
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"the web address of {parts.hostname} has a user name in it")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(url)):
        raise UsageError(f"{parts.hostname} is not reached by https")
    return url


def is_loopback(url: str) -> bool:
    """Whether a web address leads to this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> str:
    """Scheme, host and port of a web address, the port always written out (RFC 6454, 4)."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _proxy() -> str | None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        if os.environ.get(name):
            return os.environ[name]
    return None


# -- a provider's own words ----------------------------------------------------------


def words(document: Mapping[str, object]) -> str:
    """What an error answer says, in one line, without control characters, and not too long.

    That is `error` and `error_description` (RFC 6749, 5.2), or the `message` of an error
    object. Empty if it says nothing.
    """
    error = document.get("error")
    if isinstance(error, dict):
        told = [error.get("type"), error.get("message")]
    else:
        told = [error, document.get("error_description") or document.get("message")]
    text = ": ".join(part for part in told if isinstance(part, str) and part)
    cleaned = "".join(char if char.isprintable() else " " for char in text)
    return cleaned[:_TEXT_LIMIT] + ("…" if len(cleaned) > _TEXT_LIMIT else "")
