"""`codemesh config set` of the path of a store that has credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from commandline import CommandLine


def test_a_store_that_is_left_behind_is_told_of(cli: CommandLine) -> None:
    """The credentials go out of view and stay where they are, so the user hears where."""
    cli.choose("plaintext")
    cli.keep({"openai": {"type": "api_key", "key": "sk-1"}})

    outcome = cli.run("config", "set", "backends.plaintext.path", "other.json")

    assert outcome.status == 0
    assert outcome.stderr.splitlines()[1] == (
        "What ~/.code-mesh/auth.json has stays there. "
        "To keep using it, move it to ~/.code-mesh/other.json."
    )
    assert "openai" in cli.records()


def test_a_store_that_was_never_there_is_not(cli: CommandLine) -> None:
    """Where nothing is left behind, nothing more is said."""
    cli.choose("plaintext")

    outcome = cli.run("config", "set", "backends.plaintext.path", "other.json")

    assert outcome.status == 0
    assert len(outcome.stderr.splitlines()) == 1
