"""The questions that open a sealed store, and those that give it a new passphrase."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from codemesh.cli import terminal
from codemesh.errors import LockedError, UsageError

if TYPE_CHECKING:
    from codemesh.secret import Secret

_ATTEMPTS = 3
_MISSING = "the passphrase is missing"
_NOBODY = "the store needs its passphrase, and there is no terminal to ask at"
_WARNING = "The encrypted store is new. Without its passphrase nobody can open it, you included."


def ask(*, new: bool, attempt: int) -> str:
    """The prompt that opens a sealed store; for a new store, `ask_new`.

    Raises LockedError if there is no terminal, or the input ends.
    """
    if not terminal.can_ask():
        raise LockedError(_NOBODY, hint=LockedError.sources_hint if new else "")
    if new:
        terminal.say(_WARNING)
        return ask_new()
    return _hidden("Passphrase:" if attempt == 1 else "Wrong passphrase. Try again:")


def ask_replacement(*, new: bool, attempt: int) -> str:
    """The prompt for the passphrase that a store is to have from now on."""
    del new, attempt
    if not terminal.can_ask():
        raise LockedError(
            "the new passphrase is missing, and there is no terminal to ask at",
            hint="Use --new-passphrase-fd N or CODEMESH_NEW_PASSPHRASE.",
        )
    return ask_new()


def ask_new() -> str:
    """A new passphrase, typed twice; whoever types none is offered six random words.

    Three times at most, each refusal with its reason. Raises UsageError with the last one,
    and LockedError if the input ends.
    """
    from codemesh.unlock.passphrases import refuse_weak

    terminal.say("Press Enter alone to have one of six random words made for you.")
    for attempt in range(1, _ATTEMPTS + 1):
        first = _hidden("New passphrase:")
        try:
            refuse_weak(first, os.environ)
        except UsageError as error:
            if first == "" and _wants_words():
                return _generated()
            if attempt == _ATTEMPTS:
                raise
            terminal.say(f"{error.message[:1].upper()}{error.message[1:]}.")
            continue
        if _hidden("The same again:") == first:
            return first
        raise UsageError("the two passphrases are not the same", hint="Nothing was changed.")
    raise AssertionError("the last attempt returns or raises")


def _wants_words() -> bool:
    question = "An empty passphrase protects nothing. Make one of six random words? [Y/n]"
    answer = terminal.ask(question, missing=_MISSING)
    return answer.strip().lower() in {"", "y", "yes"}


def _generated() -> str:
    """Six random words, shown once, and typed once to see that they were written down."""
    from codemesh.unlock import words

    made: Secret = words.generate()
    terminal.reveal_once("")
    terminal.reveal_once(f"    {made.reveal()}")
    terminal.reveal_once("")
    terminal.say("Write it down now: it is not shown again.")
    for attempt in range(1, _ATTEMPTS + 1):
        typed = _hidden("Type it to go on:" if attempt == 1 else "That is another one. Again:")
        if " ".join(typed.split()) == made.reveal():
            return made.reveal()
    raise UsageError("what was typed is not the passphrase shown", hint="Nothing was changed.")


def _hidden(question: str) -> str:
    return terminal.ask_secret(question, missing=_MISSING, ended=LockedError)
