"""Every way to give a passphrase, on every command that takes one, as real processes."""

from __future__ import annotations

import sys
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

import pytest

from commandline import PASSPHRASE, CommandLine, assert_refused, sealed
from kernelkeys import needs_kernel_keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codemesh.model import Record
    from commandline import Outcome

ONE: dict[str, Record] = {"openai": {"type": "api_key", "key": "sk-1"}}
TOKEN = ("auth", "token", "openai")
COMPOSED = "Gr\u00fc\u00dfe aus K\u00f6ln am Rhein"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
NEW = {"CODEMESH_NEW_PASSPHRASE": "another passphrase of tests"}
COMMANDS = {
    "token": TOKEN,
    "list": ("auth", "list"),
    "login": ("auth", "login", "google", "--with-key"),
    "migrate": ("migrate", "plaintext"),
    "unlock": ("unlock", "--for", "1m"),
    "passwd": ("passwd",),
    "doctor": ("doctor", "--accept-rollback"),
}


class Given(NamedTuple):
    """One way to give a passphrase: what stands in the environment, and a shell around it."""

    environ: dict[str, str]
    through: str = ""


@pytest.fixture
def cli(cli: CommandLine) -> Iterator[CommandLine]:
    """A user with a locked encrypted store; at the end it is locked again."""
    cli.seal(ONE)
    yield cli
    cli.run("lock")


def words(cli: CommandLine, passphrase: str | bytes = PASSPHRASE + "\n") -> str:
    """A private file that holds a passphrase."""
    return str(cli.write(cli.home / "words", passphrase))


def by_variable(cli: CommandLine) -> Given:
    """CODEMESH_PASSPHRASE."""
    del cli
    return Given({"CODEMESH_PASSPHRASE": PASSPHRASE})


def by_file(cli: CommandLine) -> Given:
    """CODEMESH_PASSPHRASE_FILE."""
    return Given({"CODEMESH_PASSPHRASE_FILE": words(cli)})


def by_command(cli: CommandLine) -> Given:
    """passphrase_command in config.toml."""
    with cli.config.open("a", encoding="utf-8") as file:
        file.write(f'[backends.encrypted]\npassphrase_command = ["cat", "{words(cli)}"]\n')
    return Given({})


def from_descriptor(cli: CommandLine, passphrase: str) -> Outcome:
    """Read a secret with exactly this text in a descriptor."""
    arguments = ("--passphrase-fd", "7", *TOKEN)
    return cli.run(*arguments, through=f'exec "$@" 7<{words(cli, passphrase)}')


# What passphrase_command runs: it answers, and writes down its environment.
ASKED = f"""
import os
with open("seen", "w") as file:
    file.write(repr(dict(os.environ)))
print({PASSPHRASE!r})
"""
WAYS = {"variable": by_variable, "file": by_file, "command": by_command}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_ways(
    cli: CommandLine, command: tuple[str, ...], way: Callable[[CommandLine], Given]
) -> None:
    """The variable, the file and the command open the store for every command."""
    if command[0] == "unlock":
        needs_kernel_keyring()

    outcome = cli.run(*command, stdin="sk-2\n", environ={**NEW, **way(cli).environ})

    assert outcome.status == 0, outcome.stderr
    assert PASSPHRASE not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_descriptor_before_every_command(cli: CommandLine, command: tuple[str, ...]) -> None:
    """`codemesh --passphrase-fd N` works in front of every command."""
    if command[0] == "unlock":
        needs_kernel_keyring()

    outcome = cli.run(*command, stdin="sk-2\n", passphrase=PASSPHRASE, environ=NEW)

    assert outcome.status == 0, outcome.stderr


@pytest.mark.parametrize("command", ["migrate", "unlock", "passwd"])
def test_descriptor_behind_the_command(cli: CommandLine, command: str) -> None:
    """These three take `--passphrase-fd N` as an option of their own."""
    needs_kernel_keyring()
    arguments = (*COMMANDS[command], "--passphrase-fd", "7")

    outcome = cli.run(*arguments, through=f'exec "$@" 7<{words(cli)}', environ=NEW)

    assert outcome.status == 0, outcome.stderr


def test_the_order(cli: CommandLine) -> None:
    """A resting key, a descriptor, the variable, the file, the command: the first one counts."""
    needs_kernel_keyring()
    environ = {"CODEMESH_PASSPHRASE_FILE": words(cli, "of the file")}
    by_command(cli)  # the same file, so it is wrong as well
    cli.write(cli.home / "words", "of the file")
    alone = cli.run(*TOKEN, environ=environ)
    variable = cli.run(*TOKEN, environ={**environ, "CODEMESH_PASSPHRASE": PASSPHRASE})
    environ["CODEMESH_PASSPHRASE"] = "of the variable"
    wrong = cli.run(*TOKEN, environ=environ)
    descriptor = cli.run(*TOKEN, environ=environ, passphrase=PASSPHRASE)
    cli.good("unlock", "--for", "1m")
    resting = cli.run(*TOKEN, environ=environ, passphrase="of the descriptor")

    statuses = [each.status for each in (alone, variable, wrong, descriptor, resting)]
    assert statuses == [9, 0, 9, 0, 0]


@pytest.mark.parametrize("written", [COMPOSED, DECOMPOSED], ids=["composed", "decomposed"])
@pytest.mark.parametrize("typed", [COMPOSED, DECOMPOSED], ids=["composed", "decomposed"])
def test_both_unicode_forms_are_the_same(cli: CommandLine, written: str, typed: str) -> None:
    """A passphrase opens the store however its letters were composed."""
    cli.write(cli.vault, sealed(ONE, passphrase=written))

    outcome = cli.run(*TOKEN, passphrase=typed)

    assert (outcome.status, outcome.stdout) == (0, "sk-1\n")


@pytest.mark.parametrize(
    ("passphrase", "status", "reason"),
    [
        ("x" * 1024, 9, "wrong passphrase"),
        ("x" * 1025, 2, "longer than 1024 bytes"),
        ("\u00e4" * 513, 2, "longer than 1024 bytes"),
        ("a\0b", 2, "NUL"),
        ("", 2, "empty"),
        ("\n", 2, "empty"),
    ],
)
@pytest.mark.parametrize("source", ["descriptor", "file"])
def test_what_is_no_passphrase(
    cli: CommandLine, source: str, passphrase: str, status: int, reason: str
) -> None:
    """One that is too long, empty or holds NUL ends with 2 and the reason."""
    if source == "descriptor":
        outcome = from_descriptor(cli, passphrase)
    else:
        environ = {"CODEMESH_PASSPHRASE_FILE": words(cli, passphrase)}
        outcome = cli.run(*TOKEN, environ=environ)

    assert_refused(outcome, status, reason)


@pytest.mark.parametrize(
    ("end", "status"), [("", 0), ("\n", 0), ("\r\n", 0), ("\n\n", 9), (" ", 9)]
)
def test_one_line_end_is_stripped(cli: CommandLine, end: str, status: int) -> None:
    """Exactly one line end goes, and spaces count."""
    environ = {"CODEMESH_PASSPHRASE_FILE": words(cli, PASSPHRASE + end)}

    assert from_descriptor(cli, PASSPHRASE + end).status == status
    assert cli.run(*TOKEN, environ=environ).status == status


# What Python runs at its start: it writes down every key derivation.
COUNTING = """
import argon2.low_level as argon2
real = argon2.hash_secret_raw
def counted(*arguments):
    with open("derived", "a") as file:
        file.write("x")
    return real(*arguments)
argon2.hash_secret_raw = counted
"""


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_one_derivation_a_process(cli: CommandLine, command: tuple[str, ...]) -> None:
    """No command derives the key of a store twice; only `passwd` has two to derive."""
    if command[0] == "unlock":
        needs_kernel_keyring()
    cli.write(cli.home / "at-start" / "sitecustomize.py", COUNTING)
    environ = {**NEW, "PYTHONPATH": str(cli.home / "at-start")}

    outcome = cli.run(*command, stdin="sk-2\n", passphrase=PASSPHRASE, environ=environ)

    assert outcome.status == 0, outcome.stderr
    assert (cli.home / "derived").read_text() == ("xx" if command == ("passwd",) else "x")


def test_no_child_gets_a_passphrase(cli: CommandLine) -> None:
    """Both variables are gone from the environment of what codemesh starts."""
    script = cli.write(cli.home / "asked", ASKED)
    with cli.config.open("a", encoding="utf-8") as file:
        file.write(
            f'[backends.encrypted]\npassphrase_command = ["{sys.executable}", "{script}"]\n'
        )

    outcome = cli.run(*TOKEN, environ={"CODEMESH_NEW_PASSPHRASE": "marked new one"})

    assert outcome.status == 0
    assert "marked" not in (cli.home / "seen").read_text()
