"""Where the passphrase of a protected store comes from, and what if the keychain has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh.backends.base import same
from codemesh.errors import LockedError, WrongPassphraseError
from homes import ENTRIES
from support import ONE, PASSPHRASE
from test_protect_keychain import User, make_user
from test_protect_keychain import place as place  # noqa: PLC0414  a fixture
from test_protect_keychain import user as user  # noqa: PLC0414  a fixture

if TYPE_CHECKING:
    from pathlib import Path

    from places import Place

pytestmark = pytest.mark.usefixtures("cheap")


# -- no passphrase in the keychain -------------------------------------------------------


def test_an_item_that_is_gone(user: User) -> None:
    """Without it the passphrase sources are asked, and the message names the keychain."""
    (name,) = user.kept().names()
    user.kept().remove(name)
    before = user.vault.read_bytes()

    with pytest.raises(LockedError, match="the keychain has no passphrase for it") as caught:
        user.store().records()
    with pytest.raises(WrongPassphraseError):
        user.store(PASSPHRASE).records()

    assert caught.value.exit_code == 4
    assert caught.value.where == str(user.vault)
    assert user.store().status().locked
    assert user.vault.read_bytes() == before


def test_an_item_that_is_another(user: User) -> None:
    """A passphrase in the keychain that does not open the file is a wrong one, like any other."""
    user.kept().write(user.wrap(), "0" * 64)

    with pytest.raises(WrongPassphraseError) as caught:
        user.store().records()

    assert str(user.vault) in str(caught.value)


def test_a_store_from_before_is_opened_by_its_passphrase(home: Path, place: Place) -> None:
    """Where config.toml says `keychain` by hand, the file is opened and changed as it was."""
    user = make_user(home, place, "passphrase")
    user.store(PASSPHRASE).backend.change(ENTRIES)
    make_user(home, place, "keychain")

    assert same(user.store(PASSPHRASE).records(), ENTRIES)
    assert user.store().status().locked
    assert user.items() == {}

    assert user.change(old=PASSPHRASE, new=None) == "keychain"

    assert same(user.store().records(), ENTRIES)
    assert user.item()


# -- how often it is asked ---------------------------------------------------------------


@pytest.mark.parametrize("place", ["like_windows", "like_macos"], indirect=True)
def test_a_read_asks_the_keychain_once(user: User) -> None:
    """A read is one call to the keychain, whatever the number of entries; it writes nothing."""
    from fake_faults import count, inject

    inject({})
    store = user.store()
    store.records()
    store.records()
    store.names()

    assert count() == count("read") == 1


@pytest.mark.parametrize("place", ["like_windows", "like_macos"], indirect=True)
def test_a_write_of_an_entry_writes_nothing_there(user: User) -> None:
    """To write an entry is to read the passphrase once; the keychain is not written to."""
    from fake_faults import count, inject

    inject({})
    user.store().backend.put("another", ONE)

    assert count() == count("read") == 1
