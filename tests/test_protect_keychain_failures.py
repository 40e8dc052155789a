"""A change of what protects a store that fails, meets another one, or is made to a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import places
from codemesh.backends._files import StoreFile
from codemesh.backends._keys import StoreKeys
from codemesh.backends.base import same
from codemesh.backends.encrypted import EncryptedBackend
from codemesh.choice import Unlocking
from codemesh.diagnosis import examine, mend
from codemesh.errors import CodemeshError, NotDurableError, RefusedError, StorageError
from homes import ENTRIES
from support import PASSPHRASE
from test_protect_keychain import NEW, User, make_user
from test_protect_keychain_kills import CHANGES, doctored, filled, opening
from test_protect_keychain_kills import place as place  # noqa: PLC0414  a fixture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_faults import Rule

    from codemesh.backends.base import Rekeying
    from desktops import GnomeKeyring
    from places import Place

pytestmark = pytest.mark.usefixtures("cheap")


# -- what fails --------------------------------------------------------------------------


def failing(error: Exception) -> Callable[..., None]:
    """A step that fails."""

    def step(*arguments: object, **options: object) -> None:
        del arguments, options
        raise error

    return step


@pytest.mark.parametrize("before", ["passphrase", "keychain"])
@pytest.mark.parametrize("fault", [{"error": 8}, {"error": 5}, {"forget": True}], ids=str)
def test_a_keychain_that_keeps_nothing(
    home: Path, like_windows: Place, before: str, fault: Rule
) -> None:
    """Where the item cannot be written, or is lost, store and config.toml stay as they were."""
    from fake_faults import inject

    user = filled(home, like_windows, before)
    raw, config = user.vault.read_bytes(), (home / "config.toml").read_bytes()
    items = user.items()
    inject({"write": fault})

    with pytest.raises(CodemeshError) as caught:
        user.change("keychain", old=PASSPHRASE)

    inject({})
    assert caught.value.exit_code in {1, 4, 5}
    assert (user.vault.read_bytes(), (home / "config.toml").read_bytes()) == (raw, config)
    assert user.items() == items
    assert opening(user)


@pytest.mark.parametrize("before", ["passphrase", "keychain"])
def test_a_full_keychain(home: Path, gnome: Place, desktop: GnomeKeyring, before: str) -> None:
    """A keychain whose disk is full keeps the old passphrase, and the store opens as before."""
    if places.SERVICE != "gnome":
        pytest.skip("KeePassXC keeps its file when it likes")
    user = filled(home, gnome, before)
    user.kept().write("filler", "x" * 3000)  # so that the next write is over its limit
    raw, config = user.vault.read_bytes(), (home / "config.toml").read_bytes()
    texts = sorted(user.items().values())
    desktop.fill_disk()

    with pytest.raises(StorageError, match="may be full"):
        user.change("keychain", old=PASSPHRASE)

    assert (user.vault.read_bytes(), (home / "config.toml").read_bytes()) == (raw, config)
    desktop.restart("pw")
    assert sorted(user.items().values()) == texts
    assert opening(user)


@pytest.mark.parametrize("before", ["passphrase", "keychain"])
def test_a_file_that_cannot_be_written(
    home: Path, place: Place, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves the store and config.toml as they were, and no item that is not told."""
    user = filled(home, place, before)
    raw, config = user.vault.read_bytes(), (home / "config.toml").read_bytes()
    ways = opening(user)

    with monkeypatch.context() as patch:
        patch.setattr(StoreFile, "replace", failing(StorageError("the disk is full")))
        with pytest.raises(StorageError):
            user.change("keychain", old=PASSPHRASE)

    assert (user.vault.read_bytes(), (home / "config.toml").read_bytes()) == (raw, config)
    assert opening(user) == ways
    doctored(user, ways[0])
    assert len(user.items()) == (1 if before == "keychain" else 0)


@pytest.mark.parametrize("after", ["passphrase", "keychain"])
def test_an_old_item_that_cannot_be_removed(
    home: Path, place: Place, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is done, which is said, config.toml fits it, and `doctor` tells the old item."""
    user = filled(home, place, "keychain")

    with monkeypatch.context() as patch:
        patch.setattr(StoreKeys, "forget_that_of", failing(StorageError("the keychain is full")))
        changed = user.changed(after)

    assert "stays in the keychain, and opens nothing: the keychain is full" in changed.note
    assert user.protected() == after
    way = None if after == "keychain" else NEW
    assert opening(user)[0] == way
    doctored(user, way)
    assert len(user.items()) == (1 if after == "keychain" else 0)


@pytest.mark.parametrize(("before", "after"), [pair[:2] for pair in CHANGES.values()])
def test_a_disk_that_does_not_confirm(
    home: Path, place: Place, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the write is done but not confirmed, config.toml says what protects the store now."""
    user = filled(home, place, before)
    real = StoreFile.replace

    def replace(file: StoreFile, raw: bytes) -> None:
        real(file, raw)
        raise NotDurableError("not confirmed")

    with monkeypatch.context() as patch:
        patch.setattr(StoreFile, "replace", replace)
        with pytest.raises(NotDurableError):
            user.change(after, old=PASSPHRASE)

    assert user.protected() == after
    way = None if after == "keychain" else NEW
    assert opening(user)[0] == way


# -- others ------------------------------------------------------------------------------


def test_two_move_it_to_the_keychain_at_once(
    home: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who comes second is refused, and config.toml fits what the first one has done."""
    user = filled(home, place, "passphrase")
    real = EncryptedBackend.rekey

    def rekey(self: EncryptedBackend, wish: Rekeying) -> Callable[[], object]:
        commit = real(self, wish)
        monkeypatch.setattr(EncryptedBackend, "rekey", real)
        user.change("keychain", old=PASSPHRASE)
        return commit

    monkeypatch.setattr(EncryptedBackend, "rekey", rekey)
    with pytest.raises(RefusedError, match="changed by somebody else"):
        user.change("keychain", old=PASSPHRASE)

    assert user.item()
    assert user.protected() == "keychain"
    assert None in opening(user)


def test_an_older_copy_takes_nothing_away(home: Path, place: Place) -> None:
    """`doctor --fix` beside an old copy of the file leaves the passphrase of the store alone."""
    user = filled(home, place, "keychain")
    copy = User(home.with_name("copy"), place)
    make_user(copy.home, place, "keychain")
    copy.vault.write_bytes(user.vault.read_bytes())
    copy.vault.chmod(0o600)
    user.change("keychain")
    assert None in opening(user)

    mend(list(examine(str(copy.home), Unlocking(environ={}))))

    assert None in opening(user)


def test_a_change_of_a_copy_takes_nothing_away(home: Path, place: Place) -> None:
    """`passwd` on a copy of the file leaves the file that it was copied from readable."""
    user = filled(home, place, "keychain")
    copy = User(home.with_name("copy"), place)
    make_user(copy.home, place, "keychain")
    copy.vault.write_bytes(user.vault.read_bytes())
    copy.vault.chmod(0o600)

    copy.change("passphrase")

    assert same(copy.store(NEW).records(), ENTRIES)
    assert None in opening(user)
