"""The device authorization grant (RFC 8628): a code is typed in a browser that may be elsewhere.

`start` gets the code to show, `poll` waits until it was entered there. Errors name the origin
that answered, and never the device code, which stands for the login until it expires.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from codemesh.errors import NetworkError, ProviderError, UsageError
from codemesh.providers import web
from codemesh.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
"""What the token endpoint is asked for (RFC 8628, 3.4)."""

INTERVAL = 5
"""Seconds between two questions where the provider names none (RFC 8628, 3.2)."""

SLOWER = 5
"""Seconds that `slow_down` adds for good (RFC 8628, 3.5)."""

_LONGEST_INTERVAL = 60  # seconds
_LONGEST_LIFE = 3600  # seconds
_USER_CODE_LIMIT = 64  # characters; somebody has to type it
_DEVICE_CODE_LIMIT = 4096  # characters
_URL_LIMIT = 2048  # characters
_TOO_MANY = 429
_OK = 200
_SERVER_ERRORS = 500

_AGAIN = "Nothing was stored. Start the login again"
_CLIENT = "See that its client_id is one that may use the device flow."


class Grant(NamedTuple):
    """A login that was started and waits for its code to be entered (RFC 8628, 3.2)."""

    device_code: Secret
    user_code: str
    """What is typed in the browser: printable, at most 64 characters."""

    verification_uri: str
    """Where it is typed. Its host is to be shown: the code may be somebody else's."""

    verification_uri_complete: str | None
    """The same with the code in it, if the provider has one."""

    expires_in: int
    """Seconds that the code lives, 1 to 3600."""

    interval: int
    """Seconds between two questions, 1 to 60."""


def start(
    device_url: str,
    client_id: str,
    scopes: Sequence[str],
    *,
    headers: Mapping[str, str] | None = None,
) -> Grant:
    """Ask for a code to show (RFC 8628, 3.1). A second call gets another one.

    A life or an interval that is too long, and an interval of none, is taken as the bound.
    Raises NetworkError if there was no answer, ProviderError if it was a refusal or is not
    what RFC 8628, 3.2 says, and UsageError for a web address that `web.check_url` refuses.
    """
    form = {"client_id": client_id}
    if scopes:
        form["scope"] = " ".join(scopes)
    answer = web.post(device_url, form=form, headers=headers)
    if answer.status != _OK or answer.document.get("error") is not None:
        _refused(device_url, answer)
    try:
        return _grant(answer.document)
    except (UsageError, ValueError) as error:
        fault = error.message if isinstance(error, UsageError) else str(error)
        raise ProviderError(
            f"{web.origin(device_url)} started a login that cannot be used: {fault}"
        ) from None


def poll(  # noqa: PLR0913  a clock and a way to wait are for tests
    token_url: str,
    client_id: str,
    grant: Grant,
    *,
    headers: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> dict[str, object]:
    """Ask until the code was entered; returns the token document as it came (RFC 8628, 3.4).

    `clock` tells seconds, `wait` takes as many as it is given. It waits before each
    question, the first too: the interval, 5 s more after each `slow_down`, and twice as
    long after each question in a row without an answer. It gives up when the life of the
    grant is over, counted from the call.

    Raises ProviderError when the login was refused, has expired or cannot go on, and
    UsageError as `start`. The document is not checked beyond its being no error.
    """
    over = clock() + grant.expires_in
    interval = pause = grant.interval
    form = {
        "grant_type": GRANT_TYPE,
        "device_code": grant.device_code.reveal(),
        "client_id": client_id,
    }
    while clock() + pause < over:
        wait(pause)
        answer = _asked(token_url, form, headers)
        if answer is None:
            pause = max(interval, min(pause * 2, _LONGEST_INTERVAL))
            continue
        error = answer.document.get("error")
        if error is None and answer.status == _OK:
            return answer.document
        if error == "slow_down":
            interval = _slower(interval, answer.document.get("interval"))
        elif error != "authorization_pending":
            _ended(token_url, answer, grant.device_code)
        pause = interval
    raise _expired()


def _asked(
    url: str, form: Mapping[str, str], headers: Mapping[str, str] | None
) -> web.Answer | None:
    """One answer, or None where there was none, or the server says that it cannot now."""
    try:
        answer = web.post(url, form=form, headers=headers)
    except NetworkError:
        return None
    passing = answer.status >= _SERVER_ERRORS or answer.status == _TOO_MANY
    return None if passing and answer.document.get("error") is None else answer


def _slower(interval: int, told: object) -> int:
    """The new interval; GitHub tells one of its own, which counts if it is longer."""
    longer = told if isinstance(told, int) and told <= _LONGEST_INTERVAL else 0
    return max(interval + SLOWER, longer)


# -- answers -------------------------------------------------------------------------


def _grant(document: Mapping[str, object]) -> Grant:
    """What was answered, checked. Raises ValueError, or UsageError for a web address."""
    complete = document.get("verification_uri_complete")
    life = _seconds(document, "expires_in")
    if life < 1:
        raise ValueError("it has expired already")
    interval = INTERVAL if document.get("interval") is None else _seconds(document, "interval")
    return Grant(
        Secret(_text(document, "device_code", _DEVICE_CODE_LIMIT)),
        _text(document, "user_code", _USER_CODE_LIMIT),
        _url(document, "verification_uri"),
        None if complete is None else _url(document, "verification_uri_complete"),
        min(life, _LONGEST_LIFE),
        min(max(interval, 1), _LONGEST_INTERVAL),
    )


def _text(document: Mapping[str, object], name: str, limit: int) -> str:
    value = document.get(name)
    if isinstance(value, str) and value.strip() and len(value) <= limit and value.isprintable():
        return value
    raise ValueError(f"its {name} is missing, too long, or has strange characters")


def _url(document: Mapping[str, object], name: str) -> str:
    return web.check_url(_text(document, name, _URL_LIMIT))


def _seconds(document: Mapping[str, object], name: str) -> int:
    """A length of time in whole seconds; some providers write it as a text."""
    value = document.get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:  # noqa: PLR2004  centuries
        return int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return int(value)
    raise ValueError(f"its {name} is missing, or no length of time")


# -- refusals ------------------------------------------------------------------------


def _ended(url: str, answer: web.Answer, device_code: Secret) -> NoReturn:
    """Raise what ends a login (RFC 8628, 3.5), without what repeats its device code."""
    error = answer.document.get("error")
    if error == "access_denied":
        raise ProviderError(
            "the login was refused in the browser", hint=f"{_AGAIN}, and allow it there."
        )
    if error == "expired_token":
        raise _expired()
    code = device_code.reveal()
    told = {name: value for name, value in answer.document.items() if code not in str(value)}
    _refused(url, answer._replace(document=told))


def _expired() -> ProviderError:
    return ProviderError(
        "the code was not entered in time", hint=f"{_AGAIN}, and enter its new code."
    )


def _refused(url: str, answer: web.Answer) -> NoReturn:
    told = web.words(answer.document) or f"status {answer.status}"
    raise ProviderError(f"{web.origin(url)} refused the login: {told}", hint=_CLIENT)
