"""`codemesh doctor`: what it finds, what it mends, and what programs read of it."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from commandline import ONE, PASSPHRASE, CommandLine, tree
from files_support import NOBODY, as_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user with one credential in the plaintext store, and nothing wrong."""
    cli.keep(ONE)
    return cli


def findings(
    cli: CommandLine, *arguments: str, status: int = 1, passphrase: str | None = None
) -> list[dict[str, object]]:
    """What `doctor --json` finds; its status and its "ok" must agree."""
    outcome = cli.run("doctor", "--json", *arguments, passphrase=passphrase)
    document = outcome.json()
    assert (outcome.status, document["ok"]) == (status, status == 0)
    assert "sk-" not in outcome.stdout + outcome.stderr
    found = document["findings"]
    assert isinstance(found, list)
    return found


def loose_store(cli: CommandLine) -> Path:
    cli.plaintext.chmod(0o644)
    return cli.plaintext


def loose_config(cli: CommandLine) -> Path:
    cli.choose("plaintext").chmod(0o666)
    return cli.config


def loose_folder(cli: CommandLine) -> Path:
    cli.folder.chmod(0o777)
    return cli.folder


def loose_state(cli: CommandLine) -> Path:
    state = cli.folder / "state"
    state.mkdir()
    state.chmod(0o770)
    return state


def loose_copy(cli: CommandLine) -> Path:
    return cli.write(cli.folder / "auth.json~", cli.plaintext.read_bytes(), 0o644)


LOOSE: list[Callable[[CommandLine], Path]] = [
    loose_store,
    loose_config,
    loose_folder,
    loose_state,
    loose_copy,
]


def test_where_nothing_is_wrong_it_says_so(cli: CommandLine) -> None:
    """A good home ends with 0 and one line; nothing is written."""
    before = tree(cli.home)

    outcome = cli.run("doctor")

    assert outcome == (0, "~/.code-mesh: no problem found.\n", "")
    assert findings(cli, status=0) == []
    assert tree(cli.home) == before


def test_a_home_that_is_not_there_is_fine(tmp_path: Path) -> None:
    """Before the first login there is nothing to find, and nothing is made."""
    cli = CommandLine(tmp_path)

    assert cli.run("doctor", "--fix").status == 0
    assert not cli.folder.exists()


@pytest.mark.parametrize("loosen", LOOSE, ids=lambda case: case.__name__)
def test_what_others_may_do_is_found_and_mended(
    cli: CommandLine, loosen: Callable[[CommandLine], Path]
) -> None:
    """Loose permissions end with 1 and a way to mend them; --fix closes them to 0600 or 0700."""
    path = loosen(cli)
    mode = stat.S_IMODE(path.stat().st_mode)

    told = cli.run("doctor")
    (found,) = findings(cli)
    unchanged = stat.S_IMODE(path.stat().st_mode) == mode
    mended = findings(cli, "--fix", status=0)

    assert (told.status, told.stderr) == (1, "")
    assert str(path) in told.stdout
    assert "codemesh doctor --fix" in told.stdout
    assert (found["problem"], found["mendable"], found["mended"]) == (True, True, False)
    assert unchanged
    assert [entry["mended"] for entry in mended if entry["problem"]] == [True]
    assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert cli.good("auth", "token", "openai") == "sk-1\n"


def test_an_exposed_store_is_said_to_be(cli: CommandLine) -> None:
    """Mending a store that others could read says that it was exposed."""
    loose_store(cli)

    outcome = cli.run("doctor", "--fix")

    assert outcome.status == 0
    assert "mended" in outcome.stdout
    assert "It was exposed" in outcome.stdout


def test_several_problems_are_mended_in_one_go(cli: CommandLine) -> None:
    """A loose folder hides what is in it; one --fix finds and mends all of it."""
    for loosen in LOOSE:
        loosen(cli)

    outcome = cli.run("doctor", "--fix")

    assert outcome.status == 0
    assert outcome.stdout.count("mended ") == len(LOOSE)


@as_root
def test_what_another_owns_is_left_to_the_user(cli: CommandLine) -> None:
    """A store of another user is a problem that --fix does not touch."""
    os.chown(cli.plaintext, NOBODY, NOBODY)

    found = findings(cli, "--fix")

    assert [entry["check"] for entry in found][:1] == ["permissions"]
    assert "another user" in str(found[0]["message"])
    assert not found[0]["mendable"]
    assert cli.plaintext.stat().st_uid == NOBODY


def test_what_a_killed_write_left_is_found_and_removed(cli: CommandLine) -> None:
    """A file that a killed writer left is named, and --fix removes it alone."""
    temp = cli.write(cli.folder / f".auth.json.{'0' * 16}.tmp", b"half")

    (found,) = findings(cli)
    findings(cli, "--fix", status=0)

    assert (found["check"], str(temp) in str(found["message"])) == ("leftovers", True)
    assert not temp.exists()
    assert set(cli.records()) == {"openai"}


def test_a_migration_that_was_not_finished_is_told(cli: CommandLine) -> None:
    """The journal of a killed migration is a finding with the command that finishes it."""
    journal = {"source": "plaintext", "target": "encrypted"}
    (cli.folder / "state").mkdir(0o700)
    cli.write(cli.folder / "state" / "migration.json", json.dumps(journal))

    (found,) = findings(cli)

    assert found["check"] == "migration"
    assert found["advice"] == "Finish it: codemesh migrate encrypted"


def test_an_entry_in_two_stores_is_told(cli: CommandLine) -> None:
    """A copy in a store not in use is found, whether it is the same, and how to have one."""
    cli.seal({**ONE, "other": {"type": "api_key", "key": "sk-2"}})
    cli.choose("plaintext")

    cost, found = findings(cli, passphrase=PASSPHRASE)
    cli.keep({"openai": {"type": "api_key", "key": "sk-3"}})
    _, differing = findings(cli, passphrase=PASSPHRASE)

    command = "codemesh migrate plaintext --from encrypted"
    assert (found["check"], differing["check"]) == ("copies", "copies")
    assert cost["check"] == "cost"  # it is one of tests, and quick to open
    assert str(found["message"]).endswith("and the same in the encrypted store")
    assert str(found["advice"]).endswith(command)
    assert str(differing["advice"]).endswith(f"{command} --overwrite")
    cli.good(*command.split()[1:], "--overwrite")
    findings(cli, status=0)


def test_a_locked_store_is_only_worth_a_note(cli: CommandLine) -> None:
    """Without its passphrase a store is told as locked, and nobody is asked."""
    cli.seal(ONE)
    cli.plaintext.unlink()

    with cli.at_terminal("doctor") as terminal:
        outcome = terminal.end()

    assert outcome.status == 0
    assert "is locked" in outcome.stdout
    assert "Passphrase" not in outcome.stdout


@pytest.mark.parametrize(
    ("name", "loose"),
    [("auth.json.bak", True), ("auth (conflict).json", False), ("auth.json.1", False)],
)
def test_a_stray_copy_is_told_and_never_removed(
    cli: CommandLine, name: str, *, loose: bool
) -> None:
    """A file that looks like a copy is named; it is a problem if others may read it."""
    stray = cli.write(cli.folder / name, b"copy", 0o644 if loose else 0o600)

    (found,) = findings(cli, status=1 if loose else 0)
    findings(cli, "--fix", status=0)

    assert (found["check"], found["problem"]) == ("strays", loose)
    assert str(stray) in str(found["message"])
    assert (stray.read_bytes(), stat.S_IMODE(stray.stat().st_mode)) == (b"copy", 0o600)


@pytest.mark.parametrize("content", [b"rubbish", b""], ids=["rubbish", "empty"])
def test_a_damaged_store_is_told_with_its_way_out(cli: CommandLine, content: bytes) -> None:
    """Damage is a finding that names the file and what to type; --fix leaves it alone."""
    cli.write(cli.plaintext, content)
    before = tree(cli.folder)

    found = findings(cli, "--fix")

    assert [entry["check"] for entry in found] == ["store"]
    assert "codemesh auth recover" in str(found[0]["advice"])
    assert str(cli.plaintext) in str(found[0]["message"])
    assert tree(cli.folder) == before


@pytest.mark.parametrize("text", ['backend = "sqlite"', "bakend = 1", "rubbish"])
def test_a_wrong_config_is_told(cli: CommandLine, text: str) -> None:
    """A config.toml that cannot be used is a finding, not a failure of doctor."""
    cli.write(cli.config, text)

    (found,) = findings(cli)

    assert found["check"] == "config"
    assert str(cli.config) in str(found["message"])


def test_two_stores_without_a_choice_are_told(cli: CommandLine) -> None:
    """The ambiguity that every other command refuses is a finding with its way out."""
    cli.seal({})
    cli.config.unlink()

    (found,) = findings(cli)

    assert "codemesh backend use" in str(found["advice"])
