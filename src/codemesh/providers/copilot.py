"""GitHub Copilot: a GitHub token is exchanged for one that its chat takes, for half an hour.

The request says who asks: it carries codemesh's own name, never that of an editor.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from codemesh.errors import ProviderError, RefusedGrantError, UsageError
from codemesh.providers import web
from codemesh.providers.tokens import Tokens
from codemesh.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_URL = "https://api.github.com/copilot_internal/v2/token"  # noqa: S105  a web address
"""Where the exchange is made."""

_UNAUTHORIZED = 401
_OK = 200
_LATEST = 253_402_300_799  # the last second of the year 9999; more is no count of seconds
_TOKEN_LIMIT = 16 * 1024  # characters
_LOGIN = "Log in to GitHub again: codemesh auth login github"
_REFUSALS = {
    401: ("GitHub does not take this token", _LOGIN),
    403: (
        "GitHub does not let this token use Copilot",
        f"See that the account has Copilot: https://github.com/settings/copilot. {_LOGIN}",
    ),
    # GitHub says so too of tokens of an app that it does not know as an editor.
    404: (
        "GitHub has no Copilot for this token",
        "See that client_id is of an app that may use Copilot, and that the account has it.",
    ),
}


PROVIDER = "github"
"""The id of the provider whose logins are exchanged."""


class CopilotToken(NamedTuple):
    """What the chat of Copilot takes."""

    token: Secret
    expires_at: int
    """When it expires, in seconds since 1970."""

    api: str
    """The web address of the chat that this account uses; https, without a / at its end."""


def exchange(github_token: Secret, *, url: str = TOKEN_URL) -> CopilotToken:
    """Get a Copilot token for a GitHub token. A second call gets another one.

    Raises NetworkError if there was no answer, ProviderError if it was a refusal or is no
    token, and UsageError for a GitHub token that no header can carry or a web address that
    `web.check_url` refuses. There is no RFC or reference: it is what editors do.
    """
    text = github_token.reveal()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError("the GitHub token is empty, or has characters that no token has")
    answer = web.get(url, headers={"Authorization": f"Bearer {text}", **headers()})
    if answer.status != _OK:
        _refused(url, answer.status)
    return _token(answer.document, url)


def tokens_of(github_token: Secret, url: str) -> Tokens:
    """As `exchange`, as the tokens of a login: the GitHub token is what renews them.

    `extra` has `api`, the web address of the chat.
    """
    token, expires_at, api = exchange(github_token, url=url)
    return Tokens(token, github_token, expires_at, None, {"api": api})


def headers() -> dict[str, str]:
    """What the editors' plugins send, in codemesh's own name; `web` adds the User-Agent."""
    name = f"codemesh/{version('codemesh')}"
    return {
        "Editor-Version": name,
        "Editor-Plugin-Version": name,
        "Openai-Intent": "conversation-edits",
    }


def _refused(url: str, status: int) -> NoReturn:
    # Not in GitHub's own words: they could repeat the token.
    message, hint = _REFUSALS.get(
        status, (f"{web.origin(url)} answered {status} instead of a Copilot token", "")
    )
    error = RefusedGrantError if status == _UNAUTHORIZED else ProviderError
    raise error(message, hint=hint)


def _token(document: Mapping[str, object], url: str) -> CopilotToken:
    token = document.get("token")
    if not isinstance(token, str) or not 0 < len(token) <= _TOKEN_LIMIT:
        _unusable(url, "its token is missing or too long")
    if not token.isascii() or not token.isprintable():
        _unusable(url, "its token has strange characters")
    expires_at = document.get("expires_at")
    if isinstance(expires_at, bool) or not isinstance(expires_at, (int, float)):
        _unusable(url, "it does not say when the token expires")
    if not 0 < expires_at <= _LATEST:
        _unusable(url, "its token expires at no time there is")
    return CopilotToken(Secret(token), int(expires_at), _api(document, url))


def _api(document: Mapping[str, object], url: str) -> str:
    """`endpoints.api`, checked; this machine is one only for who asked this machine."""
    endpoints = document.get("endpoints")
    api = endpoints.get("api") if isinstance(endpoints, dict) else None
    if not isinstance(api, str):
        _unusable(url, "it does not say where the chat is")
    try:
        web.check_url(api)
    except UsageError as error:
        _unusable(url, error.message)
    if web.is_loopback(api) and not web.is_loopback(url):
        _unusable(url, "its chat would be on this machine")
    return api.rstrip("/")


def _unusable(url: str, why: str) -> NoReturn:
    raise ProviderError(f"{web.origin(url)} answered with no usable Copilot token: {why}")
