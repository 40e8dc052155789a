"""The front door of the library: one store, the one that config.toml names.

All policy is here: which backend it is, which entry a name means, when a credential
has expired. The backends below only keep records.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from codemesh import config as configuration
from codemesh import model
from codemesh.backends import registry
from codemesh.choice import (
    FIRST_CHOICE,
    Unlocking,
    choose,
    load_config,
    open_backend,
    undecided,
)
from codemesh.errors import (
    BackendUnavailableError,
    BusyError,
    CredentialNotFoundError,
    LockedError,
    LoginRequiredError,
    NotDurableError,
    NotUnderstoodError,
    StorageError,
    UsageError,
)
from codemesh.providers import table as providers

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from codemesh.backends.base import Backend, Status
    from codemesh.config import Config
    from codemesh.errors import CodemeshError
    from codemesh.model import Credential, Record
    from codemesh.secret import Secret
    from codemesh.unlock.passphrases import Prompt

Found = TypeVar("Found")


class Store:
    """The credentials of one home folder, wherever config.toml keeps them.

    Open it with `open_store()`. Reading never writes. Every method may raise what the
    backend's contract names; all of it is a `CodemeshError`.
    """

    def __init__(self, config: Config, unlocking: Unlocking) -> None:
        self.config = config
        self.unlocking = unlocking
        self.chosen_now = False
        """Whether a write of this object made the first choice of a backend."""
        self.passed_over = ""
        """Why a preferred backend was not the first choice, in words for people."""
        self.unsaved: CodemeshError | None = None
        """Why the credential renewed last could not be saved."""
        self._first: str | None = None
        self._backend = self._open()

    # -- what it is ------------------------------------------------------------------

    @property
    def backend(self) -> Backend:
        """The backend in use."""
        return self._backend

    def status(self) -> Status:
        """Where the credentials are; asks for nothing."""
        return self._backend.status()

    def reload(self) -> None:
        """Read config.toml again, and open the store that it names now."""
        self.config = load_config(self.config.home)
        self._backend = self._open()

    def _open(self) -> Backend:
        return open_backend(self.config, self._choice(), self.unlocking)

    def _choice(self) -> str:
        """The name of the backend: the one chosen, or what `decide` found for a first write."""
        name = choose(self.config)
        return self._first if self._first is not None and undecided(self.config) else name

    # -- reading ---------------------------------------------------------------------

    def names(self) -> list[str]:
        """The names of all entries, sorted."""
        return self._read(lambda backend: backend.names())

    def records(self) -> dict[str, Record]:
        """Every record by its name, those of unknown kinds too."""
        return self._read(lambda backend: backend.records())

    def resolve(self, name: str) -> str:
        """The entry that a name means.

        Without an account that is the provider's default account if it has one, else the
        plain entry. Each is looked for as it is spelled, then under the provider's aliases.
        Raises CredentialNotFoundError if none of them is there.
        """
        return self._read(lambda backend: self._find(backend, name))[0]

    def get(self, name: str) -> Credential:
        """The credential that a name means; see `resolve`.

        Raises CredentialNotFoundError, and NotUnderstoodError for a record of a kind
        that is unknown here.
        """
        entry, record = self._read(lambda backend: self._find(backend, name))
        try:
            return model.parse_record(record)
        except NotUnderstoodError as error:
            raise error.at(entry) from None

    def fresh(self, name: str) -> Credential:
        """As `get`, but renewed if it ends within a minute, and never an expired one.

        One process alone asks the provider; the others use what it saved. Raises
        LoginRequiredError if only a new login helps, NetworkError if the provider was not
        reached and the credential has ended, and ProviderError if it refused.
        """
        credential = self.get(name)
        if isinstance(credential, model.OAuth) and credential.due(time.time()):
            return self.refresh(name, only_if_due=True)
        if isinstance(credential, model.Custom) and credential.profile is not None:
            from codemesh.providers import profile  # which most credentials never name

            if profile.PROVIDER in providers.spellings(model.split_name(name)[0]):
                return profile.fresh(credential.profile, time.time())
        if credential.expired(time.time()):
            raise LoginRequiredError(name)
        return credential

    def refresh(self, name: str, *, only_if_due: bool = False) -> Credential:
        """Renew a credential now, due or not; see `fresh`.

        Raises UsageError for one that cannot be renewed. If the new one could not be saved,
        it is returned all the same, and `unsaved` says why.
        """
        from codemesh import refresh  # which loads an HTTP client

        name = self.resolve(name)
        seen = self.get(name)
        if not isinstance(seen, model.OAuth) or seen.refresh_token is None:
            raise UsageError(f"{name} has nothing to be renewed with")
        entry = refresh.Entry(
            name,
            lambda: self._oauth(name),
            lambda before, after: self._write(
                lambda backend: backend.change({name: after}, expect={name: before})
            ),
        )
        credential, self.unsaved = refresh.renew(
            entry, self.config, unless=None if only_if_due else seen.secret().reveal()
        )
        return credential

    def _oauth(self, entry: str) -> model.OAuth:
        """The tokens of an entry as they are stored now."""
        return model.OAuth(self._read(lambda backend: backend.get(entry)))

    def token(self, name: str, field: str | None = None, *, refresh: bool = True) -> Secret:
        """The secret of a credential that a program needs, or the field named.

        An expired one raises LoginRequiredError, unless `refresh` is false: then it is
        given as it is stored.
        """
        credential = self.fresh(name) if refresh else self.get(name)
        return credential.secret(field)

    # -- writing ---------------------------------------------------------------------

    def put(self, name: str, credential: Credential) -> None:
        """Write a credential, over the one that may be there."""
        record = credential.to_record()
        self._write(lambda backend: backend.put(name, record))

    def remove(self, *names: str) -> None:
        """Remove entries by their exact names, all or none.

        Raises CredentialNotFoundError if one of them is not there.
        """
        self._write(lambda backend: backend.change({}, names))

    def decide(self) -> None:
        """Find out which store a first write would make, if nothing names one yet.

        That is the keychain where one passes a probe, which may ask its owner to unlock
        it; otherwise the plaintext file. Only the write itself makes the choice last. A
        second call does nothing.
        """
        if self._first is not None or not undecided(self.config):
            return
        self._first = FIRST_CHOICE
        for entry in registry.lasting():
            if entry.preferred:
                try:
                    open_backend(self.config, entry.name, self.unlocking).probe()
                except (BackendUnavailableError, LockedError, BusyError, StorageError) as error:
                    self.passed_over = str(error)
                else:
                    self._first, self.passed_over = entry.name, ""
                    break
        self._backend = self._open()

    def _write(self, action: Callable[[Backend], None]) -> None:
        """Run one change while nobody switches the store, asking before any lock is taken."""
        while True:
            self.decide()
            self._backend.prepare()
            with self.config.lock():
                if not self.config.changed() and self._backend.name == self._choice():
                    self._settle()
                    action(self._backend)
                    return
            self.reload()

    def _read(self, action: Callable[[Backend], Found]) -> Found:
        """What one reading finds. If that is nothing, it may have come too late.

        A migration empties its source after the switch, so whoever came in before looks
        again in the store that config.toml names by then.
        """
        while True:
            try:
                found = action(self._backend)
            except CredentialNotFoundError:
                if not self.config.changed():
                    raise
            else:
                if found or not self.config.changed():
                    return found
            self.reload()

    def _settle(self) -> None:
        """Write the first choice of a backend to config.toml, once; the lock is held."""
        if undecided(self.config):
            try:
                self.config = configuration.set_value(self.config, "backend", self._backend.name)
            except NotDurableError as error:
                error.hint = "Only the choice of a store is saved. Run the command again."
                raise
            self.chosen_now = True

    def new_entry(self, name: str) -> str:
        """The entry that a login to `name` makes: the default account's, else the plain one."""
        provider, account = model.split_name(name)
        default = self.config.account(provider) if account is None else None
        return name if default is None else f"{name}/{default}"

    def _find(self, backend: Backend, name: str) -> tuple[str, Record]:
        for candidate in self._candidates(name):
            try:
                return candidate, backend.get(candidate)
            except CredentialNotFoundError:
                continue
        raise CredentialNotFoundError(name)

    def _candidates(self, name: str) -> Iterator[str]:
        provider, account = model.split_name(name)
        spellings = providers.spellings(provider)
        if account is not None:
            yield from (f"{spelling}/{account}" for spelling in spellings)
            return
        accounts = [self.config.account(spelling) for spelling in spellings]
        default = next((chosen for chosen in accounts if chosen is not None), None)
        if default is not None:
            yield from (f"{spelling}/{default}" for spelling in spellings)
        yield from spellings


def open_store(
    home: str | os.PathLike[str] | None = None,
    *,
    prompt: Prompt | None = None,
    passphrase_fd: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> Store:
    """Open the store that config.toml names. Nothing is written, and nothing is asked yet.

    `home` is the codemesh folder, by default CODEMESH_HOME or `~/.code-mesh`. A sealed
    store that nothing has unlocked takes its passphrase from the sources in
    `unlock/passphrases.py`; it prompts only if it is given a `prompt`. Raises
    ConfigError, and BackendUnavailableError.
    """
    sources = Unlocking(fd=passphrase_fd, environ=environ, prompt=prompt)
    return Store(load_config(home or configuration.find_home(environ)), sources)
