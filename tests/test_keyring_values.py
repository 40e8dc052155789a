"""What a keychain reached through the keyring library keeps: every value and every name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import keyrings
from codemesh.backends import _cells
from codemesh.backends.base import same
from codemesh.errors import TooLargeError, UsageError
from keyrings import Ring, kept, sized, written
from support import ONE, THREE, TWO, api_key

if TYPE_CHECKING:
    from pathlib import Path

    from codemesh.model import Record

ring = keyrings.ring
windows = keyrings.windows
macos = keyrings.macos

NAMES = [
    *["openai", "Openai", "OPENAI", "z", "Z", "anthropic/work", "a b", " ", "\n", "/", "a//b"],
    *["@", "a@b", "b@a", "%", "a%b", "a%40b", "a%25b", "x", "x@codemesh/x", "codemesh/x", "../x"],
    *["%list", "%probe", "x%part-a-1", "x%2", "%list%2", "%list%part-a-1", "%h", "*", "?", "\\"],
    *[
        "\0",
        "a\0",
        "a\0b",
        "\ufeffa",
        "é",
        "É",
        "e\u0301",
        "ß",
        "SS",
        "\u0131",
        "\u212a",
        "\u202e",
    ],
    *["\U0001f511" * 255, "\U0001f511" * 254 + "x", "a" * 255, "A" * 255, "A" * 254 + "a"],
]
"""Names that something between codemesh and a keychain could take for one another."""

CONTENTS = [
    *["", "é", "\U0001f511", "\0", "a\0b", "\ufeffa", "\ufffe", "\ud7ff", "\ue000", "\U0010ffff"],
    *["\\ud800", "\\u0000", '"', "\\", "\r\n\t", "\x7f\x80\x9f", "\u2028", "\u202e", " a ", "%"],
]


# -- values ------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1279, 1280, 1281, 2559, 2560, 2561])
def test_a_text_at_the_limit(ring: Ring, length: int) -> None:
    """A record that fits one item is one; a longer one is cut where it must be, and whole."""
    record = sized(length)

    ring.open().put("openai", record)

    assert same(ring.open().records(), {"openai": record})
    assert ring.tidy({"openai": record})


def test_the_longest_text(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record takes as many items as there may be, and not one more character."""
    if ring.limit is None:
        pytest.skip("this keychain has no limit")
    monkeypatch.setattr(_cells, "MOST_PARTS", 3)
    longest = sized(3 * ring.limit)

    ring.open().put("openai", longest)

    assert same(ring.open().get("openai"), longest)
    with pytest.raises(TooLargeError):
        ring.open().put("other", sized(3 * ring.limit + 1))
    assert ring.tidy({"openai": longest})


def test_a_text_that_is_too_long(ring: Ring) -> None:
    """A record beyond the limit is refused before anything is written, with its whole batch."""
    from fake_faults import count, inject

    ring.fill({"openai": ONE})
    before = ring.items()
    inject({})
    too_long = sized(1280 * 256 + 1 if ring.limit else 2**24 + 1)

    with pytest.raises(TooLargeError) as caught:
        ring.open().change({"a": TWO, "openai": too_long}, ["openai"])

    assert (count("write"), count("delete")) == (0, 0)
    assert ring.items() == before
    assert "openai" in str(caught.value)
    assert "codemesh backend list" in caught.value.hint


@pytest.mark.parametrize("content", CONTENTS, ids=ascii)
def test_a_content_comes_back(ring: Ring, content: str) -> None:
    """Whatever a text has in it comes back, and lies in the keychain as ASCII."""
    record = api_key(content)

    ring.open().put("openai", record)

    assert same(ring.open().get("openai"), record)
    assert ring.items()[ring.key("openai")] == written(record)
    assert written(record).isascii()


def test_half_a_character_is_refused(ring: Ring) -> None:
    """Half a surrogate pair is no text, and nothing is written."""
    with pytest.raises(UsageError):
        ring.open().put("openai", api_key("\ud800"))

    assert ring.items() == {}


def test_the_limit_counts_what_is_written(ring: Ring) -> None:
    """A character that is escaped counts as the characters of its escape, and may be cut."""
    record = api_key("\U0001f511" * 400)

    ring.open().put("openai", record)

    assert same(ring.open().get("openai"), record)
    assert ring.tidy({"openai": record})
    assert len(ring.items()) == 2 + (len(ring.parts(written(record))) if ring.limit else 0)


def test_a_text_that_looks_like_a_manifest(ring: Ring) -> None:
    """A record that has the words of a manifest in it is a record."""
    record: Record = {'["codemesh-parts"': ["codemesh-parts", 1, "a", 3, 1], "codemesh-list": 1}

    ring.open().put("openai", record)

    assert same(ring.open().records(), {"openai": record})


# -- names -------------------------------------------------------------------------------


def test_names_are_distinct(ring: Ring) -> None:
    """Names that look alike, or like something of codemesh's own, are entries of their own."""
    records = {name: api_key(f"of {number}") for number, name in enumerate(NAMES)}

    ring.open().change(records)

    assert same(ring.open().records(), records)
    assert ring.tidy(records)


def test_names_are_removed_alone(ring: Ring) -> None:
    """Removing an entry leaves those whose names look like it."""
    names = ["x", "X", "x%2", "x%part-a-1", "%list", "%probe", "x@codemesh/x", "\0"]
    records = {name: sized(2000) for name in names}
    ring.fill(records)

    while records:
        ring.open().remove(names.pop())
        records = {name: records[name] for name in names}

        assert same(ring.open().records(), records)
        assert ring.tidy(records)


def test_a_list_that_is_too_long(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the names alone are too long, the next entry is refused and the rest stays."""
    if ring.limit is None:
        pytest.skip("this keychain has no limit")
    monkeypatch.setattr(_cells, "MOST_PARTS", 3)
    first = {"\U0001f511" * 255: ONE}
    ring.fill(first)
    before = ring.items()

    with pytest.raises(TooLargeError):
        ring.open().change({"\U0001f512" * 255: TWO, "x": THREE})

    assert ring.items() == before
    assert same(ring.open().records(), first)


# -- as other programs see it ------------------------------------------------------------


def test_windows_has_it_as_documented(windows: Ring) -> None:
    """On Windows an entry is a credential with its name as user, kept on this machine."""
    windows.open().put("openai", ONE)

    assert kept()["windows"]["CODEMESH/OPENAI"] == {
        "TargetName": "codemesh/openai",
        "Persist": 2,
        "UserName": "openai",
        "Comment": "Stored using python-keyring",
        "CredentialBlob": written(ONE).encode("utf-16-le").hex(),
    }


def test_macos_has_it_as_documented(macos: Ring) -> None:
    """On macOS an entry is an item with its name as account."""
    macos.open().put("openai", ONE)

    assert kept()["macos"]["codemesh/openai"] == {"openai": written(ONE).encode().hex()}


def test_the_environment_moves_nothing(windows: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment makes a credential roam to other machines."""
    monkeypatch.setenv("KEYRING_PROPERTY_PERSIST", "enterprise")
    monkeypatch.setenv("KEYRING_PROPERTY__PERSIST", "3")

    windows.open().put("openai", sized(2000))

    assert {each["Persist"] for each in kept()["windows"].values()} == {2}


def test_other_programs_find_it(ring: Ring) -> None:
    """The keyring library finds an entry by service and user, and so does another home."""
    ring.fill({"openai": ONE, "a@b": TWO})

    keyring = ring.foreign()

    assert keyring.get_password("codemesh/openai", "openai") == written(ONE)
    assert keyring.get_password("codemesh/a%40b", "a%40b") == written(TWO)


def test_homes_do_not_meet(ring: Ring, home: Path) -> None:
    """Another folder has a prefix of its own, and sees nothing of this one."""
    ring.fill({"openai": ONE})
    other = ring.at(home.with_name("other"))

    other.open().put("openai", TWO)
    other.open().put("google", THREE)
    other.open().remove("openai")

    assert same(ring.open().records(), {"openai": ONE})
    assert same(other.open().records(), {"google": THREE})
