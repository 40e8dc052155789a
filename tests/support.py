"""What several test modules share: a store under test, and ways to look for leaks."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from codemesh.backends import registry
from codemesh.backends.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from codemesh.backends.base import Backend
    from codemesh.model import Record
    from codemesh.unlock.passphrases import Passphrases
    from places import Place

PASSPHRASE = "correct horse battery staple"
CANARY = "sk-canary-4f9d2c71"
WORKER = Path(__file__).with_name("worker.py")


def api_key(key: str) -> Record:
    """A record as most are."""
    return {"type": "api_key", "key": key}


ONE = api_key("one")
TWO = api_key("two")
THREE: Record = {"type": "oauth", "access_token": "three", "expires_at": 1}


def passphrases(*, new: bool) -> Iterator[str]:
    """The source of a user who knows the passphrase."""
    del new
    yield PASSPHRASE


def given(source: Passphrases) -> str:
    """The first candidate for the passphrase of a store that is there."""
    return next(source(new=False))


class Bench:
    """One store under test, and hands to look at it and to damage it from outside."""

    def __init__(self, entry: registry.Entry, home: Path, place: Place | None = None) -> None:
        self.entry = entry
        self.home = home
        self.place = place
        self.options = {} if place is None else place.options

    @property
    def whole(self) -> bool:
        """Whether the store is one document, which is replaced as a whole."""
        return self.place is None

    def open(self, home: Path | None = None) -> Backend:
        """Open the store anew, as another process would."""
        context = Context(str(home or self.home), self.options, 60.0, passphrases)
        return registry.load(self.entry)(context)

    def filled(self, records: Mapping[str, Record]) -> Backend:
        """The store, opened, after another opening wrote these entries."""
        self.open().change(records)
        return self.open()

    @property
    def path(self) -> Path:
        """The store's file; skips the test where there is none."""
        if not self.entry.file:
            pytest.skip("this store is no file")
        return self.home / self.entry.file

    def raw(self) -> bytes | None:
        """The bytes of the store, None where there is none; skips where nobody sees them."""
        if self.place is not None:
            return self.place.raw(self.home)
        if self.entry.file:
            return self.path.read_bytes() if self.path.exists() else None
        return self._documents().get(str(self.home))

    def at_rest(self) -> bytes | None:
        """The bytes of the store as they lie on a disk; skips where nobody sees them."""
        return self.raw() if self.place is None else self.place.at_rest()

    def overwrite(self, raw: bytes) -> None:
        """Put other bytes in the place of the store's."""
        if self.entry.file:
            self.path.write_bytes(raw)
        else:
            self._documents()[str(self.home)] = raw

    def aside(self, where: str) -> bytes:
        """The bytes of a store that was set aside; see `Backend.restart`."""
        if not self.entry.file:
            return self._documents()[where]
        assert os.stat(where).st_mode & 0o777 == 0o600
        return Path(where).read_bytes()

    def writes(self, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> int:
        """How often the store as a whole was replaced during `action`."""
        count = 0
        if self.entry.file:
            real = os.rename

            def rename(source: str, target: str, **folders: int) -> None:
                nonlocal count
                count += target == self.path.name
                real(source, target, **folders)

            with monkeypatch.context() as patch:
                patch.setattr(os, "rename", rename)
                action()
            return count

        class Counting(dict[str, bytes]):
            def __setitem__(self, home: str, raw: bytes) -> None:
                nonlocal count
                count += 1
                super().__setitem__(home, raw)

        documents = Counting(self._documents())
        with monkeypatch.context() as patch:
            patch.setattr(registry.load(self.entry), "documents", documents)
            action()
        self._documents().update(documents)
        return count

    def start(self, action: str, *arguments: str) -> Worker:
        """Run an action of `worker.py` on this store in a process of its own."""
        if not self.entry.lasting:
            pytest.skip("this store ends with its process")
        options = json.dumps(self.options)
        return start("backend", self.entry.path, options, str(self.home), action, *arguments)

    def _documents(self) -> dict[str, bytes]:
        documents = getattr(registry.load(self.entry), "documents", None)
        if not isinstance(documents, dict):
            pytest.skip("this store shows no bytes")
        return documents


# -- processes -------------------------------------------------------------------------


class Worker:
    """A child process that says where it is, and goes on when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def said(self) -> str:
        """Wait for the next line that the child prints; empty at its end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        """Let the child go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """Wait for the end, see that it is a good one, and return what was printed last."""
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return out

    def died(self) -> int:
        """Wait for an end of any kind; its status, which for a signal is below zero."""
        self.process.communicate(timeout=60)
        return self.process.returncode

    def kill(self) -> None:
        """End the child with SIGKILL."""
        self.process.kill()
        self.process.communicate()


_workers: list[Worker] = []


def start(*arguments: str) -> Worker:
    """Start `worker.py` with these arguments."""
    worker = Worker(
        subprocess.Popen(
            [sys.executable, str(WORKER), *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    _workers.append(worker)
    return worker


def run_together(workers: Sequence[Worker]) -> None:
    """Let workers go on at the same time, once all of them are ready, to a good end."""
    for worker in workers:
        assert worker.said() == "ready"
    for worker in workers:
        worker.go()
    for worker in workers:
        worker.end()


def end_workers() -> None:
    """Kill the workers that a test which failed has left."""
    while _workers:
        worker = _workers.pop()
        if worker.process.returncode is None:
            worker.kill()


def in_threads(act: Callable[[int], None], count: int) -> None:
    """Call `act` with 0, 1, … at the same time, and raise what one of the calls raised."""
    together = threading.Barrier(count)

    def call(number: int) -> None:
        together.wait(timeout=60)
        act(number)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(call, range(count)))


# For a child process: prints a line once Argon2 is in the middle of its work, which shows
# in the time of the processor, however busy the machine is.
TELL_DERIVING = """
import os, threading, time
import argon2.low_level
def watched(*arguments, real=argon2.low_level.hash_secret_raw):
    begun = time.process_time()
    def tell():
        while time.process_time() < begun + 0.1:
            time.sleep(0.005)
        os.write(1, b"deriving\\n")
    threading.Thread(target=tell, daemon=True).start()
    return real(*arguments)
argon2.low_level.hash_secret_raw = watched
"""


def quick_once(limit: float, act: Callable[[], float]) -> bool:
    """Whether `act`, which returns the seconds that it took, once took less than `limit`.

    It is tried ten times at most, because a busy machine may be late with any one.
    """
    return any(act() < limit for _ in range(10))


# -- leaks -----------------------------------------------------------------------------


class Shown(NamedTuple):
    """Everything that an error could put before somebody's eyes."""

    text: str

    def __contains__(self, secret: object) -> bool:
        return str(secret) in self.text


def shown(error: BaseException) -> Shown:
    """All texts of an error and of every error that it carries along."""
    texts: list[str] = []
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or current in seen:
            continue
        seen.append(current)
        waiting += [current.__cause__, current.__context__]
        values = [*current.args, *getattr(current, "__dict__", {}).values()]
        values += [getattr(current, name, "") for name in ("object", "doc", "obj", "filename")]
        texts += [str(current), repr(current), *map(_readable, values)]
    return Shown("\n".join(texts))


def _readable(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else repr(value)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Everything that was logged, at any level."""
    formatter = logging.Formatter("%(message)s %(args)s")
    return "\n".join(formatter.format(record) for record in caplog.records)
