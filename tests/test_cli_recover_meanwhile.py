"""`codemesh auth recover` while the store changes under its question."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codemesh.model import Record
    from commandline import CommandLine

ONE: Record = {"type": "api_key", "key": "sk-1"}
TWO: Record = {"type": "api_key", "key": "sk-2"}


def test_a_store_that_was_mended_meanwhile_is_left_alone(cli: CommandLine) -> None:
    """A backup that was brought back while the question stood is not emptied by the answer."""
    cli.choose("plaintext")
    cli.write(cli.plaintext, '{"credentials": {"openai": {"type": "api_key", "key": "sk')

    with cli.at_terminal("auth", "recover") as terminal:
        terminal.expect("[y/N]")
        cli.keep({"openai": ONE, "google": TWO})
        terminal.type("y\r")
        outcome = terminal.end()

    assert outcome.status == 7
    assert "was changed while the question stood" in outcome.stdout
    assert cli.records() == {"openai": ONE, "google": TWO}
    assert not list(cli.folder.glob("*.damaged-*"))
