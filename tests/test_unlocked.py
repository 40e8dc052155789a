"""A store that was unlocked: whatever rests for it opens it as it is, or opens nothing."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from codemesh.backends import _kdf, _keys, _vault
from codemesh.backends.context import Context
from codemesh.backends.encrypted import EncryptedBackend
from codemesh.errors import (
    DamagedError,
    LockedError,
    StorageError,
    UsageError,
    WrongPassphraseError,
)
from codemesh.unlock.passphrases import Passphrases
from support import PASSPHRASE, api_key, passphrases

if TYPE_CHECKING:
    from pathlib import Path

    from codemesh.backends._kdf import Kdf
    from codemesh.backends.context import PassphraseSource
    from codemesh.backends.encrypted import EncryptedBackend as Store

pytestmark = pytest.mark.usefixtures("cheap")

NOBODY = Passphrases(environ={})
"""A source that has no passphrase."""


class Place:
    """Where keys rest in these tests: a dictionary, which forgets only what is dropped."""

    title = "a dictionary"

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def find(self, name: str) -> bytes | None:
        """What rests there."""
        return self.kept.get(name)

    def keep(self, name: str, secret: bytes, seconds: float) -> None:
        """Let it rest."""
        assert seconds > 0
        self.kept[name] = secret

    def drop(self, name: str) -> bool:
        """Forget it."""
        return self.kept.pop(name, None) is not None


@pytest.fixture
def place() -> Place:
    """A place in which nothing rests."""
    return Place()


def opened(
    home: Path, place: Place | None, source: PassphraseSource = NOBODY, path: str = "a.json"
) -> Store:
    """The store of a process that begins now."""
    return EncryptedBackend(Context(str(home), {"path": path}, 10.0, source, resting=place))


@pytest.fixture
def vault(home: Path, place: Place) -> Path:
    """An unlocked store with one entry, as its file."""
    store = opened(home, place, passphrases)
    store.put("openai", api_key("one"))
    store.unlock(60.0)
    return home / "a.json"


@pytest.fixture
def derivations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passphrases that keys were derived from."""
    made: list[str] = []
    real = _kdf.derive_root

    def derive(passphrase: str, kdf: Kdf) -> bytes:
        made.append(passphrase)
        return real(passphrase, kdf)

    monkeypatch.setattr(_keys, "derive_root", derive)
    return made


# -- unlocked ----------------------------------------------------------------------------


def test_an_unlocked_store_opens_without_a_passphrase(
    vault: Path, place: Place, derivations: list[str]
) -> None:
    """It is read and written by processes that have no passphrase, and nothing is derived."""
    opened(vault.parent, place).put("google", api_key("two"))

    assert opened(vault.parent, place).names() == ["google", "openai"]
    assert derivations == []


def test_only_unlocking_lets_a_key_rest(home: Path, place: Place) -> None:
    """Reading and writing with the passphrase leaves nothing behind."""
    store = opened(home, place, passphrases)

    store.put("openai", api_key("one"))
    store.records()
    opened(home, place, passphrases).put("google", api_key("two"))

    assert place.kept == {}


def test_status_tells_until_when(vault: Path, place: Place) -> None:
    """An unlocked store is not locked, and says how many entries it has and until when."""
    status = opened(vault.parent, place).status()

    assert (status.locked, status.entries) == (False, 1)
    assert status.unlocked_until is not None
    assert 0 < status.unlocked_until - time.time() <= 60


def test_unlocking_again_starts_the_time_anew(vault: Path, place: Place) -> None:
    """A second `unlock` asks for the passphrase, and the new end holds, be it earlier."""
    until = opened(vault.parent, place, passphrases).unlock(10.0)

    assert until < time.time() + 11
    assert opened(vault.parent, place).status().unlocked_until == until


def test_a_resting_key_proves_nothing(vault: Path, place: Place) -> None:
    """Who has no passphrase, or a wrong one, cannot unlock for longer."""
    before = dict(place.kept)
    wrong = Passphrases(environ={"CODEMESH_PASSPHRASE": "x"})

    with pytest.raises(LockedError):
        opened(vault.parent, place).unlock(600.0)
    with pytest.raises(WrongPassphraseError):
        opened(vault.parent, place, wrong).unlock(600.0)

    assert place.kept == before


def test_nothing_to_unlock(home: Path, place: Place) -> None:
    """Without a store nobody is asked."""
    with pytest.raises(UsageError, match="no store yet"):
        opened(home, place, passphrases).unlock(60.0)


def test_no_key_may_rest(vault: Path) -> None:
    """Where config.toml lets no key rest, nobody is asked, and the store stays locked."""
    with pytest.raises(UsageError, match="unlock_cache"):
        opened(vault.parent, None, NOBODY).unlock(60.0)

    assert opened(vault.parent, None).status().locked


# -- locked again ------------------------------------------------------------------------


def test_locking(vault: Path, place: Place) -> None:
    """A locked store needs its passphrase, and a second `lock` says that none rested."""
    assert opened(vault.parent, place).lock()

    assert not opened(vault.parent, place).lock()
    with pytest.raises(LockedError):
        opened(vault.parent, place).records()


def test_an_end_that_has_passed(
    vault: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that its place still has after its end opens nothing, and is dropped when seen."""
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)

    with pytest.raises(LockedError):
        opened(vault.parent, place).records()

    assert place.kept == {}


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_locking_a_store_that_is_no_more(vault: Path, place: Place, harm: str) -> None:
    """A store that was damaged or removed can be locked still."""
    vault.write_bytes(b"{") if harm == "damaged" else vault.unlink()

    assert opened(vault.parent, place).lock()

    assert place.kept == {}


def test_a_removed_store_leaves_no_key(vault: Path, place: Place) -> None:
    """When the last entry moves elsewhere, the key of the store goes with it."""
    store = opened(vault.parent, place)

    store.retire(store.records())

    assert place.kept == {}


def test_another_passphrase(vault: Path, place: Place) -> None:
    """A key from before a change of passphrase opens nothing, and is dropped when seen."""
    copy = dict(place.kept)
    store = opened(vault.parent, place, passphrases)
    _rekey(store)
    place.kept.update(copy)

    with pytest.raises(LockedError):
        opened(vault.parent, place).records()

    assert place.kept == {}


def _rekey(store: Store) -> None:
    from codemesh.backends.base import Rekeying

    store.rekey(Rekeying(passphrases, "passphrase", keep_data_key=True))()


# -- what is no key of this store --------------------------------------------------------


def test_the_key_of_another_store(home: Path, place: Place, vault: Path) -> None:
    """A key that lies under the name of another store opens nothing, and is dropped."""
    other = opened(home, place, passphrases, "b.json")
    other.put("google", api_key("two"))
    other.unlock(60.0)
    mine, theirs = sorted(place.kept, key=lambda name: name in _id_of(home / "b.json"))
    place.kept[mine] = place.kept[theirs]

    with pytest.raises(LockedError):
        opened(home, place).records()

    assert list(place.kept) == [theirs]
    assert vault.exists()


def _id_of(path: Path) -> str:
    return _vault.parse(path.read_bytes()).id.hex()


@pytest.mark.parametrize("length", [0, 1, 7, 8, 32, 40, 71, 73, 200, 32_767])
def test_a_key_of_the_wrong_length(vault: Path, place: Place, length: int) -> None:
    """What has not the length of a resting key opens nothing, and is dropped."""
    place.kept[_id_of(vault)] = os.urandom(length)

    with pytest.raises(LockedError):
        opened(vault.parent, place).records()

    assert place.kept == {}


@pytest.mark.parametrize("position", range(72))
def test_a_damaged_key(vault: Path, place: Place, position: int) -> None:
    """A resting key with any byte changed, its end included, opens nothing, and is dropped."""
    blob = bytearray(place.kept[_id_of(vault)])
    blob[position] ^= 1
    place.kept[_id_of(vault)] = bytes(blob)

    with pytest.raises(LockedError):
        opened(vault.parent, place).records()

    assert place.kept == {}


def test_every_flipped_bit_of_an_unlocked_store_is_refused(vault: Path, place: Place) -> None:
    """No bit of the file can be changed unnoticed, although no passphrase is checked.

    One bit of each byte here; all of them with CODEMESH_TEST_FULL=1.
    """
    raw = vault.read_bytes()
    resting = dict(place.kept)
    bits = range(8) if os.environ.get("CODEMESH_TEST_FULL") == "1" else [5]
    for position in range(len(raw)):
        for bit in bits:
            flipped = bytearray(raw)
            flipped[position] ^= 1 << bit
            vault.write_bytes(flipped)
            place.kept.update(resting)
            with pytest.raises((DamagedError, LockedError)):
                opened(vault.parent, place).records()

    vault.write_bytes(raw)
    place.kept.update(resting)
    assert opened(vault.parent, place).names() == ["openai"]


def test_a_damaged_payload_is_told_from_a_locked_store(vault: Path, place: Place) -> None:
    """Where the key belongs to the header and the payload does not open, that is damage."""
    text = vault.read_text()
    start = text.index('"data": "') + 50
    vault.write_text(text[:start] + ("A" if text[start] != "A" else "B") + text[start + 1 :])

    with pytest.raises(DamagedError):
        opened(vault.parent, place).records()

    assert place.kept


def test_a_place_that_cannot_drop(vault: Path, place: Place) -> None:
    """Where what is no key cannot be dropped, it is no key still."""

    class Stubborn(Place):
        def drop(self, name: str) -> bool:
            raise StorageError(name)

    stubborn = Stubborn()
    stubborn.kept = place.kept | {_id_of(vault): b"no key"}

    with pytest.raises(LockedError):
        opened(vault.parent, stubborn).records()


# -- one derivation a process ------------------------------------------------------------


def test_stores_of_one_process_share_what_was_derived(vault: Path, derivations: list[str]) -> None:
    """A store that is opened again in the same process needs no second derivation."""
    shared: dict[bytes, bytes] = {}
    for _ in range(3):
        context = Context(str(vault.parent), {"path": "a.json"}, 10.0, passphrases, shared)
        assert EncryptedBackend(context).names() == ["openai"]

    assert derivations == [PASSPHRASE]


def test_what_was_found_resting_is_no_proof_in_the_same_process(vault: Path, place: Place) -> None:
    """A process that has read the store by a resting key has proven no passphrase by it."""
    store = opened(vault.parent, place)
    store.records()

    with pytest.raises(LockedError):
        store.unlock(60.0)


def test_a_store_stays_open_in_a_process_that_opened_it(vault: Path, place: Place) -> None:
    """A process that has the key keeps it, so that no write of it stops half-way."""
    store = opened(vault.parent, place)
    store.prepare()
    place.kept.clear()

    store.put("google", api_key("two"))

    assert store.names() == ["google", "openai"]
