"""`codemesh passwd` at a terminal: what it asks, and how it ends at each question."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from codemesh.backends.base import same
from commandline import CTRL_C, END_OF_INPUT, PASSPHRASE, CommandLine, Terminal, tree
from test_passwd import NEW, RECORDS, assert_changed, found
from test_passwd import cli as cli  # noqa: PLC0414  a fixture

if TYPE_CHECKING:
    from collections.abc import Sequence

OLD = ("Passphrase:", PASSPHRASE)
ENTER_ALONE = ("New passphrase:", "")
WORDS = ("six random words? [Y/n]", "")
QUESTIONS: dict[str, tuple[str, Sequence[tuple[str, str]]]] = {
    "the old one": ("Passphrase:", []),
    "the old one again": ("Wrong passphrase. Try again:", [("Passphrase:", "wrong")]),
    "the new one": ("New passphrase:", [OLD]),
    "the new one after a weak one": ("New passphrase:", [OLD, ("New passphrase:", "password")]),
    "the same again": ("The same again:", [OLD, ("New passphrase:", NEW)]),
    "whether to make words": (WORDS[0], [OLD, ENTER_ALONE]),
    "the words": ("Type it to go on:", [OLD, ENTER_ALONE, WORDS]),
}
WEAK = {
    "short": "needs at least",
    "aaaaaaaaaaaaaaaaaa": "repeats a few characters",
    "mypassphrase": "guessed first",
}


def answered(terminal: Terminal, answers: Sequence[tuple[str, str]]) -> None:
    """Answer these questions in turn."""
    for question, answer in answers:
        terminal.answer(question, answer)


def test_the_old_one_once_and_the_new_one_twice(cli: CommandLine) -> None:
    """It asks for the old one once and the new one twice, and shows none of them."""
    with cli.at_terminal("passwd") as terminal:
        answered(terminal, [OLD, ("New passphrase:", NEW), ("The same again:", NEW)])
        outcome = terminal.end()

    assert outcome.status == 0
    asked = re.findall(
        r"^(.*passphrase:|The same.*:)", outcome.stdout, re.MULTILINE | re.IGNORECASE
    )
    assert asked == ["Passphrase:", "New passphrase:", "The same again:"]
    assert "is sealed again" in outcome.stdout
    assert not any(secret in outcome.stdout for secret in (NEW, PASSPHRASE, "sk-"))
    assert_changed(cli)


@pytest.mark.parametrize(("key", "status"), [(CTRL_C, 130), (END_OF_INPUT, None)])
@pytest.mark.parametrize("name", QUESTIONS)
def test_an_end_at_a_question(cli: CommandLine, name: str, key: str, status: int | None) -> None:
    """Ctrl-C ends with 130 and Ctrl-D with 4 or 2, the echo on, and the file is as it was."""
    question, answers = QUESTIONS[name]
    before = tree(cli.home)

    with cli.at_terminal("passwd") as terminal:
        answered(terminal, answers)
        terminal.expect(question)
        terminal.type(key)
        outcome = terminal.end()
        echoes = terminal.echoes()

    assert outcome.status in ({2, 4} if status is None else {status})
    assert "Traceback" not in outcome.stdout
    assert echoes
    assert tree(cli.home) == before


def test_three_refusals(cli: CommandLine) -> None:
    """Each weak passphrase is refused with its reason; after the third it ends with 2."""
    before = tree(cli.home)

    with cli.at_terminal("passwd") as terminal:
        terminal.answer(*OLD)
        for weak, reason in WEAK.items():
            terminal.answer("New passphrase:", weak)
            terminal.expect(reason)
        outcome = terminal.end()

    assert outcome.status == 2
    assert not any(weak in outcome.stdout for weak in WEAK)
    assert tree(cli.home) == before


def test_a_good_one_after_two_refusals(cli: CommandLine) -> None:
    """A strong passphrase at the third attempt is taken."""
    with cli.at_terminal("passwd") as terminal:
        terminal.answer(*OLD)
        for weak in [*WEAK][:2]:
            terminal.answer("New passphrase:", weak)
        answered(terminal, [("New passphrase:", NEW), ("The same again:", NEW)])
        assert terminal.end().status == 0

    assert_changed(cli)


def test_two_that_differ(cli: CommandLine) -> None:
    """A new passphrase that is not typed the same twice ends with 2 and changes nothing."""
    before = tree(cli.home)

    with cli.at_terminal("passwd") as terminal:
        answered(terminal, [OLD, ("New passphrase:", NEW), ("The same again:", NEW + "x")])
        outcome = terminal.end()

    assert outcome.status == 2
    assert "not the same" in outcome.stdout
    assert tree(cli.home) == before


def test_three_wrong_old_ones(cli: CommandLine) -> None:
    """The new one is not even asked for before the old one was right."""
    before = tree(cli.home)

    with cli.at_terminal("passwd") as terminal:
        terminal.answer("Passphrase:", "wrong")
        for _ in range(2):
            terminal.answer("Wrong passphrase. Try again:", "wrong")
        outcome = terminal.end()

    assert outcome.status == 9
    assert "New passphrase:" not in outcome.stdout
    assert tree(cli.home) == before


def test_six_words_are_made(cli: CommandLine) -> None:
    """Enter and Enter make six words, shown once, and those open the store afterwards."""
    with cli.at_terminal("passwd") as terminal:
        answered(terminal, [OLD, ENTER_ALONE, WORDS])
        terminal.expect("Write it down now")
        words = shown_words(terminal)
        terminal.answer("Type it to go on:", "another")
        terminal.answer("That is another one. Again:", words)
        outcome = terminal.end()

    assert outcome.status == 0
    assert outcome.stdout.count(words) == 1
    assert same(found(cli, words), RECORDS)
    assert cli.run("auth", "list", passphrase=PASSPHRASE).status == 9


def test_words_that_are_not_typed(cli: CommandLine) -> None:
    """Who cannot type the words shown, in three attempts, has the old passphrase still."""
    before = tree(cli.home)

    with cli.at_terminal("passwd") as terminal:
        answered(terminal, [OLD, ENTER_ALONE, WORDS, ("Type it to go on:", "another")])
        for _ in range(2):
            terminal.answer("That is another one. Again:", "another")
        outcome = terminal.end()

    assert outcome.status == 2
    assert tree(cli.home) == before


def test_only_what_is_missing_is_asked(cli: CommandLine) -> None:
    """With the new one in a variable the old one alone is asked for, and the other way round."""
    with cli.at_terminal("passwd", environ={"CODEMESH_NEW_PASSPHRASE": NEW}) as terminal:
        terminal.answer(*OLD)
        first = terminal.end()
    with cli.at_terminal("passwd", environ={"CODEMESH_PASSPHRASE": NEW}) as terminal:
        answered(terminal, [("New passphrase:", PASSPHRASE), ("The same again:", PASSPHRASE)])
        second = terminal.end()

    assert (first.status, second.status) == (0, 0)
    assert "New passphrase:" not in first.stdout
    assert "\nPassphrase:" not in f"\n{second.stdout}"
    assert same(found(cli, PASSPHRASE), RECORDS)


def shown_words(terminal: Terminal) -> str:
    """The six words that stand alone on a line of the screen."""
    (line,) = re.findall(r"^ +([a-z-]+(?: [a-z-]+){5})\r?$", terminal._seen, re.MULTILINE)
    assert isinstance(line, str)
    return line
