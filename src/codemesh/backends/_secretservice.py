"""The keychain of Linux: gnome-keyring, KWallet, KeePassXC, all through the Secret Service.

An item is found by its attributes `service` and `username`, as the keyring library and
secret-tool find it. One that is there is changed in place, in one step: to replace it is
to open a dialog in KeePassXC. The service lists its items itself, so there is no list of
ours that could differ.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from codemesh.backends._dbus import Bus
from codemesh.backends._items import ItemFault, Items, Keychain, aside, decode, encode
from codemesh.backends._secretprotocol import MEMORY, NAME, Secrets, Vanished
from codemesh.errors import DamagedError, NotKeptError, StorageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_LIMIT = 16 * 2**20  # characters; a message of the bus takes some more
_ATTEMPTS = 5  # against an item that others replace all the time
_PROBE = "%probe"  # as no encoded name is
# What the keyring library writes as well, so that it finds and updates the same item.
_APPLICATION = {"application": "Python keyring library"}


class SecretService(Keychain):
    """The Secret Service on the session bus."""

    title = "Secret Service"
    encrypted = True
    limit = _LIMIT

    def __init__(self, service: str, timeout: float) -> None:
        super().__init__(service)
        self._timeout = timeout

    @contextmanager
    def opened(self, *, ask: bool = True) -> Iterator[Items]:
        """Connect to the bus; nothing is asked yet."""
        bus = Bus(NAME, self._timeout)
        try:
            yield SecretServiceItems(Secrets(bus, ask=ask), self.service)
        finally:
            bus.close()

    def unlock(self) -> None:
        """Unlock the default collection, or make one, with the prompts that this takes."""
        with self.opened() as items:
            cast("SecretServiceItems", items).secrets.default_collection()


class SecretServiceItems(Items):
    """The items under one prefix, over one connection."""

    def __init__(self, secrets: Secrets, service: str) -> None:
        self.secrets = secrets
        self._service = service

    # -- reading ---------------------------------------------------------------------

    def read(self, name: str) -> str | None:
        """One text, in five exchanges with the bus."""
        return self._read(encode(name, _unsafe))

    def read_fixed(self, name: str) -> str | None:
        """The same: an item is changed in place."""
        return self.read(name)

    def read_all(self) -> dict[str, str]:
        """Every text, in a few exchanges for each 64 of them."""
        self.secrets.unlock()
        listed = self._scan()[0]
        single = {name: paths[0] for name, paths in listed.items() if len(paths) == 1}
        values = self.secrets.secrets(list(single.values()))
        texts = {
            name: self._text(name, value)
            for name, value in zip(single, values, strict=True)
            if value is not None
        }
        for name in listed.keys() - texts.keys():  # there twice, locked, or changed meanwhile
            text = self.read(name)
            if text is not None:
                texts[name] = text
        return texts

    def names_if_open(self) -> list[str] | None:
        """The names; None while the default collection is locked."""
        return None if self.secrets.is_locked() else list(self._scan()[0])

    def names(self) -> list[str]:
        """The names of all entries that can be seen."""
        self.secrets.unlock()
        return list(self._scan()[0])

    def _read(self, key: str) -> str | None:
        """The text of the item of a key, which is the encoded name of an entry."""
        for _ in range(_ATTEMPTS):
            path = self._newest(self._find(key))
            if path is None:
                return None
            try:
                return self._text(key, self.secrets.secret(path))
            except Vanished:
                continue
        raise StorageError(f"the item of {key} changes all the time")

    # -- writing ---------------------------------------------------------------------

    def write(self, texts: Mapping[str, str], removes: Collection[str]) -> None:
        """One item after the other, each in one step of the keychain."""
        for name, text in texts.items():
            self._put(encode(name, _unsafe), text)
        for name in removes:
            self._remove(encode(name, _unsafe))
        for name, text in texts.items():
            if self.read(name) != text:
                raise NotKeptError(f"the keychain did not keep {name}")

    def _put(self, key: str, text: str) -> None:
        paths = self._find(key)
        # An item that its keychain forgets at logout is no place for a credential.
        newest = self._newest([path for path in paths if not path.startswith(f"{MEMORY}/")])
        if newest is not None:
            try:
                self.secrets.set_secret(newest, text.encode("ascii"))
            except Vanished:
                newest = None  # its keychain has removed it a moment ago
        if newest is None:
            attributes = self._attributes(key) | _APPLICATION
            self.secrets.create(f"{self._service}: {key}", attributes, text.encode("ascii"))
        for path in paths:  # the others are older, and would come back after a removal
            if path != newest:
                self.secrets.delete(path)

    def _remove(self, key: str) -> None:
        for path in self._find(key):
            self.secrets.delete(path)
        if self._find(key):
            raise NotKeptError(f"the keychain did not remove {key}")

    def set_aside(self, name: str, stamp: str) -> None:
        """Add a copy of each item under the other name, byte for byte, then remove the item."""
        key = encode(name, _unsafe)
        for path, value in self._found(key):
            attributes = self._attributes(aside(key, stamp))
            self.secrets.create(f"{self._service}: {key}, damaged", attributes, value)
            copies = [copy for _, copy in self._found(aside(key, stamp))]
            if value not in copies:
                raise NotKeptError(f"the keychain did not keep a copy of {key}")
            self.secrets.delete(path)

    def _found(self, key: str) -> Iterator[tuple[str, bytes]]:
        paths = self._find(key)
        for path, value in zip(paths, self.secrets.secrets(paths), strict=True):
            if value is not None:
                yield path, value

    # -- upkeep ----------------------------------------------------------------------

    def throwaway(self) -> None:
        """The item `%probe`."""
        text = f"probe of {time.time()}"
        try:
            self._put(_PROBE, text)
            if self._read(_PROBE) != text:
                raise NotKeptError("the keychain did not keep what was written to try it")
        finally:
            self._remove(_PROBE)

    def faults(self, candidates: Iterable[str]) -> Iterator[ItemFault]:
        """Entries that are there twice, and items that no entry's name finds."""
        del candidates  # the service lists its items itself
        listed, lost = self._scan()
        for name, paths in listed.items():
            if len(paths) > 1:
                yield self._twice(name, paths)
        for service in lost:
            yield ItemFault(
                f"the keychain's item {service} has a username that codemesh never writes",
                advice="Its username must be what follows the slash. "
                f"To see it: secret-tool search service {service}",
            )

    def _twice(self, name: str, paths: list[str]) -> ItemFault:
        often = "twice" if len(paths) == 2 else f"{len(paths)} times"  # noqa: PLR2004
        message = f"{name} is in the keychain {often}"
        if len(set(self.secrets.secrets(paths))) > 1:
            return ItemFault(
                f"{message}, with different contents; the one changed last counts",
                advice=f"To keep one, log in again: codemesh auth login {name}",
            )

        def merge(items: Items) -> None:
            text = items.read(name)
            if text is not None:
                items.write({name: text}, [])

        return ItemFault(f"{message}, with the same content", merge)

    # -- items -----------------------------------------------------------------------

    def _attributes(self, key: str) -> dict[str, str]:
        return {"service": f"{self._service}/{key}", "username": key}

    def _find(self, key: str) -> list[str]:
        return self.secrets.search(self._attributes(key))

    def _newest(self, paths: list[str]) -> str | None:
        """The item changed last, if there are several: another program may have made one."""
        if not paths:
            return None
        if len(paths) == 1:
            return paths[0]
        moments = dict(zip(paths, self.secrets.changed(paths), strict=True))
        # Seconds are coarse: of two in one second the item with the greater number is newer.
        return max(paths, key=lambda path: (moments[path], len(path), path))

    def _scan(self) -> tuple[dict[str, list[str]], list[str]]:
        """The items of every entry by its name, and the services of those of no entry."""
        found: dict[str, list[str]] = {}
        lost = []
        for path, attributes in self.secrets.items():
            service, key = attributes.get("service", ""), attributes.get("username", "")
            if not service.startswith(f"{self._service}/") or key.startswith(
                ("%probe", "%damaged")
            ):
                continue
            name = decode(key, _unsafe) if service == f"{self._service}/{key}" else None
            if name:
                found.setdefault(name, []).append(path)
            else:
                lost.append(service)
        return found, lost

    def _text(self, name: str, value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass  # its object would drag the value along
        raise DamagedError(
            "the item is not UTF-8", where=f"Secret Service, {self._service}/{name}"
        )


def _unsafe(char: str) -> bool:
    """Control characters, and what a keychain may drop.

    The bus takes no NUL. KeePassXC forgets a byte order mark at the start of an attribute,
    and the two that XML cannot express once it writes its file.
    """
    return char < " " or "\x7f" <= char <= "\x9f" or char in "\ufeff\ufffe\uffff"
