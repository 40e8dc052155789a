"""After an error, what the second line says is so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh import ApiKey, open_store
from codemesh.backends import _vault
from codemesh.backends.plaintext import PlaintextBackend
from codemesh.errors import NotDurableError, StorageError, TooLargeError
from codemesh.migration import migrate, read_journal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cheap")


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEMESH_PASSPHRASE", "a passphrase")


@pytest.mark.parametrize("kind", [StorageError, NotDurableError])
def test_a_migration_that_fails_after_the_switch(
    kind: type[StorageError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails on the way, the hint is to run it again, and that finishes."""
    store = open_store()
    store.put("openai", ApiKey.new("k"))

    def fail(*_: object) -> None:
        raise kind("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(PlaintextBackend, "retire", fail)
        with pytest.raises(kind) as caught:
            migrate(store, "encrypted")
    assert "again" in caught.value.hint

    migrate(open_store(), "encrypted")

    assert open_store().backend.name == "encrypted"
    assert open_store().names() == ["openai"]


def test_a_migration_that_can_never_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials over the target's limit are refused by its name, and nothing is unfinished."""
    store = open_store()
    store.put("openai", ApiKey.new("k" * 5000))
    monkeypatch.setattr(_vault, "LIMIT", 4000)

    with pytest.raises(TooLargeError) as caught:
        migrate(store, "encrypted")

    assert "auth.vault.json" in str(caught.value)
    assert read_journal(open_store().config) is None
    assert open_store().token("openai").reveal() == "k" * 5000


def test_home_as_a_path_object(home: Path) -> None:
    """A folder may be given as a path object, too."""
    open_store(home).put("openai", ApiKey.new("k"))

    assert open_store(str(home)).names() == ["openai"]
