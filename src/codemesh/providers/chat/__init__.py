"""One conversation with a model, whichever of the two wire formats it speaks.

`anthropic` and `completions` know their format, `events` reads what comes back. This
file sends: to the one address that the caller checked, nowhere else, and again only
while nothing of an answer was there.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx2

from codemesh import strictjson
from codemesh.errors import (
    CodemeshError,
    NetworkError,
    ProviderError,
    UnauthorizedError,
    UsageError,
)
from codemesh.providers import web
from codemesh.providers.chat import events
from codemesh.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

TIMEOUT = httpx2.Timeout(120.0, connect=30.0)
"""Seconds between two parts of an answer, and until there is a connection."""

ATTEMPTS = 3
"""How often a request is sent that the provider is too busy for."""

LONGEST_PAUSE = 60.0
"""Seconds between two attempts, at most, whatever the provider asks for."""

_BUSY = frozenset({429, 503, 529})
_SHORTEST_SECRET = 8  # characters; what is shorter would mask words that it is no part of


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Literal["user", "assistant", "system"]
    content: str


class Target(NamedTuple):
    """Where a message goes, and as whom. `repr` hides the values of the headers.

    The caller has checked that the credential belongs to the origin of `base_url`.
    """

    base_url: str
    model: str
    format: Literal["anthropic", "completions"]
    headers: tuple[tuple[str, str], ...]
    """Names and values, authorization included; the values are secrets."""

    path: str = ""
    """What is appended to the base_url; empty for what the format has."""

    def __repr__(self) -> str:
        names = ", ".join(f"{name}: {Secret.MASK}" for name, _ in self.headers)
        return f"Target({self.base_url!r}, {self.model!r}, {self.format!r}, headers=({names}))"


class Delta(NamedTuple):
    """One part of an answer, as it comes; its text may be empty."""

    text: str
    usage: dict[str, int] | None
    """The counts of tokens so far, under the provider's own names; the last ones hold."""

    stop: str | None
    """Why the model ended, in the provider's own word."""


class _Format(Protocol):
    """What a wire format knows; each is a module of this package."""

    HEADERS: tuple[tuple[str, str], ...]

    def body(
        self, target: Target, messages: Sequence[Message], max_tokens: int
    ) -> dict[str, object]: ...

    def deltas(self, documents: Iterable[dict[str, object] | None]) -> Iterator[Delta]: ...


class _Call(NamedTuple):
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        return f"_Call({self.url!r})"


def endpoint(target: Target) -> str:
    """The address that messages are posted to.

    anthropic appends `/v1/messages` to the base_url; completions appends
    `/v1/chat/completions`, or `/chat/completions` where the base_url has a path.

    Raises UsageError for a base_url that `web.check_url` refuses, or with a query.
    """
    base = web.check_url(target.base_url).rstrip("/")
    if "?" in base or "#" in base:
        raise UsageError(f"the base_url of {urlsplit(base).hostname} is more than a path")
    if target.path:
        return f"{base}{target.path}"
    if target.format == "anthropic":
        return f"{base}/v1/messages"
    return f"{base}/chat/completions" if urlsplit(base).path else f"{base}/v1/chat/completions"


def stream(
    target: Target,
    messages: Sequence[Message],
    *,
    max_tokens: int = 4096,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Delta]:
    """Ask the model, and yield its answer as it comes; a second call asks again.

    Nothing is sent before the first part is asked for. While the provider is too busy
    (429, 503, 529) and no part has come, it is asked at most `ATTEMPTS` times: after
    what Retry-After says (RFC 9110, 10.2.3) or a few seconds, handed to `wait`. No
    redirect is followed. What came before an error has been yielded.

    Raises, at once or with the first part:
        UsageError: as `endpoint`; or a header or a message cannot be sent as it is.
        UnauthorizedError: the credential was not accepted.
        NetworkError: the provider was not reached, went silent or broke off.
        ProviderError: it refused, sends elsewhere, answered with something that is no
            stream of events, told of an error, or ended in the middle.
    """
    form = _form(target)
    own = {name.lower() for name, _ in target.headers}
    headers = [
        ("Accept", events.KIND),
        ("Content-Type", "application/json"),
        *(header for header in form.HEADERS if header[0].lower() not in own),
        *_checked(target.headers),
    ]
    body = strictjson.canonical(form.body(target, messages, max_tokens))
    call = _Call(endpoint(target), headers, body, _secrets(target))
    return _answer(call, form, wait)


def counts(value: object) -> dict[str, int] | None:
    """The numbers of a `usage` object, without what is nested; None if there are none."""
    if not isinstance(value, dict):
        return None
    return {name: count for name, count in value.items() if type(count) is int} or None


def _form(target: Target) -> _Format:
    if target.format == "anthropic":
        from codemesh.providers.chat import anthropic

        return anthropic
    from codemesh.providers.chat import completions

    return completions


def _checked(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return headers that can be sent; the library's own errors would quote the values."""
    for name, value in headers:
        fine = value.isascii() and value.isprintable() and value == value.strip()
        if not fine or not value:
            raise UsageError(
                f"the credential cannot be sent: it is not plain text for the header {name}",
                hint="See that it was stored whole, without a line end or a quotation mark.",
            )
    return headers


def _secrets(target: Target) -> tuple[str, ...]:
    """What no error may show: each value, and the token in it, the longer ones first."""
    values = {value for _, value in target.headers}
    values |= {value.rpartition(" ")[2] for value in values}
    return tuple(
        sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len)[::-1]
    )


def _answer(call: _Call, form: _Format, wait: Callable[[float], None]) -> Iterator[Delta]:
    with web.client(call.url) as http:
        for attempt in range(1, ATTEMPTS + 1):
            with closing(_sent(http, call)) as response:
                pause = _pause(response, attempt)
                if pause is None:
                    _accept(response, call.secrets)
                    yield from form.deltas(events.documents(response, call.secrets))
                    return
            wait(pause)


def _sent(http: httpx2.Client, call: _Call) -> httpx2.Response:
    who = web.origin(call.url)
    failure: CodemeshError
    try:
        request = http.build_request(
            "POST", call.url, content=call.body, headers=call.headers, timeout=TIMEOUT
        )
        return http.send(request, stream=True)
    except httpx2.InvalidURL:
        failure = UsageError(f"{who} is no web address")
    except httpx2.TimeoutException:
        failure = NetworkError(f"{who} did not answer in time")
    except httpx2.HTTPError as error:
        failure = NetworkError(f"{who} cannot be reached: {type(error).__name__}")
    raise failure


def _pause(response: httpx2.Response, attempt: int) -> float | None:
    """How many seconds to wait before another attempt; None if this one counts."""
    if response.status_code not in _BUSY or attempt == ATTEMPTS:
        return None
    asked = _retry_after(response.headers.get("Retry-After", "").strip())
    return min(LONGEST_PAUSE, float(2**attempt) if asked is None else asked)


def _retry_after(text: str) -> float | None:
    """Seconds, from a number or a date (RFC 9110, 10.2.3); None for anything else."""
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _accept(response: httpx2.Response, secrets: Sequence[str]) -> None:
    """Raise unless the response is a stream of events."""
    status, who = response.status_code, events.origin(response)
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if status == httpx2.codes.OK and kind == events.KIND:
        return
    if 300 <= status < 400:  # noqa: PLR2004  the class of redirects
        raise ProviderError(f"{who} sends elsewhere, which is not followed")
    body = b""
    with suppress(httpx2.HTTPError):
        body = web.read_bounded(response)
    said = events.told(events.parsed(body), secrets)
    if status == httpx2.codes.OK and not said:
        raise ProviderError(f"the answer of {who} is no stream of events")
    error = UnauthorizedError if status == httpx2.codes.UNAUTHORIZED else ProviderError
    raise error(f"{who} answered {status}" + (f": {said}" if said else ""))
