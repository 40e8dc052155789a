"""Migration when something goes wrong: nothing is lost, and the same call again finishes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from codemesh import config as configuration
from codemesh import migration
from codemesh.backends import registry
from codemesh.backends.base import same
from codemesh.choice import load_config
from codemesh.errors import CodemeshError, ConflictError, StorageError
from codemesh.files.private import PrivateFile
from codemesh.migration import read_journal
from homes import ENTRIES, backend, unlocked
from support import api_key, run_together, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from codemesh.model import Record

STEPS = ("copy", "verify", "switch", "retire", "journal")


def fail(*_arguments: object, **_named: object) -> None:
    """Fail as a full disk does."""
    raise StorageError("no space left on device")


def loses_one(real: Callable[..., None]) -> Callable[..., None]:
    """A `change` that silently writes another value for one entry."""

    def change(self: object, puts: dict[str, Record], *rest: object, **named: object) -> None:
        real(self, {**puts, "openai": {**puts["openai"], "label": 0}}, *rest, **named)

    return change


def inject(step: str, patch: pytest.MonkeyPatch) -> None:
    """Let one step of the next migration fail."""
    stores = [registry.load(entry) for entry in registry.lasting()]
    if step == "copy":
        for store in stores:
            patch.setattr(store, "change", fail)
    elif step == "verify":
        for store in stores:
            patch.setattr(store, "change", loses_one(store.change))
    elif step == "switch":
        patch.setattr(configuration, "set_value", fail)
    elif step == "retire":
        for store in stores:
            patch.setattr(store, "retire", fail)
    else:
        patch.setattr(PrivateFile, "remove", _fail_for("migration.json", PrivateFile.remove))


def migrate_until(
    step: str, home: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> CodemeshError:
    """Migrate until this step fails; the error that is raised."""
    with monkeypatch.context() as patch:
        inject(step, patch)
        with pytest.raises(CodemeshError) as caught:
            migration.migrate(unlocked(home), target)
    return caught.value


def _fail_for(name: str, real: Callable[[PrivateFile], None]) -> Callable[[PrivateFile], None]:
    def call(self: PrivateFile) -> None:
        if os.path.basename(self.path) == name:
            fail()
        real(self)

    return call


def readable_somewhere(home: Path, names: tuple[str, str]) -> bool:
    """Whether one of the two stores has every entry as it was, and the store in use reads."""
    unlocked(home).records()
    return any(
        all(same(found.get(name), record) for name, record in ENTRIES.items())
        for found in (backend(home, name).records() for name in names)
    )


@pytest.mark.parametrize("step", STEPS)
def test_failure_loses_nothing(
    home: Path, direction: tuple[str, str], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever step fails, every entry is in one place, and the store in use has them all."""
    _, target = direction

    migrate_until(step, home, target, monkeypatch)

    assert readable_somewhere(home, direction)
    assert same(unlocked(home).records(), ENTRIES)


@pytest.mark.parametrize("step", ["copy", "switch", "retire", "journal"])
def test_same_call_again_finishes(
    home: Path, direction: tuple[str, str], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure the same call finishes: the target has all, the source is gone."""
    source, target = direction
    migrate_until(step, home, target, monkeypatch)

    migration.migrate(unlocked(home), target)

    store = unlocked(home)
    assert store.backend.name == target
    assert same(store.records(), ENTRIES)
    assert not backend(home, source).status().exists
    assert read_journal(store.config) is None


def test_lying_target_is_found_out(
    home: Path, direction: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that reads back another value stays no store, and nothing is removed."""
    source, target = direction

    error = migrate_until("verify", home, target, monkeypatch)

    assert isinstance(error, StorageError)
    assert "openai" in str(error)
    assert unlocked(home).backend.name == source
    assert same(backend(home, source).records(), ENTRIES)
    with pytest.raises(ConflictError):
        migration.migrate(unlocked(home), target)


def test_refused_target_leaves_no_journal(home: Path, direction: tuple[str, str]) -> None:
    """A migration that is refused for a conflict is not one that was left unfinished."""
    _, target = direction
    backend(home, target).put("openai", api_key("another"))

    with pytest.raises(ConflictError):
        migration.migrate(unlocked(home), target)

    assert read_journal(load_config(str(home))) is None


# -- kills -------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["copy", "verify", "remove"])
def test_killed_in_a_phase(home: Path, direction: tuple[str, str], phase: str) -> None:
    """Killed in any phase, the stores have every entry, and the same call again finishes."""
    source, target = direction
    worker = start("store", str(home), "migrate", target, phase)
    assert worker.said() == "ready"
    worker.go()
    assert worker.died() == -9
    assert same(unlocked(home).records(), ENTRIES)

    migration.migrate(unlocked(home), target)

    assert same(unlocked(home).records(), ENTRIES)
    assert unlocked(home).backend.name == target
    assert not backend(home, source).status().exists


@pytest.mark.parametrize("count", range(1, 7))
def test_killed_after_each_file(home: Path, direction: tuple[str, str], count: int) -> None:
    """Killed after any file took or lost its name, nothing is lost and the same call finishes."""
    source, target = direction
    worker = start("store", str(home), "migrate-dying", target, str(count))
    # After the last file there is nothing to be killed at, and it ends well.
    assert worker.died() in {-9, 0}
    assert readable_somewhere(home, direction)
    assert same(unlocked(home).records(), ENTRIES)

    migration.migrate(unlocked(home), target)

    assert same(unlocked(home).records(), ENTRIES)
    assert unlocked(home).backend.name == target
    assert not backend(home, source).status().exists


# -- others at work ----------------------------------------------------------------------


def test_writer_beside_a_migration(home: Path, direction: tuple[str, str]) -> None:
    """A writer that works through a migration loses nothing and follows the switch."""
    source, target = direction
    writer = start("store", str(home), "put", "beside", "25")
    mover = start("store", str(home), "migrate", target)

    run_together([writer, mover])

    expected = {f"beside{number}": api_key(str(number)) for number in range(25)}
    assert same(unlocked(home).records(), {**ENTRIES, **expected})
    assert not backend(home, source).status().exists


def test_two_migrations_at_once(home: Path, direction: tuple[str, str]) -> None:
    """Of two migrations to one target one moves everything, and the other finds it done."""
    source, target = direction

    run_together([start("store", str(home), "migrate", target) for _ in range(2)])

    assert same(unlocked(home).records(), ENTRIES)
    assert not backend(home, source).status().exists


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"source": 1}', '{"source": "x", "target": "y"}', "\xff"]
)
def test_unreadable_journal_is_none(home: Path, direction: tuple[str, str], content: str) -> None:
    """A journal that nobody can read loses only the default source of the next migration."""
    _, target = direction
    (home / "state").mkdir(mode=0o700, exist_ok=True)
    path = home / "state" / "migration.json"
    path.write_bytes(content.encode("latin-1"))
    path.chmod(0o600)

    migration.migrate(unlocked(home), target)

    assert same(unlocked(home).records(), ENTRIES)
    assert not path.exists()


def test_journal_names_both_ends(home: Path, direction: tuple[str, str]) -> None:
    """While a migration is under way, its journal says from where to where."""
    found: list[object] = []

    def look(phase: str, done: int, total: int) -> None:
        del phase, done, total
        found.append(json.loads((home / "state" / "migration.json").read_text()))

    migration.migrate(unlocked(home), direction[1], progress=look)

    assert found[0] == {"source": direction[0], "target": direction[1]}
