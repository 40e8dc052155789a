"""What a token endpoint answered, checked (RFC 6749, section 5.1).

The answer is a stranger's text: every field that is used has its type, its alphabet and
its bounds checked by pydantic. No error quotes a value, and none drags pydantic's own
along, which holds the whole answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from codemesh.errors import ProviderError
from codemesh.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 10 * 365 * 24 * 3600
"""The longest life of an access token that is believed, in seconds: ten years."""

_DIGITS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


class Tokens(NamedTuple):
    """The tokens of one answer. `repr` shows the expiry and the scope alone."""

    access_token: Secret
    refresh_token: Secret | None
    """None if the answer had none: the one that was used stays (RFC 6749, section 6)."""

    expires_at: int | None
    """When the access token ends to be valid, in UNIX seconds; None if nobody said."""

    scope: str | None
    """What was granted, parted by spaces; None if it is what was asked for."""

    extra: dict[str, object]
    """Every other field, unchecked; some of them are secrets, such as `id_token`."""

    def __repr__(self) -> str:
        return f"Tokens(expires_at={self.expires_at!r}, scope={self.scope!r})"


def parse(document: Mapping[str, object], now: float) -> Tokens:
    """Read a successful answer of a token endpoint (RFC 6749, section 5.1).

    `now` is the local time in UNIX seconds; `expires_in` counts from it. A life of more
    than `LONGEST` seconds becomes that, and none at all is allowed. An empty
    `refresh_token` or `scope` counts as a missing one.

    Raises ProviderError naming the first field that is missing or not as the RFC has it.
    """
    try:
        answer = _Answer.model_validate(document)
    except ValidationError as error:
        wrong = str(error.errors(include_input=False, include_context=False)[0]["loc"][0])
    else:
        life, refresh = answer.expires_in, answer.refresh_token
        return Tokens(
            access_token=Secret(answer.access_token),
            refresh_token=Secret(refresh) if refresh else None,
            expires_at=None if life is None else int(now) + life,
            scope=answer.scope or None,
            extra={key: document[key] for key in document if key not in _Answer.model_fields},
        )
    raise ProviderError(f"an answer with tokens has no {wrong} that can be used")


def is_plain(text: str) -> bool:
    """Whether a text is printable ASCII and not empty, as codes and tokens are.

    That is `1*VSCHAR` of RFC 6749, appendix A.
    """
    return bool(text) and text.isascii() and text.isprintable()


def sendable(token: Secret) -> str:
    """The text of a stored token, for a request.

    Raises ProviderError for one that is no token: it has no place in the head of a request,
    and Python's own error would quote it.
    """
    text = token.reveal()
    if is_plain(text):
        return text
    raise ProviderError(
        "the stored token is empty, or holds strange characters",
        hint="The store is as it was. Log in again.",
    )


def _plain(value: object) -> object:
    if isinstance(value, str) and is_plain(value):
        return value
    raise ValueError("not printable ASCII")


def _plain_or_none(value: object) -> object:
    return value if value in (None, "") else _plain(value)


def _bearer(value: object) -> object:
    """RFC 6749, section 7.1: a client must not use a token whose type it does not know."""
    if value is None or (isinstance(value, str) and value.lower() == "bearer"):
        return value
    raise ValueError("not a bearer token")


def _seconds(value: object) -> int | None:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = float(value)  # infinity at worst, which is bounded below
    if value is None:
        return None
    # `>=` is also false for NaN
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return int(min(value, LONGEST))
    raise ValueError("not a length of time")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    access_token: Annotated[str, BeforeValidator(_plain)]
    token_type: Annotated[str | None, BeforeValidator(_bearer)] = None
    expires_in: Annotated[int | None, BeforeValidator(_seconds)] = None
    refresh_token: Annotated[str | None, BeforeValidator(_plain_or_none)] = None
    scope: Annotated[str | None, BeforeValidator(_plain_or_none)] = None
