"""`codemesh auth logout` and `auth recover`: what goes, what stays, and who is asked."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from commandline import CUT_OFF, PASSPHRASE, CommandLine, assert_refused, tree

if TYPE_CHECKING:
    from pathlib import Path

    from codemesh.model import Record

RECORDS: dict[str, Record] = {
    "anthropic": {"type": "api_key", "key": "sk-1"},
    "openai": {"type": "custom", "data": {"a": {"b": [1, 1.0, True]}}},
    "openai/work": {"type": "oauth", "access_token": "sk-3", "refresh_token": None},
    "future": {"type": "passkey", "blob": "sk-4"},
}


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user with credentials of every kind in the plaintext store."""
    cli.keep(RECORDS, window={"width": 80})
    return cli


def left(cli: CommandLine) -> set[str]:
    return set(cli.records())


# -- logout ----------------------------------------------------------------------------


def test_one_credential_is_removed_after_a_yes(cli: CommandLine) -> None:
    """`auth logout` asks at a terminal, and removes that one entry alone."""
    with cli.at_terminal("auth", "logout", "openai/work") as terminal:
        terminal.answer("Remove openai/work? [y/N]", "y")
        outcome = terminal.end()

    assert outcome.status == 0
    assert "Removed openai/work from ~/.code-mesh/auth.json (plaintext)." in outcome.stdout
    assert left(cli) == {"anthropic", "openai", "future"}
    assert json.loads(cli.plaintext.read_bytes())["window"] == {"width": 80}


def test_yes_asks_nobody(cli: CommandLine) -> None:
    """With --yes nobody is asked; a record that is not understood can be removed too."""
    outcome = cli.run("auth", "logout", "future", "--yes")

    assert (outcome.status, outcome.stdout) == (0, "")
    assert left(cli) == {"anthropic", "openai", "openai/work"}


def test_all_are_removed_at_once(cli: CommandLine) -> None:
    """--all removes every entry, and keeps what other programs put into the file."""
    outcome = cli.run("auth", "logout", "--all", "-y")
    again = cli.run("auth", "logout", "--all", "--yes")

    assert "Removed all 4 credentials" in outcome.stderr
    assert json.loads(cli.plaintext.read_bytes()) == {"credentials": {}, "window": {"width": 80}}
    assert again == (0, "", "There is no credential.\n")


@pytest.mark.parametrize("arguments", [[], [""], ["openai", "--all"], ["", "--all"]])
def test_what_is_meant_must_be_said(cli: CommandLine, arguments: list[str]) -> None:
    """Nothing, an empty name, or a name beside --all ends with 2 and removes nothing."""
    before = tree(cli.folder)

    outcome = cli.run("auth", "logout", *arguments, "--yes")

    assert_refused(outcome, 2)
    assert tree(cli.folder) == before


def test_what_is_not_there_cannot_be_removed(cli: CommandLine) -> None:
    """A logout of what is not there ends with 3 and removes nothing."""
    before = tree(cli.folder)

    outcome = cli.run("auth", "logout", "nobody", "--yes")

    assert_refused(outcome, 3, "nobody")
    assert tree(cli.folder) == before


def test_a_logout_from_the_vault_leaves_no_trace(cli: CommandLine) -> None:
    """An entry of an encrypted store is gone after a logout, and the rest still opens."""
    cli.seal(RECORDS)

    cli.good("auth", "logout", "openai", "--yes")

    assert_refused(cli.run("auth", "token", "openai", passphrase=PASSPHRASE), 3)
    assert cli.good("auth", "token", "anthropic") == "sk-1\n"


# -- recover ---------------------------------------------------------------------------


def asides(cli: CommandLine) -> list[Path]:
    return sorted(cli.folder.glob("*.damaged-*"))


def test_a_cut_file_gives_back_what_still_parses(cli: CommandLine) -> None:
    """Entries before the cut are kept as they were, the one cut is named, the file set aside."""
    whole = cli.plaintext.read_bytes()
    cut = whole[: whole.index(b'"future"') + 30]
    cli.write(cli.plaintext, cut)

    outcome = cli.run("auth", "recover", "--yes")

    assert (outcome.status, outcome.stdout) == (0, "")
    for said in ("readable: anthropic", "readable: openai/work", "lost:     future"):
        assert said in outcome.stderr
    assert cli.records() == {name: RECORDS[name] for name in RECORDS if name != "future"}
    (aside,) = asides(cli)
    assert (aside.read_bytes(), stat.S_IMODE(aside.stat().st_mode)) == (cut, 0o600)
    assert aside.name in outcome.stderr


def test_recovering_asks_and_a_no_changes_nothing(cli: CommandLine) -> None:
    """At a terminal the findings are shown first; Enter leaves everything as it was."""
    whole = cli.plaintext.read_bytes()
    cli.write(cli.plaintext, whole[: whole.index(b'"future"') + 30])
    before = tree(cli.folder)

    with cli.at_terminal("auth", "recover") as terminal:
        terminal.expect("readable: anthropic")
        terminal.answer("Set the damaged store aside and go on with 3 credentials? [y/N]", "")
        outcome = terminal.end()

    assert (outcome.status, "Nothing was changed." in outcome.stdout) == (0, True)
    assert tree(cli.folder) == before


@pytest.mark.parametrize("rubbish", [b"", b"\xff" * 100, b"[1, 2]", b"null"])
def test_it_never_starts_empty_unasked(cli: CommandLine, rubbish: bytes) -> None:
    """Where nothing can be read, it says so, and starts anew only after a yes."""
    cli.write(cli.plaintext, rubbish)
    before = tree(cli.folder)

    unasked = cli.run("auth", "recover")
    unchanged = tree(cli.folder) == before
    asked = cli.run("auth", "recover", "--yes")

    assert (unasked.status, unchanged) == (2, True)
    assert "Not one entry is readable." in unasked.stderr
    assert "--yes" in unasked.stderr
    assert asked.status == 0
    assert asked.stderr.endswith("~/.code-mesh/auth.json (plaintext) is empty.\n")
    assert left(cli) == set()
    assert [path.read_bytes() for path in asides(cli)] == [rubbish]


def test_a_store_that_is_not_damaged_stays(cli: CommandLine) -> None:
    """Where nothing is wrong, recover says so, ends with 0 and changes nothing."""
    before = tree(cli.folder)

    outcome = cli.run("auth", "recover", "--yes")

    assert (outcome.status, outcome.stdout) == (0, "")
    assert "not damaged" in outcome.stderr
    assert tree(cli.folder) == before


def test_recovering_twice_keeps_both_copies(cli: CommandLine) -> None:
    """A second damage is set aside beside the first, and neither copy is lost."""
    cli.write(cli.plaintext, b"first")
    cli.good("auth", "recover", "--yes")
    cli.write(cli.plaintext, b"second")
    cli.good("auth", "recover", "--yes")

    assert sorted(path.read_bytes() for path in asides(cli)) == [b"first", b"second"]


def test_a_vault_with_text_after_it_loses_nothing(cli: CommandLine) -> None:
    """What was appended to an encrypted store is dropped, and every entry is back."""
    whole = cli.seal(RECORDS).read_bytes()
    cli.write(cli.vault, whole + b"\n<<<<<<< conflict\n")

    outcome = cli.run("auth", "recover", "--yes", passphrase=PASSPHRASE)

    assert outcome.status == 0
    assert "4 credentials" in outcome.stderr
    for name, record in RECORDS.items():
        shown = cli.run("auth", "show", name, "--reveal", "--json", passphrase=PASSPHRASE)
        assert shown.json()["record"] == record
    assert [path.read_bytes() for path in asides(cli)] == [whole + b"\n<<<<<<< conflict\n"]


def test_a_cut_vault_is_lost_and_said_to_be(cli: CommandLine) -> None:
    """A cut encrypted store gives back nothing; only a yes starts a new one."""
    whole = cli.seal(RECORDS).read_bytes()
    cli.write(cli.vault, whole[:-200])
    before = tree(cli.folder)

    unasked = cli.run("auth", "recover", passphrase=PASSPHRASE)
    unchanged = tree(cli.folder) == before
    asked = cli.run("auth", "recover", "--yes", passphrase=PASSPHRASE)

    assert (unasked.status, unchanged) == (2, True)
    assert "opens whole or not at all" in unasked.stderr
    assert asked.status == 0
    assert "Authenticated (" not in cli.good("auth", "list")
    assert [path.read_bytes() for path in asides(cli)] == [whole[:-200]]


def test_recovering_loses_nothing_to_a_full_disk(cli: CommandLine) -> None:
    """Where the copy cannot be written, the damaged file stays where it is."""
    cli.write(cli.plaintext, cli.plaintext.read_bytes()[:-40])
    (cli.folder / "state").mkdir(0o700)
    before = tree(cli.folder)

    outcome = cli.run("auth", "recover", "--yes", through=CUT_OFF)

    assert outcome.status == 1
    assert "file size limit exceeded" in outcome.stderr
    assert tree(cli.folder) == before
