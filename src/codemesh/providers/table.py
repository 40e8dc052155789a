"""What is known of each provider, as data.

Order matters: it is the order of the login menu and of `auth list`.
"""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """One field of a custom credential."""

    name: str
    default: str | None = None
    """What Enter means; empty leaves the field out, None makes it required."""


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


# fmt: off
TABLE: tuple[Provider, ...] = (
    Provider("anthropic", "Claude", "https://console.anthropic.com/settings/keys", ("ANTHROPIC_API_KEY",)),
    Provider("openai", "OpenAI", "https://platform.openai.com/api-keys", ("OPENAI_API_KEY",)),
    Provider("github", "GitHub Copilot", "https://github.com/settings/tokens", ("GITHUB_COPILOT_TOKEN", "GITHUB_TOKEN"), ("github-copilot",)),
    Provider("google", "Gemini", "https://aistudio.google.com/apikey", ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
    Provider("azure", "Azure OpenAI", "https://portal.azure.com, under Keys and Endpoint of your resource", ("AZURE_OPENAI_API_KEY",), (), (Field("endpoint"), Field("api_key"))),
    Provider("local", "Local server", "your own server; most need no key", (), (), (Field("base_url", "http://127.0.0.1:8080"), Field("api_key", ""))),
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
