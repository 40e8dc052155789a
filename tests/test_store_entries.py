"""The front door: which entry a name means, what it gives, what has expired."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh import ApiKey, Custom, OAuth, open_store
from codemesh import config as configuration
from codemesh.backends.base import same
from codemesh.errors import (
    CredentialNotFoundError,
    FieldNotFoundError,
    LoginRequiredError,
    NotUnderstoodError,
)
from homes import write_config, write_plaintext
from support import CANARY, api_key, shown

if TYPE_CHECKING:
    from pathlib import Path

    from codemesh.model import Record

KEY = ApiKey.new("one")


# -- which entry -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "asked", "found"),
    [
        (["github"], "github", "github"),
        (["github"], "github-copilot", "github"),
        (["github-copilot"], "github", "github-copilot"),
        (["github", "github-copilot"], "github", "github"),
        (["github", "github-copilot"], "github-copilot", "github-copilot"),
        (["github-copilot/work"], "github/work", "github-copilot/work"),
        (["openai", "openai/work"], "openai", "openai"),
        (["openai", "openai/work"], "openai/work", "openai/work"),
        (["a/b/c"], "a/b/c", "a/b/c"),
        (["credentials"], "credentials", "credentials"),
    ],
)
def test_name_finds_its_entry(home: Path, entries: list[str], asked: str, found: str) -> None:
    """An exact name wins, and either name of a provider finds its entry."""
    write_plaintext(home, {name: api_key(name) for name in entries})

    assert open_store().resolve(asked) == found
    assert open_store().token(asked).reveal() == found


@pytest.mark.parametrize("asked", ["openai/work", "open", "OPENAI", "openai/", "", "git hub"])
def test_name_finds_nothing_else(home: Path, asked: str) -> None:
    """A name finds no entry that only looks like it, and the error says the name asked for."""
    write_plaintext(home, {"openai": api_key("one"), "openai/other": api_key("two")})

    with pytest.raises(CredentialNotFoundError) as caught:
        open_store().get(asked)

    assert caught.value.name == asked


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (["openai", "openai/work"], "openai/work"),
        (["openai"], "openai"),
        (["openai/other", "openai"], "openai"),
    ],
)
def test_default_account(home: Path, entries: list[str], found: str) -> None:
    """Without an account the default one is meant if it is there, else the plain entry."""
    write_plaintext(home, {name: api_key(name) for name in entries})
    write_config(home, '[accounts]\nopenai = "work"\n')

    assert open_store().resolve("openai") == found


def test_default_account_under_an_alias(home: Path) -> None:
    """A default account that is set under one name of a provider holds for the other."""
    write_plaintext(home, {"github": api_key("plain"), "github-copilot/work": api_key("work")})
    write_config(home, '[accounts]\ngithub = "work"\n')

    assert open_store().resolve("github") == "github-copilot/work"
    assert open_store().resolve("github-copilot") == "github-copilot/work"


def test_name_of_a_new_login(home: Path) -> None:
    """A login without an account makes the entry of the default account if one is set."""
    write_config(home, '[accounts]\nopenai = "work"\n')
    store = open_store()

    assert store.new_entry("openai") == "openai/work"
    assert store.new_entry("openai/other") == "openai/other"
    assert store.new_entry("google") == "google"


# -- what it is --------------------------------------------------------------------------


def test_round_trip_of_every_kind() -> None:
    """Every kind of credential comes back equal and of its type."""
    credentials = {
        "a": ApiKey.new("k", label="mine", created_at=1, expires_at=2**40),
        "b": OAuth({"type": "oauth", "access_token": "t", "refresh_token": "r", "x": [1]}),
        "c": Custom.new({"endpoint": "https://localhost", "api_key": "k"}),
        "d": ApiKey({"type": "apikey", "key": "k"}),
    }

    for name, credential in credentials.items():
        open_store().put(name, credential)

    found = {name: open_store().get(name) for name in credentials}
    assert found == credentials
    assert same(open_store().records()["d"], {"type": "apikey", "key": "k"})


@pytest.mark.parametrize(
    "record",
    [{}, {"type": "unheard-of", "key": CANARY}, {"type": "api_key"}, {"type": "oauth", "key": 1}],
)
def test_record_that_is_not_understood(home: Path, record: Record) -> None:
    """A record of another kind is listed and hides no other; getting it says which it is."""
    write_plaintext(home, {"future": record, "openai": api_key("one")})
    store = open_store()

    with pytest.raises(NotUnderstoodError, match="future") as caught:
        store.token("future")

    assert CANARY not in shown(caught.value)
    assert store.names() == ["future", "openai"]
    assert store.token("openai").reveal() == "one"


def test_expired(home: Path) -> None:
    """An expired credential asks for a login, and is given only to who wants it as it is."""
    write_plaintext(home, {"openai": {**api_key(CANARY), "expires_at": 1}})
    store = open_store()

    for action in (store.fresh, store.token):
        with pytest.raises(LoginRequiredError, match="openai") as caught:
            action("openai")
        assert "codemesh auth login openai" in caught.value.hint
        assert CANARY not in shown(caught.value)

    assert store.token("openai", refresh=False).reveal() == CANARY
    assert store.get("openai").expired(now=1)


def test_fields() -> None:
    """A field is found by its name; a missing one is told with those that there are."""
    store = open_store()
    store.put("azure", Custom.new({"endpoint": "e", "api_key": "k", "number": 7}))

    with pytest.raises(FieldNotFoundError) as caught:
        store.token("azure", "missing")

    assert store.token("azure").reveal() == "k"
    assert store.token("azure", "number").reveal() == "7"
    assert "api_key, endpoint, number" in caught.value.hint


def test_remove_all_or_none() -> None:
    """Removing several entries removes all of them, or none if one is not there."""
    store = open_store()
    for name in ("a", "b", "c"):
        store.put(name, KEY)

    with pytest.raises(CredentialNotFoundError):
        store.remove("a", "missing")
    remaining = store.names()
    store.remove("a", "c")

    assert remaining == ["a", "b", "c"]
    assert store.names() == ["b"]


def test_removal_takes_exact_names(home: Path) -> None:
    """Removing never follows an alias or a default account."""
    write_plaintext(home, {"github": api_key("one"), "openai/work": api_key("two")})
    write_config(home, '[accounts]\nopenai = "work"\n')

    for name in ("github-copilot", "openai"):
        with pytest.raises(CredentialNotFoundError):
            open_store().remove(name)

    assert open_store().names() == ["github", "openai/work"]


def test_home_is_made_private(home: Path) -> None:
    """A home that others could read is tightened at the first write, not before."""
    home.mkdir()
    home.chmod(0o755)
    open_store().names()
    before = home.stat().st_mode & 0o777

    open_store().put("openai", KEY)

    assert (before, home.stat().st_mode & 0o777) == (0o755, 0o700)
    assert configuration.find_home() == str(home)
