"""What tests run in processes of their own: `worker.py KIND …`, in step with the test.

A worker prints a line when it has come somewhere, and waits for a line before it goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from codemesh import migration
from codemesh.backends import registry
from codemesh.backends._kdf import PROFILES
from codemesh.backends.context import Context
from codemesh.model import parse_record
from codemesh.store import open_store
from support import api_key, passphrases

if TYPE_CHECKING:
    from collections.abc import Callable

    from codemesh.backends.base import Backend

PROFILES["default"] = PROFILES["floor"]  # a derivation that tests can afford


def meet(word: str = "ready") -> None:
    """Say where this process is, and wait until the test lets it go on."""
    print(word, flush=True)
    sys.stdin.readline()


def on_backend(path: str, options: str, home: str, action: str, *arguments: str) -> None:
    """Act on one backend directly; `path` is that of its class, `options` are JSON."""
    entry = registry.Entry("tested", path, "", "", {})
    context = Context(home, json.loads(options), 60.0, passphrases)
    backend: Backend = registry.load(entry)(context)
    if action == "put":  # NAME VALUE
        backend.prepare()
        meet()
        backend.put(arguments[0], api_key(arguments[1]))
    elif action == "show":
        print(json.dumps(backend.records()))
    elif action == "put-for-ever":
        backend.prepare()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        number = 0
        try:
            print("ready", flush=True)
            while True:
                number += 1
                backend.change({name: api_key(str(number)) for name in arguments})
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    elif action == "die-in-write":  # NAME
        backend.prepare()
        os.rename = die
        backend.put(arguments[0], api_key("never seen"))


def die(*arguments: object, **folders: object) -> None:
    """End as a killed process ends."""
    del arguments, folders
    os.kill(os.getpid(), signal.SIGKILL)


def on_store(home: str, action: str, *arguments: str) -> None:
    """Act on the store that config.toml names."""
    store = open_store(home)
    if action == "put":  # PREFIX COUNT
        meet()
        for number in range(int(arguments[1])):
            store.put(f"{arguments[0]}{number}", parse_record(api_key(str(number))))
    elif action == "migrate":  # TARGET [PHASE to die in]
        target, phase = [*arguments, ""][:2]

        def progress(reached: str, done: int, total: int) -> None:
            del done, total
            if reached == phase:
                die()

        meet()
        migration.migrate(store, target, progress=progress)
    elif action == "migrate-dying":  # TARGET NUMBER-OF-REPLACEMENTS
        count_down(int(arguments[1]), (os, "rename"), (os, "unlink"))
        migration.migrate(store, arguments[0])
    elif action == "migrate-mute":  # TARGET NUMBER-OF-MESSAGES
        from jeepney.io.blocking import DBusConnection

        count_down(int(arguments[1]), (DBusConnection, "send"))
        migration.migrate(store, arguments[0])


def count_down(left: int, *calls: tuple[object, str]) -> None:
    """Kill this process just after the nth of these calls, given by owner and name."""

    def counted(real: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object, **folders: object) -> None:
            nonlocal left
            real(*arguments, **folders)
            left -= 1
            if left == 0:
                die()

        return call

    for owner, name in calls:
        setattr(owner, name, counted(getattr(owner, name)))


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind == "backend":
        on_backend(*rest)
    else:
        on_store(*rest)
