"""`codemesh migrate`: plan, conflicts, what is kept, and a kill at every step."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from codemesh.backends.base import same
from codemesh.store import open_store
from commandline import CUT_OFF, PASSPHRASE, CommandLine, Outcome, assert_refused, tree

if TYPE_CHECKING:
    from codemesh.model import Record

ONE: Record = {"type": "api_key", "key": "sk-1"}
TWO: Record = {"type": "oauth", "access_token": "sk-2", "refresh_token": None, "n": 1.0}
OTHER: Record = {"type": "api_key", "key": "sk-other"}
RECORDS = {"google": TWO, "openai": ONE}
UNKNOWN = ["sqlite", "memory", "", "../x", "plaintext "]

# Imported by the interpreter at its start: kills the process at the n-th step that
# changes a folder, before that step or right after it.
HOOK = """
import os, signal
kind, wanted = os.environ["KILL_AT"].split()
count = 0
def counting(real):
    def step(*arguments, **options):
        global count
        count += 1
        if kind == "before" and count == int(wanted):
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **options)
        if kind == "after" and count == int(wanted):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return step
os.rename, os.unlink = counting(os.rename), counting(os.unlink)
"""


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user with two credentials in the plaintext store."""
    cli.keep(RECORDS)
    return cli


def run(cli: CommandLine, *arguments: str) -> Outcome:
    return cli.run("migrate", *arguments, passphrase=PASSPHRASE)


def found(cli: CommandLine) -> dict[str, Record]:
    """Every record of the store in use, whichever it is by now."""
    environ = {"CODEMESH_PASSPHRASE": PASSPHRASE}
    return open_store(str(cli.folder), environ=environ).records()


def test_everything_moves_and_the_source_goes(cli: CommandLine) -> None:
    """All entries are in the target, config.toml names it, and the emptied file is removed."""
    outcome = run(cli, "encrypted")

    assert (outcome.status, outcome.stdout) == (0, "")
    assert "Moved 2 credentials from plaintext to encrypted" in outcome.stderr
    assert cli.config.read_text() == 'backend = "encrypted"\n'
    assert sorted(path.name for path in cli.folder.iterdir()) == [
        *("auth.vault.json", "config.toml", "state")
    ]
    assert same(found(cli), RECORDS)


def test_a_dry_run_changes_nothing(cli: CommandLine) -> None:
    """--dry-run shows each entry and asks for nothing; no file, not even a lock, is made."""
    before = tree(cli.home)

    text = cli.run("migrate", "encrypted", "--dry-run")
    document = cli.run("migrate", "encrypted", "--dry-run", "--json").json()

    assert text.status == 0
    assert text.stdout.splitlines() == [
        "From plaintext to encrypted:",
        "  move       google",
        "  move       openai",
        "Nothing was changed.",
    ]
    assert document == {
        "schema": 1,
        "from": "plaintext",
        "to": "encrypted",
        "entries": [{"name": "google", "action": "move"}, {"name": "openai", "action": "move"}],
        "dry_run": True,
    }
    assert tree(cli.home) == before
    assert not (cli.folder / "state").exists()


def test_the_result_in_json_says_what_was_done(cli: CommandLine) -> None:
    """JSON names each entry with what happened to it, and no secret."""
    outcome = run(cli, "encrypted", "--json")

    assert outcome.json() == {
        "schema": 1,
        "from": "plaintext",
        "to": "encrypted",
        "entries": [{"name": "google", "action": "move"}, {"name": "openai", "action": "move"}],
        "dry_run": False,
        "switched": True,
        "source_removed": True,
    }
    assert "sk-" not in outcome.stdout + outcome.stderr


def test_the_source_can_be_kept(cli: CommandLine) -> None:
    """--keep leaves the source byte for byte, and doctor tells of the copies."""
    before = tree(cli.folder)["auth.json"]

    outcome = run(cli, "encrypted", "--keep")

    assert outcome.status == 0
    assert "still has them" in outcome.stderr
    assert tree(cli.folder)["auth.json"] == before
    assert same(found(cli), RECORDS)
    assert cli.run("doctor", passphrase=PASSPHRASE).status == 1


def test_it_can_be_taken_from_another_store_than_the_one_in_use(cli: CommandLine) -> None:
    """--from fetches what was left behind when the store was switched."""
    cli.choose("encrypted")

    outcome = run(cli, "encrypted", "--from", "plaintext")

    assert outcome.status == 0
    assert same(found(cli), RECORDS)
    assert not cli.plaintext.exists()


def test_a_target_that_is_the_store_has_nothing_to_get(cli: CommandLine) -> None:
    """A migration to where everything is ends with 0 and changes nothing."""
    before = tree(cli.folder)

    outcome = run(cli, "plaintext")
    document = run(cli, "plaintext", "--json").json()

    assert (outcome.status, outcome.stdout) == (0, "")
    assert "nothing to move" in outcome.stderr
    assert (document["entries"], document["switched"]) == ([], False)
    assert tree(cli.folder) == before


def test_a_conflict_is_refused_before_anything_changes(cli: CommandLine) -> None:
    """An entry that differs at the target ends with 7; both stores stay as they are."""
    cli.seal({"openai": OTHER, "google": TWO, "mine": OTHER})
    cli.choose("plaintext")
    before = tree(cli.folder)

    plan = run(cli, "encrypted", "--dry-run")
    outcome = run(cli, "encrypted")

    assert "  conflict   openai\n" in plan.stdout
    assert "  identical  google\n" in plan.stdout
    assert_refused(
        outcome, 7, "these entries differ between plaintext and encrypted: openai", "--overwrite"
    )
    assert tree(cli.folder) == before


def test_a_conflict_can_be_overwritten(cli: CommandLine) -> None:
    """--overwrite takes the source's entries; what only the target has stays."""
    cli.seal({"openai": OTHER, "google": TWO, "mine": OTHER})
    cli.choose("plaintext")

    document = run(cli, "encrypted", "--overwrite", "--json").json()

    assert document["entries"] == [
        {"name": "google", "action": "identical"},
        {"name": "openai", "action": "overwrite"},
    ]
    assert same(found(cli), {**RECORDS, "mine": OTHER})
    assert not cli.plaintext.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["encrypted", "--from", "encrypted"],
        ["plaintext", "--from", "plaintext"],
        *([name] for name in UNKNOWN),
        *(["encrypted", "--from", name] for name in UNKNOWN),
    ],
    ids=" ".join,
)
def test_ends_that_make_no_sense_are_refused(cli: CommandLine, arguments: list[str]) -> None:
    """An unknown end, or the same one twice, ends with 2 and changes nothing."""
    before = tree(cli.folder)

    outcome = run(cli, *arguments)

    assert_refused(outcome, 2)
    assert tree(cli.folder) == before


@pytest.mark.parametrize("which", ["source", "target"])
def test_a_damaged_end_is_refused(cli: CommandLine, which: str) -> None:
    """A store that cannot be read is neither emptied nor written over."""
    cli.seal({"mine": OTHER})
    cli.choose("plaintext")
    path = cli.plaintext if which == "source" else cli.vault
    cli.write(path, path.read_bytes()[:-20])
    before = tree(cli.folder)

    outcome = run(cli, "encrypted")

    assert_refused(outcome, 6, str(path))
    assert tree(cli.folder) == before


def test_a_full_disk_leaves_both_ends_as_they_were(cli: CommandLine) -> None:
    """A migration that cannot write ends with 1, and the store in use is the same."""
    cli.choose("plaintext")
    (cli.folder / "state").mkdir(0o700)
    before = tree(cli.folder)

    outcome = cli.run("migrate", "encrypted", passphrase=PASSPHRASE, through=CUT_OFF)

    assert_refused(outcome, 1, "file size limit exceeded")
    assert tree(cli.folder) == before


def test_the_passphrase_option_also_stands_behind_the_command(cli: CommandLine) -> None:
    """`migrate --passphrase-fd N` is the same as the global option."""
    cli.write(cli.home / "words", PASSPHRASE)

    outcome = cli.run("migrate", "encrypted", "--passphrase-fd", "3", through='exec "$@" 3<words')

    assert outcome.status == 0
    assert same(found(cli), RECORDS)


@pytest.mark.parametrize("target", ["encrypted", "plaintext"])
@pytest.mark.parametrize("kind", ["before", "after"])
def test_a_kill_at_any_step_loses_nothing(cli: CommandLine, target: str, kind: str) -> None:
    """Killed at any step every credential is readable, and the same command then finishes."""
    cli.write(cli.home / "hook" / "sitecustomize.py", HOOK)
    hook = {"PYTHONPATH": str(cli.home / "hook")}
    kills = 0
    while True:
        fill(cli, target)

        outcome = cli.run(
            *("migrate", target),
            passphrase=PASSPHRASE,
            environ={**hook, "KILL_AT": f"{kind} {kills + 1}"},
        )

        if outcome.status == 0:
            break
        kills += 1
        assert outcome.status == -signal.SIGKILL
        between = found(cli)
        assert same({name: between[name] for name in RECORDS}, RECORDS)
        assert run(cli, target).status == 0
        assert cli.config.read_text() == f'backend = "{target}"\n'
        assert same(found(cli), {**RECORDS, "mine": OTHER})
        assert not (cli.plaintext if target == "encrypted" else cli.vault).exists()
        assert not (cli.folder / "state" / "migration.json").exists()
    assert kills >= 5


def fill(cli: CommandLine, target: str) -> None:
    """Begin anew: the two credentials in one store, and another one in the target."""
    for path in (cli.plaintext, cli.vault, cli.config, *cli.folder.glob("state/seen-*")):
        path.unlink(missing_ok=True)
    cli.seal({"mine": OTHER} if target == "encrypted" else RECORDS)
    cli.keep(RECORDS if target == "encrypted" else {"mine": OTHER})
    cli.choose("plaintext" if target == "encrypted" else "encrypted")
