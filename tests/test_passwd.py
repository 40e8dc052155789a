"""`codemesh passwd` without a terminal: what is new afterwards, and what changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from codemesh.backends import _vault
from codemesh.backends._kdf import derive_root
from codemesh.backends.base import same
from codemesh.errors import PayloadDamagedError
from codemesh.store import open_store
from commandline import PASSPHRASE, CommandLine, Outcome, assert_refused, tree
from kernelkeys import needs_kernel_keyring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codemesh.model import Record

NEW = "violet anchor twelve meadow"
RECORDS: dict[str, Record] = {
    "openai": {"type": "api_key", "key": "sk-1"},
    "google": {"type": "oauth", "access_token": "sk-2", "refresh_token": None, "n": 1.0},
}
BOTH = {"CODEMESH_PASSPHRASE": PASSPHRASE, "CODEMESH_NEW_PASSPHRASE": NEW}
TOKEN = ("auth", "token", "openai")
SOURCES: dict[str, tuple[list[str], dict[str, str]]] = {
    "descriptors": (["--passphrase-fd", "3", "--new-passphrase-fd", "4"], {}),
    "variables": ([], BOTH),
    "descriptor and variable": (
        ["--passphrase-fd", "3"],
        {"CODEMESH_NEW_PASSPHRASE": NEW, "CODEMESH_PASSPHRASE": "passed over"},
    ),
    "variable and descriptor": (
        ["--new-passphrase-fd", "4"],
        {"CODEMESH_PASSPHRASE": PASSPHRASE, "CODEMESH_NEW_PASSPHRASE": "passed over"},
    ),
}


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user with two credentials in the encrypted store, at its revision 5."""
    cli.seal(RECORDS, revision=5)
    return cli


@pytest.fixture
def unlocked(cli: CommandLine) -> Iterator[CommandLine]:
    """The same user, with the store unlocked for a minute; at the end it is locked again."""
    needs_kernel_keyring()
    cli.good("unlock", "--for", "60s")
    yield cli
    cli.run("lock")


def passwd(cli: CommandLine, *arguments: str, environ: Mapping[str, str] = BOTH) -> Outcome:
    """Change the passphrase, both of them given by variables unless told otherwise."""
    return cli.run("passwd", *arguments, environ=environ)


def found(cli: CommandLine, passphrase: str) -> dict[str, Record]:
    """Every record of the store, opened by a process that has this passphrase."""
    return open_store(str(cli.folder), environ={"CODEMESH_PASSPHRASE": passphrase}).records()


def document(cli: CommandLine) -> dict[str, Any]:
    """The file of the store, as JSON."""
    content: dict[str, Any] = json.loads(cli.vault.read_bytes())
    return content


def data_key(raw: bytes, passphrase: str) -> bytes:
    """The data key of a file."""
    vault = _vault.parse(raw)
    return _vault.unwrap(vault, derive_root(passphrase, vault.kdf))


def assert_changed(cli: CommandLine) -> None:
    """See that the new passphrase opens all there was, and the old one nothing."""
    old = cli.run(*TOKEN, passphrase=PASSPHRASE)
    new = cli.run(*TOKEN, passphrase=NEW)
    assert (old.status, old.stdout) == (9, "")
    assert (new.status, new.stdout) == (0, "sk-1\n")
    assert same(found(cli, NEW), RECORDS)


# -- changed -----------------------------------------------------------------------------


@pytest.mark.parametrize("sources", SOURCES)
def test_both_come_without_a_terminal(cli: CommandLine, sources: str) -> None:
    """The old one and the new one each come from a descriptor or a variable of their own."""
    arguments, environ = SOURCES[sources]
    cli.write(cli.home / "old", f"{PASSPHRASE}\n")
    cli.write(cli.home / "new", f"{NEW}\n")

    outcome = cli.run("passwd", *arguments, environ=environ, through='exec "$@" 3<old 4<new')

    assert (outcome.status, outcome.stdout) == (0, "")
    assert outcome.stderr == (
        "~/.code-mesh/auth.vault.json is sealed again. Its passphrase is the new one.\n"
    )
    assert_changed(cli)


@pytest.mark.parametrize("option", [[], ["--keep-data-key"]], ids=["new key", "same key"])
def test_everything_but_the_identity_is_new(cli: CommandLine, option: list[str]) -> None:
    """Salt, wrap and payload are new, the revision is the next, and the id is the same."""
    before = document(cli)

    outcome = passwd(cli, *option)

    after = document(cli)
    assert outcome.status == 0, outcome.stderr
    assert after["id"] == before["id"]
    assert (before["revision"], after["revision"]) == (5, 6)
    assert after["kdf"]["salt"] != before["kdf"]["salt"]
    assert after["wrap"].keys() == before["wrap"].keys()
    assert not {*after["wrap"].values()} & {*before["wrap"].values()}
    assert not {*after["payload"].values()} & {*before["payload"].values()}
    assert_changed(cli)


def test_the_old_data_key_opens_nothing_any_more(cli: CommandLine) -> None:
    """Who had the old passphrase has a data key that does not open what is sealed now."""
    old = data_key(cli.vault.read_bytes(), PASSPHRASE)

    assert passwd(cli).status == 0

    assert data_key(cli.vault.read_bytes(), NEW) != old
    with pytest.raises(PayloadDamagedError):
        _vault.open_payload(_vault.parse(cli.vault.read_bytes()), old)


def test_the_data_key_can_be_kept(cli: CommandLine) -> None:
    """With --keep-data-key the old data key opens the new payload, and that is said."""
    old = data_key(cli.vault.read_bytes(), PASSPHRASE)

    outcome = passwd(cli, "--keep-data-key")

    assert "The data key is the old one" in outcome.stderr
    assert data_key(cli.vault.read_bytes(), NEW) == old
    assert same(_vault.open_payload(_vault.parse(cli.vault.read_bytes()), old), RECORDS)


def test_another_change_takes_the_passphrase_of_the_first(cli: CommandLine) -> None:
    """The passphrase can be changed back, and no process refuses that as a rollback."""
    back = {"CODEMESH_PASSPHRASE": NEW, "CODEMESH_NEW_PASSPHRASE": PASSPHRASE}

    outcomes = [passwd(cli), passwd(cli, environ=back)]

    assert [outcome.status for outcome in outcomes] == [0, 0]
    assert document(cli)["revision"] == 7
    assert same(found(cli, PASSPHRASE), RECORDS)


def test_quiet_says_nothing(cli: CommandLine) -> None:
    """With -q a change that succeeds is silent, and neither passphrase is ever printed."""
    outcome = cli.run("-q", "passwd", "--keep-data-key", environ=BOTH)
    loud = cli.run("-v", "passwd", environ={**BOTH, "CODEMESH_PASSPHRASE": NEW})

    assert outcome == (0, "", "")
    assert not any(secret in loud.stdout + loud.stderr for secret in (NEW, PASSPHRASE, "sk-"))


def test_the_new_passphrase_is_not_for_the_command(cli: CommandLine) -> None:
    """Neither variable of a passphrase is in the environment of passphrase_command."""
    cli.write(cli.home / "words", PASSPHRASE)
    program = f"env >{cli.home}/seen; cat {cli.home}/words"
    named = json.dumps(["sh", "-c", program])
    cli.good("config", "set", "backends.encrypted.passphrase_command", named)

    outcome = passwd(cli, environ={"CODEMESH_NEW_PASSPHRASE": NEW, "OTHER": "seen"})

    assert outcome.status == 0, outcome.stderr
    seen = (cli.home / "seen").read_text()
    assert "OTHER=seen" in seen
    assert "CODEMESH_NEW_PASSPHRASE" not in seen
    assert NEW not in seen


# -- refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "status", "word"),
    [
        (BOTH | {"CODEMESH_PASSPHRASE": "wrong"}, 9, "wrong passphrase"),
        (BOTH | {"CODEMESH_NEW_PASSPHRASE": "password"}, 2, "the passphrase"),
        (BOTH | {"CODEMESH_NEW_PASSPHRASE": "aaaaaaaaaaaaaaaa"}, 2, "repeats"),
        (BOTH | {"CODEMESH_NEW_PASSPHRASE": ""}, 2, "CODEMESH_NEW_PASSPHRASE is empty"),
        (BOTH | {"CODEMESH_NEW_PASSPHRASE": "x" * 1025}, 2, "longer than 1024 bytes"),
        ({"CODEMESH_PASSPHRASE": PASSPHRASE}, 4, "--new-passphrase-fd"),
        ({"CODEMESH_NEW_PASSPHRASE": NEW}, 4, "--passphrase-fd"),
    ],
    ids=["wrong", "short", "repeated", "empty", "long", "no new one", "no old one"],
)
def test_what_is_refused_changes_nothing(
    cli: CommandLine, environ: dict[str, str], status: int, word: str
) -> None:
    """A wrong old passphrase, a weak new one, or a missing one leaves the file as it was."""
    before = tree(cli.home)

    outcome = passwd(cli, environ=environ)

    assert_refused(outcome, status, word)
    assert tree(cli.home) == before


def test_an_empty_descriptor(cli: CommandLine) -> None:
    """A new passphrase from a descriptor with nothing in it ends with 2 and says which one."""
    before = tree(cli.home)

    outcome = cli.run(
        *("passwd", "--new-passphrase-fd", "4"),
        passphrase=PASSPHRASE,
        through='exec "$@" 4</dev/null',
    )

    assert_refused(outcome, 2, "the new passphrase of descriptor 4 is empty")
    assert tree(cli.home) == before


def test_a_store_without_a_passphrase(cli: CommandLine) -> None:
    """A plaintext store has none to change, although a sealed one lies beside it."""
    cli.choose("plaintext")
    before = tree(cli.home)

    assert_refused(passwd(cli), 2, "the plaintext store has no passphrase")

    assert tree(cli.home) == before


def test_a_store_that_is_not_there(cli: CommandLine) -> None:
    """Before the first login there is nothing to change, and none is made."""
    cli.vault.unlink()

    assert_refused(passwd(cli), 2, "there is no store yet", "codemesh auth login")

    assert not cli.vault.exists()


def test_a_full_disk(cli: CommandLine) -> None:
    """Where the new file cannot be written the old one stays, and so does its passphrase."""
    before = tree(cli.home)

    outcome = cli.run("passwd", environ=BOTH, through='ulimit -f 0; exec "$@"')

    assert_refused(outcome, 1, "file size limit exceeded")
    assert tree(cli.home) == before
    assert same(found(cli, PASSPHRASE), RECORDS)


def test_too_little_memory(cli: CommandLine) -> None:
    """Where the memory for the cost is not there, nothing cheaper is tried or changed."""
    before = tree(cli.home)

    outcome = cli.run(
        *("passwd", "--cost", "strong"), environ=BOTH, through='ulimit -v 300000; exec "$@"'
    )

    assert_refused(outcome, 1, "not enough memory to derive the key, which takes 256 MiB")
    assert tree(cli.home) == before
    assert same(found(cli, PASSPHRASE), RECORDS)


# -- an unlocked store -------------------------------------------------------------------


def test_a_resting_key_is_no_proof(unlocked: CommandLine) -> None:
    """Who has no old passphrase cannot change it, although the store is unlocked."""
    before = tree(unlocked.home)

    outcome = passwd(unlocked, environ={"CODEMESH_NEW_PASSPHRASE": NEW})

    assert_refused(outcome, 4, "--passphrase-fd")
    assert tree(unlocked.home) == before
    assert unlocked.run(*TOKEN).status == 0


@pytest.mark.parametrize("option", [[], ["--keep-data-key"]], ids=["new key", "same key"])
def test_a_change_locks_the_store(unlocked: CommandLine, option: list[str]) -> None:
    """Afterwards the key that rested opens nothing, also where the data key is the same."""
    assert unlocked.run(*TOKEN).status == 0

    assert passwd(unlocked, *option).status == 0

    assert unlocked.run(*TOKEN).status == 4
    assert "was not unlocked" in unlocked.run("lock").stderr
    assert_changed(unlocked)
