"""One backend of the keyring library, named by codemesh, with a deadline on every call.

`keyring.get_keyring()` is never asked: it would try every backend, load the code of other
packages, obey PYTHON_KEYRING_BACKEND and keyringrc.cfg, and run programs from the PATH.
A call that does not come back cannot be cancelled, so it is left to a thread of its own;
until it ends, nothing else is asked of that backend and its lock stays held.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from codemesh.checks import NEVER_A_KEYCHAIN
from codemesh.errors import (
    BackendUnavailableError,
    CodemeshError,
    ConfigError,
    DamagedError,
    DeniedError,
    LockedError,
    NotAnsweringError,
    NotKeptError,
    StorageError,
    TooLargeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring.backend import KeyringBackend

Answer = TypeVar("Answer")

WINDOWS = "keyring.backends.Windows.WinVaultKeyring"
MACOS = "keyring.backends.macOS.Keyring"
_OTHER_STORE = "Keep credentials in another store: codemesh backend use encrypted"


class Traits(NamedTuple):
    """What codemesh knows of a keychain that the keyring library speaks to."""

    title: str
    encrypted: bool
    in_place: bool
    """Whether writing over an item is one step; otherwise it is deleted and added."""

    limit: int | None
    """The most UTF-16 units of one item."""

    compound: bool = False
    """Whether a value that is written over stays behind under `username@service`."""


_WINDOWS_TRAITS = Traits("Windows Credential Manager", True, True, 1280, compound=True)  # noqa: FBT003
_MACOS_TRAITS = Traits("macOS Keychain", True, False, None)  # noqa: FBT003


def class_named(path: str) -> str:
    """The class for `keyring_backend` of config.toml; `auto` is that of the platform."""
    if path != "auto":
        return path
    return WINDOWS if sys.platform == "win32" else MACOS


class Ring:
    """One keyring backend, loaded at first use.

    Every method may raise LockedError, DeniedError, BackendUnavailableError, ConfigError,
    NotAnsweringError (after `timeout` seconds), StorageError, NotKeptError, DamagedError and
    TooLargeError, and nothing else: a backend may raise anything at all, and what it says is
    not repeated.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self._stuck: threading.Thread | None = None
        self._loaded: tuple[KeyringBackend, Traits] | None = None

    @property
    def traits(self) -> Traits:
        """What codemesh knows of it."""
        return self._opened()[1]

    def get(self, service: str, username: str) -> str | None:
        """The text of one item; None if it is not there."""
        backend, traits = self._opened()
        where = f"{traits.title}, {service}"
        try:
            text = self._bounded(lambda: backend.get_password(service, username))
        except DamagedError as error:
            raise error.at(where) from None
        if text is not None and not isinstance(text, str):
            raise DamagedError("an item that is no text", where=where)
        return text

    def set(self, service: str, username: str, text: str) -> None:
        """Write one item, over the one that may be there, and leave no older one behind."""
        backend, traits = self._opened()
        self._bounded(lambda: backend.set_password(service, username, text))
        if traits.compound:
            self._remove(compound(service, username), username)

    def delete(self, service: str, username: str) -> bool:
        """Remove one item, and an older one behind it; whether there was any.

        Raises NotKeptError if it is still there.
        """
        # The older one goes first: a kill must not leave it in the place of the newer one.
        older = self.traits.compound and self._remove(compound(service, username), username)
        return self._remove(service, username) or older

    def has_older(self, service: str, username: str) -> bool:
        """Whether a value that was written over is still behind the one in use."""
        backend, traits = self._opened()
        if not traits.compound:
            return False
        found = self._bounded(lambda: backend.get_credential(service, None))
        # Where somebody else wrote over ours, the one behind it is the one in use.
        ours = found is not None and found.username == username
        return ours and self.get(compound(service, username), username) is not None

    def drop_older(self, service: str, username: str) -> None:
        """Remove it, if it is there."""
        if self.has_older(service, username):
            self._remove(compound(service, username), username)

    def _remove(self, service: str, username: str) -> bool:
        if self.get(service, username) is None:
            return False
        backend, _ = self._opened()
        self._bounded(lambda: backend.delete_password(service, username))
        if self.get(service, username) is not None:
            raise NotKeptError(f"the keychain did not remove {username}")
        return True

    def _opened(self) -> tuple[KeyringBackend, Traits]:
        if self._loaded is None:
            backend = self._bounded(lambda: _instantiated(self.path))
            self._loaded = backend, _traits(type(backend), self.path)
        return self._loaded

    def when_quiet(self, act: Callable[[], object]) -> None:
        """Call `act` once a call that was given up on has ended."""
        stuck = self._stuck
        if stuck is None:
            act()
            return

        def wait() -> None:
            stuck.join()
            act()

        threading.Thread(target=wait, daemon=True).start()

    def _bounded(self, call: Callable[[], Answer]) -> Answer:
        """What a call returns, or the error of ours for what it raises."""
        if self._stuck is not None and self._stuck.is_alive():
            raise self._silent()
        answers: list[Answer] = []
        failures: list[BaseException] = []

        def work() -> None:
            try:
                answers.append(call())
            except BaseException as error:  # noqa: BLE001  foreign code may raise anything
                failures.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            thread.join(self.timeout)
        finally:  # Ctrl-C leaves here as well, and the thread goes on
            if thread.is_alive():
                self._stuck = thread
        if failures:
            raise _translated(failures[0], self.path) from None
        if answers:
            return answers[0]
        raise self._silent()

    def _silent(self) -> NotAnsweringError:
        return NotAnsweringError(f"the keychain did not answer within {self.timeout:g} s")


def compound(service: str, username: str) -> str:
    """The name under which Windows keeps a value that was written over."""
    return f"{username}@{service}"


def _instantiated(path: str) -> KeyringBackend:
    if path in NEVER_A_KEYCHAIN:  # before anything of it is loaded
        raise _refused(path, NEVER_A_KEYCHAIN[path])
    found = _imported(path)
    from keyring.backend import KeyringBackend

    if not (isinstance(found, type) and issubclass(found, KeyringBackend)):
        raise ConfigError(f"keyring_backend: {path} is no keyring backend")
    for base in _paths(found):
        if base in NEVER_A_KEYCHAIN:
            raise _refused(path, NEVER_A_KEYCHAIN[base])
    if not found.viable:
        raise BackendUnavailableError(f"{path} does not work on this machine", hint=_OTHER_STORE)
    backend = found()
    # The constructor takes properties from the environment, where anybody can set them.
    if WINDOWS in _paths(found):
        backend.persist = "local machine"  # type: ignore[attr-defined]  # else it would roam
    if MACOS in _paths(found):
        backend.keychain = None  # type: ignore[attr-defined]  # a path there is only warned of
    return backend


def _imported(path: str) -> object:
    """What a path leads to; None if its module has nothing of that name."""
    from importlib import import_module

    module, _, name = path.rpartition(".")
    try:
        import_module("keyring.backend")
        return getattr(import_module(module), name, None)
    except ImportError as error:
        why = f"{error.name or 'a module'} is missing"
        hint = "Install it: pip install keyring, or the package that has that class"
    except BaseException as error:  # noqa: BLE001  a module may raise anything, SystemExit too
        why = f"its module raised {type(error).__name__}"
        hint = _OTHER_STORE
    # Only now that it has gone: what it says is not ours to show.
    raise BackendUnavailableError(f"{path} cannot be loaded: {why}", hint=hint)


def _refused(path: str, why: str) -> ConfigError:
    return ConfigError(f"keyring_backend: {path} is never used, because {why}")


def _paths(found: type) -> list[str]:
    """The paths of a class and of those that it is made from."""
    return [f"{base.__module__}.{base.__qualname__}" for base in found.__mro__]


def _traits(found: type, path: str) -> Traits:
    """What is known of a class; of a stranger's the worst is assumed."""
    bases = _paths(found)
    if WINDOWS in bases:
        return _WINDOWS_TRAITS
    if MACOS in bases:
        return _MACOS_TRAITS
    return Traits(path, encrypted=False, in_place=False, limit=_WINDOWS_TRAITS.limit)


# -- errors ----------------------------------------------------------------------------

# Of macOS (SecBase.h) and of Windows (winerror.h).
_DENIED = {-61, -128, -25293, -67030, 5}
_LOCKED = {-25308, -25315}
_MISSING = {-25307, -25291, -25294, 1312, 1717}
_FULL = {-34, 8, 14, 112, 1450, 1816}
_TOO_LARGE = {1783}
_INTERACTION = (
    "Unlock it first: security unlock-keychain. Over SSH and under launchd nobody can be asked."
)
_ALLOW = "Allow Python to use the item when the system asks, then try again."


def _translated(error: BaseException, path: str) -> CodemeshError:  # noqa: PLR0911  one a kind
    """The error of ours for one of the keyring library, of the system or of a stranger."""
    if isinstance(error, CodemeshError):
        return error
    if isinstance(error, UnicodeError):
        return DamagedError("the keychain has an item that is no text")
    status = _status(error)
    kinds = {base.__name__ for base in type(error).__mro__}
    if status in _LOCKED:
        return LockedError("the keychain is locked, and nobody may be asked", hint=_INTERACTION)
    if status in _DENIED or "KeyringLocked" in kinds:
        return DeniedError("the keychain denies access", hint=_ALLOW)
    if status in _MISSING or "NoKeyringError" in kinds or "InitError" in kinds:
        return BackendUnavailableError(
            f"no keychain is available in this session ({_word(error)})", hint=_OTHER_STORE
        )
    if status in _FULL:
        return StorageError(f"the keychain is full ({_word(error)})")
    if status in _TOO_LARGE:
        return TooLargeError("the value is too large for the keychain", hint=_OTHER_STORE)
    return StorageError(f"the keychain failed ({_word(error)}), through {path}")


def _status(error: BaseException) -> int | None:
    """The number that the system gave, found in the error or in the one behind it."""
    for each in (error, error.__cause__, error.__context__):
        number = getattr(each, "winerror", None)
        if isinstance(number, int):
            return number
        # One of macOS is below zero, and stands first. An errno or a key is no status.
        number = each.args[0] if each is not None and each.args else None
        if isinstance(number, int) and number < 0:
            return number
    return None


def _word(error: BaseException) -> str:
    status = _status(error)
    return type(error).__name__ if status is None else f"error {status}"
