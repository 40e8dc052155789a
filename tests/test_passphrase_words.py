"""Passphrases that codemesh makes: which words, how many, and what if the list is damaged."""

from __future__ import annotations

import math
import re
import secrets
from importlib import resources

import pytest

from codemesh.errors import StorageError, UsageError
from codemesh.unlock import words
from codemesh.unlock.strength import refuse_weak

FOLDER = resources.files("codemesh.unlock")
LISTED = (FOLDER / "eff_large_wordlist.txt").read_text("ascii").splitlines()


def test_list_is_the_published_one() -> None:
    """It has a word for each throw of five dice, in the order that EFF published."""
    assert len(LISTED) == len(set(LISTED)) == 6**5
    assert LISTED[0] == "abacus"
    assert LISTED[-1] == "zoom"
    assert sorted(LISTED) == LISTED
    assert all(re.fullmatch("[a-z-]{3,9}", word) for word in LISTED)


def test_list_comes_with_its_licence() -> None:
    """Who made the list, where it is, its licence and what was changed stand beside it."""
    text = (FOLDER / "eff_large_wordlist.LICENSE.txt").read_text("ascii")

    assert "Electronic Frontier Foundation" in text
    assert "https://www.eff.org/dice" in text
    assert "https://creativecommons.org/licenses/by/3.0/us/" in text
    assert "Changed:" in text


@pytest.mark.parametrize("count", [1, 6, 12])
def test_passphrase_is_words_of_the_list(count: int) -> None:
    """It has as many words as asked for, each of the list, with single spaces between."""
    made = words.generate(count).reveal().split(" ")

    assert len(made) == count
    assert set(made) <= set(LISTED)


def test_six_words_are_77_bits() -> None:
    """Nobody who asks for no number gets less than six words, which are 77 bits."""
    made = words.generate().reveal().split(" ")

    assert len(made) == 6
    assert 77 < math.log2(len(LISTED)) * 6 < 78


def test_each_word_is_chosen_by_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every word comes from `secrets.choice` over the whole list, one draw a word."""
    drawn: list[int] = []

    def choice(listed: list[str]) -> str:
        drawn.append(len(listed))
        return listed[len(drawn)]

    monkeypatch.setattr(secrets, "choice", choice)

    assert words.generate(3).reveal() == " ".join(LISTED[1:4])
    assert drawn == [6**5] * 3


def test_two_calls_differ() -> None:
    """A second call makes another passphrase."""
    assert words.generate() != words.generate()


def test_passphrase_hides_itself() -> None:
    """What was made does not show itself when it is printed."""
    made = words.generate()

    assert made.reveal() not in f"{made} {made!r}"


def test_made_passphrases_are_not_weak() -> None:
    """What codemesh makes, it takes."""
    for _ in range(50):
        refuse_weak(words.generate().reveal(), known=("anthropic", "openai"))


@pytest.mark.parametrize("count", [0, -1])
def test_no_words_are_no_passphrase(count: int) -> None:
    """Fewer words than one are refused, rather than an empty passphrase made."""
    with pytest.raises(UsageError, match="at least one word"):
        words.generate(count)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n".join(LISTED[:-1]),
        "\n".join([*LISTED, "extra"]),
        "\n".join([*LISTED[:-1], LISTED[0]]),
        "\n".join(LISTED)[:5000],
    ],
    ids=["empty", "one-missing", "one-too-many", "one-twice", "cut-off"],
)
def test_damaged_list_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is not 7,776 different words makes no passphrase; the hint says what helps."""
    monkeypatch.setattr(words, "_read", lambda: text)

    with pytest.raises(StorageError, match=r"word list, .*, is damaged") as caught:
        words.generate()

    assert caught.value.hint == "Install codemesh again."


@pytest.mark.parametrize(
    "error", [FileNotFoundError("gone"), UnicodeDecodeError("ascii", b"\xff", 0, 1, "not ASCII")]
)
def test_list_that_cannot_be_read_is_refused(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that is gone, or is no text, is told as a damaged one."""

    def fail() -> str:
        raise error

    monkeypatch.setattr(words, "_read", fail)

    with pytest.raises(StorageError, match=r"word list, .*, is damaged"):
        words.generate()


def test_line_ends_of_windows_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that turned the line ends of the list gives the same words."""
    monkeypatch.setattr(words, "_read", lambda: "\r\n".join(LISTED) + "\r\n")

    assert set(words.generate().reveal().split(" ")) <= set(LISTED)
