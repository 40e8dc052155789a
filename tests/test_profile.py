"""A credential that points at a profile of Anthropic's own tools: read through, never written."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from chatserver import ANTHROPIC, TEXT, ChatServer, Reply
from commandline import CommandLine, assert_refused

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = ("auth", "token", "anthropic")


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user whose credential of anthropic is the profile `work`."""
    cli.choose("plaintext")
    cli.good("auth", "login", "anthropic", "--method", "custom", "--field", "profile=work")
    return cli


def profile(cli: CommandLine, mode: int = 0o600, **fields: object) -> Path:
    """Write the profile as its owner does."""
    document = {
        "version": "1.0",
        "type": "oauth_token",
        "access_token": "of-the-profile",
        "refresh_token": "not-ours",
        "expires_at": int(time.time()) + 3600,
        **fields,
    }
    path = cli.home / ".config" / "anthropic" / "credentials" / "work.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return cli.write(path, json.dumps(document), mode)


def test_it_is_read_through(cli: CommandLine) -> None:
    """Whatever its owner puts there is what a program gets, at once, and nothing is written."""
    path = profile(cli)
    first = cli.good(*TOKEN)
    profile(cli, access_token="renewed by its owner")
    before = path.read_bytes()

    second = cli.good(*TOKEN)

    assert (first, second) == ("of-the-profile\n", "renewed by its owner\n")
    assert path.read_bytes() == before
    assert cli.records()["anthropic"]["data"] == {"profile": "work"}


def test_a_folder_of_its_own(cli: CommandLine) -> None:
    """ANTHROPIC_CONFIG_DIR moves it, as it does for its owner."""
    path = profile(cli)
    folder = cli.home / "elsewhere"
    path.parent.parent.rename(folder)

    outcome = cli.run(*TOKEN, environ={"ANTHROPIC_CONFIG_DIR": str(folder)})

    assert outcome.stdout == "of-the-profile\n"


def test_a_model_is_asked_with_it(cli: CommandLine) -> None:
    """`run` sends its token as one of a login."""
    profile(cli)
    with ChatServer([Reply((ANTHROPIC,))]) as server:
        cli.write(
            cli.config,
            f'backend = "plaintext"\n[providers.anthropic]\nbase_url = "{server.url}"\n',
        )

        outcome = cli.run("run", "x", "-m", "anthropic")

    assert outcome.stdout == f"{TEXT}\n"
    assert server.seen[0].headers["authorization"] == "Bearer of-the-profile"


def test_no_other_provider_gets_it(cli: CommandLine) -> None:
    """The token of a profile is that of one provider, and goes to no other."""
    profile(cli)
    cli.keep({"openai": {"type": "custom", "data": {"profile": "work"}}})
    with ChatServer([Reply((ANTHROPIC,))]) as server:
        cli.write(
            cli.config, f'backend = "plaintext"\n[providers.openai]\nbase_url = "{server.url}"\n'
        )

        outcome = cli.run("run", "x", "-m", "openai")
        token = cli.run("auth", "token", "openai")

    assert all("of-the-profile" not in str(seen.headers) for seen in server.seen)
    assert "of-the-profile" not in outcome.stdout + token.stdout
    assert token.status == 2


def test_one_that_has_expired(cli: CommandLine) -> None:
    """Its owner renews it, not codemesh: an old one ends with 11."""
    profile(cli, expires_at=5)

    assert_refused(cli.run(*TOKEN), 11, "ant auth login")


def test_none(cli: CommandLine) -> None:
    """Where there is no such profile it ends with 3, and says how to get one."""
    assert_refused(cli.run(*TOKEN), 3, "ant auth login")


@pytest.mark.parametrize("mode", [0o644, 0o666])
def test_one_that_others_may_read(cli: CommandLine, mode: int) -> None:
    """A file that is open to others is refused with 7."""
    profile(cli, mode)

    assert_refused(cli.run(*TOKEN), 7, "work.json")


@pytest.mark.parametrize(
    "fields",
    [
        {"access_token": ""},
        {"access_token": 5},
        {"type": "other"},
        {"expires_at": "2027-01-01T00:00:00Z"},
    ],
)
def test_one_of_another_form(cli: CommandLine, fields: dict[str, Any]) -> None:
    """What is not as its owner writes it ends with 6."""
    profile(cli, **fields)

    assert_refused(cli.run(*TOKEN), 6, "work.json")


@pytest.mark.parametrize("name", ["../work", ".work", "a/b", " work"])
def test_a_name_that_is_none(cli: CommandLine, name: str) -> None:
    """A name that would lead elsewhere is no profile."""
    cli.keep({"anthropic": {"type": "custom", "data": {"profile": name}}})

    assert cli.run(*TOKEN).status == 6
