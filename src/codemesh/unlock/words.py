"""Makes a passphrase of random words; loaded only where one is wanted."""

from __future__ import annotations

import secrets
from importlib import resources

from codemesh.errors import StorageError, UsageError
from codemesh.secret import Secret

_LIST = "eff_large_wordlist.txt"
_LISTED = 6**5  # a word for each throw of five dice


def generate(words: int = 6) -> Secret:
    """Return a new passphrase: random words of the list, with single spaces between them.

    Six words are one of 7,776 to the sixth, 77 bits; each word more adds 12.9. A second
    call returns another passphrase. Raises UsageError for fewer words than one, and
    StorageError if the package's word list is damaged. Source: EFF's long word list,
    https://www.eff.org/dice, which also advises six words.
    """
    if words < 1:
        raise UsageError("a passphrase has at least one word")
    listed = _listed()
    return Secret(" ".join(secrets.choice(listed) for _ in range(words)))


def _listed() -> list[str]:
    """The words, in order. A list that is short or repeats itself would weaken every choice."""
    try:
        listed = _read().split()
    except (OSError, UnicodeDecodeError):
        listed = []
    if len(listed) != _LISTED or len(set(listed)) != _LISTED:
        raise StorageError(
            f"the package's word list, {_LIST}, is damaged", hint="Install codemesh again."
        )
    return listed


def _read() -> str:
    return resources.files("codemesh.unlock").joinpath(_LIST).read_text("ascii")
