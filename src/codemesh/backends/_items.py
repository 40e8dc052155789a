"""What a keychain gives to codemesh: texts under the names of entries; no more than that.

One class beneath this one speaks to the Secret Service, another to every keychain that
the keyring library knows. What the texts mean is the backend's business.
"""

from __future__ import annotations

import os
import zlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

DEFAULT_HOME = "~/.code-mesh"
DEFAULT_SERVICE = "codemesh"


class ItemFault(NamedTuple):
    """Something in a keychain that is not as it should be."""

    message: str
    mend: Callable[[Items], object] | None = None
    """Puts it right in the keychain, opened anew; the lock is held, and nothing is lost.

    None if that is for the user to do.
    """

    advice: str = ""
    """What the user can do."""


class Items(ABC):
    """The texts of one opened keychain that lie under one prefix.

    Every method may raise LockedError, DeniedError, BackendUnavailableError,
    NotAnsweringError, StorageError, and DamagedError for what codemesh never wrote.
    """

    @abstractmethod
    def read(self, name: str) -> str | None:
        """The text under a name; None if there is none."""

    @abstractmethod
    def read_fixed(self, name: str) -> str | None:
        """As `read`, in one call, for a text that was never written over."""

    @abstractmethod
    def read_all(self) -> dict[str, str]:
        """Every text by its name."""

    @abstractmethod
    def write(self, texts: Mapping[str, str], removes: Collection[str]) -> None:
        """Write and remove, each name old or new at any moment, and read all of it back.

        Every name in `removes` is there; the caller has looked, and holds the lock.
        Raises NotKeptError naming what reads back differently.
        """

    @abstractmethod
    def names_if_open(self) -> list[str] | None:
        """The names, without ever asking anybody; None while they are locked."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all texts, those that cannot be read among them."""

    @abstractmethod
    def set_aside(self, name: str, stamp: str) -> None:
        """Move what lies under a name to where no entry is, as it is; the lock is held.

        It is there in full before it goes here. `stamp` tells it from others.
        """

    def guess(self) -> None:  # noqa: B027  most keychains list their items themselves
        """Where a list of ours is damaged, go on with what can be read of it; write nothing."""

    def rebuild(self, stamp: str) -> None:  # noqa: B027
        """Set the damaged list aside, and write what `guess` found in its place."""

    def leftovers(self) -> list[str]:
        """What killed writers left, in words for people."""
        return []

    def sweep(self) -> None:  # noqa: B027  most keychains leave nothing behind
        """Remove the leftovers; the caller holds the lock. A second call does nothing."""

    @abstractmethod
    def faults(self, candidates: Iterable[str]) -> Iterator[ItemFault]:
        """What an inspection finds, beyond leftovers.

        `candidates` are names that could have an item although nothing lists it.
        """

    @abstractmethod
    def throwaway(self) -> None:
        """Write an item that is no entry, read it, compare it, and delete it again."""


class Keychain(ABC):
    """One keychain, and the prefix of what is ours in it. Nothing is opened yet."""

    def __init__(self, service: str) -> None:
        self.service = service

    title: str
    """How people call it."""

    encrypted: bool
    """Whether it is known to encrypt what it keeps."""

    limit: int
    """The most characters of one text."""

    @abstractmethod
    def opened(self, *, ask: bool = True) -> AbstractContextManager[Items]:
        """Open it for one operation, on a connection that is nobody else's.

        Where `ask` is false, nobody is asked to unlock anything: LockedError is raised.
        """

    def unlock(self) -> None:
        """See that the next write will need no question: unlock it, asking if it must."""
        with self.opened():
            return

    def when_quiet(self, act: Callable[[], object]) -> None:
        """Call `act` once nothing that was given up on can still write; by default now."""
        act()


def service_of(home: str, named: object) -> str:
    """The prefix of every item of a codemesh folder: that in config.toml, or its own.

    `codemesh` for `~/.code-mesh`; every other folder gets `codemesh-` and the CRC-32 of
    its path, in 8 hexadecimal digits, so that two folders never share an item.
    """
    if isinstance(named, str):
        return named
    path = os.path.realpath(home)
    if path == os.path.realpath(os.path.expanduser(DEFAULT_HOME)):
        return DEFAULT_SERVICE
    return f"{DEFAULT_SERVICE}-{zlib.crc32(os.fsencode(path)):08x}"


def lock_path(home: str, service: str) -> str:
    """The lock of everything under one prefix.

    A prefix that a folder has to itself is locked in that folder. One that other folders
    can name as well is locked in the default home, which all of them find.
    """
    own = service == service_of(home, None)
    base = home if own else os.path.expanduser(DEFAULT_HOME)
    return os.path.join(base, "state", f"keychain-{zlib.crc32(service.encode()):08x}.lock")


def aside(key: str, stamp: str) -> str:
    """Where an item of a key goes that is set aside; no encoded name has such a `%`."""
    return f"%damaged-{stamp}/{key}"


def home_of(lock: str) -> str:
    """The folder of codemesh that a lock of `lock_path` lies in."""
    return os.path.dirname(os.path.dirname(lock))


def encode(name: str, unsafe: Callable[[str], bool]) -> str:
    """A name with its unsafe characters, `@` and `%` percent-encoded (RFC 3986, 2.1).

    Windows joins user and service with `@`, so a name must not have one of its own.
    """
    if not any(char in "@%" or unsafe(char) for char in name):
        return name
    return "".join(
        "".join(f"%{byte:02X}" for byte in char.encode()) if char in "@%" or unsafe(char) else char
        for char in name
    )


def decode(encoded: str, unsafe: Callable[[str], bool]) -> str | None:
    """The name that `encode` made this of; None if it made no such text."""
    head, *escapes = encoded.split("%")
    try:
        raw = head.encode() + b"".join(
            bytes.fromhex(part[:2]) + part[2:].encode() for part in escapes
        )
        name = raw.decode()
    except ValueError:
        return None
    return name if encode(name, unsafe) == encoded else None
