"""Ask a model: which one, with whose credential, and where that credential may go.

A credential of the environment comes before one of the store, as in the tools of the
providers themselves. It is sent to the origin of its own provider and nowhere else: the
`base_url` that is built in, that config.toml names, or that the credential itself says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from codemesh.errors import CredentialNotFoundError, UnauthorizedError, UsageError
from codemesh.model import ApiKey, Custom, OAuth, split_name
from codemesh.providers import copilot, settings, table, web
from codemesh.providers.chat import Target, stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codemesh.model import Credential
    from codemesh.providers.chat import Delta, Message
    from codemesh.providers.table import Provider
    from codemesh.store import Store

_COPILOT_VARIABLE = "GITHUB_COPILOT_TOKEN"  # what the chat takes; the other is to be exchanged
_OAUTH_BETA = ("anthropic-beta", "oauth-2025-04-20")


class Model(NamedTuple):
    """One model of one provider."""

    provider: Provider
    account: str | None
    name: str

    @property
    def entry(self) -> str:
        """What its credential is called in the store."""
        account = "" if self.account is None else f"/{self.account}"
        return f"{self.provider.id}{account}"


class Key(NamedTuple):
    """A credential, and where it comes from."""

    credential: Credential
    variable: str | None
    """The environment variable; None for the store."""


def choose(store: Store, environ: Mapping[str, str], wish: str | None = None) -> Model:
    """The model that is asked: `wish`, else that of config.toml, else of what has a credential.

    A wish is `PROVIDER/MODEL`, or `PROVIDER` alone for its usual one. Raises UsageError for
    a provider or a model that is not known, and CredentialNotFoundError if nothing is
    wished and no provider has a credential.
    """
    known = settings.resolve(store.config)
    run = store.config.tables.get("run")
    wish = wish or (str(run["model"]) if isinstance(run, dict) and "model" in run else None)
    if wish is None:
        return _first(store, environ, known)
    provider_id, _, name = wish.partition("/")
    for provider in known:
        if provider_id == provider.id or provider_id in provider.aliases:
            return _model(provider, name)
    raise UsageError(
        f"there is no provider {provider_id or 'without a name'}",
        hint="A model is PROVIDER/MODEL: codemesh providers",
    )


def _first(store: Store, environ: Mapping[str, str], known: list[Provider]) -> Model:
    """The usual model of the first provider that has both it and a credential.

    The environment comes first here too, so that a locked store is not opened for nothing.
    """
    usual = [provider for provider in known if provider.model]
    for provider in usual:
        if _variable(provider, environ):
            return _model(provider, "")
    entries = {split_name(name)[0] for name in store.names()}
    for provider in usual:
        if entries & set(table.spellings(provider.id)) and _resolves(store, provider):
            return _model(provider, "")
    raise CredentialNotFoundError("of any provider", hint="Log in first: codemesh auth login")


def _resolves(store: Store, provider: Provider) -> bool:
    """Whether the provider's name alone means an entry: its own, or its default account's."""
    try:
        store.resolve(provider.id)
    except CredentialNotFoundError:
        return False
    return True


def _model(provider: Provider, name: str) -> Model:
    name = name or provider.model
    if not name:
        raise UsageError(
            f"{provider.id} has no usual model",
            hint=f"Name one: -m {provider.id}/MODEL, or providers.{provider.id}.model",
        )
    return Model(provider, None, name)


def key_of(store: Store, model: Model, environ: Mapping[str, str]) -> Key:
    """The credential for a model: of the environment, else of the store, fresh.

    Raises CredentialNotFoundError and what `Store.fresh` raises. A provider of this
    machine needs none.
    """
    variable = _variable(model.provider, environ)
    if variable is not None:
        return Key(ApiKey.new(environ[variable]), variable)
    try:
        return Key(store.fresh(model.entry), None)
    except CredentialNotFoundError:
        if _needs_none(model.provider):
            return Key(Custom.new({}), None)
        raise


def look(store: Store, model: Model, environ: Mapping[str, str]) -> None:
    """See that there is a credential for a model; nothing is sent, and nothing renewed.

    Raises CredentialNotFoundError if there is none.
    """
    if _variable(model.provider, environ) is None and not _needs_none(model.provider):
        store.resolve(model.entry)


def ask(
    store: Store, model: Model, messages: Sequence[Message], environ: Mapping[str, str]
) -> Iterator[Delta]:
    """The answer of a model, as it comes; a refused token is renewed, once.

    Raises what `key_of` and `chat.stream` raise.
    """
    key = key_of(store, model, environ)
    try:
        yield from stream(target(model, key), messages)
    except UnauthorizedError:
        if key.variable is not None or not isinstance(key.credential, OAuth):
            raise
        if key.credential.refresh_token is None:
            raise
    else:
        return
    # A 401 comes before the first part, so nothing is said twice.
    renewed = Key(store.refresh(model.entry), None)
    yield from stream(target(model, renewed), messages)


# -- where it goes -------------------------------------------------------------------


def target(model: Model, key: Key) -> Target:
    """Where a model is asked with a credential, and the headers that carry it.

    Raises UsageError if nothing says where, and ProviderError if the provider refuses
    what it is exchanged for.
    """
    provider = model.provider
    if provider.id == copilot.PROVIDER:
        return _copilot(model, key)
    base_url = _base_url(provider, key.credential)
    headers = _headers(provider, key.credential)
    form: Literal["anthropic", "completions"] = "completions"
    if provider.chat == "anthropic":
        form = "anthropic"
    return Target(base_url, model.name, form, headers)


def _base_url(provider: Provider, credential: Credential) -> str:
    """The provider's origin; a custom credential may say another one, which is its own."""
    own = _data(credential, "base_url") or _data(credential, "endpoint")
    url = own or provider.base_url
    if not url:
        raise UsageError(
            f"nothing says where {provider.id} is",
            hint=f"Set providers.{provider.id}.base_url, or log in with its endpoint: "
            f"codemesh auth login {provider.id} --method custom",
        )
    web.check_url(url)
    if provider.id == "azure" and urlsplit(url).path in ("", "/"):
        return f"{url.rstrip('/')}/openai/v1"
    return url


def _headers(provider: Provider, credential: Credential) -> tuple[tuple[str, str], ...]:
    if isinstance(credential, Custom) and not any(
        _data(credential, field) for field in ("api_key", "key", "token", "secret")
    ):
        return ()  # a server of one's own may want none
    secret = credential.secret().reveal()
    if provider.chat == "anthropic":
        if isinstance(credential, OAuth):
            return (("Authorization", f"Bearer {secret}"), _OAUTH_BETA)
        return (("x-api-key", secret),)
    if provider.id == "azure":
        return (("api-key", secret),)
    return (("Authorization", f"Bearer {secret}"),)


def _copilot(model: Model, key: Key) -> Target:
    """A login has a Copilot token already; a GitHub token is exchanged for one, each time."""
    provider, credential = model.provider, key.credential
    base_url = provider.base_url
    if isinstance(credential, OAuth) or key.variable == _COPILOT_VARIABLE:
        token = credential.secret()
        api = credential.to_record().get("api")
        base_url = api if isinstance(api, str) and api else base_url
    else:
        exchanged = copilot.exchange(credential.secret(), url=provider.oauth.create_key_url)
        token, base_url = exchanged.token, exchanged.api
    headers = (("Authorization", f"Bearer {token.reveal()}"), *copilot.headers().items())
    return Target(base_url, model.name, "completions", headers, path="/chat/completions")


def _needs_none(provider: Provider) -> bool:
    """Whether a provider is a server of this machine, which may want no credential."""
    return bool(provider.base_url) and web.is_loopback(provider.base_url)


def _variable(provider: Provider, environ: Mapping[str, str]) -> str | None:
    return next((name for name in provider.variables if environ.get(name)), None)


def _data(credential: Credential, field: str) -> str:
    if not isinstance(credential, Custom):
        return ""
    data = credential.to_record().get("data")
    value = data.get(field) if isinstance(data, dict) else None
    return value if isinstance(value, str) else ""
