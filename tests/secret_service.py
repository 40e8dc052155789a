"""A Secret Service that does as it is told, the wrong things too, on the session bus.

    python secret_service.py '{"locked": true, "answer": "dismissed"}'

The argument is a `Script` as JSON. It prints `ready` once the bus knows it, and then the
name of every method that is called and of every property that is read.
"""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jeepney import (
    DBusAddress,
    HeaderFields,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import open_dbus_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from jeepney import Message

    Reply: TypeAlias = tuple[str | None, tuple[object, ...]]
    Secret: TypeAlias = tuple[str, bytes, bytes, str]

NAME, ROOT, NOTHING = "org.freedesktop.secrets", "/org/freedesktop/secrets", "/"
LOGIN, MEMORY = f"{ROOT}/collection/login", f"{ROOT}/collection/session"
_ITEM, _PROMPT = "org.freedesktop.Secret.Item", "org.freedesktop.Secret.Prompt"
_ERROR = "org.freedesktop.Secret.Error"
_ALONE = 4  # DBUS_NAME_FLAG_DO_NOT_QUEUE
_OWNER = 1  # DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER
_DONE: Reply = (None, ())


@dataclass(frozen=True)
class Script:
    """How to behave; by default well, with one collection that is open and empty.

    What misbehaves is named by its method, or by the property that is read.
    """

    items: list[tuple[str, str]] = field(default_factory=list)
    """The entries of the prefix `codemesh` that are there, with their texts."""

    collection: str = LOGIN
    """The default collection; empty for none, and then CreateCollection makes it."""

    locked: bool = False
    prompts: list[str] = field(default_factory=list)
    """What opens a prompt: CreateItem, Replace (CreateItem over an item) and Delete.

    Unlock, while it is locked, and CreateCollection always do.
    """

    answer: str = "accepted"
    """What becomes of a prompt: accepted, dismissed or ignored."""

    early: bool = False
    """Whether a prompt is over before the call that shows it returns."""

    forget: bool = False
    """Whether writes and removals are confirmed, and not carried out."""

    altered: str = ""
    """What is kept in the place of every value."""

    vanish: bool = False
    """Whether what was found is gone when it is read."""

    errors: dict[str, str] = field(default_factory=dict)
    """What is answered with the D-Bus error of this name, which quotes what was sent."""

    silent: list[str] = field(default_factory=list)
    """What is never answered."""

    nonsense: list[str] = field(default_factory=list)
    """What is answered with a reply that has nothing in it."""

    exits: list[str] = field(default_factory=list)
    """At what the service ends."""


class Refused(Exception):  # noqa: N818  an answer, as the real ones give it
    """Answered with the D-Bus error of this name."""


@dataclass
class Item:
    """One item of the only collection."""

    attributes: Mapping[str, str]
    value: bytes
    modified: int


class Service:
    """The service on one connection to the bus."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.locked = script.locked
        self.collection = script.collection or NOTHING
        self.items: dict[str, Item] = {}
        self.prompts: dict[str, tuple[str, Callable[[], object]]] = {}
        self.signals: list[Message] = []
        self.made = 0
        for key, text in script.items:
            self._add({"service": f"codemesh/{key}", "username": key}, text.encode())
        self.connection = open_dbus_connection()

    def run(self) -> None:
        """Take the name, once a service before this one has let it go, and serve."""
        claim = message_bus.RequestName(NAME, _ALONE)
        while self.connection.send_and_get_reply(claim).body != (_OWNER,):
            pass
        print("ready", flush=True)
        with suppress(ConnectionError):
            while True:
                message = self.connection.receive()
                if message.header.message_type is MessageType.method_call:
                    self._answer(message)

    def _answer(self, call: Message) -> None:
        member = call.header.fields[HeaderFields.member]
        name = call.body[1] if member == "Get" else member
        print(name, flush=True)
        if name in self.script.exits:
            os._exit(0)
        if name in self.script.silent:
            return
        reply = self._reply(call, call.header.fields[HeaderFields.path], name)
        waiting, self.signals = self.signals, []
        for message in [*waiting, reply] if self.script.early else [reply, *waiting]:
            self.connection.send(message)

    def _reply(self, call: Message, path: str, name: str) -> Message:
        if name in self.script.errors:
            return new_error(call, self.script.errors[name], "s", (repr(call.body),))
        if name in self.script.nonsense:
            return new_method_return(call)
        try:
            if call.header.fields[HeaderFields.member] == "Get":
                return new_method_return(call, "v", (self._property(path, name),))
            return new_method_return(call, *self._method(name)(path, *call.body))
        except Refused as refused:
            return new_error(call, str(refused))

    def _method(self, name: str) -> Callable[..., Reply]:
        """The method below for one of the protocol, `_open_session` for OpenSession."""
        method: Callable[..., Reply] = getattr(self, re.sub("([A-Z])", r"_\1", name).lower())
        return method

    # -- org.freedesktop.Secret.Service ------------------------------------------------

    def _open_session(self, _path: str, _algorithm: str, _input: object) -> Reply:
        return "vo", (("s", ""), f"{ROOT}/session/s1")

    def _read_alias(self, _path: str, _alias: str) -> Reply:
        return "o", (self.collection,)

    def _search_items(self, _path: str, attributes: Mapping[str, str]) -> Reply:
        found = self._found(attributes)
        if self.script.vanish:
            for path in found:
                del self.items[path]
        return "aoao", ([], found) if self.locked else (found, [])

    def _unlock(self, _path: str, paths: list[str]) -> Reply:
        def act() -> list[str]:
            self.locked = False
            return paths

        return "aoo", ([], self._ask("ao", act)) if self.locked else (paths, NOTHING)

    def _create_collection(self, _path: str, _properties: object, _alias: str) -> Reply:
        def act() -> str:
            self.collection = LOGIN
            return LOGIN

        return "oo", (NOTHING, self._ask("o", act))

    # -- collections and items -----------------------------------------------------------

    def _create_item(
        self,
        _path: str,
        properties: Mapping[str, tuple[str, Mapping[str, str]]],
        secret: Secret,
        replace: bool,  # noqa: FBT001  as it comes over the bus
    ) -> Reply:
        attributes = properties[f"{_ITEM}.Attributes"][1]
        there = self._found(attributes) if replace else []

        def act() -> str:
            if there and not self.script.forget:
                del self.items[there[0]]
            return self._add(attributes, secret[2])

        if ("Replace" if there else "CreateItem") in self.script.prompts:
            return "oo", (NOTHING, self._ask("o", act))
        return "oo", (act(), NOTHING)

    def _set_secret(self, path: str, secret: Secret) -> Reply:
        item = self._item(path)
        if not self.script.forget:
            item.value = self.script.altered.encode() or secret[2]
            item.modified += 1
        return _DONE

    def _get_secret(self, path: str, session: str) -> Reply:
        value = self._item(path).value
        if self.locked:
            raise Refused(f"{_ERROR}.IsLocked")
        return "(oayays)", ((session, b"", value, "text/plain"),)

    def _delete(self, path: str) -> Reply:
        self._item(path)

        def act() -> str:
            if not self.script.forget:
                del self.items[path]
            return ""

        if "Delete" in self.script.prompts:
            return "o", (self._ask("s", act),)
        act()
        return "o", (NOTHING,)

    def _add(self, attributes: Mapping[str, str], value: bytes) -> str:
        self.made += 1
        path = f"{LOGIN}/{self.made}"
        if not self.script.forget or self.made <= len(self.script.items):
            self.items[path] = Item(attributes, self.script.altered.encode() or value, self.made)
        return path

    def _found(self, attributes: Mapping[str, str]) -> list[str]:
        wanted = attributes.items()
        return [path for path, item in self.items.items() if wanted <= item.attributes.items()]

    def _item(self, path: str) -> Item:
        if path not in self.items:
            raise Refused(f"{_ERROR}.NoSuchObject")
        return self.items[path]

    def _property(self, path: str, name: str) -> tuple[str, object]:
        if name == "Collections":
            return "ao", [] if self.collection == NOTHING else [self.collection]
        if name == "Items":
            return "ao", list(self.items)
        if name == "Locked":
            return "b", self.locked
        item = self._item(path)
        return ("t", item.modified) if name == "Modified" else ("a{ss}", item.attributes)

    # -- prompts -------------------------------------------------------------------------

    def _ask(self, signature: str, act: Callable[[], object]) -> str:
        """The path of a new prompt; once it is accepted, `act` is carried out."""
        path = f"{ROOT}/prompt/p{len(self.prompts)}"
        self.prompts[path] = (signature, act)
        return path

    def _prompt(self, path: str, _window: str) -> Reply:
        signature, act = self.prompts[path]
        if self.script.answer == "accepted":
            self._complete(path, dismissed=False, result=(signature, act()))
        elif self.script.answer == "dismissed":
            self._complete(path, dismissed=True, result=("s", ""))
        return _DONE

    def _dismiss(self, path: str) -> Reply:
        self._complete(path, dismissed=True, result=("s", ""))
        return _DONE

    def _complete(self, path: str, *, dismissed: bool, result: tuple[str, object]) -> None:
        emitter = DBusAddress(path, interface=_PROMPT)
        self.signals.append(new_signal(emitter, "Completed", "bv", (dismissed, result)))


if __name__ == "__main__":
    Service(Script(**json.loads(sys.argv[1]))).run()
