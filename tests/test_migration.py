"""Migration: every direction, to the last field and type, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from codemesh import migration
from codemesh.backends import registry
from codemesh.backends.base import same
from codemesh.choice import load_config
from codemesh.errors import ConfigError, ConflictError, CredentialNotFoundError, UsageError
from codemesh.migration import Options
from homes import ENTRIES, LASTING, backend, unlocked, write_plaintext
from support import api_key

if TYPE_CHECKING:
    from pathlib import Path

    from codemesh.model import Record


def test_everything_moves(home: Path, direction: tuple[str, str]) -> None:
    """Every entry is at the target to the last type, the target is the store, the source gone."""
    source, target = direction

    result = migration.migrate(unlocked(home), target)

    assert result.plan.moves == sorted(ENTRIES)
    assert result.switched
    assert result.removed
    store = unlocked(home)
    assert store.backend.name == target
    assert same(store.records(), ENTRIES)
    assert not backend(home, source).status().exists


def test_there_and_back(home: Path, direction: tuple[str, str]) -> None:
    """Moved there and back again, every entry is what it was."""
    source, target = direction

    migration.migrate(unlocked(home), target)
    migration.migrate(unlocked(home), source)

    assert same(unlocked(home).records(), ENTRIES)
    assert unlocked(home).backend.name == source


def test_configuration_keeps_its_comments(home: Path, direction: tuple[str, str]) -> None:
    """The switch changes one value of config.toml and leaves the rest."""
    source, target = direction
    before = (home / "config.toml").read_text()

    migration.migrate(unlocked(home), target)

    assert (home / "config.toml").read_text() == before.replace(source, target)


def test_second_call_does_nothing(home: Path, direction: tuple[str, str]) -> None:
    """Migrating to what is the store already moves, switches and removes nothing."""
    _, target = direction
    migration.migrate(unlocked(home), target)
    before = {path: path.read_bytes() for path in home.iterdir() if path.is_file()}

    result = migration.migrate(unlocked(home), target)

    assert (result.plan.moves, result.switched, result.removed) == ([], False, False)
    assert before == {path: path.read_bytes() for path in home.iterdir() if path.is_file()}


def test_plan_changes_nothing(home: Path, direction: tuple[str, str]) -> None:
    """A plan tells what would move, and changes nothing."""
    _, target = direction
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}

    planned = migration.plan(unlocked(home), target)

    assert planned.moves == sorted(ENTRIES)
    assert before == {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_keep(home: Path, direction: tuple[str, str]) -> None:
    """With `keep` the source stays as it is, and the target is the store."""
    source, target = direction

    result = migration.migrate(unlocked(home), target, options=Options(keep=True))

    assert not result.removed
    assert same(backend(home, source).records(), ENTRIES)
    assert same(unlocked(home).records(), ENTRIES)
    assert unlocked(home).backend.name == target


def test_entries_of_the_target_stay(home: Path, direction: tuple[str, str]) -> None:
    """What the target had before it still has."""
    _, target = direction
    backend(home, target).put("old", api_key("old"))

    migration.migrate(unlocked(home), target)

    assert same(unlocked(home).records(), {**ENTRIES, "old": api_key("old")})


def test_identical_entries_count_as_moved(home: Path, direction: tuple[str, str]) -> None:
    """An entry that the target has already, to the last type, is no conflict."""
    source, target = direction
    backend(home, target).put("openai", ENTRIES["openai"])

    result = migration.migrate(unlocked(home), target)

    assert result.plan.identical == ["openai"]
    assert "openai" not in result.plan.moves
    assert same(unlocked(home).records(), ENTRIES)
    assert not backend(home, source).status().exists


@pytest.mark.parametrize("there", [{**ENTRIES["openai"], "x-vendor": {"a": [1, 1, 1]}}, {}])
def test_conflict_is_refused(home: Path, direction: tuple[str, str], there: Record) -> None:
    """An entry that differs at the target stops the migration before anything is changed."""
    _, target = direction
    backend(home, target).put("openai", there)
    before = {path: path.read_bytes() for path in home.glob("auth*")}

    with pytest.raises(ConflictError) as caught:
        migration.migrate(unlocked(home), target)

    assert caught.value.names == ["openai"]
    assert "--overwrite" in caught.value.hint
    assert before == {path: path.read_bytes() for path in home.glob("auth*")}


def test_overwrite(home: Path, direction: tuple[str, str]) -> None:
    """With `overwrite` the entry of the source replaces the one of the target."""
    _, target = direction
    backend(home, target).put("openai", api_key("another"))

    migration.migrate(unlocked(home), target, options=Options(overwrite=True))

    assert same(unlocked(home).records(), ENTRIES)


def test_bring_the_rest_from_another_store(home: Path, direction: tuple[str, str]) -> None:
    """What lies in a store that is not in use can be brought into the one that is."""
    source, target = direction
    migration.migrate(unlocked(home), target)
    backend(home, source).put("late", api_key("late"))

    result = migration.migrate(unlocked(home), target, source)

    assert not result.switched
    assert same(unlocked(home).records(), {**ENTRIES, "late": api_key("late")})
    assert not backend(home, source).status().exists


def test_migration_of_nothing(home: Path, direction: tuple[str, str]) -> None:
    """An empty store can be left: the other one becomes the store, and nothing is written."""
    source, target = direction
    backend(home, source).retire(ENTRIES)

    result = migration.migrate(unlocked(home), target)

    assert result.switched
    assert unlocked(home).backend.name == target
    assert not unlocked(home).status().exists


def test_without_configuration(home: Path, direction: tuple[str, str]) -> None:
    """With no config.toml a store file is the source, another is named; the choice is written."""
    source, target = direction
    (home / "config.toml").unlink()

    migration.migrate(unlocked(home), target, None if registry.find(source).file else source)

    assert load_config(str(home)).backend == target
    assert same(unlocked(home).records(), ENTRIES)


def test_progress_is_told(home: Path, direction: tuple[str, str]) -> None:
    """Whoever shows progress hears of copying, of every verified entry and of removing."""
    _, target = direction
    heard: list[tuple[str, int, int]] = []

    migration.migrate(unlocked(home), target, progress=lambda *step: heard.append(step))

    count = len(ENTRIES)
    assert heard[0] == ("copy", 0, count)
    assert [done for phase, done, _ in heard if phase == "verify"] == list(range(1, count + 1))
    assert heard[-1] == ("remove", 0, count)


@pytest.mark.usefixtures("cheap")
def test_foreign_keys_of_the_plaintext_file_stay(home: Path) -> None:
    """Keys at the top that are not ours stay behind, with no credentials beside them."""
    theirs: dict[str, object] = {"version": 3, "settings": {"theme": None}}
    path = write_plaintext(home, ENTRIES, **theirs)

    migration.migrate(unlocked(home), "encrypted")

    assert json.loads(path.read_text()) == {"credentials": {}, **theirs}
    assert same(unlocked(home).records(), ENTRIES)


@pytest.mark.usefixtures("cheap")
def test_record_that_the_target_cannot_keep(home: Path) -> None:
    """A record of another program that nests too deeply stops the migration unharmed."""
    path = write_plaintext(home, {})
    path.write_text('{"credentials": {"a": {}, "deep": {"a": ' + "[" * 80 + "]" * 80 + "}}}")
    before = path.read_bytes()

    with pytest.raises(UsageError):
        migration.migrate(unlocked(home), "encrypted")

    assert path.read_bytes() == before
    assert unlocked(home).backend.name == "plaintext"
    assert not (home / "auth.vault.json").exists()


@pytest.mark.parametrize(
    ("target", "source"),
    [("unheard-of", None), ("encrypted", "unheard-of"), ("memory", None), ("plaintext", "memory")],
)
def test_unknown_and_passing_backends(home: Path, target: str, source: str | None) -> None:
    """A backend that nobody knows, or that keeps nothing, is neither source nor target."""
    store = unlocked(home)

    with pytest.raises(ConfigError):
        migration.migrate(store, target, source)

    assert not home.exists()


@pytest.mark.parametrize("name", LASTING)
def test_onto_itself(home: Path, name: str) -> None:
    """A migration that is told to go from a store to itself is refused, and makes nothing."""
    with pytest.raises(ConfigError):
        migration.migrate(unlocked(home), name, name)

    assert not home.exists()


def test_missing_entry_after_migration(home: Path, direction: tuple[str, str]) -> None:
    """After a migration what was in neither store is still told as missing."""
    _, target = direction
    migration.migrate(unlocked(home), target)

    with pytest.raises(CredentialNotFoundError):
        unlocked(home).get("missing")
