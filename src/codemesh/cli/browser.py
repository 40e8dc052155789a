"""Logging in through the browser: a redirect, a pasted code, or a code on another device."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from codemesh.cli import terminal, waiting
from codemesh.errors import UsageError
from codemesh.model import ApiKey, OAuth
from codemesh.providers import copilot, device, oauth, tokens, web
from codemesh.providers.loopback import Listener

if TYPE_CHECKING:
    from codemesh.cli.session import Session
    from codemesh.model import Record
    from codemesh.providers.table import Endpoints, Provider
    from codemesh.providers.tokens import Tokens

PATIENCE = 300.0
"""How long the browser may take to come back, in seconds."""


def by_code(
    session: Session, provider: Provider, *, browser: bool, console: bool = False
) -> Tokens:
    """Log in with a code and PKCE: through the loopback where the provider allows it.

    `console` is for a login that makes an API key, which may have a page of its own.
    """
    endpoints = _endpoints(provider, provider.oauth.authorize_url)
    if console and endpoints.console_url:
        endpoints = endpoints._replace(authorize_url=endpoints.console_url)
    attempt = oauth.Attempt()
    if endpoints.redirect_uri and not web.is_loopback(endpoints.redirect_uri):
        url = attempt.url(endpoints, endpoints.redirect_uri, dict(endpoints.parameters))
        _show(session, url, browser=browser)
        answer = terminal.ask(
            "The code that the page shows:", missing="the code of the browser is missing"
        )
        code = oauth.parse_pasted(answer, attempt)
        return oauth.exchange(endpoints, attempt, code, endpoints.redirect_uri, time.time())
    # A loopback that is written out has the path, and perhaps the port, that is registered.
    registered = urlsplit(endpoints.redirect_uri)
    listener = Listener(path=registered.path or "/callback", port=registered.port or 0)
    with listener:
        url = attempt.url(endpoints, listener.redirect_uri, dict(endpoints.parameters))
        _show(session, url, browser=browser)
        with waiting.spinner("Waiting for the browser", waiting.countdown(PATIENCE)):
            code = listener.wait(attempt, PATIENCE, lambda: False)
        return oauth.exchange(endpoints, attempt, code, listener.redirect_uri, time.time())


def by_device(session: Session, provider: Provider, *, browser: bool) -> Tokens:
    """Log in on any device, with a code that is typed there (RFC 8628)."""
    endpoints = _endpoints(provider, provider.oauth.device_url)
    head = dict(endpoints.headers)
    grant = device.start(endpoints.device_url, endpoints.client_id, endpoints.scopes, headers=head)
    session.say(f"Open {grant.verification_uri} and enter the code {grant.user_code}.")
    session.say(f"See that the page is one of {urlsplit(grant.verification_uri).hostname}.")
    if browser:
        _open(grant.verification_uri_complete or grant.verification_uri)
    with waiting.spinner("Waiting for the code", waiting.countdown(grant.expires_in)):
        document = device.poll(endpoints.token_url, endpoints.client_id, grant, headers=head)
    return tokens.parse(document, time.time())


def as_login(provider: Provider, answer: Tokens, label: str | None) -> OAuth:
    """The credential that keeps tokens and renews them.

    GitHub's login is exchanged for a Copilot token, and is what renews that.
    """
    if provider.id == copilot.PROVIDER:
        answer = copilot.tokens_of(answer.access_token, provider.oauth.create_key_url)
    record: Record = {"type": "oauth", "access_token": answer.access_token.reveal()}
    if answer.refresh_token is not None:
        record["refresh_token"] = answer.refresh_token.reveal()
    record |= {
        name: value
        for name, value in (
            ("expires_at", answer.expires_at),
            ("scope", answer.scope),
            ("created_at", int(time.time())),
            ("label", label),
            ("api", answer.extra.get("api")),
        )
        if value is not None
    }
    return OAuth(record)


def as_key(provider: Provider, answer: Tokens, label: str | None, ends: int | None) -> ApiKey:
    """An API key that the provider makes for a login; the tokens are not kept."""
    key = oauth.create_key(provider.oauth, answer.access_token)
    return ApiKey.new(key.reveal(), label=label, created_at=int(time.time()), expires_at=ends)


def _endpoints(provider: Provider, needed: str) -> Endpoints:
    endpoints = provider.oauth
    if not needed or not endpoints.token_url:
        raise UsageError(
            f"{provider.id} has no such login here",
            hint=f"It has: {', '.join(provider.methods)}. See codemesh providers.",
        )
    if not endpoints.client_id:
        raise UsageError(
            f"a login to {provider.name} through the browser needs a client id of yours",
            hint=f"Set providers.{provider.id}.oauth.client_id (docs/oauth.md), or use "
            "--method api-key, which needs none.",
        )
    return endpoints


def _show(session: Session, url: str, *, browser: bool) -> None:
    """Open a web address, and print it in any case: the browser may be on another machine."""
    opened = browser and _open(url)
    session.say("Log in in the browser that opens, or at:" if opened else "Log in at:")
    terminal.say(url)


def _open(url: str) -> bool:
    """Whether a browser was found; what it prints goes nowhere of ours."""
    import webbrowser

    try:
        return webbrowser.open(url)
    except (OSError, webbrowser.Error):
        return False
