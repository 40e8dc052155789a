"""An encrypted store whose passphrase the keychain keeps, on every keychain there is for tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest

import codemesh
from codemesh import migration, protection
from codemesh.backends import _vault
from codemesh.backends.base import same
from codemesh.errors import LockedError, UsageError, WrongPassphraseError
from codemesh.unlock.passphrases import NEW_VARIABLE, VARIABLE, NewPassphrases
from homes import ENTRIES, write_config
from places import PLACES
from support import CANARY, ONE, PASSPHRASE, TWO, api_key

if TYPE_CHECKING:
    from pathlib import Path

    from codemesh.backends.context import KeychainItems
    from codemesh.store import Store
    from places import Place

pytestmark = pytest.mark.usefixtures("cheap")

NEW = "violet anchor twelve meadow"
UNDER = "codemesh-vault/"
# The passphrase of 256 bits, and the place of the file that it was made for.
GENERATED = r"[0-9a-f]{64}\.[0-9a-f]{16}"
CONFIG = """# mine
backend = "encrypted"

[backends.encrypted]
protect = "{protect}"  # for now

[backends.keychain]
keyring_backend = "{named}"
"""


class User(NamedTuple):
    """Somebody with a home and a keychain."""

    home: Path
    place: Place

    @property
    def vault(self) -> Path:
        """The file of the encrypted store."""
        return self.home / "auth.vault.json"

    def store(self, passphrase: str | None = None) -> Store:
        """The store, as a process opens it that begins now, and asks nobody."""
        environ = {} if passphrase is None else {VARIABLE: passphrase}
        return codemesh.open_store(str(self.home), environ=environ)

    def change(
        self, protect: str | None = None, *, old: str | None = None, new: str | None = NEW
    ) -> str:
        """Change the passphrase, or what keeps it; what does so afterwards."""
        return self.changed(protect, old=old, new=new).protect

    def changed(
        self, protect: str | None = None, *, old: str | None = None, new: str | None = NEW
    ) -> protection.Changed:
        """As `change`, with all that there is to say of it."""
        environ = {} if new is None else {NEW_VARIABLE: new}
        source = NewPassphrases(environ=environ)
        return protection.change_passphrase(self.store(old), source, protect=protect)

    def protected(self) -> str:
        """What config.toml says that keeps the passphrase."""
        config = (self.home / "config.toml").read_text()
        (found,) = re.findall(r'protect = "(\w+)"  # for now', config)
        return str(found)

    def wrap(self) -> str:
        """The name of the passphrase of the file that is there."""
        vault = _vault.parse(self.vault.read_bytes())
        return f"{vault.id.hex()}.{vault.kdf.salt.hex()}"

    def kept(self) -> KeychainItems:
        """The passphrases in the keychain, as codemesh finds them."""
        keychain = self.store().backend.context.keychain
        assert keychain is not None
        return keychain("codemesh-vault")

    def items(self) -> dict[str, str]:
        """The passphrases in the keychain, without the list that it may need."""
        items = self.place.items(UNDER)
        return {key: text for key, text in items.items() if "%list" not in key}

    def item(self) -> str:
        """The one passphrase that the keychain has, which is that of the file."""
        ((key, text),) = self.items().items()
        assert UNDER + self.wrap() in key
        return text


def make_user(home: Path, place: Place, protect: str) -> User:
    """Somebody whose new store is to have this protection."""
    named = place.options.get("keyring_backend", "auto")
    write_config(home, CONFIG.format(protect=protect, named=named))
    return User(home, place)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    """Each keychain in turn."""
    return cast("Place", request.getfixturevalue(request.param))


@pytest.fixture
def user(home: Path, place: Place) -> User:
    """Somebody whose store is protected by the keychain, and has entries."""
    user = make_user(home, place, "keychain")
    user.store().backend.change(ENTRIES)
    return user


# -- a store -----------------------------------------------------------------------------


def test_a_new_store_asks_nobody(home: Path, place: Place) -> None:
    """It is made, read, written and emptied by processes that have no passphrase."""
    user = make_user(home, place, "keychain")

    user.store().backend.put("openai", ONE)
    user.store().backend.put("google", TWO)

    assert same(user.store().records(), {"openai": ONE, "google": TWO})
    user.store().remove("openai", "google")
    assert user.store().names() == []
    assert user.store().backend.name == "encrypted"


def test_the_keychain_has_one_item_for_the_store(user: User) -> None:
    """However much is written, it has one passphrase of 256 bits, and the file has it nowhere."""
    first = user.item()
    user.store().backend.put("another", ONE)

    assert re.fullmatch(GENERATED, first)
    assert user.item() == first
    everything = b"".join(path.read_bytes() for path in user.home.rglob("*") if path.is_file())
    passphrase = first.partition(".")[0]
    assert passphrase.encode() not in everything
    assert bytes.fromhex(passphrase) not in everything


def test_two_stores_have_two_passphrases(user: User) -> None:
    """A store of another folder has an item of its own, and both are read."""
    named = (user.home / "config.toml").read_text()
    other = User(user.home.with_name("another"), user.place)
    write_config(other.home, named)

    other.store().backend.put("openai", ONE)

    assert len({*user.items().values()}) == 2
    assert same(other.store().records(), {"openai": ONE})
    assert same(user.store().records(), ENTRIES)


@pytest.mark.parametrize("length", [3_072, 10_000, 100_000])
def test_long_values_fit(user: User, length: int) -> None:
    """An entry is as long as in any file, although an item of the keychain may not be."""
    record = api_key("\U0001f511" + CANARY + "x" * length)

    user.store().backend.put("long", record)

    assert same(user.store().backend.get("long"), record)
    assert re.fullmatch(GENERATED, user.item())


def test_it_is_not_locked(user: User) -> None:
    """What is told of it asks nobody and derives nothing: it is not locked."""
    status = user.store().status()

    assert (status.exists, status.locked, status.entries) == (True, False, None)
    assert user.store().backend.leftovers() == []


def test_a_passphrase_at_hand_is_not_looked_at(user: User) -> None:
    """While the keychain has the passphrase, no other source is asked, be it a wrong one."""
    assert same(user.store("wrong").records(), ENTRIES)


# -- changes -----------------------------------------------------------------------------


def test_a_change_rotates_the_item(user: User) -> None:
    """`passwd` makes another passphrase, asks nobody, and removes the older one."""
    before, wrap = user.item(), user.wrap()

    assert user.change(new=None) == "keychain"

    assert user.item() != before
    assert user.wrap().split(".")[0] == wrap.split(".")[0]
    assert user.wrap() != wrap
    assert same(user.store().records(), ENTRIES)


def test_to_the_keychain_and_back(home: Path, place: Place) -> None:
    """config.toml follows with its comments, the entries stay, and no item is left behind."""
    user = make_user(home, place, "passphrase")
    user.store(PASSPHRASE).backend.change(ENTRIES)
    assert user.items() == {}

    assert user.change("keychain", old=PASSPHRASE, new=None) == "keychain"

    assert user.protected() == "keychain"
    assert same(user.store().records(), ENTRIES)
    assert re.fullmatch(GENERATED, user.item())

    assert user.change("passphrase") == "passphrase"

    assert user.protected() == "passphrase"
    assert same(user.store(NEW).records(), ENTRIES)
    assert user.items() == {}
    for passphrase in (PASSPHRASE, "x"):
        with pytest.raises(WrongPassphraseError):
            user.store(passphrase).records()


def test_who_moves_to_the_keychain_proves_the_passphrase(home: Path, place: Place) -> None:
    """Without the old passphrase, or with a wrong one, nothing changes anywhere."""
    user = make_user(home, place, "passphrase")
    user.store(PASSPHRASE).backend.change(ENTRIES)
    before = user.vault.read_bytes()

    with pytest.raises(LockedError):
        user.change("keychain", new=None)
    with pytest.raises(WrongPassphraseError):
        user.change("keychain", old="wrong", new=None)

    assert (user.protected(), user.items()) == ("passphrase", {})
    assert user.vault.read_bytes() == before


def test_without_a_new_passphrase_it_stays_in_the_keychain(user: User) -> None:
    """A move away that has no new passphrase, or a weak one, changes nothing."""
    before = user.vault.read_bytes()

    with pytest.raises(LockedError, match="new passphrase is missing"):
        user.change("passphrase", new=None)
    with pytest.raises(UsageError):
        user.change("passphrase", new="short")

    assert user.protected() == "keychain"
    assert user.vault.read_bytes() == before
    assert same(user.store().records(), ENTRIES)


def test_what_moves_away_leaves_no_item(user: User) -> None:
    """A migration to another store removes the passphrase with the file that it was for."""
    migration.migrate(user.store(), "plaintext")

    assert same(user.store().records(), ENTRIES)
    assert not user.vault.exists()
    assert user.items() == {}


def test_what_moves_there_asks_nobody(home: Path, place: Place) -> None:
    """A migration to such a store makes its passphrase, and needs none."""
    user = make_user(home, place, "keychain")
    path = home / "config.toml"
    path.write_text(path.read_text().replace('backend = "encrypted"', 'backend = "plaintext"', 1))
    user.store().backend.change(ENTRIES)

    migration.migrate(user.store(), "encrypted")

    assert re.fullmatch(GENERATED, user.item())
    assert same(user.store().records(), ENTRIES)
