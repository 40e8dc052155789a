"""Other programs at the same keychain: what one of them writes, the others read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import keychains
from codemesh.errors import CredentialNotFoundError
from keychains import OLD, SECRET, keychain, library, pair, secret_tool
from places import secret_service_items
from support import ONE, TWO

if TYPE_CHECKING:
    from pathlib import Path

    from desktops import GnomeKeyring

prefix = keychains.prefix
pytestmark = pytest.mark.usefixtures("gnome")


# -- secret-tool -----------------------------------------------------------------------------


def test_secret_tool_prints_the_record(private: Path, prefix: str) -> None:
    """What the system's own tool finds is the record as ASCII JSON, and nothing else."""
    keychain(private, service=None).put("openai", {"type": "api_key", "key": "sk-é\0🔑"})

    assert secret_tool("lookup", *pair(prefix)) == (
        '{"type":"api_key","key":"sk-\\u00e9\\u0000\\ud83d\\udd11"}'
    )


def test_the_default_home_has_the_plain_prefix(home: Path) -> None:
    """The items of the home that everybody has are found under `codemesh`."""
    keychain(home, service=None).put("openai", ONE)

    assert json.loads(secret_tool("lookup", *pair("codemesh"))) == ONE


def test_secret_tool_stores_over_an_entry(private: Path, prefix: str) -> None:
    """A value that secret-tool puts in the place of an entry is the entry."""
    ours = keychain(private, service=None)
    ours.put("openai", ONE)

    secret_tool("store", "--label=mine", *pair(prefix), stdin=json.dumps(TWO, indent=2) + "\n")

    assert ours.get("openai") == TWO
    assert ours.records() == {"openai": TWO}
    assert len(secret_service_items(prefix)) == 1


def test_an_entry_is_stored_over_what_secret_tool_stored(private: Path, prefix: str) -> None:
    """A login changes the item that secret-tool made, and makes no second one."""
    secret_tool("store", "--label=mine", *pair(prefix), stdin=json.dumps(ONE))

    keychain(private, service=None).put("openai", TWO)

    assert json.loads(secret_tool("lookup", *pair(prefix))) == TWO
    assert len(secret_service_items(prefix)) == 1


def test_secret_tool_clears_an_entry(private: Path, prefix: str) -> None:
    """What secret-tool removes is not there any more."""
    ours = keychain(private, service=None)
    ours.change({"openai": ONE, "anthropic": TWO})

    secret_tool("clear", *pair(prefix))

    assert ours.records() == {"anthropic": TWO}
    with pytest.raises(CredentialNotFoundError):
        ours.get("openai")


def test_what_secret_tool_made_is_an_entry(private: Path, prefix: str) -> None:
    """An item that codemesh never wrote is listed, read and removed like any other."""
    secret_tool("store", "--label=mine", *pair(prefix), stdin=json.dumps(ONE))
    ours = keychain(private, service=None)

    assert ours.records() == {"openai": ONE}
    assert ours.status().entries == 1

    ours.remove("openai")
    assert secret_service_items(prefix) == {}


# -- names and homes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("openai", "openai"),
        ("OpenAI", "OpenAI"),
        ("openai/work", "openai/work"),
        ("me@example.org", "me%40example.org"),
        ("100%", "100%25"),
        ("%40", "%2540"),
        ("%probe", "%25probe"),
        ("a\0b\n\x1b\x7f\x85", "a%00b%0A%1B%7F%C2%85"),
        ("Schlüssel 鍵 🔑", "Schlüssel 鍵 🔑"),
        ("\u202egnp.exe", "\u202egnp.exe"),
        (" ", " "),
        ("x" * 255, "x" * 255),
    ],
    ids=lambda text: ascii(text)[:12],
)
def test_a_name_is_found_under_its_service(
    name: str, key: str, private: Path, prefix: str
) -> None:
    """Any name comes back as it was, and is found with what is unsafe percent-encoded."""
    ours = keychain(private, service=None)

    ours.put(name, ONE)

    assert ours.get(name) == ONE
    assert ours.names() == [name]
    assert json.loads(secret_tool("lookup", *pair(prefix, key))) == ONE


def test_names_differ_by_case(private: Path) -> None:
    """Two names that differ by their case are two entries."""
    ours = keychain(private, service=None)

    ours.change({"openai": ONE, "OpenAI": TWO})

    assert ours.records() == {"OpenAI": TWO, "openai": ONE}


def test_two_homes_share_nothing(tmp_path: Path) -> None:
    """What one home keeps, another one neither sees nor removes."""
    one, other = (keychain(tmp_path / name, service=None) for name in ("one", "other"))
    one.put("openai", ONE)

    other.put("openai", TWO)
    other.remove("openai")

    assert one.records() == {"openai": ONE}
    assert other.records() == {}


def test_two_homes_share_what_they_name_alike(tmp_path: Path) -> None:
    """Two homes whose configuration names the same service have the same entries."""
    one, other = (keychain(tmp_path / name, service="shared") for name in ("one", "other"))

    one.put("openai", ONE)
    other.put("anthropic", TWO)

    assert one.records() == other.records() == {"anthropic": TWO, "openai": ONE}


def test_a_prefix_is_no_other_prefix(tmp_path: Path) -> None:
    """A service that another one starts with has entries of its own."""
    short, long = (keychain(tmp_path, service=service) for service in ("mesh", "mesh-2"))

    long.put("openai", ONE)

    assert short.records() == {}
    assert long.records() == {"openai": ONE}


# -- the keyring library -------------------------------------------------------------------------


def test_the_keyring_library_finds_the_same_item(private: Path, prefix: str) -> None:
    """What codemesh wrote the library reads, and what it writes over that is the entry."""
    ours = keychain(private, service=None)
    ours.put("openai", ONE)

    read = library("get_password", f"{prefix}/openai", "openai")
    library("set_password", f"{prefix}/openai", "openai", json.dumps(TWO))

    assert json.loads(read) == ONE
    assert ours.records() == {"openai": TWO}
    assert len(secret_service_items(prefix)) == 1


def test_what_the_keyring_library_made_is_an_entry(private: Path, prefix: str) -> None:
    """An item of the library's is read, changed in place, and removed."""
    library("set_password", f"{prefix}/openai", "openai", json.dumps(ONE))
    ours = keychain(private, service=None)

    first = ours.get("openai")
    ours.put("openai", TWO)
    second = library("get_password", f"{prefix}/openai", "openai")
    ours.remove("openai")

    assert (first, json.loads(second)) == (ONE, TWO)
    assert secret_service_items(prefix) == {}


def test_a_secret_lies_nowhere_in_the_clear(desktop: GnomeKeyring, private: Path) -> None:
    """The files of a real keychain have neither the secret nor the record in the clear."""
    keychain(private, service=None).change({"openai": SECRET, "anthropic": OLD})

    raw = b"".join(path.read_bytes() for path in desktop.keyrings.iterdir())

    assert raw
    assert [text for text in (b"sk-canary", b"api_key", b"the old one") if text in raw] == []
