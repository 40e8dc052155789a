"""Move every credential from one store to another: plan, copy, verify, switch, clean up.

The order is the promise. The target is written and read back, and each entry compared to
the last field and type, before config.toml names it; and only then does the source lose
anything. A journal in the state folder says what was under way, so the same command, run
again after a kill at any point, finishes. While it works it holds the lock that every
writer of this home takes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from codemesh import config as configuration
from codemesh.backends import registry
from codemesh.backends.base import same
from codemesh.choice import choose, open_backend, undecided
from codemesh.errors import ConfigError, ConflictError, RefusedError, StorageError, UsageError
from codemesh.files.private import PrivateFile

if TYPE_CHECKING:
    from codemesh.backends.base import Backend
    from codemesh.config import Config
    from codemesh.model import Record
    from codemesh.store import Store


Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a phase, how many entries it has done, and how many there are."""


class Options(NamedTuple):
    """What a migration may do."""

    keep: bool = False
    """Leave the source as it is."""

    overwrite: bool = False
    """Write over entries of the target that differ."""


class Plan(NamedTuple):
    """What a migration would do, entry by entry."""

    source: str
    target: str
    moves: list[str]
    """Entries that the target does not have."""

    identical: list[str]
    """Entries that the target has already, equal to the last field."""

    conflicts: list[str]
    """Entries that the target has with another content."""


class Result(NamedTuple):
    """What a migration did."""

    plan: Plan
    switched: bool
    """Whether config.toml names the target now and named the source before."""

    removed: bool
    """Whether the source has lost the entries."""


class Journal(NamedTuple):
    """What is under way, as `state/migration.json` keeps it."""

    source: str
    target: str


def plan(store: Store, target: str, source: str | None = None) -> Plan:
    """Compare source and target, and change nothing.

    The source is by default the store in use, or the one that an unfinished migration
    to the target was taken from; a target that is the store already has nothing to get.
    Raises ConfigError for an unknown backend, or if both are named and the same.
    """
    ends = _ends(store, target, source)
    if ends is None:
        return Plan(target, target, [], [], [])
    one, other = ends
    return _compare(one.name, target, one.records(), other.records())


def migrate(
    store: Store,
    target: str,
    source: str | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Result:
    """Move every entry to the target, and make it the store if the source was.

    A second call does nothing, and one after a kill at any point finishes the first.
    `progress` is called with a phase, a count and the total. Raises ConflictError if
    entries differ at the target and `overwrite` is not set, before anything is changed,
    and otherwise what `plan` raises.
    """
    options = options or Options()
    progress = progress or _silent
    while True:
        ends = _ends(store, target, source)
        if ends is None:
            return Result(Plan(target, target, [], [], []), switched=False, removed=False)
        one, other = ends
        if one.records() or other.status().exists:
            other.prepare()  # everything is asked before the lock is taken
        with store.config.lock():
            stale = store.config.changed()
            if not stale:
                try:
                    result = _move(store.config, one, other, options, progress)
                except StorageError as error:
                    error.hint = "Nothing is lost. Run the same command again: it finishes."
                    raise
        store.reload()
        if not stale:  # otherwise somebody chose another store: the ends may be others
            return result


def _silent(phase: str, done: int, total: int) -> None:
    """Show no progress."""


def _move(
    config: Config, one: Backend, other: Backend, options: Options, progress: Progress
) -> Result:
    """The migration itself; the lock of all writers is held."""
    records = one.records()
    before = one.name if undecided(config) else choose(config)
    planned = _compare(one.name, other.name, records, other.records())
    if planned.conflicts and not options.overwrite:
        raise _conflict(planned, switched=before == other.name)
    if config.backend is None:
        # Both stores are about to exist; until the switch, the source is the one.
        config = configuration.set_value(config, "backend", before)
    journal = _journal_file(config)
    journal.replace(json.dumps(Journal(one.name, other.name)._asdict()).encode())
    progress("copy", 0, len(records))
    if records:
        # Identical ones too: a run that was cut short may have written them without
        # the disk's word that they will stay.
        try:
            other.change(records)
        except (RefusedError, UsageError):
            journal.remove()  # the target will never take them, so there is nothing to finish
            raise
    _verify(other, records, progress)
    # A third store that is in use stays so: what it holds must not vanish from view.
    switched = before == one.name
    if switched:
        configuration.set_value(config, "backend", other.name)
    if not options.keep:
        progress("remove", 0, len(records))
        one.retire(records)
    journal.remove()
    return Result(planned, switched, removed=not options.keep)


def _ends(store: Store, target: str, source: str | None) -> tuple[Backend, Backend] | None:
    """The two backends; None if the target is the store already and nothing is unfinished."""
    config = store.config
    if source is None:
        journal = read_journal(config)
        unfinished = journal is not None and journal.target == target
        source = journal.source if journal is not None and unfinished else choose(config)
        if source == target:
            registry.find(target)
            return None
    for name in (source, target):
        if not registry.find(name).lasting:
            raise ConfigError(f"the {name} backend keeps nothing; it is for tests")
    if source == target:
        raise ConfigError(f"a migration from {source} to {target} moves nothing")
    unlocking = store.unlocking
    return open_backend(config, source, unlocking), open_backend(config, target, unlocking)


def read_journal(config: Config) -> Journal | None:
    """What an unfinished migration was doing; None if there is none, or it is unreadable.

    Losing it costs only the default of `--from`; an unsafe one is refused.
    """
    try:
        raw = _journal_file(config).read()
        entries = None if raw is None else json.loads(raw)
    except (ValueError, RecursionError, StorageError):
        return None
    if not isinstance(entries, dict):
        return None
    source, target = entries.get("source"), entries.get("target")
    if not isinstance(source, str) or not isinstance(target, str):
        return None
    return Journal(source, target)


def _journal_file(config: Config) -> PrivateFile:
    return PrivateFile(os.path.join(config.home, "state", "migration.json"))


def _compare(source: str, target: str, here: dict[str, Record], there: dict[str, Record]) -> Plan:
    moves, identical, conflicts = [], [], []
    for name in sorted(here):
        if name not in there:
            moves.append(name)
        elif same(here[name], there[name]):
            identical.append(name)
        else:
            conflicts.append(name)
    return Plan(source, target, moves, identical, conflicts)


def _conflict(planned: Plan, *, switched: bool) -> ConflictError:
    between = f" between {planned.source} and {planned.target}"
    if switched:
        hint = (
            f"{planned.target} is the store already, and keeps its own; "
            f"--overwrite takes those of {planned.source} instead."
        )
    else:
        hint = f"Nothing was changed. --overwrite takes those of {planned.source}."
    return ConflictError(planned.conflicts, between=between, hint=hint)


def _verify(target: Backend, records: dict[str, Record], progress: Progress) -> None:
    written = target.records()  # a backend reads anew at each call
    for done, (name, record) in enumerate(records.items(), start=1):
        if not same(written.get(name), record):
            raise StorageError(
                f"{name} reads back differently from {target.status().where}",
                hint="Nothing was removed, and the store in use is the same as before.",
            )
        progress("verify", done, len(records))
