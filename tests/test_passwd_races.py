"""A change of passphrase while others use the store: theirs is kept, or theirs holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh.backends import _vault
from codemesh.backends.base import Rekeying, same
from codemesh.backends.context import Context
from codemesh.backends.encrypted import EncryptedBackend
from codemesh.errors import (
    BusyError,
    LockedError,
    RefusedError,
    RollbackError,
    UsageError,
    WrongPassphraseError,
)
from codemesh.files.lock import FileLock
from codemesh.unlock.passphrases import NEW_VARIABLE, VARIABLE, NewPassphrases, Passphrases
from support import ONE, PASSPHRASE, TWO, api_key, start
from test_unlocked import Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cheap")

NEW = "violet anchor twelve meadow"
THEIRS = "harbour lantern copper sleeve"
ENCRYPTED = "codemesh.backends.encrypted:EncryptedBackend"


@pytest.fixture
def vault(home: Path) -> Path:
    """A store with one entry, as its file."""
    opened(home).put("openai", ONE)
    return home / "auth.vault.json"


def opened(
    home: Path, passphrase: str = PASSPHRASE, place: Place | None = None
) -> EncryptedBackend:
    """The store as a process opens it that has this passphrase."""
    source = Passphrases(environ={VARIABLE: passphrase})
    return EncryptedBackend(Context(str(home), {}, 0.5, source, resting=place))


def wish(new: str = NEW, *, keep_data_key: bool = False) -> Rekeying:
    """A change to this passphrase."""
    source = NewPassphrases(environ={NEW_VARIABLE: new})
    return Rekeying(source, "passphrase", None, keep_data_key)


def test_nothing_changes_before_the_commit(vault: Path) -> None:
    """To take both passphrases and derive the keys writes nothing and locks nobody out."""
    before = vault.read_bytes()

    opened(vault.parent).rekey(wish())

    assert vault.read_bytes() == before
    opened(vault.parent).put("google", TWO)
    assert opened(vault.parent).names() == ["google", "openai"]


@pytest.mark.parametrize("keep_data_key", [False, True])
def test_a_write_in_between_is_kept(vault: Path, keep_data_key: bool) -> None:  # noqa: FBT001
    """What another process writes before the commit is sealed under the new passphrase."""
    commit = opened(vault.parent).rekey(wish(keep_data_key=keep_data_key))
    worker = start("backend", ENCRYPTED, "{}", str(vault.parent), "put", "google", "theirs")
    assert worker.said() == "ready"
    worker.go()
    worker.end()

    commit()

    expected = {"openai": ONE, "google": api_key("theirs")}
    assert same(opened(vault.parent, NEW).records(), expected)
    assert _vault.parse(vault.read_bytes()).revision == 2


def test_a_removal_in_between_stays_one(vault: Path) -> None:
    """What another process removes before the commit does not come back."""
    opened(vault.parent).put("google", TWO)
    commit = opened(vault.parent).rekey(wish())
    opened(vault.parent).remove("openai")

    commit()

    assert same(opened(vault.parent, NEW).records(), {"google": TWO})


@pytest.mark.parametrize("keep_data_key", [False, True])
def test_somebody_else_changed_it(vault: Path, keep_data_key: bool) -> None:  # noqa: FBT001
    """Of two changes at once the first one holds; the second one is refused and says so."""
    commit = opened(vault.parent).rekey(wish(keep_data_key=keep_data_key))
    opened(vault.parent).rekey(wish(THEIRS, keep_data_key=keep_data_key))()
    before = vault.read_bytes()

    with pytest.raises(RefusedError, match="changed by somebody else") as caught:
        commit()

    assert caught.value.exit_code == 7
    assert "Theirs holds" in caught.value.hint
    assert vault.read_bytes() == before
    assert same(opened(vault.parent, THEIRS).records(), {"openai": ONE})
    for passphrase in (NEW, PASSPHRASE):
        with pytest.raises(WrongPassphraseError):
            opened(vault.parent, passphrase).records()


def test_a_second_commit_is_refused(vault: Path) -> None:
    """What one change returned cannot be used for another one."""
    commit = opened(vault.parent).rekey(wish())
    commit()
    before = vault.read_bytes()

    with pytest.raises(RefusedError):
        commit()

    assert vault.read_bytes() == before


def test_a_store_that_went_away_meanwhile(vault: Path) -> None:
    """A store that was moved away before the commit is not made again."""
    commit = opened(vault.parent).rekey(wish())
    opened(vault.parent).retire({"openai": ONE})

    with pytest.raises(UsageError, match="no store yet"):
        commit()

    assert not vault.exists()


def test_an_older_copy_in_its_place(vault: Path) -> None:
    """A rollback between both steps is refused, and is not sealed anew as if it were current."""
    older = vault.read_bytes()
    opened(vault.parent).put("google", TWO)
    commit = opened(vault.parent).rekey(wish())
    vault.write_bytes(older)

    with pytest.raises(RollbackError):
        commit()

    assert vault.read_bytes() == older


def test_a_lock_that_is_held(vault: Path) -> None:
    """Where another process holds the lock too long, the old passphrase holds."""
    commit = opened(vault.parent).rekey(wish())
    locks = [*vault.parent.glob("state/*.lock")]
    assert len(locks) == 1
    before = vault.read_bytes()

    with FileLock(str(locks[0]), timeout=1, what="it"), pytest.raises(BusyError):
        commit()

    assert vault.read_bytes() == before
    commit()
    assert opened(vault.parent, NEW).names() == ["openai"]


# -- who had opened it -------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [lambda backend: backend.records(), lambda backend: backend.put("google", TWO)],
    ids=["read", "write"],
)
@pytest.mark.parametrize("keep_data_key", [False, True])
def test_a_process_that_had_opened_it(
    vault: Path,
    act: Callable[[EncryptedBackend], object],
    keep_data_key: bool,  # noqa: FBT001
) -> None:
    """A process that opened the store before the change needs the new passphrase after it."""
    early = opened(vault.parent)
    early.records()
    opened(vault.parent).rekey(wish(keep_data_key=keep_data_key))()
    before = vault.read_bytes()

    with pytest.raises(WrongPassphraseError):
        act(early)

    assert vault.read_bytes() == before


def test_the_process_that_changed_it_goes_on(vault: Path) -> None:
    """The backend that changed the passphrase reads and writes under the new one at once."""
    backend = opened(vault.parent)
    backend.rekey(wish())()

    backend.put("google", TWO)

    assert same(opened(vault.parent, NEW).records(), {"openai": ONE, "google": TWO})


@pytest.mark.parametrize("keep_data_key", [False, True])
def test_a_key_that_rests_elsewhere(vault: Path, keep_data_key: bool) -> None:  # noqa: FBT001
    """A key that rests on another machine opens nothing after the change, and is dropped."""
    here, there = Place(), Place()
    for place in (here, there):
        opened(vault.parent, place=place).unlock(60.0)

    opened(vault.parent, place=here).rekey(wish(keep_data_key=keep_data_key))()

    assert here.kept == {}
    nobody = Context(str(vault.parent), {}, 10.0, Passphrases(environ={}), resting=there)
    with pytest.raises(LockedError):
        EncryptedBackend(nobody).records()
    assert there.kept == {}
