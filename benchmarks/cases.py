"""What is measured: every command, the store that it reads, and what it may cost."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import codemesh
from codemesh.backends import registry
from codemesh.backends._kdf import PROFILES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

KEY = "sk-made-up-for-the-benchmark"
PASSPHRASE = "made up for the benchmark"  # noqa: S105
ENTRIES = 10
BASELINE = "python -c pass"
BARE_ARGON2 = "Argon2id alone"
BUS = ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")
"""What a keychain of the session is found by."""
FD = "{fd}"
"""Stands in a command for the number of a descriptor that holds the passphrase."""

AIMS = {"plaintext": 3.0, "keychain": 4.5}
"""The most that `auth token` may cost over `python -c pass`, by backend."""
AIM_UNLOCKED = 4.5
"""The same for a sealed store that `codemesh unlock` has opened before."""
AIM_OVER_ARGON2 = 1.25
"""The same over Argon2id alone, for a store that has to derive its key."""

READ_JSON = """
import json, sys, tomllib
with open(sys.argv[1] + "/config.toml", "rb") as file:
    backend = tomllib.load(file)["backend"]
with open(sys.argv[1] + "/auth.json", "rb") as file:
    print(json.load(file)["credentials"]["openai"]["key"])
"""
RUN_ARGON2 = """
import sys
from argon2.low_level import Type, hash_secret_raw
m, t, p = map(int, sys.argv[1:4])
print(len(hash_secret_raw(b"made up", bytes(16), t, m, p, 32, Type.ID)))
"""
CRYPTFILE = """
import os, sys
from keyrings.cryptfile.cryptfile import CryptFileKeyring
keyring = CryptFileKeyring()
keyring.keyring_key = os.read(int(sys.argv[1]), 1024).decode()
for name in sys.argv[3:]:
    keyring.set_password("codemesh", name, sys.argv[2])
print(keyring.get_password("codemesh", "openai"))
"""
NAMES = ["openai", *(f"made-up-{number}" for number in range(1, ENTRIES))]


@dataclass
class Case:
    """One command: how it is run, what it must print, and what it may cost."""

    name: str
    command: list[str]
    prints: str
    """A part of its output; all of it where a secret or a version is printed."""

    home: str = ""
    aim: float | None = None
    over: str = BASELINE
    """The case that the aim is a ratio to."""

    times: list[float] = field(default_factory=list)

    def run(self, output: int) -> subprocess.CompletedProcess[str]:
        """Run the command once."""
        with passphrase_pipe() as fd:
            start = time.perf_counter()
            done = start_process(self.command, self.home, fd, output)
            self.times.append(time.perf_counter() - start)
        return done

    def check(self) -> None:
        """Stop the benchmark if the command does not do its work."""
        printed = self.run(subprocess.PIPE).stdout
        whole = self.prints in {KEY, codemesh.__version__}
        if not (printed.rstrip() == self.prints if whole else self.prints in printed):
            sys.exit(f"{self.name} printed {printed!r} instead of {self.prints!r}")
        self.times.clear()


def start_process(
    command: list[str], home: str, fd: int, output: int
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with the descriptor where it asks for one."""
    return subprocess.run(
        [part.replace(FD, str(fd)) for part in command],
        check=True,
        env=environ(home),
        stdin=subprocess.DEVNULL,
        stdout=output,
        pass_fds=[fd] if FD in command else [],
        text=True,
    )


def environ(home: str) -> dict[str, str]:
    """The environment of every command: little of the caller's is in it."""
    bus = {name: os.environ[name] for name in BUS if name in os.environ}
    return {"PATH": os.defpath, "HOME": home, "CODEMESH_HOME": home, **bus}


@contextmanager
def passphrase_pipe() -> Iterator[int]:
    """A descriptor from which the passphrase can be read once."""
    reader, writer = os.pipe()
    os.write(writer, PASSPHRASE.encode())
    os.close(writer)
    try:
        yield reader
    finally:
        os.close(reader)


def cases(folder: Path, stack: ExitStack) -> list[Case]:
    """Everything that is measured; the backends are those of the table."""
    program = str(Path(sysconfig.get_path("scripts")) / "codemesh")
    found = [Case(BASELINE, [sys.executable, "-c", "pass"], "")]
    for entry in registry.lasting():
        found += token_cases(program, entry.name, str(folder / entry.name), stack)
    home = str(folder / "plaintext")
    version = codemesh.__version__
    return [
        *found,
        Case("json and tomllib alone", [sys.executable, "-c", READ_JSON, home], KEY),
        Case("codemesh --version", [program, "--version"], version, home),
        Case("codemesh --help", [program, "--help"], "migrate", home),
        Case("codemesh auth list (plaintext)", [program, "auth", "list"], "openai", home),
    ]


def token_cases(program: str, backend: str, home: str, stack: ExitStack) -> list[Case]:
    """`auth token` on one backend, and what it is compared with."""
    try:
        _, asked = fill(backend, home, stack)
    except codemesh.CodemeshError as error:
        print(f"{backend} is left out: {error}", file=sys.stderr)
        return []
    name = f"codemesh auth token ({backend})"
    read = [program, "auth", "token", "openai"]
    if not asked:
        return [Case(name, read, KEY, home, AIMS.get(backend))]
    numbers = map(str, PROFILES["default"])
    by_fd = [program, "--passphrase-fd", FD, *read[1:]]
    return [
        *unlocked_case(read, backend, f"{home}-unlocked", stack),
        Case(name, by_fd, KEY, home, AIM_OVER_ARGON2, BARE_ARGON2),
        Case(BARE_ARGON2, [sys.executable, "-c", RUN_ARGON2, *numbers], "32"),
        *cryptfile_case(f"{home}-cryptfile"),
    ]


def unlocked_case(read: list[str], backend: str, home: str, stack: ExitStack) -> list[Case]:
    """The same on a store of its own whose key rests, until the stack locks it again."""
    store, _ = fill(backend, home, stack)
    try:
        store.backend.unlock(3600.0)
    except codemesh.CodemeshError as error:
        print(f"{backend}, unlocked, is left out: {error}", file=sys.stderr)
        return []
    stack.callback(store.backend.lock)
    return [Case(f"codemesh auth token ({backend}, unlocked)", read, KEY, home, AIM_UNLOCKED)]


def cryptfile_case(home: str) -> list[Case]:
    """A read through keyrings.cryptfile, which derives its key with Argon2 too."""
    if find_spec("keyrings") is None:
        print("keyrings.cryptfile is left out: it is not installed", file=sys.stderr)
        return []
    os.mkdir(home, 0o700)
    read = [sys.executable, "-c", CRYPTFILE, FD]
    with passphrase_pipe() as fd:
        start_process([*read, KEY, *NAMES], home, fd, subprocess.DEVNULL)
    return [Case("keyrings.cryptfile", read, KEY, home)]


def fill(backend: str, home: str, stack: ExitStack) -> tuple[codemesh.Store, bool]:
    """Make a store with a few keys in it, and tell whether it wanted a passphrase.

    The stack takes the keys out again: not every backend keeps them in the home folder.
    """
    asked = False

    def prompt(*, new: bool, attempt: int) -> str:
        del new, attempt
        nonlocal asked
        asked = True
        return PASSPHRASE

    os.mkdir(home, 0o700)
    Path(home, "config.toml").write_text(f'backend = "{backend}"\n', encoding="utf-8")
    store = codemesh.open_store(home, prompt=prompt, environ={})
    record = codemesh.ApiKey.new(KEY).to_record()
    store.backend.prepare()
    store.backend.change(dict.fromkeys(NAMES, record))
    stack.callback(store.backend.change, {}, NAMES)
    return store, asked
