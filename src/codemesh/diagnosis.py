"""What `doctor` looks at, and what it can put right.

Each check yields findings; a finding that can be mended carries the act that mends it.
Nothing here asks for a passphrase: a sealed store that nobody opened is told as such.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from codemesh import config as configuration
from codemesh.backends.base import same
from codemesh.choice import backends, choose, load_config, open_backend, store_paths
from codemesh.errors import CodemeshError, LockedError, RefusedError
from codemesh.files import folder
from codemesh.files.private import PrivateFile
from codemesh.migration import read_journal
from codemesh.providers import table as providers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from codemesh.backends.base import Backend
    from codemesh.choice import Unlocking
    from codemesh.config import Config
    from codemesh.model import Record

EXPOSED = "It was exposed: if others use this machine, replace the credentials in it."


class Finding(NamedTuple):
    """One thing that is not as it should be, or worth knowing."""

    check: str
    """Which check found it: a stable word, for programs."""

    message: str
    problem: bool = True
    """Whether it is a problem; otherwise it is only worth knowing."""

    mend: Callable[[], object] | None = None
    """The act that puts it right; None if that is for the user to do."""

    advice: str = ""
    """What to type or do beside."""


def examine(home: str, sources: Unlocking) -> Iterator[Finding]:
    """Every finding for one home folder, the most basic first and each once."""
    told: set[str] = set()
    for finding in _findings(home, sources):
        # What keeps a file from being read has often been found by looking at it.
        if finding.message not in told:
            yield finding
        told.add(finding.message)


def _findings(home: str, sources: Unlocking) -> Iterator[Finding]:
    yield from _folders(home)
    config_file = PrivateFile(configuration.path_of(home), others_may_read=True)
    yield from _permissions(config_file, "")
    if any(problem.refused for problem in config_file.problems()):
        return  # nothing more can be told before that is put right
    try:
        config = load_config(home)
        choose(config)
        if "providers" in config.tables:
            from codemesh.providers import settings  # which loads pydantic

            settings.resolve(config)
    except CodemeshError as error:
        yield Finding("config", str(error), advice=error.hint)
        return
    yield from _files(config)
    yield from _unfinished(config)
    records: dict[str, dict[str, Record]] = {}
    current = choose(config)
    for entry in backends(config):
        in_use = entry.name == current
        try:
            backend = open_backend(config, entry.name, sources)
        except CodemeshError as error:
            if in_use:
                yield Finding("store", str(error), advice=error.hint)
            continue
        if in_use or entry.file or _holds_entries(backend):
            yield from _store(backend, config, records, in_use=in_use)
    yield from _copies(current, records)
    yield from _strays(config)


def mend(findings: list[Finding]) -> tuple[list[Finding], list[str]]:
    """Do what each finding offers. Returns those that were put right, and what failed."""
    done, failed = [], []
    for finding in findings:
        if finding.mend is None:
            continue
        try:
            finding.mend()
        except CodemeshError as error:
            failed.append(str(error))
        else:
            done.append(finding)
    return done, failed


def _folders(home: str) -> Iterator[Finding]:
    for path in (home, os.path.join(home, "state"), os.path.join(home, "sessions")):
        for problem in folder.problems(path):
            act = partial(folder.tighten, path) if problem.mendable else None
            yield Finding("permissions", f"{path}: {problem.sentence}", problem.refused, act)


def _files(config: Config) -> Iterator[Finding]:
    for path in store_paths(config).values():
        yield from _permissions(PrivateFile(path), EXPOSED)
    for folder_name in ("state", "sessions"):
        inside = os.path.join(config.home, folder_name)
        for name in _listed(inside):
            if name.endswith(".json"):
                yield from _permissions(PrivateFile(os.path.join(inside, name)), "")


def _permissions(file: PrivateFile, exposed: str) -> Iterator[Finding]:
    for problem in file.problems():
        act = file.tighten if problem.mendable else None
        advice = exposed if problem.id == "loose-mode" else ""
        message = f"{file.path}: {problem.sentence}"
        yield Finding("permissions", message, problem.refused, act, advice)


def _unfinished(config: Config) -> Iterator[Finding]:
    try:
        journal = read_journal(config)
    except CodemeshError:
        return  # an unsafe folder, which has a finding of its own
    if journal is not None:
        yield Finding(
            "migration",
            f"a migration from {journal.source} to {journal.target} was not finished",
            advice=f"Finish it: codemesh migrate {journal.target}",
        )


def _holds_entries(backend: Backend) -> bool:
    """Whether a store that is not in use, and no file, has something; asks nobody."""
    try:
        return bool(backend.status().entries)
    except CodemeshError:
        return False  # what is not there, or does not answer, is no concern of this home


def _store(
    backend: Backend, config: Config, records: dict[str, dict[str, Record]], *, in_use: bool
) -> Iterator[Finding]:
    """What one store shows. Its records go into `records`, if they can be read."""
    try:
        if in_use:
            backend.probe()
        for fault in backend.weaknesses():
            yield Finding("cost", fault.message, problem=False, advice=fault.advice)
        yield from _unlocked(backend)
        yield from _leftovers(backend)
        records[backend.name] = backend.records()
        for fault in backend.faults(_candidates(config, records)):
            yield Finding("entries", fault.message, mend=fault.mend, advice=fault.advice)
    except LockedError as error:
        message = f"{_where(backend)} is locked, so its entries were not looked at"
        advice = "" if error.hint == LockedError.default_hint else error.hint
        yield Finding("locked", message, problem=False, advice=advice)
    except CodemeshError as error:
        yield Finding("store", str(error), advice=error.hint)


def _unlocked(backend: Backend) -> Iterator[Finding]:
    until = backend.status().unlocked_until
    if until is not None:
        moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(until))
        message = f"{_where(backend)} is unlocked until {moment}"
        yield Finding("unlocked", message, problem=False, advice="Lock it: codemesh lock")


def _where(backend: Backend) -> str:
    try:
        return backend.status().where
    except CodemeshError:
        return f"the {backend.name} store"


def _leftovers(backend: Backend) -> Iterator[Finding]:
    try:
        found = backend.leftovers()
    except RefusedError:
        return  # an unsafe folder, which has a finding of its own
    for path in found:
        yield Finding("leftovers", f"{path} was left behind by a killed write", mend=backend.sweep)


def _candidates(config: Config, records: Mapping[str, Mapping[str, Record]]) -> set[str]:
    """Names that a store could have an entry of, although it does not list it."""
    known = {name for each in providers.TABLE for name in (each.id, *each.aliases)}
    accounts = {f"{name}/{config.account(name)}" for name in known if config.account(name)}
    return known.union(accounts, *records.values())


def _copies(current: str, records: dict[str, dict[str, Record]]) -> Iterator[Finding]:
    own = records.get(current, {})
    for backend, others in records.items():
        copies = sorted(own.keys() & others.keys()) if backend != current else []
        for name in copies:
            equal = same(own[name], others[name])
            it = "the same" if equal else "another one of that name"
            command = f"codemesh migrate {current} --from {backend}"
            yield Finding(
                "copies",
                f"{name} is in the {current} store, and {it} in the {backend} store",
                advice=f"To have it once: {command}"
                if equal
                else f"To take the {backend} one instead: {command} --overwrite",
            )


def _strays(config: Config) -> Iterator[Finding]:
    """Files beside a store that look like copies of it: of editors, backups and sync tools."""
    stores = set(store_paths(config).values())
    stems = {(os.path.dirname(path), _stem(os.path.basename(path))) for path in stores}
    for beside, stem in sorted(stems):
        for name in _listed(beside):
            path = os.path.join(beside, name)
            if path in stores or not name.startswith(stem) or name[len(stem) :][:1].isalnum():
                continue
            file = PrivateFile(path)
            loose = any(problem.id == "loose-mode" for problem in file.problems())
            yield Finding(
                "strays",
                f"{path} looks like a copy of a store" + (", open to others" * loose),
                problem=loose,
                mend=file.tighten if loose else None,
                advice="It may be the only copy of something: look into it before you remove it.",
            )


def _listed(path: str) -> list[str]:
    """The names in a folder; none where it cannot be listed, which `_folders` tells."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def _stem(name: str) -> str:
    """The name up to its first dot; a dot at its very start belongs to it."""
    return name[:1] + name[1:].partition(".")[0]
