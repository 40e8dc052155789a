"""What a backend is given from outside, so that it prompts nobody and reads no config.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping


class PassphraseSource(Protocol):
    """Gives candidates for a passphrase."""

    def __call__(self, *, new: bool) -> Iterator[str]:
        """Candidates, best first; with `new`, one for a store that is about to be made.

        Raises LockedError at the first step if there is none.
        """


class RestingPlace(Protocol):
    """Where the keys of unlocked stores rest, outside of any process, each until its end."""

    title: str
    """How people call it."""

    def find(self, name: str) -> bytes | None:
        """What rests under a name; None if nothing does, or it cannot be told unasked."""

    def keep(self, name: str, secret: bytes, seconds: float) -> None:
        """Let a secret rest under a name for so many seconds, in place of what did.

        Raises BackendUnavailableError if there is no such place here, and what a write
        raises.
        """

    def drop(self, name: str) -> bool:
        """Forget what rests under a name. Returns whether anything did."""


class KeychainItems(Protocol):
    """Texts of codemesh's own in the OS keychain, beside those of entries.

    Every method raises what the keychain backend raises where the keychain does not work.
    """

    def prepare(self) -> None:
        """Unlock the keychain now, which may ask its owner."""

    def read(self, name: str, *, ask: bool = True) -> str | None:
        """The text under a name; None if there is none. `ask` tells if it may ask its owner."""

    def write(self, name: str, text: str) -> None:
        """Write a text under a name and read it back."""

    def remove(self, name: str) -> bool:
        """Remove the text under a name. Returns whether there was one."""

    def names(self, *, ask: bool = True) -> list[str]:
        """The names of all of them. `ask` is as in `read`."""


class Context(NamedTuple):
    """All that a backend is given from outside."""

    home: str
    """The absolute path of the codemesh folder; relative paths in options start here."""

    options: Mapping[str, object]
    """The checked values under `[backends.NAME]`."""

    lock_timeout: float
    """How long a lock is waited for, in seconds."""

    passphrases: PassphraseSource
    """Where a sealed store gets its passphrase."""

    opened: MutableMapping[bytes, bytes] | None = None
    """The keys that a passphrase has opened in this process, by what they open.

    Shared by all stores of a process, so that none derives a key twice.
    """

    resting: RestingPlace | None = None
    """Where the key of an unlocked store rests; None if nothing may."""

    keychain: Callable[[str], KeychainItems] | None = None
    """Opens the OS keychain for what lies under one prefix that is no entry's."""
