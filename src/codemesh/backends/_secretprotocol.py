"""The Secret Service protocol: one method for each thing that codemesh asks of it.

https://specifications.freedesktop.org/secret-service/0.2: collections of items, which
are found by attributes, and prompts, which the service shows before it does what its
owner must agree to. Secrets cross the bus, a socket of this user alone, in a plain session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from codemesh.backends._dbus import Bus, Call, Refusal, absent, nonsense
from codemesh.errors import (
    BackendUnavailableError,
    CodemeshError,
    DeniedError,
    LockedError,
    NotAnsweringError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

NAME = "org.freedesktop.secrets"
ROOT = "/org/freedesktop/secrets"
NOTHING = "/"  # the path that stands for no object
_SERVICE, _COLLECTION = "org.freedesktop.Secret.Service", "org.freedesktop.Secret.Collection"
_ITEM, _PROMPT = "org.freedesktop.Secret.Item", "org.freedesktop.Secret.Prompt"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_LOCKED = Call(f"{ROOT}/aliases/default", _PROPERTIES, "Get", "ss", (_COLLECTION, "Locked"), "v")
_OPEN_SESSION = Call(ROOT, _SERVICE, "OpenSession", "sv", ("plain", ("s", "")), "vo")
MEMORY = f"{ROOT}/collection/session"  # gnome-keyring's, which lasts until logout
_CONTENT_TYPE = "text/plain; charset=utf8"
_UNLOCK = "Unlock it (log in at the desktop, or open its application), then try again."

_VANISHED = frozenset(
    {"NoSuchObject", "UnknownObject", "UnknownInterface", "UnknownMethod", "NotFound"}
)


class Vanished(Exception):  # noqa: N818  what a caller deals with, and no user sees
    """An item that was found is not there any more."""


class Secrets:
    """One conversation with the Secret Service; see `Items` for the errors of ours."""

    def __init__(self, bus: Bus, *, ask: bool) -> None:
        self._bus = bus
        self._ask = ask
        self._session = ""

    # -- items -----------------------------------------------------------------------

    def search(self, attributes: Mapping[str, str]) -> list[str]:
        """The paths of the items that have these attributes, in any collection, unlocked."""
        call = Call(ROOT, _SERVICE, "SearchItems", "a{ss}", (dict(attributes),), "aoao")
        if self._closed():  # KeePassXC then answers no search until somebody unlocks it
            self.unlock()
        opened, locked = cast("tuple[list[str], list[str]]", self._call(call))
        if not opened and not locked and self.is_locked():
            # Some services find nothing while they are locked.
            self.unlock()
            opened, locked = cast("tuple[list[str], list[str]]", self._call(call))
        if locked:
            self._unlock(locked)
        return opened + locked

    def items(self) -> list[tuple[str, dict[str, str]]]:
        """The path and the attributes of every item that can be seen, in any collection."""
        paths: list[str] = []
        for value in self._gets(self._collections(), _COLLECTION, "Items", "ao"):
            paths += cast("list[str]", value or [])
        attributes = self._gets(paths, _ITEM, "Attributes", "a{ss}")
        return [
            (path, cast("dict[str, str]", value or {}))
            for path, value in zip(paths, attributes, strict=True)
        ]

    def changed(self, paths: Sequence[str]) -> list[int]:
        """When each item was changed last, in UNIX seconds; -1 where that is not told."""
        moments = self._gets(paths, _ITEM, "Modified", "t")
        return [moment if isinstance(moment, int) else -1 for moment in moments]

    def secrets(self, paths: Sequence[str]) -> list[bytes | None]:
        """The values of items; None for one that has gone or was locked meanwhile."""
        replies = self._bus.attempts([self._get_secret(path) for path in paths])
        return [None if isinstance(reply, Refusal) else _value(reply) for reply in replies]

    def secret(self, path: str) -> bytes:
        """The value of one item. Raises Vanished."""
        return _value(self._on_item(self._get_secret(path)))

    def set_secret(self, path: str, value: bytes) -> None:
        """Give an item another value, in one step. Raises Vanished."""
        self._on_item(Call(path, _ITEM, "SetSecret", "(oayays)", (self._sealed(value),)))

    def create(self, label: str, attributes: Mapping[str, str], value: bytes) -> None:
        """Add an item to the default collection, which is made if there is none."""
        properties = {
            f"{_ITEM}.Label": ("s", label),
            f"{_ITEM}.Attributes": ("a{ss}", dict(attributes)),
        }
        body = (properties, self._sealed(value), True)
        path = self.default_collection()
        call = Call(path, _COLLECTION, "CreateItem", "a{sv}(oayays)b", body, "oo")
        _, prompt = self._call(call)
        self._prompted(str(prompt), "the keychain asks before it adds an item")

    def delete(self, path: str) -> None:
        """Remove one item. One that has gone is fine."""
        try:
            (prompt,) = self._on_item(Call(path, _ITEM, "Delete", answer="o"))
        except Vanished:
            return
        self._prompted(str(prompt), "the keychain asks before it removes an item")

    # -- locks -----------------------------------------------------------------------

    def default_collection(self) -> str:
        """Its path. It is unlocked, and made if there is none, which asks the user."""
        path = self._default() or self._default()  # of thousands, gnome-keyring hides it once
        if path is None:
            label = {f"{_COLLECTION}.Label": ("s", "Login")}
            call = Call(ROOT, _SERVICE, "CreateCollection", "a{sv}s", (label, "default"), "oo")
            made, prompt = map(str, self._call(call))
            path = made
            if made == NOTHING:
                path = str(self._prompted(prompt, "the keychain has no collection yet"))
        if path == MEMORY:
            raise absent("the only collection forgets everything at logout")
        self.unlock()
        return path

    def is_locked(self) -> bool:
        """Whether there is a default collection, and it is locked."""
        path = self._default()
        return path is not None and bool(self._get(path, _COLLECTION, "Locked", "b"))

    def unlock(self) -> None:
        """Unlock the default collection, asking its owner if need be."""
        path = self._default()
        if path is not None and self._get(path, _COLLECTION, "Locked", "b"):
            self._unlock([path])

    def _default(self) -> str | None:
        (path,) = self._call(Call(ROOT, _SERVICE, "ReadAlias", "s", ("default",), "o"))
        return None if path == NOTHING else str(path)

    def _unlock(self, paths: list[str]) -> None:
        if not self._ask:
            raise LockedError("the keychain is locked", hint=_UNLOCK)
        _, prompt = self._call(Call(ROOT, _SERVICE, "Unlock", "ao", (paths,), "aoo"))
        self._prompted(str(prompt), "the keychain is locked")

    def _prompted(self, prompt: str, why: str) -> object:
        """What a prompt brought, after its owner answered it. NOTHING is no prompt."""
        if prompt == NOTHING:
            return None
        if not self._ask:
            raise LockedError(why, hint=_UNLOCK)
        show = Call(prompt, _PROMPT, "Prompt", "s", ("",))
        seconds = self._bus.timeout
        try:
            body = self._bus.signal(show, "Completed", "bv", seconds)
        except Refusal as refusal:
            raise _error(refusal) from None
        if body is None:
            list(self._bus.attempts([Call(prompt, _PROMPT, "Dismiss")]))
            unanswered = f"and nobody answered its prompt within {seconds:g} s"
            raise LockedError(f"{why}, {unanswered}", hint=_UNLOCK)
        dismissed, result = cast("tuple[bool, tuple[str, object]]", body)
        if dismissed:
            raise DeniedError(f"{why}, and its prompt was dismissed", hint=_UNLOCK)
        return result[1]

    # -- calls -----------------------------------------------------------------------

    def _call(self, call: Call) -> tuple[object, ...]:
        try:
            return self._bus.call(call)
        except Refusal as refusal:
            raise _error(refusal) from None

    def _on_item(self, call: Call) -> tuple[object, ...]:
        try:
            return self._bus.call(call)
        except Refusal as refusal:
            raise (Vanished if _vanished(refusal) else _error(refusal)) from None

    def _closed(self) -> bool:
        """Whether all collections are locked; asked until a session is opened, and one is not."""
        if self._session:
            return False
        # Both at once, which a reader at a prompt would notice.
        opening, locked = self._bus.attempts([_OPEN_SESSION, _LOCKED])
        if isinstance(opening, Refusal):
            raise _error(opening)
        if locked == (("b", True),) and all(self._locks()):
            return True
        self._session = str(opening[1])
        return False

    def _locks(self) -> Iterator[object]:
        return self._gets(self._collections(), _COLLECTION, "Locked", "b")

    def _open_session(self) -> str:
        if not self._session:
            self._session = str(self._call(_OPEN_SESSION)[1])
        return self._session

    def _get_secret(self, path: str) -> Call:
        return Call(path, _ITEM, "GetSecret", "o", (self._open_session(),), "(oayays)")

    def _sealed(self, value: bytes) -> tuple[object, ...]:
        return (self._open_session(), b"", value, _CONTENT_TYPE)

    def _collections(self) -> list[str]:
        return cast("list[str]", self._get(ROOT, _SERVICE, "Collections", "ao") or [])

    def _get(self, path: str, interface: str, name: str, kind: str) -> object:
        (value,) = self._gets([path], interface, name, kind)
        return value

    def _gets(
        self, paths: Iterable[str], interface: str, name: str, kind: str
    ) -> Iterator[object]:
        """One property of many objects; None for an object that has gone."""
        calls = (Call(path, _PROPERTIES, "Get", "ss", (interface, name), "v") for path in paths)
        for reply in self._bus.attempts(calls):
            if isinstance(reply, Refusal):
                if not _vanished(reply):
                    raise _error(reply)
                yield None
                continue
            ((found, value),) = cast("tuple[tuple[str, object]]", reply)
            if found != kind:
                raise nonsense()
            yield value


def _value(reply: tuple[object, ...]) -> bytes:
    ((_, _, value, _),) = cast("tuple[tuple[str, bytes, bytes, str]]", reply)
    return bytes(value)


def _kind(refusal: Refusal) -> str:
    return refusal.name.rpartition(".")[2]


def _vanished(refusal: Refusal) -> bool:
    return _kind(refusal) in _VANISHED


def _error(refusal: Refusal) -> CodemeshError:
    """Ours for an error of the service; its own text stays out, as it may quote anything."""
    kind = _kind(refusal)
    if refusal.name.startswith("org.freedesktop.DBus.Error.Spawn"):
        kind = "ServiceUnknown"  # nothing could be started
    for kinds, error in _ERRORS:
        if kind in kinds:
            return error()
    return StorageError(f"the keychain refused ({refusal.name})")


def _ended() -> CodemeshError:
    return BackendUnavailableError(
        "the keychain's own service ended while it was asked",
        hint="Look whether the write, if it was one, was done, and try again.",
    )


# By the last part of the name of a D-Bus error.
_ERRORS: tuple[tuple[frozenset[str], Callable[[], CodemeshError]], ...] = (
    (frozenset({"IsLocked"}), lambda: LockedError("the keychain is locked", hint=_UNLOCK)),
    (
        frozenset({"AccessDenied", "AuthFailed", "Denied"}),
        lambda: DeniedError("the keychain denies access", hint=_UNLOCK),
    ),
    (
        frozenset({"ServiceUnknown", "NameHasNoOwner", "NoServer"}),
        lambda: absent("nothing on this session bus is a secret service"),
    ),
    (frozenset({"NoReply", "Disconnected"}), _ended),
    (
        frozenset({"Timeout", "TimedOut"}),
        lambda: NotAnsweringError("the keychain did not answer in time"),
    ),
    (
        frozenset({"LimitsExceeded", "NoMemory", "NoSpace"}),
        lambda: StorageError("the keychain is full"),
    ),
    (  # all that gnome-keyring says when its file cannot be written
        frozenset({"Failed"}),
        lambda: StorageError("the keychain failed; its disk may be full"),
    ),
)
