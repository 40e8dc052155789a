"""`codemesh passwd`, killed at any system call: the old passphrase opens the store, or the new.

The kills come from outside, by strace. They are sampled, unless CODEMESH_TEST_FULL=1 asks
for one at every call of the change that could leave something behind.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest

from codemesh import protection
from codemesh.backends._kdf import PROFILES
from codemesh.backends.base import same
from codemesh.errors import WrongPassphraseError
from codemesh.store import open_store
from codemesh.unlock.passphrases import NewPassphrases
from commandline import PASSPHRASE, CommandLine
from files_support import SOURCE
from kernelkeys import needs_kernel_keyring
from test_passwd import BOTH, NEW, RECORDS, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform != "linux":
    pytest.skip("strace is a tool of Linux", allow_module_level=True)

FULL = os.environ.get("CODEMESH_TEST_FULL") == "1"
MARK = "/codemesh-mark"
CALLS = (
    *("openat", "write", "fsync", "fdatasync", "fchmod", "ftruncate", "flock", "mkdir"),
    *("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat"),
    *("keyctl", "close"),
)
# The command itself, at the least cost, with what it loads loaded before the first mark.
COMMAND = f"""if True:
    import os, sys
    sys.path.insert(0, {SOURCE!r})
    import argon2.low_level, platform
    from codemesh import protection
    from codemesh.__main__ import run
    from codemesh.backends import _kdf, encrypted
    from codemesh.providers import table
    from codemesh.unlock import kernel, passphrases, resting, strength
    from codemesh.files import folder, lock, private, _saving
    _kdf.PROFILES["default"] = _kdf.PROFILES["floor"]
    real = protection.change_passphrase
    def marked(*arguments, **options):
        os.access({MARK!r}, os.F_OK)
        try:
            return real(*arguments, **options)
        finally:
            os.access({MARK!r}, os.F_OK)
    protection.change_passphrase = marked
    run()
"""


class Call(NamedTuple):
    """One system call of the change: which, the how manieth of its name, and its line."""

    name: str
    number: int
    line: str


class Death(NamedTuple):
    """A user whose change of passphrase was killed, and how that ended."""

    cli: CommandLine
    call: Call
    status: int


@pytest.fixture(autouse=True)
def strace() -> None:
    """Skip without strace, but never let a CI run pass without these tests."""
    program = shutil.which("strace")
    if program is not None:
        works = subprocess.run([program, "-o", os.devnull, "true"], check=False).returncode == 0
        if works:
            return
    if os.environ.get("CI"):
        pytest.fail("strace is missing or may not trace, and CI may not skip these tests")
    pytest.skip("strace is missing or may not trace")


def user(folder: Path) -> CommandLine:
    """A user with two credentials in an encrypted store that was opened before."""
    folder.mkdir()
    cli = CommandLine(folder)
    cli.seal(RECORDS)
    found(cli, PASSPHRASE)
    return cli


def passwd(cli: CommandLine, *arguments: str, fault: str = "") -> tuple[int, str]:
    """Run the command under strace; its status, and what its calls were."""
    log = cli.home / "log"
    traced = ["-e", f"trace=access,faccessat,{','.join(CALLS)}"]
    faults = ["-e", f"inject={fault}"] if fault else []
    done = subprocess.run(
        [
            *("strace", "-f", "-qq", *traced, *faults, "-o", str(log)),
            *(sys.executable, "-B", "-c", COMMAND, "passwd", *arguments),
        ],
        env={**cli.environ, **BOTH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )
    return done.returncode, log.read_text()


def calls_of(cli: CommandLine, *arguments: str) -> list[Call]:
    """The calls of a change that succeeds, made by its main thread between the marks."""
    status, log = passwd(cli, *arguments)
    assert status == 0
    main = log.split(maxsplit=1)[0]
    counts: dict[str, int] = {}
    marks = 0
    calls = []
    for line in log.splitlines():
        made = re.match(rf"{main} +(\w+)\(", line)
        if not made:
            continue
        name = made[1]
        counts[name] = counts.get(name, 0) + 1
        if MARK in line:
            marks += 1
        elif marks == 1:
            calls.append(Call(name, counts[name], line))
    assert marks == 2
    begin = next(index for index, call in enumerate(calls) if ".lock" in call.line)
    return calls[begin:]


def sampled(calls: list[Call]) -> list[Call]:
    """All of them, or for each kind the first, the last and what concerns the store's file."""
    if FULL:
        return calls
    kinds: dict[str, list[Call]] = {}
    for call in calls:
        if call.name != "close":
            kinds.setdefault(call.name, []).append(call)
    ends = {call for kind in kinds.values() for call in (kind[0], kind[-1])}
    return [call for call in calls if call in ends or ".tmp" in call.line]


def deaths(folder: Path, *arguments: str) -> list[Death]:
    """One user for each call, killed at it."""
    calls = sampled(calls_of(user(folder / "first"), *arguments))

    def one(index: int) -> Death:
        call = calls[index]
        cli = user(folder / f"user{index}")
        status, _ = passwd(cli, *arguments, fault=f"{call.name}:signal=KILL:when={call.number}")
        return Death(cli, call, status)

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(len(calls))))


def found(cli: CommandLine, passphrase: str) -> dict[str, object] | None:
    """Every record of the store; None if it is not its passphrase."""
    environ = {"CODEMESH_PASSPHRASE": passphrase}
    try:
        return dict(open_store(str(cli.folder), environ=environ).records())
    except WrongPassphraseError:
        return None


@pytest.mark.parametrize("option", [[], ["--keep-data-key"]][: 1 + FULL], ids=" ".join)
def test_one_passphrase_opens_everything(
    tmp_path: Path, option: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any call, one of both passphrases opens all entries; a second run succeeds."""
    monkeypatch.setitem(PROFILES, "default", PROFILES["floor"])
    holding = set()

    for cli, call, status in deaths(tmp_path, *option):
        assert status == -signal.SIGKILL, call
        opened = {each: found(cli, each) for each in (PASSPHRASE, NEW)}
        (holds,) = [each for each, records in opened.items() if records is not None]
        assert same(opened[holds], RECORDS), call
        holding.add(holds)
        store = open_store(str(cli.folder), environ={"CODEMESH_PASSPHRASE": holds})
        protection.change_passphrase(store, NewPassphrases(environ=BOTH))
        assert same(found(cli, NEW), RECORDS), call
        store.backend.sweep()
        names = sorted(path.name for path in cli.folder.iterdir())
        assert names == ["auth.vault.json", "config.toml", "state"], call

    assert holding == {PASSPHRASE, NEW}


@pytest.fixture
def unlocked(tmp_path: Path) -> Iterator[CommandLine]:
    """A user whose store is unlocked for a minute; at the end it is locked again."""
    needs_kernel_keyring()
    cli = user(tmp_path / "unlocked")
    cli.good("unlock", "--for", "60s")
    yield cli
    cli.run("lock")


def test_a_key_that_still_rests_opens_nothing(unlocked: CommandLine, tmp_path: Path) -> None:
    """Killed after the write, before what rests is dropped, the old key opens nothing."""
    calls = calls_of(user(tmp_path / "first"), "--keep-data-key")
    written = max(index for index, call in enumerate(calls) if call.name.startswith("rename"))
    drop = next(call for call in calls[written:] if call.name == "keyctl")

    # The last look for the key is the one that drops it, if it is there.
    status, _ = passwd(unlocked, "--keep-data-key", fault=f"keyctl:signal=KILL:when={drop.number}")

    assert status == -signal.SIGKILL
    assert found(unlocked, NEW) is not None
    assert unlocked.run(*TOKEN).status == 4
    assert "was not unlocked" in unlocked.run("lock").stderr
