"""Providers as data: the table, and what config.toml changes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh import config as configuration
from codemesh.choice import load_config
from codemesh.errors import ConfigError
from codemesh.providers import settings, table, web
from homes import write_config

if TYPE_CHECKING:
    from pathlib import Path

    from codemesh.providers.table import Provider
    from commandline import CommandLine


def resolved(home: Path, text: str) -> dict[str, Provider]:
    """Every provider by its id, with this config.toml."""
    write_config(home, text)
    return {provider.id: provider for provider in settings.resolve(load_config(str(home)))}


def test_the_table_is_sound() -> None:
    """Every address can be sent to, every word is one that config.toml takes, no name is twice."""
    spellings = [name for each in table.TABLE for name in (each.id, *each.aliases)]

    assert len(spellings) == len(set(spellings))
    for provider in table.TABLE:
        told = {
            "name": provider.name,
            "chat": provider.chat,
            "methods": list(provider.methods),
            "oauth": {
                key: value
                for key, value in provider.oauth._asdict().items()
                if key.endswith("_url") and key != "console_url" and value
            },
        }
        assert settings.ProviderTable.model_validate(told).name == provider.name
        assert not provider.base_url or web.check_url(provider.base_url)
        assert set(provider.methods) <= set(settings.METHODS)


def test_nobody_elses_client_id_is_shipped() -> None:
    """No provider of the table has a client id."""
    assert [provider.oauth.client_id for provider in table.TABLE] == [""] * len(table.TABLE)


def test_without_a_word_the_table_holds(home: Path) -> None:
    """Where config.toml says nothing of providers, they are those of the table."""
    assert list(resolved(home, "").values()) == list(table.TABLE)


def test_what_config_says_changes_the_table(home: Path) -> None:
    """A key that is set is taken, and what is not keeps its built-in value."""
    found = resolved(
        home,
        '[providers.anthropic]\nbase_url = "https://gateway.example/a"\nmodel = "m"\n'
        '[providers.anthropic.oauth]\nclient_id = "mine"\nscopes = ["one"]\n'
        'redirect_uri = "loopback"\n',
    )["anthropic"]

    known = table.TABLE[0]
    assert (found.base_url, found.model, found.chat) == (
        "https://gateway.example/a",
        "m",
        "anthropic",
    )
    assert (found.oauth.client_id, found.oauth.scopes) == ("mine", ("one",))
    assert found.oauth.redirect_uri == ""
    assert found.oauth.token_url == known.oauth.token_url
    assert found.variables == known.variables


def test_a_provider_can_be_added(home: Path) -> None:
    """A name that the table does not have is a provider of its own, behind the others."""
    found = resolved(
        home,
        '[providers.mine]\nname = "Mine"\nbase_url = "http://127.0.0.1:9000/v1"\n'
        'variables = ["MINE_KEY"]\nmethods = ["api-key"]\nmodel = "m"\n',
    )

    assert list(found)[-1] == "mine"
    assert found["mine"].variables == ("MINE_KEY",)
    assert found["mine"].chat == "completions"


def test_an_alias_names_the_same_provider(home: Path) -> None:
    """What is said of an alias holds for its provider."""
    found = resolved(home, '[providers.github-copilot]\nmodel = "other"\n')

    assert found["github"].model == "other"
    assert "github-copilot" not in found


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ('[providers.local]\nbase_url = "http://example.com"', "local.base_url", "https"),
        ('[providers.local]\nbase_url = "https://u:p@example.com"', "local.base_url", "user name"),
        ('[providers.local]\nbase_url = "ftp://127.0.0.1"', "local.base_url", "https"),
        ('[providers.local]\nbase_url = "example.com"', "local.base_url", "no host"),
        ('[providers.local]\nbase_url = "https://exa mple.com:port"', "local.base_url", "read"),
        ('[providers.local]\nchat = "smoke"', "local.chat", "'anthropic' or 'completions'"),
        ('[providers.local]\nmethods = ["key"]', "local.methods.0", "'api-key'"),
        ('[providers.x.oauth]\ntoken_url = "http://example.com"', "x.oauth.token_url", "https"),
        ('[providers."A B"]\nmodel = "m"', "A B", "provider"),
    ],
)
def test_wrong_values(home: Path, text: str, key: str, reason: str) -> None:
    """A wrong value is an error that names the file and the key, and what it must be."""
    with pytest.raises(ConfigError) as caught:
        resolved(home, text)

    assert f"config.toml: providers.{key}: " in str(caught.value)
    assert reason in str(caught.value)


def test_an_error_shows_no_value(home: Path) -> None:
    """A key that was pasted into the wrong place is not printed."""
    with pytest.raises(ConfigError) as caught:
        resolved(home, '[providers.local]\nbase_url = "sk-pasted-here"')

    assert "sk-pasted" not in str(caught.value) + caught.value.hint


def test_config_knows_the_same_keys() -> None:
    """What `config.py` lets through by its name is what is checked here."""
    oauth = set(settings.OAuthTable.model_fields)

    assert set(settings.ProviderTable.model_fields) - {"oauth"} == set(configuration._PROVIDER)
    assert oauth == set(configuration._OAUTH)


def test_the_list_knows_what_config_says(cli: CommandLine) -> None:
    """`auth list` has a provider that config.toml adds, by its name, and its variables."""
    cli.keep({"mine": {"type": "api_key", "key": "sk-1"}})
    cli.write(
        cli.config,
        'backend = "plaintext"\n[providers.mine]\nname = "My own"\nvariables = ["MY_KEY"]\n',
    )

    listed = cli.run("auth", "list", environ={"MY_KEY": "sk-2"}).stdout

    lines = [line for line in listed.splitlines() if line.startswith("mine")]
    assert [line.split()[1:4] for line in lines] == [["My", "own", "Authenticated"]] * 2
    assert "from MY_KEY" in lines[1]


def test_a_session_that_others_may_read_is_mended(cli: CommandLine) -> None:
    """`doctor --fix` tightens the files of sessions too."""
    cli.keep({})
    path = cli.write(cli.folder / "sessions" / "20260101-000000-abcdef.json", "{}", 0o644)
    path.parent.chmod(0o700)

    cli.run("doctor", "--fix")

    assert path.stat().st_mode & 0o777 == 0o600
