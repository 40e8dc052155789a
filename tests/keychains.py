"""Keychains that fail in every way there is, and what each failure must look like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codemesh.backends._items import service_of
from codemesh.backends.context import Context
from codemesh.backends.keychain import KeychainBackend
from codemesh.errors import (
    BackendUnavailableError,
    CodemeshError,
    DamagedError,
    DeniedError,
    LockedError,
    NotAnsweringError,
    NotKeptError,
    StorageError,
)
from desktops import ADDRESS, Bus, GnomeKeyring, need
from support import CANARY, api_key, passphrases, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from codemesh.model import Record
    from secret_service import Script

if sys.platform != "linux":
    pytest.skip("a keychain of Linux", allow_module_level=True)

HUNG = 30.0  # seconds, after which a call that has a deadline of one hangs
SERVICE = "codemesh"
SECRET: Record = api_key(CANARY)
OLD: Record = api_key("the old one")
THERE = [("openai", json.dumps(OLD))]
ACTS: dict[str, Callable[[KeychainBackend], object]] = {
    "get": lambda keychain: keychain.get("openai"),
    "records": lambda keychain: keychain.records(),
    "put": lambda keychain: keychain.put("openai", SECRET),
    "remove": lambda keychain: keychain.remove("openai"),
    "prepare": lambda keychain: keychain.prepare(),
    "probe": lambda keychain: keychain.probe(),
    "status": lambda keychain: keychain.status(),
}
EXIT: dict[type[CodemeshError], int] = {
    NotKeptError: 1,
    StorageError: 1,
    DeniedError: 4,
    LockedError: 4,
    BackendUnavailableError: 5,
    DamagedError: 6,
    NotAnsweringError: 8,
}


def keychain(home: Path, timeout: float = 20.0, service: str | None = SERVICE) -> KeychainBackend:
    """The keychain backend as config.toml sets it; patient unless told otherwise.

    Where `service` is None, nothing names it, and the home has its own.
    """
    options: dict[str, object] = {"timeout": timeout}
    if service is not None:
        options["service"] = service
    return KeychainBackend(Context(str(home), options, 60.0, passphrases))


def outcome(act: Callable[[], object]) -> BaseException | None:
    """What an act raised, if anything. Fails the test if it hangs."""
    raised: list[BaseException | None] = []

    def work() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  whatever it is, the test looks at it
            raised.append(error)
        else:
            raised.append(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(HUNG)
    assert raised, "it hangs"
    return raised[0]


def failure(act: Callable[[], object], kind: type[CodemeshError], *words: str) -> str:
    """See that an act fails in one way, with these words, advice and no secret.

    Returns all that the user is told.
    """
    error = outcome(act)
    assert isinstance(error, CodemeshError), repr(error)
    assert (type(error), error.exit_code) == (kind, EXIT[kind]), repr(error)
    text = f"{error}\n{error.hint}"
    assert [word for word in words if word not in text] == [], text
    assert error.hint
    assert CANARY not in shown(error)
    return text


# -- other programs --------------------------------------------------------------------------


@pytest.fixture
def prefix(private: Path) -> str:
    """What the services of the items of a private home start with, but for the slash."""
    return service_of(str(private), None)


def pair(prefix: str, key: str = "openai") -> tuple[str, str, str, str]:
    """How secret-tool names an item."""
    return ("service", f"{prefix}/{key}", "username", key)


def secret_tool(*arguments: str, stdin: str = "") -> str:
    """Run secret-tool on the bus of this test; returns what it prints, nothing if it fails."""
    need("secret-tool")
    done = subprocess.run(
        ["secret-tool", *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    return done.stdout


def library(call: str, *arguments: str) -> str:
    """Call the keyring library's own class for the Secret Service, in another process."""
    program = (
        "import sys\n"
        "from keyring.backends.SecretService import Keyring\n"
        f"print(Keyring().{call}(*sys.argv[1:]), end='')\n"
    )
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# -- a service that misbehaves -----------------------------------------------------------


class Stage:
    """A bus of its own for one test, on which scripted services come up, one at a time."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bus = Bus(folder)
        self.running: Fake | None = None
        monkeypatch.setenv(ADDRESS, self.bus.address)

    def serve(self, script: Script) -> Fake:
        """Start a service in the place of the one before."""
        self.clear()
        self.running = Fake(self.bus.environ, script)
        return self.running

    def clear(self) -> None:
        """End the service."""
        if self.running is not None:
            self.running.stop()

    def stop(self) -> None:
        """End the service and the bus."""
        self.clear()
        self.bus.stop()


class Fake:
    """A scripted Secret Service in a process of its own; see `secret_service.py`."""

    def __init__(self, environ: Mapping[str, str], script: Script) -> None:
        self._said = ""
        program = str(Path(__file__).with_name("secret_service.py"))
        self._process = subprocess.Popen(
            [sys.executable, program, json.dumps(asdict(script))],
            env={**environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def calls(self) -> list[str]:
        """End it; what was asked of it so far, in this order."""
        self.stop()
        return self._said.split()

    def stop(self) -> None:
        """End it. A second call does nothing."""
        if self._process.returncode is None:
            self._process.kill()
            self._said, _ = self._process.communicate()


@pytest.fixture
def stage(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """A bus for scripted services, of this test and its processes."""
    stage = Stage(tmp_path_factory.mktemp("bus"), monkeypatch)
    yield stage
    stage.stop()


@pytest.fixture
def keyring(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GnomeKeyring]:
    """A gnome-keyring that the test may stop, kill and lock."""
    keyring = GnomeKeyring(tmp_path_factory.mktemp("keyring"))
    monkeypatch.setenv(ADDRESS, keyring.bus.address)
    yield keyring
    keyring.stop()
