"""Which new passphrases are refused, with which reason, and which are not."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codemesh.errors import UsageError
from codemesh.unlock.strength import LEAST, refuse_weak
from support import CANARY, shown

FEW = "repeats a few characters"
RUN = "follows the keyboard, the alphabet or the digits"
COMMON = "is made of words that are guessed first"
REASONS = re.compile(
    rf"the passphrase (is empty|{FEW}|{RUN}|{COMMON}"
    r"|has (1 character|([2-9]|1[01]) characters), and needs at least 12)"
)


def reason(passphrase: str, known: tuple[str, ...] = ()) -> str:
    """Why it is refused, without the words that every reason starts with."""
    with pytest.raises(UsageError) as caught:
        refuse_weak(passphrase, known=known)
    return caught.value.message.removeprefix("the passphrase ")


# -- length ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passphrase", "why"),
    [
        ("", "is empty"),
        ("x", "has 1 character, and needs at least 12"),
        ("hello", "has 5 characters, and needs at least 12"),
        ("Tr0ub4dor&3", "has 11 characters, and needs at least 12"),
        ("\U0001f511" * 11, "has 11 characters, and needs at least 12"),
    ],
)
def test_short_is_refused(passphrase: str, why: str) -> None:
    """A passphrase that is empty, or has fewer than twelve characters, is refused."""
    assert reason(passphrase) == why


def test_length_is_counted_in_composed_characters() -> None:
    """An accent that is stored as a character of its own makes no passphrase longer."""
    composed = "gr\u00fcn\u00e4\u00f6kern"

    decomposed = unicodedata.normalize("NFD", composed)

    assert len(composed) < LEAST <= len(decomposed)
    assert reason(decomposed) == "has 10 characters, and needs at least 12"


# -- patterns ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "passphrase",
    ["aaaaaaaaaaaa", "AaAaAaAaAaAa", "121212121212", "abcdabcdabcd", " " * 12, "x" * 1024],
)
def test_few_characters_are_refused(passphrase: str) -> None:
    """A passphrase of fewer than five different characters is refused, however long."""
    assert reason(passphrase) == FEW


@pytest.mark.parametrize(
    "passphrase",
    [
        "abcdefghijkl",
        "lkjihgfedcba",
        "ABCdefGHIjkl",
        "uvwxyzabcdef",
        "abcdefabcdef",
        "abcdefgabcde",
        "123456789012",
        "098765432109",
        "123456123456",
        "123456654321",
        "1-2-3-4-5-6-7",
        "12345 67890 12345",
        "qwertyuiop[]",
        "qwertyqwerty",
        "poiuytrewq098",
        "asdfghjklasdf",
        "zxcvbnm,./zxcvbnm,./",
        "qwertzuiopqwertz",
        "azertyuiopqsdfghjklm",
        "qwerty123456!",
        "1qaz2wsx3edc",
        "1qaz!QAZ2wsx@WSX",
        "!@#$%^&*()_+",
        "1234567890-=",
    ],
)
def test_runs_are_refused(passphrase: str) -> None:
    """Neighbours on a keyboard, in the alphabet or among the digits, all through, are refused."""
    assert reason(passphrase) == RUN


# -- common words ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "passphrase",
    [
        "Password123!!!",
        "passwordpassword",
        "password" * 128,
        "P a s s w o r d 1 2 3",
        "2024-PASSWORD-2024",
        "P4$$w0rd1234",
        "pa55w0rdpa55w0rd",
        "P4$$w0rd-2024-p4$$w0rd",
        "m4573r123456",
        "@dm1n1str@t0r",
        "m@st3rm@st3r",
        "we1c0me!we1c0me!",
        "letmeinplease",
        "LetMeIn-LetMeIn",
        "l3tm31nl3tm31n",
        "trustno1trustno1",
        "dragon monkey master",
        "DragonMonkey2024",
        "iloveyou123456",
        "iloveyoupassword",
        "thisismypassword",
        "sunshine, princess!",
        "codemesh2024!",
        "code mesh password",
        "codemeshcodemesh",
    ],
)
def test_common_words_are_refused(passphrase: str) -> None:
    """One common word, as often as one likes, or up to three of them, are refused in any dress."""
    assert reason(passphrase) == COMMON


@pytest.mark.parametrize(
    "passphrase",
    [
        "anthropic2024!",
        "Winifred-Winifred",
        "w1n1fr3d!!!!!!",
        "winifredslaptop",
        "Laptop.Winifred",
    ],
)
def test_words_of_the_place_are_refused(passphrase: str) -> None:
    """What the caller knows of the user and the machine counts as common, and else does not."""
    known = ("anthropic", "winifred", "Winifreds-Laptop.local")

    refuse_weak(passphrase)

    assert reason(passphrase, known) == COMMON


def test_known_words_of_one_or_two_letters_do_not_count() -> None:
    """A user named "jo" on a host "r2" may still have a passphrase of many such syllables."""
    refuse_weak("jo-ri jo-ri-jo", known=("jo", "ri", "", "r2", "42"))


# -- what is fine ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "passphrase",
    [
        "correct horse battery staple",
        "a passphrase of tests",
        "made up for the benchmark",
        "hidden-words",
        "password of my grandmother",
        "my dragon ate your homework",
        "dragon monkey master football",
        "passwordpasswordx",
        "abcdef and nothing else",
        "qwerty is a keyboard",
        "8529 4417 2093",
        "8529 7357 4417 2093 6135",
        "@$7!90#35&4(1)57",
        "xK9#mQ2$vL7!",
        "d41d8cd98f00b204",
        "4a70b91925c66803",
        "gr\u00fcne \u00c4pfel und Birnen",
        "\u043a\u043e\u0440\u043e\u0432\u0430 \u043f\u044c\u0435\u0442 \u0447\u0430\u0439",
        "\u99ac\u96fb\u6c60\u6b63\u78ba\u91d8\u5929\u6c17\u6708\u706b\u6c34\u6728",
        " spaces at both ends ",
        f"one {'more ' * 300}word",
    ],
)
def test_others_are_taken(passphrase: str) -> None:
    """A common word or a run within a passphrase is no fault, and no kind of sign is asked for."""
    refuse_weak(passphrase, known=("anthropic", "winifred"))


# -- the error ---------------------------------------------------------------------------


PIECES = st.sampled_from(["password", "Dragon", "qwerty", "123", "!", "1", "i", "pa", "\u00e9"])


def refusal(passphrase: str, known: list[str]) -> UsageError | None:
    """The error that refuses it; None if it is taken."""
    try:
        refuse_weak(passphrase, known=known)
    except UsageError as error:
        return error
    return None


@given(st.text(max_size=40) | st.lists(PIECES, max_size=12).map("".join), st.lists(st.text()))
@example("half \ud83d of a pair", [])
@example("\0" * 12, ["\0"])
@example("1!il0" * 400, ["lil", "ili", "ill", "lili", "illi"])
def test_nothing_but_a_fixed_reason_is_raised(passphrase: str, known: list[str]) -> None:
    """Whatever the text, it is taken or refused, and the error has fixed words and a count."""
    error = refusal(passphrase, known)

    if error is not None:
        assert REASONS.fullmatch(str(error))
        assert error.hint.startswith("Take at least 12 characters")
        assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize("passphrase", [CANARY[:11], CANARY * 3])
def test_error_carries_no_passphrase(passphrase: str) -> None:
    """Neither the error nor what hangs on it holds the passphrase or a known word."""
    with pytest.raises(UsageError) as caught:
        refuse_weak(passphrase, known=(CANARY, "sk", "canary"))

    assert CANARY[:11] not in shown(caught.value)
    assert "canary" not in shown(caught.value)


def test_asking_twice_says_the_same() -> None:
    """A refusal leaves nothing behind: the next one of the same passphrase is the same."""
    known = ("winifred",)

    assert reason("winifredwinifred", known) == reason("winifredwinifred", known)
    refuse_weak("winifredwinifred")
