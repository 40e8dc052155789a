"""What a token endpoint answered: what is taken, what is refused, and what never shows."""

from __future__ import annotations

import traceback

import pytest

from codemesh.errors import ProviderError
from codemesh.providers import tokens
from codemesh.secret import Secret
from support import CANARY

NOW = 1_800_000_000
LIVES: list[tuple[object, int]] = [
    (3600, 3600),
    (0, 0),
    (59.9, 59),
    ("3600", 3600),
    ("59.9", 59),
    (tokens.LONGEST, tokens.LONGEST),
    (tokens.LONGEST + 1, tokens.LONGEST),
    (10**400, tokens.LONGEST),
    (1e300, tokens.LONGEST),
    ("9" * 5000, tokens.LONGEST),
]
NO_LIVES: list[object] = [
    *(-1, -0.5, "-1", float("nan"), "NaN", float("-inf"), "inf", "soon", "", " 1", "1_000"),
    *("1e3", "0x10", "\u0661", "1.", True, False, [3600], {"seconds": 1}),
]
NO_TOKENS: list[object] = [
    *(None, "", 5, True, ["at"], {"a": "b"}, "a\nb", "a\x00", "a\x7f", "\x1b[2Jat", "ät"),
    *("\ud83d", "a\u202eb"),
]


def answer(**fields: object) -> dict[str, object]:
    """A good answer whose token must not show, with these fields besides or instead."""
    return {"access_token": CANARY, "token_type": "Bearer", **fields}


def refused(document: dict[str, object]) -> ProviderError:
    """The error about an answer."""
    with pytest.raises(ProviderError) as caught:
        tokens.parse(document, NOW)
    return caught.value


def test_a_full_answer() -> None:
    """Every field of the RFC has its place, and every other one is kept as it is."""
    document = answer(
        refresh_token="rt", expires_in=3600, scope="a b", account={"uuid": "x"}, id_token="jwt"
    )

    read = tokens.parse(document, NOW + 0.9)

    assert read == tokens.Tokens(
        Secret(CANARY),
        Secret("rt"),
        NOW + 3600,
        "a b",
        {"account": {"uuid": "x"}, "id_token": "jwt"},
    )


def test_the_least_answer() -> None:
    """An access token alone is enough; what nobody said is None."""
    read = tokens.parse({"access_token": CANARY}, NOW)

    assert read == tokens.Tokens(Secret(CANARY), None, None, None, {})


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_is_as_good_as_missing(nothing: str | None) -> None:
    """An empty refresh token or scope replaces none that is stored."""
    read = tokens.parse(answer(refresh_token=nothing, scope=nothing, expires_in=None), NOW)

    assert (read.refresh_token, read.scope, read.expires_at) == (None, None, None)


@pytest.mark.parametrize(("life", "seconds"), LIVES, ids=lambda value: str(value)[:12])
def test_lives(life: object, seconds: int) -> None:
    """A life is a number or its digits, cut to whole seconds and to ten years."""
    assert tokens.parse(answer(expires_in=life), NOW).expires_at == NOW + seconds


@pytest.mark.parametrize("life", NO_LIVES, ids=repr)
def test_what_is_no_life(life: object) -> None:
    """What is no number, or below zero, is refused."""
    assert "expires_in" in str(refused(answer(expires_in=life)))


@pytest.mark.parametrize("kind", ["bearer", "Bearer", "BEARER", None])
def test_token_types(kind: str | None) -> None:
    """A bearer token is one in any case of its letters, and when nobody says."""
    assert tokens.parse(answer(token_type=kind), NOW).access_token.reveal() == CANARY


@pytest.mark.parametrize("kind", ["", "mac", "DPoP", "bearer ", 1, ["bearer"], "bea\u0280er"])
def test_other_token_types(kind: object) -> None:
    """A token of a type that nobody here knows is not used (RFC 6749, 7.1)."""
    assert "token_type" in str(refused(answer(token_type=kind)))


@pytest.mark.parametrize("token", NO_TOKENS, ids=ascii)
def test_what_is_no_token(token: object) -> None:
    """An access token that is missing, empty or not printable ASCII is refused."""
    assert "access_token" in str(refused(answer(access_token=token)))
    assert "access_token" in str(refused({"token_type": "bearer"}))


@pytest.mark.parametrize("field", ["refresh_token", "scope"])
@pytest.mark.parametrize("text", ["a\nb", "\x1b]0;x\x07", 5, ["a"], "\u202e"], ids=ascii)
def test_what_is_no_text(field: str, text: object) -> None:
    """A refresh token or a scope that is not printable ASCII is refused."""
    assert field in str(refused(answer(**{field: text})))


def test_nothing_secret_shows() -> None:
    """Neither the tokens' `repr` nor an error, with its causes, shows what was answered."""
    document = answer(refresh_token=CANARY, id_token=CANARY, expires_in=3600)
    bad = answer(refresh_token=CANARY, id_token=CANARY, expires_in=CANARY)

    error = refused(bad)

    assert CANARY not in repr(tokens.parse(document, NOW))
    assert CANARY not in "".join(traceback.format_exception(error)) + repr(error) + error.hint
    assert error.__context__ is None


@pytest.mark.parametrize("token", ["", "a\nb", "ät", "\ud83d"], ids=ascii)
def test_a_stored_token_that_is_none(token: str) -> None:
    """What no header can carry is not sent, and not quoted."""
    with pytest.raises(ProviderError, match="stored token") as caught:
        tokens.sendable(Secret(token))

    assert "log in again" in caught.value.hint.lower()
