"""Which keychain a machine has, and how codemesh writes to one: under a lock of its own."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from codemesh.backends import _items
from codemesh.errors import BackendUnavailableError, NotAnsweringError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codemesh.backends._items import Items, Keychain

SECRET_SERVICE = "keyring.backends.SecretService.Keyring"  # noqa: S105  the name of a class
_TIMEOUT = 10.0  # seconds


def choose(options: Mapping[str, object], service: str) -> Keychain:
    """The keychain that config.toml names, by default that of the platform; nothing is opened.

    `options` are those under `[backends.keychain]`, `service` the prefix of the items.
    """
    named = str(options.get("keyring_backend", "auto"))
    seconds = options.get("timeout", _TIMEOUT)
    timeout = seconds if isinstance(seconds, float) else _TIMEOUT
    if named != SECRET_SERVICE and (named != "auto" or sys.platform in {"darwin", "win32"}):
        from codemesh.backends._keyring import KeyringKeychain

        return KeyringKeychain(service, timeout, named)
    try:
        from codemesh.backends._secretservice import SecretService
    except ImportError as error:
        raise BackendUnavailableError(
            f"the keychain cannot be reached: {error.name or 'a module'} is missing",
            hint="Install it: pip install jeepney",
        ) from None
    return SecretService(service, timeout)


@contextmanager
def locked(keychain: Keychain, home: str, timeout: float) -> Iterator[Items]:
    """The keychain, opened, while nobody else of ours changes what lies under its prefix.

    `timeout` is in seconds. Where the keychain was given up on, the lock stays until it
    is quiet.
    """
    from codemesh.files import folder
    from codemesh.files.lock import FileLock

    path = _items.lock_path(home, keychain.service)
    folder.prepare(_items.home_of(path))
    what = f"the keychain, {keychain.service}/*"
    with ExitStack() as stack:
        stack.enter_context(FileLock(path, timeout=timeout, what=what))
        try:
            with keychain.opened() as items:
                yield items
        except (NotAnsweringError, KeyboardInterrupt):
            # What was asked may still be done. Until then nobody else may write.
            keychain.when_quiet(stack.pop_all().close)
            raise


class OwnItems:
    """Texts of codemesh's own in a keychain, beside those of entries.

    Every method raises what `Items` raises.
    """

    def __init__(
        self, options: Mapping[str, object], service: str, home: str, lock_timeout: float
    ) -> None:
        self._options = options
        self._service = service
        self._home = home
        self._lock_timeout = lock_timeout

    def prepare(self) -> None:
        """Unlock the keychain now, which may ask its owner."""
        self._keychain().unlock()

    def read(self, name: str, *, ask: bool = True) -> str | None:
        """The text under a name; None if there is none. `ask` tells if it may ask its owner."""
        with self._keychain().opened(ask=ask) as items:
            return items.read_fixed(name)

    def write(self, name: str, text: str) -> None:
        """Write a text under a name and read it back; one that is there goes first."""
        keychain = self._keychain()
        keychain.unlock()  # asked before the lock is taken
        with locked(keychain, self._home, self._lock_timeout) as items:
            if name in items.names():
                items.write({}, [name])  # so that it is always one that was never written over
            items.write({name: text}, [])

    def remove(self, name: str) -> bool:
        """Remove the text under a name. Returns whether there was one."""
        keychain = self._keychain()
        keychain.unlock()
        with locked(keychain, self._home, self._lock_timeout) as items:
            there = name in items.names()
            if there:
                items.write({}, [name])
        return there

    def names(self, *, ask: bool = True) -> list[str]:
        """The names of all of them. `ask` is as in `read`."""
        with self._keychain().opened(ask=ask) as items:
            return items.names()

    def _keychain(self) -> Keychain:
        return choose(self._options, self._service)
