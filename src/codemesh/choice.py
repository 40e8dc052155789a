"""Which store is the store: what config.toml says, else the files that are there.

Nothing is read from a store here, and nothing is written. What a first write takes, where
nothing decides it, is found out by `Store.decide`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from codemesh import config as configuration
from codemesh.backends import registry
from codemesh.backends.context import Context
from codemesh.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from codemesh.backends.base import Backend
    from codemesh.backends.context import KeychainItems, PassphraseSource, RestingPlace
    from codemesh.config import Config
    from codemesh.unlock.passphrases import Prompt

FIRST_CHOICE = "plaintext"
"""The store of the first write when no better one offers itself: the Rust program's file."""


def load_config(home: str | os.PathLike[str] | None = None) -> Config:
    """Read config.toml and check all of it, the tables of the backends included."""
    config = configuration.load(home)
    known = registry.option_checks()
    config.check_backends(known)
    for name in config.backend_tables():
        if name not in known and name != config.backend:
            _known_table(config, name)
    return config


def choose(config: Config) -> str:
    """The name of the backend that holds the credentials; see `Store.decide` for a first write.

    Raises ConfigError if config.toml names one that does not keep anything, or names
    none while there are several.
    """
    if config.backend is not None:
        if not _entry(config, config.backend).lasting:
            raise ConfigError(
                f"the {config.backend} backend keeps nothing; it is for tests", where=config.path
            )
        return config.backend
    there = existing(config)
    if len(there) > 1:
        raise ConfigError(
            f"there is more than one store ({', '.join(there)}), and it names none",
            hint=f"Choose one: codemesh backend use {there[0]}",
            where=config.path,
        )
    return there[0] if there else FIRST_CHOICE


def undecided(config: Config) -> bool:
    """Whether neither config.toml nor a store file says where credentials are kept."""
    return config.backend is None and not existing(config)


def existing(config: Config) -> list[str]:
    """The backends whose store file is there, in the order of the table."""
    return [name for name, path in store_paths(config).items() if os.path.lexists(path)]


def store_paths(config: Config) -> dict[str, str]:
    """The absolute path of each backend's store file, for those that have one."""
    paths = {}
    for entry in registry.lasting():
        if entry.file:
            options = config.backend_options(entry.name, entry.options)
            named = os.path.expanduser(str(options.get("path", entry.file)))
            paths[entry.name] = os.path.normpath(os.path.join(config.home, named))
    return paths


def backends(config: Config) -> list[registry.Entry]:
    """The backends that can be used here: those of the table, and a plug-in in use."""
    known = registry.lasting()
    if config.backend is not None and config.backend not in {entry.name for entry in known}:
        known.append(_entry(config, config.backend))
    return known


def open_backend(config: Config, name: str, unlocking: Unlocking, **instead: object) -> Backend:
    """Open one backend with its options from config.toml; nothing is read yet.

    `instead` are options that count in the place of those.
    """
    entry = _entry(config, name)
    options = config.backend_options(name, entry.options) | instead

    def keychain(service: str) -> KeychainItems:
        from codemesh.backends._keychains import OwnItems  # only for stores that need it

        known = registry.option_checks()["keychain"]
        own = config.backend_options("keychain", known)
        return OwnItems(own, service, config.home, config.lock_timeout)

    context = Context(
        config.home,
        options,
        config.lock_timeout,
        unlocking.passphrases_of(name, options),
        unlocking.opened,
        _resting_place(options, keychain) if "unlock_cache" in (entry.options or {}) else None,
        keychain,
    )
    return registry.load(entry)(context)


def _resting_place(
    options: Mapping[str, object], keychain: Callable[[str], KeychainItems]
) -> RestingPlace | None:
    from codemesh.unlock import resting

    return resting.place(str(options.get("unlock_cache", "kernel")), keychain)


class Unlocking:
    """How sealed stores are opened in this process; one for all of them.

    What was given stays in memory, so a descriptor is read once, and so does a key that
    was derived.
    """

    def __init__(
        self,
        *,
        fd: int | None = None,
        environ: Mapping[str, str] | None = None,
        prompt: Prompt | None = None,
        opened: dict[bytes, bytes] | None = None,
    ) -> None:
        self._fd = fd
        self._environ = environ
        self._prompt = prompt
        self._sources: dict[str, PassphraseSource] = {}
        self.opened: dict[bytes, bytes] = {} if opened is None else opened
        """As in a Context; another object may have begun it."""

    def passphrases_of(self, backend: str, options: Mapping[str, object]) -> PassphraseSource:
        """The candidates for one backend's passphrase, as its Context takes them."""

        def candidates(*, new: bool) -> Iterator[str]:
            if backend not in self._sources:
                from codemesh.unlock.passphrases import Passphrases  # only if one is needed

                command = options.get("passphrase_command")
                self._sources[backend] = Passphrases(
                    fd=self._fd,
                    environ=self._environ,
                    command=command if isinstance(command, list) else None,
                    prompt=self._prompt,
                )
            return self._sources[backend](new=new)

        return candidates


def _known_table(config: Config, name: str) -> None:
    """Refuse a `[backends.NAME]` that no backend and no plug-in will ever read."""
    try:
        registry.find(name)
    except ConfigError:
        names = [f"backends.{entry.name}" for entry in registry.lasting()]
        raise configuration.unknown_key(f"backends.{name}", names, config.path) from None


def _entry(config: Config, name: str) -> registry.Entry:
    try:
        return registry.find(name)
    except ConfigError as error:
        raise error.at(config.path) if name == config.backend else error from None
