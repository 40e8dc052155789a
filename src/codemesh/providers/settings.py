"""The table of providers with what config.toml says of them, checked by pydantic.

`[providers.NAME]` changes what it names and leaves the rest as it is built in; a name that
is not in the table adds a provider. An error names the file and the key. Which keys there
may be is checked by `config.py` whenever the file is read; here it is what they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from codemesh import model
from codemesh.errors import ConfigError, UsageError
from codemesh.providers import table
from codemesh.providers.table import Endpoints, Provider
from codemesh.providers.web import check_url

if TYPE_CHECKING:
    from codemesh.config import Config

Method = Literal["api-key", "oauth", "console", "device", "custom"]
METHODS: tuple[str, ...] = get_args(Method)


def _url(text: str) -> str:
    try:
        return check_url(text)
    except UsageError as error:
        raise ValueError(error.message) from None


def _filled(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("must be text that is not empty")
    return text


Url = Annotated[str, AfterValidator(_url)]
Text = Annotated[str, AfterValidator(_filled)]


class _Strict(BaseModel):
    """A table of config.toml: no other keys, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OAuthTable(_Strict):
    """`[providers.NAME.oauth]`."""

    client_id: Text | None = None
    authorize_url: Url | None = None
    token_url: Url | None = None
    revoke_url: Url | None = None
    create_key_url: Url | None = None
    device_url: Url | None = None
    redirect_uri: Url | Literal["loopback"] | None = None
    scopes: list[Text] | None = None
    style: Literal["form", "json"] | None = None


class ProviderTable(_Strict):
    """`[providers.NAME]`."""

    name: Text | None = None
    base_url: Url | None = None
    model: Text | None = None
    chat: Literal["anthropic", "completions"] | None = None
    variables: list[Text] | None = None
    methods: list[Method] | None = None
    oauth: OAuthTable = OAuthTable()


def resolve(config: Config) -> list[Provider]:
    """Every provider, those of the table first, as config.toml has it.

    Raises ConfigError naming the file and the key of what is wrong.
    """
    named = _named(config)
    found = [_merged(provider, _told(provider, named)) for provider in table.TABLE]
    known = {spelling for provider in table.TABLE for spelling in table.spellings(provider.id)}
    for name, told in named.items():
        if name not in known:
            found.append(_merged(_new(name, config), told))
    return found


def find(config: Config, provider_id: str) -> Provider | None:
    """The provider of an id or alias; None if neither the table nor config.toml has it."""
    for provider in resolve(config):
        if provider_id == provider.id or provider_id in provider.aliases:
            return provider
    return None


def _named(config: Config) -> dict[str, ProviderTable]:
    tables = config.tables.get("providers", {})
    if not isinstance(tables, dict):
        return {}
    return {name: _checked(name, content, config.path) for name, content in tables.items()}


def _checked(name: str, content: object, where: str) -> ProviderTable:
    try:
        return ProviderTable.model_validate(content)
    except ValidationError as error:
        # The first one alone, and never its input: a key may have been pasted there.
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        inside = (str(part) for part in first["loc"] if "[" not in str(part))
        key = ".".join(["providers", name, *inside])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{key}: {message[:1].lower()}{message[1:]}", where=where) from None


def _told(provider: Provider, named: dict[str, ProviderTable]) -> ProviderTable:
    """What config.toml says of a provider, be it under an alias."""
    for spelling in table.spellings(provider.id):
        if spelling in named:
            return named[spelling]
    return ProviderTable()


def _new(name: str, config: Config) -> Provider:
    try:
        model.new_name(name)
    except UsageError as error:
        raise ConfigError(f"providers.{name}: {error.message}", where=config.path) from None
    return Provider(name, name, "its provider", ())


def _merged(provider: Provider, told: ProviderTable) -> Provider:
    return provider._replace(
        name=told.name or provider.name,
        base_url=told.base_url or provider.base_url,
        chat=told.chat or provider.chat,
        model=told.model or provider.model,
        variables=provider.variables if told.variables is None else tuple(told.variables),
        methods=provider.methods if told.methods is None else tuple(told.methods),
        oauth=_endpoints(provider.oauth, told.oauth),
    )


def _endpoints(known: Endpoints, told: OAuthTable) -> Endpoints:
    return known._replace(
        authorize_url=told.authorize_url or known.authorize_url,
        token_url=told.token_url or known.token_url,
        revoke_url=told.revoke_url or known.revoke_url,
        create_key_url=told.create_key_url or known.create_key_url,
        device_url=told.device_url or known.device_url,
        redirect_uri=_redirect(known, told),
        scopes=known.scopes if told.scopes is None else tuple(told.scopes),
        client_id=told.client_id or known.client_id,
        style=told.style or known.style,
        console_url="" if told.authorize_url else known.console_url,
    )


def _redirect(known: Endpoints, told: OAuthTable) -> str:
    """Where the browser is sent back to; in the table, this machine is an empty text.

    The page that is built in belongs to the server that is built in: another one has
    this machine unless it is told.
    """
    if told.redirect_uri == "loopback" or (told.authorize_url and not told.redirect_uri):
        return ""
    return told.redirect_uri or known.redirect_uri
