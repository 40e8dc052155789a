"""Which store is the store after a migration, whoever else was at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh import ApiKey, migration, open_store
from codemesh import config as configuration
from codemesh.backends import registry
from codemesh.backends.plaintext import PlaintextBackend
from codemesh.migration import migrate
from homes import write_config

if TYPE_CHECKING:
    from pathlib import Path


class ThirdBackend(PlaintextBackend):
    """A plaintext store that goes by another name."""

    name = "third"


THIRD = registry.Entry(
    "third",
    f"{__name__}:ThirdBackend",
    "a second plaintext file",
    "",
    registry.TABLE[0].options,
)


@pytest.fixture
def three(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home whose config.toml names the plaintext store, beside a third kind of store."""
    monkeypatch.setattr(registry, "TABLE", (*registry.TABLE, THIRD))
    write_config(home, 'backend = "plaintext"\n[backends.third]\npath = "third.json"\n')


@pytest.mark.usefixtures("three", "cheap")
def test_store_in_use_stays_in_view() -> None:
    """Moving between two other stores leaves the one in use in use."""
    store = open_store()
    store.put("openai", ApiKey.new("k"))

    result = migrate(store, "encrypted", "third")

    assert not result.switched
    assert open_store().names() == ["openai"]


@pytest.mark.usefixtures("three", "cheap")
def test_switch_by_another_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was chosen while the migration got ready is the one that is moved."""
    store = open_store()
    store.put("openai", ApiKey.new("k"))
    open_ends = migration._ends

    def switch_then_go_on(*given: object) -> object:
        ends = open_ends(*given)  # type: ignore[arg-type]  # handed through as they came
        monkeypatch.setattr(migration, "_ends", open_ends)
        migrate(open_store(), "third")
        open_store().put("github", ApiKey.new("later"))
        return ends

    monkeypatch.setattr(migration, "_ends", switch_then_go_on)
    monkeypatch.setenv("CODEMESH_PASSPHRASE", "a passphrase")

    migrate(store, "encrypted")

    assert configuration.load().backend == "encrypted"
    assert open_store().names() == ["github", "openai"]
