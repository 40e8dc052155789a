"""What is known of each provider, as data.

Order matters: it is the order of the login menu and of `auth list`. `[providers.NAME]` in
config.toml changes or adds any of it; `settings.py` puts both together. There is no client id
of anybody here: who logs in through the browser brings one of their own.
"""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """One field of a custom credential."""

    name: str
    default: str | None = None
    """What Enter means; empty leaves the field out, None makes it required."""


class Endpoints(NamedTuple):
    """Where a provider's OAuth lives; an empty text where it has no such thing."""

    authorize_url: str = ""
    token_url: str = ""
    revoke_url: str = ""
    create_key_url: str = ""
    device_url: str = ""
    redirect_uri: str = ""
    """Where the browser is sent back to; empty for a free port of this machine."""

    scopes: tuple[str, ...] = ()
    client_id: str = ""
    """Who asks. None is built in."""

    style: str = "form"
    """How the token endpoint is spoken to: `form` (RFC 6749) or `json`."""

    headers: tuple[tuple[str, str], ...] = ()
    """What else each request has in its head."""

    parameters: tuple[tuple[str, str], ...] = ()
    """What else the address that the browser opens has in its query."""

    issuer: str = ""
    """What `iss` of its redirects must be (RFC 9207); empty if it promises none."""

    console_url: str = ""
    """The authorize_url of a login that makes an API key, where that is another one."""


class Provider(NamedTuple):
    """One provider of models."""

    id: str
    name: str
    """How people call it."""

    key_from: str
    """Where to get a key, in words or as a web address."""

    variables: tuple[str, ...]
    """Environment variables that hold its key, the preferred one first."""

    aliases: tuple[str, ...] = ()
    """Other ids of the same provider, as other programs store them."""

    fields: tuple[Field, ...] = ()
    """What a custom credential of this provider consists of; empty for a plain API key."""

    base_url: str = ""
    """Its origin and an optional path; empty where the credential itself says it."""

    chat: str = "completions"
    """The wire format of its chat: `anthropic`, or `completions` as OpenAI has it."""

    model: str = ""
    """The model that is asked where none is named; empty where there is no such one."""

    methods: tuple[str, ...] = ("api-key",)
    """How one can log in, the usual way first."""

    oauth: Endpoints = Endpoints()


_ANTHROPIC = Endpoints(
    authorize_url="https://claude.ai/oauth/authorize",
    token_url="https://platform.claude.com/v1/oauth/token",  # noqa: S106  a web address
    create_key_url="https://api.anthropic.com/api/oauth/claude_cli/create_api_key",
    redirect_uri="https://platform.claude.com/oauth/code/callback",
    scopes=("org:create_api_key", "user:profile", "user:inference"),
    style="json",
    headers=(("anthropic-beta", "oauth-2025-04-20"),),
    parameters=(("code", "true"),),
    console_url="https://platform.claude.com/oauth/authorize",
)
_GITHUB = Endpoints(
    token_url="https://github.com/login/oauth/access_token",  # noqa: S106  a web address
    create_key_url="https://api.github.com/copilot_internal/v2/token",
    device_url="https://github.com/login/device/code",
    scopes=("read:user",),
)

# fmt: off
TABLE: tuple[Provider, ...] = (
    Provider("anthropic", "Claude", "https://console.anthropic.com/settings/keys", ("ANTHROPIC_API_KEY",), base_url="https://api.anthropic.com", chat="anthropic", model="claude-sonnet-4-5", methods=("api-key", "oauth", "console"), oauth=_ANTHROPIC),
    Provider("openai", "OpenAI", "https://platform.openai.com/api-keys", ("OPENAI_API_KEY",), base_url="https://api.openai.com", model="gpt-4o"),
    Provider("github", "GitHub Copilot", "https://github.com/settings/tokens", ("GITHUB_COPILOT_TOKEN", "GITHUB_TOKEN"), ("github-copilot",), base_url="https://api.githubcopilot.com", model="gpt-4o", methods=("api-key", "device"), oauth=_GITHUB),
    Provider("google", "Gemini", "https://aistudio.google.com/apikey", ("GEMINI_API_KEY", "GOOGLE_API_KEY"), base_url="https://generativelanguage.googleapis.com/v1beta/openai", model="gemini-2.5-flash"),
    Provider("azure", "Azure OpenAI", "https://portal.azure.com, under Keys and Endpoint of your resource", ("AZURE_OPENAI_API_KEY",), (), (Field("endpoint"), Field("api_key")), methods=("custom", "api-key")),
    Provider("local", "Local server", "your own server; most need no key", (), (), (Field("base_url", "http://127.0.0.1:8080"), Field("api_key", "")), base_url="http://127.0.0.1:8080", methods=("custom", "api-key")),
)
# fmt: on


def find(provider_id: str) -> Provider | None:
    """The provider of that id or alias; None if it is not in the table."""
    for provider in TABLE:
        if provider_id == provider.id or provider_id in provider.aliases:
            return provider
    return None


def spellings(provider_id: str) -> list[str]:
    """Every id that stands for the same provider, the one given first."""
    provider = find(provider_id)
    known = () if provider is None else (provider.id, *provider.aliases)
    return [provider_id, *(spelling for spelling in known if spelling != provider_id)]
