"""Server-sent events (WHATWG HTML, 9.2), read as what a stranger sends.

httpx2's own reader does the lines, the parts and the limit of one event. Added here:
UTF-8 whatever the header claims, a byte-order mark, JSON, errors that come as events,
and an end that nobody announced.

What a library raises holds the request, and that holds the credential. So errors are
raised once those of the library are gone, not chained to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from codemesh import strictjson
from codemesh.errors import CodemeshError, DamagedError, NetworkError, ProviderError
from codemesh.providers import web
from codemesh.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

EVENT_LIMIT = 2**20
"""The most bytes of one event, without what ends its lines."""

KIND = "text/event-stream"
"""The content type of a stream."""

_END = "[DONE]"  # what chat completions send in place of a last document


def documents(
    response: httpx2.Response, secrets: Sequence[str]
) -> Iterator[dict[str, object] | None]:
    """The JSON object of each event as it comes, and None for the end of chat completions.

    It never ends by itself: whoever has seen the end of the answer stops asking.
    `secrets` are kept out of errors.

    Raises:
        NetworkError: the connection broke, or nothing came before the deadline.
        ProviderError: the stream ended; or an event tells of an error, is longer than
            `EVENT_LIMIT`, or is no JSON object.

    """
    who = origin(response)
    response.encoding = "utf-8-sig"
    failure: CodemeshError
    count = 0
    try:
        for event in httpx2.EventSource(response, max_event_size=EVENT_LIMIT):
            if event.data:
                count += 1
                yield None if event.data == _END else _document(event, who, secrets)
    except httpx2.SSEError:
        failure = ProviderError(f"{who} sent an event of more than {EVENT_LIMIT} bytes")
    except httpx2.TimeoutException:
        failure = NetworkError(f"{who} did not go on in time; the answer ended in the middle")
    except httpx2.HTTPError as error:
        kind = type(error).__name__
        failure = NetworkError(f"the answer of {who} ended in the middle: {kind}")
    else:
        told = "ended in the middle" if count else "is no stream of events"
        failure = ProviderError(f"the answer of {who} {told}")
    raise failure


def _document(
    event: httpx2.ServerSentEvent, who: str, secrets: Sequence[str]
) -> dict[str, object]:
    document = parsed(event.data.encode())
    if not isinstance(document, dict):
        raise ProviderError(f"{who} sent an event that is no JSON object")
    if document.get("error") or "error" in {event.event, document.get("object")}:
        said = told(document, secrets) or "without saying why"
        raise ProviderError(f"{who} broke off: {said}")
    return document


def parsed(raw: bytes) -> object:
    """One JSON document, or None for bytes that are none."""
    try:
        return strictjson.loads(raw)
    except DamagedError:
        return None


def origin(response: httpx2.Response) -> str:
    """Who answered, for an error."""
    return web.origin(str(response.request.url))


def told(document: object, secrets: Sequence[str]) -> str:
    """What an error document says, as `web.words`, and with a mask over each secret.

    A server may well repeat in an error what it was sent.
    """
    if isinstance(document, list) and document:
        document = document[0]  # as Gemini answers
    if not isinstance(document, dict):
        return ""
    masked = _masked(document, secrets)
    if isinstance(document.get("error"), dict):
        masked["error"] = _masked(document["error"], secrets)
    return web.words(masked)


def _masked(document: Mapping[str, object], secrets: Sequence[str]) -> dict[str, object]:
    masked = dict(document)
    for name, value in document.items():
        if isinstance(value, str):
            for secret in secrets:
                value = value.replace(secret, Secret.MASK)  # noqa: PLW2901  one after the other
            masked[name] = value
    return masked
