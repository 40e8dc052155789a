"""Questions: asked at the terminal alone, and ended at any time without a trace."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from commandline import (
    CTRL_C,
    END_OF_INPUT,
    PASSPHRASE,
    CommandLine,
    Terminal,
    assert_message,
    assert_refused,
    tree,
)
from support import TELL_DERIVING, quick_once

if TYPE_CHECKING:
    from codemesh.model import Record

RECORDS: dict[str, Record] = {
    "openai": {"type": "api_key", "key": "sk-1"},
    "google": {"type": "api_key", "key": "sk-2"},
}


class Question(NamedTuple):
    """One thing that is asked: the store beforehand, the command, and what it asks."""

    store: str
    command: list[str]
    asked: str
    hidden: bool = False
    answers: tuple[tuple[str, str], ...] = ()
    """Questions that come before, with their answers."""

    missing: int = 2
    """The status where nobody can be asked."""


def hidden(store: str, command: str, asked: str, *answers: tuple[str, str]) -> Question:
    """A question whose answer is not shown."""
    missing = 4 if "encrypted" in (store, *command.split()) else 2
    return Question(store, command.split(), asked, True, answers, missing)  # noqa: FBT003


QUESTIONS = {
    "the provider": Question("plaintext", ["auth", "login"], "Provider (number or name):"),
    "a key": hidden("plaintext", "auth login anthropic", "API key of anthropic:"),
    "whether to replace": Question("plaintext", ["auth", "login", "openai"], "Replace it? [y/N]"),
    "an endpoint": Question("plaintext", ["auth", "login", "azure"], "endpoint:"),
    "a secret field": hidden(
        "plaintext", "auth login azure", "api_key:", ("endpoint:", "https://example.invalid")
    ),
    "a field's name": Question(
        "plaintext",
        ["auth", "login", "other", "--method", "custom"],
        "A field of other (Enter ends):",
    ),
    "whether to log out": Question(
        "plaintext", ["auth", "logout", "openai"], "Remove openai? [y/N]"
    ),
    "whether to log all out": Question(
        "plaintext", ["auth", "logout", "--all"], "Remove all 2 credentials? [y/N]"
    ),
    "whether to recover": Question("damaged", ["auth", "recover"], "Set the damaged store aside"),
    "a passphrase": hidden("encrypted", "auth list", "Passphrase:"),
    "a passphrase, quickly": hidden("encrypted", "auth token openai", "Passphrase:"),
    "a passphrase again": hidden(
        "encrypted", "auth list", "Wrong passphrase. Try again:", ("Passphrase:", "wrong")
    ),
    "a new passphrase": hidden("plaintext", "migrate encrypted", "New passphrase:"),
    "a new passphrase again": hidden(
        "plaintext", "migrate encrypted", "The same again:", ("New passphrase:", PASSPHRASE)
    ),
}
FIRST = {name: question for name, question in QUESTIONS.items() if not question.answers}


def prepare(cli: CommandLine, store: str) -> None:
    if store == "encrypted":
        cli.seal(RECORDS)
        return
    cli.keep(RECORDS)
    if store == "damaged":
        cli.plaintext.write_text(json.dumps({"credentials": RECORDS})[:-10])


def reach(terminal: Terminal, question: Question) -> None:
    """Answer what comes before, and wait for the question itself."""
    for earlier, answer in question.answers:
        terminal.answer(earlier, answer)
    terminal.expect(question.asked)


@pytest.mark.parametrize("name", FIRST)
def test_without_a_terminal_nothing_is_asked(cli: CommandLine, name: str) -> None:
    """What would be asked is an error of 2, or 4 for a passphrase, and nothing changes."""
    question = QUESTIONS[name]
    prepare(cli, question.store)
    before = tree(cli.folder)
    command = question.command
    if name == "whether to replace":
        command = [*command, "--account", "other"]  # in a pipe the key is what is missing

    outcome = cli.run(*command, stdin="y\ny\n")

    assert (outcome.status, outcome.stdout) == (question.missing, "")
    message = outcome.stderr[outcome.stderr.index("codemesh: ") :]
    assert_message(message, "there is no terminal to ask at")
    assert tree(cli.folder) == before


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_end_of_the_input_is_no_answer(cli: CommandLine, name: str) -> None:
    """Ctrl-D at a question ends the command with an error, the echo on, and changes nothing."""
    question = QUESTIONS[name]
    prepare(cli, question.store)
    before = tree(cli.folder)

    with cli.at_terminal(*question.command) as terminal:
        reach(terminal, question)
        terminal.type(END_OF_INPUT)
        outcome = terminal.end()
        echoes = terminal.echoes()

    assert outcome.status == question.missing
    message = outcome.stdout.partition("\ncodemesh: ")[2]
    assert "the input ended" in message
    assert "Traceback" not in outcome.stdout
    assert echoes
    assert tree(cli.folder) == before


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_interrupt_leaves_everything_as_it_was(cli: CommandLine, name: str) -> None:
    """Ctrl-C at a question ends with 130 and an empty line, the echo on, and changes nothing."""
    question = QUESTIONS[name]
    prepare(cli, question.store)
    before = tree(cli.folder)

    with cli.at_terminal(*question.command) as terminal:
        reach(terminal, question)
        unseen = not terminal.echoes()
        terminal.type(CTRL_C)
        outcome = terminal.end()
        echoes = terminal.echoes()

    assert outcome.status == 130
    assert outcome.stdout.endswith("^C\n" if not question.hidden else "\n")
    assert "codemesh:" not in outcome.stdout
    assert (unseen, echoes) == (question.hidden, True)
    assert tree(cli.folder) == before


def test_an_interrupt_ends_a_derivation_at_once(cli: CommandLine) -> None:
    """Ctrl-C while a key is derived ends with 130 long before the derivation would."""
    cli.seal(RECORDS)
    document = json.loads(cli.vault.read_bytes())
    document["kdf"] |= {"m": 131_072, "t": 16}
    cli.write(cli.vault, json.dumps(document, indent=2) + "\n")
    cli.write(cli.home / "hook" / "sitecustomize.py", TELL_DERIVING)
    before = tree(cli.folder)

    def interrupt() -> float:
        hook = {"PYTHONPATH": str(cli.home / "hook")}
        with cli.at_terminal("auth", "list", environ=hook) as terminal:
            terminal.answer("Passphrase:", PASSPHRASE)
            terminal.expect("deriving")
            start = time.monotonic()
            os.kill(terminal.pid, signal.SIGINT)
            outcome = terminal.end()
            taken = time.monotonic() - start
        assert outcome.status == 130
        assert "Wrong" not in outcome.stdout
        assert tree(cli.folder) == before
        return taken

    assert quick_once(1, interrupt)


def test_three_wrong_passphrases_are_enough(cli: CommandLine) -> None:
    """A passphrase is asked for three times, shown never, and then the command ends with 9."""
    cli.seal(RECORDS)

    with cli.at_terminal("auth", "list") as terminal:
        terminal.answer("Passphrase:", "guess-1")
        terminal.answer("Wrong passphrase. Try again:", "guess-2")
        terminal.answer("Wrong passphrase. Try again:", "guess-3")
        outcome = terminal.end()

    assert outcome.status == 9
    assert "guess" not in outcome.stdout


def test_a_passphrase_is_taken_at_the_second_try(cli: CommandLine) -> None:
    """A slip of the fingers costs one more question, and the secret comes alone."""
    cli.seal(RECORDS)

    with cli.at_terminal("auth", "token", "openai") as terminal:
        terminal.answer("Passphrase:", "guess-1")
        terminal.answer("Wrong passphrase. Try again:", PASSPHRASE)
        outcome = terminal.end()

    assert outcome.status == 0
    assert outcome.stdout.endswith("\nsk-1\n")


def test_two_new_passphrases_that_differ_change_nothing(cli: CommandLine) -> None:
    """A new passphrase is asked for twice; where the two differ, the command ends with 2."""
    cli.keep(RECORDS)
    before = tree(cli.folder)

    with cli.at_terminal("migrate", "encrypted") as terminal:
        terminal.answer("New passphrase:", PASSPHRASE)
        terminal.answer("The same again:", PASSPHRASE + "s")
        outcome = terminal.end()

    assert outcome.status == 2
    assert "the two passphrases are not the same" in outcome.stdout
    assert tree(cli.folder) == before


def test_a_question_works_inside_a_pipeline(cli: CommandLine) -> None:
    """Where stdin and stdout are pipes, the terminal is asked, and only the secret is piped."""
    cli.seal(RECORDS)

    with cli.at_terminal(
        "auth", "token", "openai", through='echo x | "$@" | tr a-z A-Z >secret; cat secret'
    ) as terminal:
        terminal.answer("Passphrase:", PASSPHRASE)
        outcome = terminal.end()

    assert outcome.stdout.endswith("SK-1\n")
    assert (cli.home / "secret").read_text() == "SK-1\n"


def test_just_enter_is_a_no(cli: CommandLine) -> None:
    """Enter at a question that removes or replaces changes nothing, and that is no error."""
    cli.keep(RECORDS)
    before = tree(cli.folder)

    for command, said in (
        (["auth", "login", "openai"], "Nothing was changed."),
        (["auth", "logout", "openai"], "Nothing was removed."),
    ):
        with cli.at_terminal(*command) as terminal:
            terminal.answer("[y/N]", "")
            outcome = terminal.end()

        assert (outcome.status, said in outcome.stdout) == (0, True)
    assert tree(cli.folder) == before


def test_an_answer_that_is_no_text_is_told(cli: CommandLine) -> None:
    """Bytes that are not UTF-8 at a prompt end with 2, a message and no traceback."""
    cli.keep(RECORDS)

    with cli.at_terminal("auth", "login") as terminal:
        terminal.expect("Provider (number or name):")
        terminal.type(b"\xff\xfe\r")
        outcome = terminal.end()

    assert outcome.status == 2


def test_a_missing_answer_names_the_option(cli: CommandLine) -> None:
    """The error without a terminal says what to give instead."""
    cli.keep(RECORDS)

    assert_refused(cli.run("auth", "login"), 2, "codemesh auth login openai --with-key")
    assert_refused(cli.run("auth", "logout", "openai"), 2, "--yes")
    assert "--with-key" in cli.run("auth", "login", "anthropic").stderr
    assert_refused(cli.run("auth", "login", "azure"), 2, "--field NAME=VALUE")
