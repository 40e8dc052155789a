"""The text that hides itself: every way in which a value gets printed by accident."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
import sys
import traceback

import pytest

from codemesh import Secret
from support import CANARY

SECRET = Secret(CANARY)


@pytest.mark.parametrize(
    "text",
    [
        str(SECRET),
        repr(SECRET),
        f"{SECRET}",
        f"{SECRET!r}",
        f"{SECRET!s:>20}",
        f"{SECRET:>20}",
        f"{SECRET:.3}",
        "%s %r" % (SECRET, SECRET),  # noqa: UP031  one of the ways
        "{} {!r}".format(SECRET, SECRET),  # noqa: UP032  one of the ways
        pprint.pformat({"key": [SECRET]}),
        str({SECRET.MASK: (SECRET,)}),
        str(ValueError(SECRET)),
        repr(ValueError(SECRET)),
    ],
)
def test_printing_masks(text: str) -> None:
    """However a secret is printed, its text does not show."""
    assert CANARY not in text
    assert "***" in text


def test_reveal() -> None:
    """Asked for, the text comes back as it was put in."""
    assert Secret("a\x00\ud83d\n").reveal() == "a\x00\ud83d\n"
    assert SECRET.reveal() == CANARY


def test_logging_masks(caplog: pytest.LogCaptureFixture) -> None:
    """A secret that is logged does not show."""
    logging.getLogger("test").warning("key %s %r", SECRET, SECRET)

    assert CANARY not in caplog.text


def test_traceback_with_locals_masks() -> None:
    """A traceback that shows local variables does not show the secret."""
    try:
        secret = Secret(CANARY)
        raise ValueError(secret)  # noqa: TRY301  its traceback is the point
    except ValueError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)

    assert CANARY not in "".join(told.format())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle(protocol: int) -> None:
    """A secret is not pickled."""
    with pytest.raises(TypeError) as caught:
        pickle.dumps(SECRET, protocol)

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "use",
    [
        hash,
        len,
        iter,
        json.dumps,
        vars,
        lambda secret: secret + "",
        lambda secret: secret[0],
        lambda secret: secret < secret,  # noqa: PLR0124
        lambda secret: "x" in secret,
    ],
)
def test_it_is_no_text(use: object) -> None:
    """What works on a text does not work on a secret, and the error does not show it."""
    assert callable(use)

    with pytest.raises(TypeError) as caught:
        use(SECRET)

    assert CANARY not in str(caught.value)


def test_nothing_can_be_attached() -> None:
    """A secret takes no attributes, so it has no dictionary to print."""
    with pytest.raises(AttributeError):
        SECRET.extra = 1  # type: ignore[attr-defined]


def test_equality() -> None:
    """Secrets are equal if their texts are; a secret equals no plain text."""
    assert Secret(CANARY) == SECRET
    assert Secret("other") != SECRET
    assert Secret("\u00e4\ud83d") == Secret("\u00e4\ud83d")
    assert CANARY != SECRET
    assert SECRET != CANARY


def test_copies_are_the_same() -> None:
    """A copy of a secret is the secret itself."""
    assert copy.copy(SECRET) is SECRET
    assert copy.deepcopy([SECRET])[0] is SECRET


def test_exception_hook_masks(capsys: pytest.CaptureFixture[str]) -> None:
    """An error that nobody handles does not show a secret that it was given."""
    try:
        raise RuntimeError("failed", SECRET)  # noqa: TRY301  its traceback is the point
    except RuntimeError as error:
        sys.__excepthook__(type(error), error, error.__traceback__)

    assert CANARY not in capsys.readouterr().err
