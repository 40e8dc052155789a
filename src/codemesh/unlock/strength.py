"""Refuses new passphrases that would be guessed; loaded only where a new one is chosen.

What an existing store opens with is never judged here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codemesh.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST = 12
"""How many characters a new passphrase has at least."""

_HINT = (
    f"Take at least {LEAST} characters that nobody else would: "
    "six random words in a row are a good choice."
)
_READ = 1024  # characters that are looked at; no passphrase is longer
_DISTINCT = 5  # different characters, at least
_JOINED = 3  # common words in a row that are still common
_SHORTEST = 3  # letters of a known word, and keys of a run

_BETWEEN = str.maketrans("", "", " \t-_.")  # what people put between the keys of a run
_ROWS = (  # without those
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "1234567890=",
    "!@#$%^&*()+",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,/",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "wxcvbn",
    *("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol", "0p;/"),  # columns
    *("!qaz", "@wsx", "#edc", "$rfv", "%tgb", "^yhn", "&ujm", "*ik,", "(ol"),
)
_RUNS = " ".join([*_ROWS, *(row[::-1] for row in _ROWS)])

_STANDS_FOR = {
    "0": "o", "1": "li", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i",
}  # fmt: skip  # a sign a line would hide the table

# From general knowledge of the passwords used most. Most ordinary words are left out on purpose.
_COMMON = (
    "password", "passwort", "passwords", "passphrase", "passcode", "passwd", "pass",
    "motdepasse", "contrasena", "senha", "mypassword", "mypassphrase", "newpassword",
    "yourpassword", "thisismypassword", "oldpassword", "secret", "mysecret", "topsecret",
    "login", "logmein", "signin", "access", "letmein", "letmeinplease", "please", "opensesame",
    "sesame", "welcome", "welcomeback", "hello", "helloworld", "changeme", "changeit",
    "changethis", "changemenow", "default", "admin", "administrator", "root", "toor",
    "superuser", "sysadmin", "user", "username", "guest", "demo", "test", "tester", "testing",
    "temp", "temporary", "example", "qwerty", "qwert", "qwertyuiop", "qwertz", "qwertzuiop",
    "azerty", "azertyuiop", "asdf", "asdfgh", "asdfghjkl", "zxcv", "zxcvbn", "zxcvbnm", "qazwsx",
    "qazwsxedc", "abcabc", "abcd", "abcde", "abcdef", "dragon", "monkey", "master",
    "superman", "batman", "spiderman", "starwars", "pokemon", "naruto", "minecraft", "killer",
    "hunter", "shadow", "ninja", "matrix", "mustang", "football", "baseball", "basketball",
    "soccer", "hockey", "liverpool", "chelsea", "arsenal", "barcelona", "yankees", "cowboys",
    "iloveyou", "iloveu", "loveyou", "fuckyou", "fuck", "trustno", "trustnoone", "sunshine",
    "princess", "butterfly", "summer", "winter", "spring", "monday", "friday", "michael",
    "jennifer", "jessica", "jordan", "charlie", "daniel", "thomas", "andrew", "robert", "george",
    "cheese", "computer", "samsung", "google", "apple", "windows", "freedom", "ferrari",
    "mercedes", "harley", "ginger", "pepper", "cookie", "banana", "chocolate", "codemesh",
    "code", "mesh", "vault", "keychain", "credentials", "apikey", "token",
)  # fmt: skip  # a word a line would fill the file


def refuse_weak(passphrase: str, *, known: Iterable[str] = ()) -> None:
    """Raise UsageError with the reason if a new passphrase is empty, short or common.

    `known` are words that belong to the place, such as the user's name, the host's and
    those of providers; they count as common, unless they are shorter than three letters.
    A second call says the same. The error never holds the passphrase.

    As NIST SP 800-63B-4, section 3.1.1.2, asks of verifiers: the whole passphrase is held
    against a list of what is common or to be expected here, never a part of it; the reason
    for a refusal is given; and there are no rules of composition, such as a digit and a
    capital. The least length, the size of the list and what is said of repeats and runs
    are choices of codemesh.
    """
    if not passphrase:
        raise _refused("is empty")
    text = passphrase[:_READ]
    if not text.isascii():
        from unicodedata import normalize

        text = normalize("NFC", text)
    if len(text) < LEAST:
        plural = "" if len(text) == 1 else "s"
        raise _refused(f"has {len(text)} character{plural}, and needs at least {LEAST}")
    text = text.casefold()
    if len(set(text)) < _DISTINCT:
        raise _refused("repeats a few characters")
    if _is_runs(text.translate(_BETWEEN)):
        raise _refused("follows the keyboard, the alphabet or the digits")
    words = {*_COMMON, *_words(known)}
    letters = "".join(filter(str.isalpha, text))
    if letters and (_is_common(letters, words) or _is_common(text, words)):
        raise _refused("is made of words that are guessed first")


def _refused(reason: str) -> UsageError:
    return UsageError(f"the passphrase {reason}", hint=_HINT)


def _is_runs(text: str) -> bool:
    """Whether it is runs of neighbours all through; the last one may be cut off."""
    start = 0
    while start < len(text):
        end = start + _SHORTEST
        if text[start:end] not in _RUNS:
            return False
        while end < len(text) and text[start : end + 1] in _RUNS:
            end += 1
        start = end
    return bool(text)


def _words(known: Iterable[str]) -> set[str]:
    """The letters of each known text, and of each part of it: "anna-laptop" is three words."""
    words = set()
    for text in known:
        spaced = "".join(sign if sign.isalpha() else " " for sign in text.casefold())
        words |= {"".join(spaced.split()), *spaced.split()}
    return {word for word in words if len(word) >= _SHORTEST}


def _is_common(text: str, words: set[str]) -> bool:
    """Whether it reads as one word over and over, or as up to three words.

    A sign that stands for a letter is that letter within a word, and between words that or
    nothing; other signs are nothing. All readings go along the text together, so its
    length counts once.
    """
    beginnings = {word[:end] for word in words for end in range(1, len(word) + 1)}
    # A reading is the word begun and the whole one before it; its value, how many words.
    readings = {("", ""): 0}
    for sign in text:
        letters = sign if sign.isalpha() else _STANDS_FOR.get(sign, "")
        further: dict[tuple[str, str], int] = {}
        for (begun, last), count in readings.items():
            if not letters or not (begun or sign.isalpha()):
                _keep(further, (begun, last), count)
            for grown in (begun + letter for letter in letters):
                if grown in beginnings:
                    _keep(further, (grown, last), count)
                if grown in words:
                    _keep(further, ("", grown), count + (grown != last))
        readings = further
    return any(last and not begun for begun, last in readings)


def _keep(readings: dict[tuple[str, str], int], reading: tuple[str, str], count: int) -> None:
    """Keep a reading that took few words, in the shortest way to it."""
    if count <= _JOINED:
        readings[reading] = min(count, readings.get(reading, count))
