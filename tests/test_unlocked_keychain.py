"""An unlocked store whose key rests in the keychain: on macOS and Windows, and where asked for."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, cast

import pytest

import codemesh
from codemesh.checks import UNLOCKED_SERVICE
from codemesh.errors import LockedError
from codemesh.unlock import resting
from homes import backend, write_config
from places import PLACES
from support import CANARY, api_key

if TYPE_CHECKING:
    from pathlib import Path

    from codemesh.backends.context import KeychainItems
    from desktops import GnomeKeyring
    from places import Place

pytestmark = pytest.mark.usefixtures("cheap")

UNLOCKED = "codemesh-unlocked/"


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    """Each keychain in turn."""
    return cast("Place", request.getfixturevalue(request.param))


@pytest.fixture
def unlocked(home: Path, place: Place) -> Path:
    """A home whose encrypted store is unlocked for a minute, its key in the keychain."""
    prepared(home, place)
    backend(home, "encrypted").unlock(60.0)
    return home


def prepared(home: Path, place: Place) -> None:
    """A home whose encrypted store has an entry and lets its key rest in the keychain."""
    named = place.options.get("keyring_backend", "auto")
    write_config(
        home,
        'backend = "encrypted"\n'
        '[backends.encrypted]\nunlock_cache = "keychain"\n'
        f'[backends.keychain]\nkeyring_backend = "{named}"\n',
    )
    backend(home, "encrypted").put("openai", api_key(CANARY))


def texts(place: Place) -> list[str]:
    """The resting keys that lie in a keychain, without the list that it may need."""
    items = place.items(UNLOCKED)
    return [text for text in items.values() if not text.startswith(("[", "{"))]


def token(home: Path) -> str:
    """What a process without a passphrase reads."""
    return codemesh.open_store(str(home), environ={}).token("openai").reveal()


def test_the_keychain_opens_the_store(unlocked: Path, place: Place) -> None:
    """The key is one item, and every process opens the store by it until it is locked."""
    assert token(unlocked) == CANARY
    assert len(texts(place)) == 1

    assert backend(unlocked, "encrypted").lock()

    assert texts(place) == []
    with pytest.raises(LockedError):
        token(unlocked)


def test_unlocking_twice_keeps_one_item(unlocked: Path, place: Place) -> None:
    """A second `unlock` replaces what rested."""
    (first,) = texts(place)

    backend(unlocked, "encrypted").unlock(120.0)

    assert len(texts(place)) == 1
    assert texts(place) != [first]
    assert token(unlocked) == CANARY


def test_an_expired_key_is_deleted_when_seen(
    unlocked: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keychain forgets nothing on time: whoever finds an old key deletes it."""
    later = time.time() + 61
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: later)
        with pytest.raises(LockedError):
            token(unlocked)

    assert texts(place) == []


def test_it_is_no_credential(unlocked: Path, place: Place) -> None:
    """A resting key is no entry of the keychain store."""
    del place

    assert backend(unlocked, "keychain").names() == []


@pytest.mark.parametrize("text", ["no key", "!!!!", "QUJD", "{}"])
def test_what_is_no_key(unlocked: Path, place: Place, text: str) -> None:
    """An item of ours that is no key opens nothing, and is deleted when seen."""
    store = codemesh.open_store(str(unlocked), environ={})
    assert store.backend.context.keychain is not None
    items = store.backend.context.keychain(UNLOCKED_SERVICE)
    (name,) = items.names()
    items.write(name, text)

    with pytest.raises(LockedError):
        token(unlocked)

    assert texts(place) == []


def test_a_locked_keychain_is_not_asked(home: Path, desktop: GnomeKeyring, gnome: Place) -> None:
    """A locked keychain has no key for us and is not made to ask; the passphrase works."""
    prepared(home, gnome)
    backend(home, "encrypted").unlock(60.0)
    desktop.restart()

    with pytest.raises(LockedError):
        token(home)

    assert backend(home, "encrypted").names() == ["openai"]


def test_no_keychain(home: Path) -> None:
    """Where there is no keychain no key rests, and the passphrase works."""
    write_config(home, 'backend = "encrypted"\n[backends.encrypted]\nunlock_cache = "keychain"\n')
    backend(home, "encrypted").put("openai", api_key("one"))

    assert backend(home, "encrypted").names() == ["openai"]
    with pytest.raises(LockedError):
        token(home)


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14"])
def test_elsewhere_the_kernel_is_the_keychain(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """`kernel`, the default, means the keychain where there is no Linux."""
    monkeypatch.setattr(sys, "platform", platform)
    asked: list[str] = []

    def keychain(service: str) -> KeychainItems:
        asked.append(service)
        return cast("KeychainItems", None)

    place = resting.place("kernel", keychain)

    assert isinstance(place, resting.KeychainPlace)
    assert asked == ["codemesh-unlocked"]
    assert resting.place("none", keychain) is None
