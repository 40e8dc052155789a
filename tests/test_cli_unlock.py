"""`unlock` and `lock`, as processes that share nothing but the kernel's keyring."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from commandline import CTRL_C, PASSPHRASE, CommandLine, assert_refused
from kernelkeys import needs_kernel_keyring, refusing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codemesh.model import Record

ONE: dict[str, Record] = {"openai": {"type": "api_key", "key": "sk-1"}}
TOKEN = ("auth", "token", "openai")
LOCKED = 4


@pytest.fixture
def cli(cli: CommandLine) -> Iterator[CommandLine]:
    """A user whose encrypted store is locked; at the end it is locked again."""
    needs_kernel_keyring()
    cli.seal(ONE)
    yield cli
    cli.run("lock")


@pytest.fixture
def unlocked(cli: CommandLine) -> CommandLine:
    """The same user, with the store unlocked for five minutes."""
    cli.good("unlock", "--for", "5m")
    return cli


def token(cli: CommandLine) -> tuple[int, str]:
    """The status and the output of a read without a passphrase."""
    outcome = cli.run(*TOKEN)
    return outcome.status, outcome.stdout


# -- unlocked ----------------------------------------------------------------------------


def test_every_command_opens_an_unlocked_store(unlocked: CommandLine) -> None:
    """Reading, listing, writing, moving and the library need no passphrase any more."""
    for command in (TOKEN, ("auth", "list"), ("auth", "show", "openai"), ("backend", "list")):
        assert unlocked.run(*command).status == 0

    written = unlocked.run("auth", "login", "google", "--with-key", stdin="sk-2\n")
    removed = unlocked.run("auth", "logout", "google", "--yes")
    moved = unlocked.run("migrate", "plaintext", "--keep")

    assert (written.status, removed.status, moved.status) == (0, 0, 0)


def test_an_unlocked_store_is_opened_without_argon2(unlocked: CommandLine) -> None:
    """Nothing that derives a key is even loaded."""
    loaded = unlocked.run(*TOKEN, environ={"PYTHONVERBOSE": "1"}).stderr

    assert "cryptography" in loaded
    assert "argon2" not in loaded


def test_the_resting_key_comes_before_every_source(unlocked: CommandLine) -> None:
    """While the store is unlocked, no passphrase is looked at, be it a wrong one."""
    outcome = unlocked.run(*TOKEN, environ={"CODEMESH_PASSPHRASE": "wrong"})

    assert (outcome.status, outcome.stdout) == (0, "sk-1\n")


def test_it_is_said_until_when(unlocked: CommandLine) -> None:
    """`backend list` and `doctor` say that the store is unlocked, and until when."""
    listed = json.loads(unlocked.run("backend", "list", "--json").stdout)["backends"]
    examined = unlocked.run("doctor", "--json").json()["findings"]

    (store,) = [each for each in listed if each["name"] == "encrypted"]
    assert isinstance(examined, list)
    assert (store["locked"], store["entries"]) == (False, 1)
    assert 0 < store["unlocked_until"] - time.time() <= 300
    assert "unlocked until 20" in store["state"]
    assert [each["check"] for each in examined if each["check"] != "cost"] == ["unlocked"]


def test_the_time_is_that_of_the_configuration(cli: CommandLine) -> None:
    """Without `--for` it is `unlock_for`, and without that eight hours."""
    by_default = cli.run("unlock", passphrase=PASSPHRASE)
    cli.good("config", "set", "backends.encrypted.unlock_for", "90m")
    configured = cli.run("unlock", passphrase=PASSPHRASE)

    assert "8 h from now" in by_default.stderr
    assert "1 h 30 min from now" in configured.stderr
    assert "sk-1" not in by_default.stderr + by_default.stdout


def test_it_ends_on_time(cli: CommandLine) -> None:
    """After its time the store is locked, although nobody locked it."""
    cli.good("unlock", "--for", "1s")

    deadline = time.monotonic() + 60
    while token(cli)[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.2)

    assert token(cli) == (LOCKED, "")


def test_another_folder_with_a_copy_is_unlocked_too(unlocked: CommandLine) -> None:
    """The key belongs to the store, wherever its file lies; another store stays locked."""
    copy = CommandLine(unlocked.home / "copy")
    copy.choose("encrypted")
    copy.write(copy.vault, unlocked.vault.read_bytes())
    other = CommandLine(unlocked.home / "other")
    other.seal(ONE)

    assert token(copy) == (0, "sk-1\n")
    assert token(other) == (LOCKED, "")


# -- locked ------------------------------------------------------------------------------


def test_lock(unlocked: CommandLine) -> None:
    """After `lock` the passphrase is needed again; a second `lock` says that it was locked."""
    first = unlocked.run("lock")
    second = unlocked.run("lock")

    assert (first.status, second.status) == (0, 0)
    assert "is locked" in first.stderr
    assert "was not unlocked" in second.stderr
    assert_refused(unlocked.run(*TOKEN), LOCKED, "codemesh unlock", "--passphrase-fd")


@pytest.mark.parametrize("passphrase", [None, "wrong"])
def test_a_resting_key_does_not_unlock_for_longer(
    unlocked: CommandLine, passphrase: str | None
) -> None:
    """`unlock` takes the passphrase and nothing else; the store stays as unlocked as it was."""
    outcome = unlocked.run("unlock", "--for", "9h", passphrase=passphrase)

    assert outcome.status == (LOCKED if passphrase is None else 9)
    assert token(unlocked) == (0, "sk-1\n")


def test_no_key_may_rest(cli: CommandLine) -> None:
    """With `unlock_cache = "none"` the command ends with 2, and says what would change that."""
    cli.good("config", "set", "backends.encrypted.unlock_cache", "none")

    outcome = cli.run("unlock", passphrase=PASSPHRASE)

    assert_refused(outcome, 2, "unlock_cache")
    assert token(cli) == (LOCKED, "")


def test_a_key_that_may_not_rest_any_more_is_not_used(unlocked: CommandLine) -> None:
    """What rests already is not looked for under `none`."""
    unlocked.write(
        unlocked.config,
        'backend = "encrypted"\n[backends.encrypted]\nunlock_cache = "none"\n',
    )

    assert token(unlocked) == (LOCKED, "")


@pytest.mark.parametrize("command", ["unlock", "lock", "passwd"])
@pytest.mark.parametrize("backend", ["plaintext", "keychain"])
def test_a_store_without_a_passphrase(cli: CommandLine, command: str, backend: str) -> None:
    """The other stores have nothing to unlock; that ends with 2 and says which one has."""
    cli.choose(backend)

    assert_refused(cli.run(command), 2, f"the {backend} store has no passphrase", "migrate")


@pytest.mark.parametrize("duration", ["", "8", "-1h", "0s", "x", "8 h", "9999d"])
def test_a_time_that_is_none(cli: CommandLine, duration: str) -> None:
    """A length of time that is none, or too long, ends with 2 before anything is asked."""
    outcome = cli.run("unlock", f"--for={duration}")

    assert outcome.status == 2
    assert token(cli) == (LOCKED, "")


@pytest.mark.parametrize("cache", ["none", "keychain"])
def test_what_rests_where_it_may_not_any_more_is_locked_too(
    unlocked: CommandLine, cache: str
) -> None:
    """`lock` finds a key that rests in the kernel's keyring from an earlier configuration."""
    kernel = unlocked.config.read_text()
    unlocked.write(unlocked.config, f'{kernel}[backends.encrypted]\nunlock_cache = "{cache}"\n')

    unlocked.run("lock")
    unlocked.write(unlocked.config, kernel)

    assert token(unlocked) == (LOCKED, "")


def test_an_older_copy_is_not_unlocked(cli: CommandLine) -> None:
    """A store that every use would refuse is refused by `unlock`, and no key rests."""
    old = cli.vault.read_bytes()
    cli.good("auth", "login", "google", "--with-key", stdin="sk-2\n")
    cli.write(cli.vault, old)

    refused = cli.run("unlock", passphrase=PASSPHRASE)

    assert_refused(refused, 7, "older than revision 1")
    assert "was not unlocked" in cli.run("lock").stderr


def test_nobody_is_sent_in_a_circle(cli: CommandLine) -> None:
    """Where a resting key is no help, the advice does not name `unlock`."""
    for command in ("unlock", "passwd"):
        assert "codemesh unlock" not in cli.run(command).stderr
    assert "codemesh unlock" in cli.run(*TOKEN).stderr


# -- a system that refuses ---------------------------------------------------------------


@pytest.mark.parametrize("call", ["add_key", "keyctl"])
@pytest.mark.parametrize("code", ["EPERM", "ENOSYS"])
def test_a_container_without_the_system_calls(cli: CommandLine, call: str, code: str) -> None:
    """`unlock` ends with 5 and says what to do instead; the passphrase works as ever."""
    through = f'{refusing(call, code)} "$@"'

    outcome = cli.run("unlock", passphrase=PASSPHRASE, through=through)
    read = cli.run(*TOKEN, passphrase=PASSPHRASE, through=through)

    assert_refused(outcome, 5, "containers", "CODEMESH_PASSPHRASE_FILE", "unlock_cache")
    assert (read.status, read.stdout) == (0, "sk-1\n")


def test_a_full_keyring(cli: CommandLine) -> None:
    """Where the quota of keys is used up, `unlock` ends with 1 and says so."""
    through = f'{refusing("add_key", "EDQUOT")} "$@"'

    outcome = cli.run("unlock", passphrase=PASSPHRASE, through=through)

    assert_refused(outcome, 1, "is full")


# -- at a terminal -----------------------------------------------------------------------


def test_it_asks_at_the_terminal(cli: CommandLine) -> None:
    """At a terminal the passphrase is asked for, and a wrong one twice more."""
    with cli.at_terminal("unlock", "--for", "5m") as terminal:
        terminal.answer("Passphrase:", "wrong")
        terminal.answer("Wrong passphrase. Try again:", PASSPHRASE)
        outcome = terminal.end()

    assert outcome.status == 0
    assert PASSPHRASE not in outcome.stdout
    assert token(cli) == (0, "sk-1\n")


def test_three_wrong_ones(cli: CommandLine) -> None:
    """After the third wrong passphrase it ends with 9, and nothing rests."""
    with cli.at_terminal("unlock") as terminal:
        terminal.answer("Passphrase:", "wrong")
        terminal.answer("Wrong passphrase. Try again:", "wrong")
        terminal.answer("Wrong passphrase. Try again:", "wrong")
        outcome = terminal.end()

    assert outcome.status == 9
    assert token(cli) == (LOCKED, "")


def test_an_interrupt(cli: CommandLine) -> None:
    """Ctrl-C at the question ends with 130, and nothing rests."""
    with cli.at_terminal("unlock") as terminal:
        terminal.expect("Passphrase:")
        terminal.type(CTRL_C)
        outcome = terminal.end()

    assert outcome.status == 130
    assert token(cli) == (LOCKED, "")
