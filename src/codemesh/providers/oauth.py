"""The authorization code flow of a public client, with PKCE.

RFC 6749 (section 4.1), RFC 7636, RFC 8252, and what RFC 9700 asks of a client. Each
request is sent once: a second one with the same code or the same refresh token is what a
thief would send, and servers may end the login for it (RFC 9700, section 4.14).
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from codemesh.errors import ProviderError, RefusedGrantError, UsageError
from codemesh.providers import tokens, web
from codemesh.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codemesh.providers.table import Endpoints
    from codemesh.providers.tokens import Tokens

PASTE_LIMIT = 4 * 1024
"""The most bytes of an answer that a person pastes."""

_PARAMETERS = 32  # in one redirect
_RANDOM = 32  # bytes; as base64url the 43 characters of RFC 7636, section 4.1
_PASTE_HINT = "Copy the whole answer of the web page: the code, a # and the state, on one line."


class Attempt:
    """One login: the state that its answer must carry, and the secret of its PKCE.

    `random` gives that many random bytes. It is asked twice, for the verifier and then for
    the state: the state is seen by the browser and by web pages, so it tells nothing
    about the verifier.
    """

    __slots__ = ("_issuer", "_promised", "challenge", "state", "verifier")

    def __init__(self, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self.verifier = Secret(_base64url(random(_RANDOM)))
        self.state = _base64url(random(_RANDOM))
        self.challenge = _base64url(sha256(self.verifier.reveal().encode()).digest())
        self._issuer = ""
        self._promised = False

    def url(self, endpoints: Endpoints, redirect_uri: str, extra: Mapping[str, str]) -> str:
        """The web address to open in a browser (RFC 6749, 4.1.1; RFC 7636, 4.3).

        `extra` are parameters that only this provider knows; none replaces one of the RFC.
        The attempt remembers whom it asked last, so that another one's answer is refused.
        Raises UsageError for an address that is not https, or http to a loopback.
        """
        web.check_url(redirect_uri)
        parts = urlsplit(web.check_url(endpoints.authorize_url))
        self._issuer = endpoints.issuer or f"{parts.scheme}://{parts.netloc}"
        self._promised = bool(endpoints.issuer)
        fields = {
            "response_type": "code",
            "client_id": endpoints.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(endpoints.scopes),
            "state": self.state,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
        }
        asked = {**extra, **{name: value for name, value in fields.items() if value}}
        query = "&".join(filter(None, (parts.query, urlencode(asked))))
        return parts._replace(query=query, fragment="").geturl()

    def is_state(self, text: str) -> bool:
        """Whether `text` is the state of this login, in constant time."""
        return compare_digest(text.encode("utf-8", "surrogatepass"), self.state.encode())

    def is_issuer(self, text: str | None) -> bool:
        """Whether a redirect with this `iss`, None without one, comes from whom it asked.

        RFC 9207, section 2.4: one that is there must be right, and one that was promised
        must be there.
        """
        return not self._promised if text is None else text == self._issuer

    def __repr__(self) -> str:
        return f"Attempt(verifier={self.verifier!r})"


# -- what the browser brought back -----------------------------------------------------


def parse_pasted(text: str, attempt: Attempt) -> str:
    """The code in what a person pasted: `CODE#STATE`, or the address of the whole redirect.

    Raises UsageError for more than `PASTE_LIMIT` bytes, for characters that no code has,
    and for an answer without a state or with that of another login; ProviderError if the
    answer is a refusal, or another provider's.
    """
    pasted = text.strip()
    if len(pasted) > PASTE_LIMIT:
        raise UsageError(f"the answer has more than {PASTE_LIMIT} bytes", hint=_PASTE_HINT)
    if not tokens.is_plain(pasted):
        raise UsageError("the answer is empty, or holds strange characters", hint=_PASTE_HINT)
    if pasted.lower().startswith(("https://", "http://")):
        fields = _fields(pasted.partition("#")[0].partition("?")[2])
        if "error" in fields:  # a person shows it, with whatever state: nothing is used of it
            raise _refusal(fields)
        return _code(fields, attempt)
    code, mark, state = pasted.partition("#")
    if not mark:
        raise UsageError("the answer has no state, so it may be another's", hint=_PASTE_HINT)
    return _code({"code": code, "state": state}, attempt)


def parse_redirect(query: str, attempt: Attempt) -> str:
    """The code in the query of a redirect (RFC 6749, 4.1.2).

    Raises UsageError for a query that is not the answer to this login, and ProviderError
    for one that is, and is a refusal (4.1.2.1) or another provider's (RFC 9207).
    """
    return _code(_fields(query), attempt)


def _fields(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS
        )
    except ValueError:
        pairs = []
    fields = dict(pairs)
    if len(fields) != len(pairs):  # RFC 6749, 3.1
        raise UsageError("the answer has a parameter twice", hint=_PASTE_HINT)
    if ("code" in fields) == ("error" in fields):
        raise UsageError("the answer has no code", hint=_PASTE_HINT)
    return fields


def _code(fields: Mapping[str, str], attempt: Attempt) -> str:
    if not attempt.is_state(fields.get("state", "")):
        raise UsageError(
            "the answer is not the one to this login",
            hint="Log in again, and copy the answer of the page that opens then.",
        )
    if not attempt.is_issuer(fields.get("iss")):
        raise ProviderError(
            "the answer is from somebody who was not asked",
            hint="The store is as it was. Log in again; if that recurs, tell the provider.",
        )
    if "error" in fields:
        raise _refusal(fields)
    if not tokens.is_plain(fields["code"]):
        raise UsageError("the answer has no code", hint=_PASTE_HINT)
    return fields["code"]


def _refusal(fields: Mapping[str, str]) -> ProviderError:
    return ProviderError(f"the provider refused the login: {web.words(fields) or 'no reason'}")


# -- requests ----------------------------------------------------------------------------


def exchange(
    endpoints: Endpoints, attempt: Attempt, code: str, redirect_uri: str, now: float
) -> Tokens:
    """Turn a code into tokens (RFC 6749, 4.1.3; RFC 7636, 4.5): one request, no retry.

    `redirect_uri` is that of `Attempt.url`, `now` is in UNIX seconds. Raises RefusedGrantError if
    the code is not good, NetworkError if nobody answered, ProviderError for anything else.
    """
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": endpoints.client_id,
        "code_verifier": attempt.verifier.reveal(),
    }
    if endpoints.style == "json":  # Anthropic's, which wants what no RFC has here
        fields["state"] = attempt.state
    return _granted(endpoints, fields, now, code, attempt.verifier.reveal())


def refresh(endpoints: Endpoints, refresh_token: Secret, now: float) -> Tokens:
    """Get new tokens for a refresh token (RFC 6749, section 6): one request, no retry.

    `now` is in UNIX seconds. The old token may be gone once it was sent, so what comes back
    is saved before anything else. Raises RefusedGrantError if the token is no longer good,
    NetworkError if nobody answered, ProviderError for anything else.
    """
    token = tokens.sendable(refresh_token)
    client = endpoints.client_id
    fields = {"grant_type": "refresh_token", "refresh_token": token, "client_id": client}
    return _granted(endpoints, fields, now, token)


def revoke(endpoints: Endpoints, token: Secret) -> None:
    """Tell the provider to forget a token (RFC 7009, 2.1); nothing where none is told.

    A second call is as good as one. Raises NetworkError if nobody answered and
    ProviderError if the provider refused: what is stored here goes away all the same.
    """
    if endpoints.revoke_url:
        text = tokens.sendable(token)
        fields = {"token": text, "client_id": endpoints.client_id}
        _post(endpoints, endpoints.revoke_url, fields, text)


def create_key(endpoints: Endpoints, access_token: Secret) -> Secret:
    """Have the provider make an API key for a login; every call makes another one.

    No RFC: it is Anthropic's. Raises NetworkError if nobody answered, and ProviderError if
    the provider refused or its answer holds no key.
    """
    token = tokens.sendable(access_token)
    url = endpoints.create_key_url
    head = (
        *endpoints.headers,
        ("Authorization", f"Bearer {token}"),
        ("Content-Type", "application/x-www-form-urlencoded"),  # though the body is empty
    )
    key = _checked(web.post(url, headers=dict(head)), url, token).get("raw_key")
    if not isinstance(key, str) or not tokens.is_plain(key):
        raise ProviderError(f"{web.origin(url)} answered without an API key")
    return Secret(key)


def _granted(endpoints: Endpoints, fields: Mapping[str, str], now: float, *sent: str) -> Tokens:
    document = _post(endpoints, endpoints.token_url, fields, *sent)
    try:
        return tokens.parse(document, now)
    except ProviderError as error:
        error.at(web.origin(endpoints.token_url))
        raise


def _post(
    endpoints: Endpoints, url: str, fields: Mapping[str, str], *sent: str
) -> dict[str, object]:
    form, json = (None, fields) if endpoints.style == "json" else (fields, None)
    answer = web.post(url, form=form, json=json, headers=dict(endpoints.headers))
    return _checked(answer, url, *sent)


def _checked(answer: web.Answer, url: str, *sent: str) -> dict[str, object]:
    """The answer's document; what was sent and is echoed is not in the error (5.2)."""
    error = answer.document.get("error")
    if 200 <= answer.status < 300 and not error:  # noqa: PLR2004  the class of successes
        return answer.document
    told = web.words({name: _masked(value, sent) for name, value in answer.document.items()})
    message = f"{web.origin(url)} refused with {answer.status}" + (told and f": {told}")
    if error == "invalid_grant" and answer.status in {400, 401}:
        raise RefusedGrantError(message)
    raise ProviderError(message)


def _masked(value: object, sent: tuple[str, ...]) -> object:
    if isinstance(value, dict):
        return {name: _masked(member, sent) for name, member in value.items()}
    if isinstance(value, str):
        for secret in sent:
            value = value.replace(secret, Secret.MASK)
    return value


def _base64url(raw: bytes) -> str:
    """Base64url without padding (RFC 7636, appendix A)."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
