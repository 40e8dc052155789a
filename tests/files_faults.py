"""A save under strace, which kills it or makes one of its system calls fail.

The child takes the lock, reads and replaces. Two harmless calls mark where that begins
and ends, and a first run without a fault tells how often each system call was made
before, so that a fault can be aimed at one of them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from codemesh.files.lock import FileLock
from codemesh.files.private import PrivateFile
from files_support import SOURCE

if TYPE_CHECKING:
    from pathlib import Path

OLD = b"old content, which may not be lost"
NEW = b"new content, which may not be torn"
MARK = "/codemesh-mark"
SAVE = f"""if True:
    import json, os, sys
    sys.path.insert(0, {SOURCE!r})
    from codemesh.errors import CodemeshError
    from codemesh.files import _saving
    from codemesh.files.lock import FileLock
    from codemesh.files.private import PrivateFile
    home = sys.argv[1]
    outcome = ["ok", ""]
    os.access({MARK!r}, os.F_OK)
    try:
        with FileLock(home + "/state/auth.lock", timeout=0, what="the store"):
            file = PrivateFile(home + "/auth.json")
            file.read()
            file.replace({NEW!r})
    except CodemeshError as error:
        outcome = [type(error).__name__, str(error)]
    os.access({MARK!r}, os.F_OK)
    print(json.dumps(outcome))
"""


class Call(NamedTuple):
    """One system call of the save: which, the how manieth of its name, and its line."""

    name: str
    number: int
    line: str


class Outcome(NamedTuple):
    """How a child ended, what it said, and what it left."""

    code: int
    error: str
    message: str
    content: bytes | None
    temps: list[Path]
    log: str


def make_home(home: Path, *, fresh: bool = False) -> Path:
    if fresh:
        return home
    home.mkdir(mode=0o700)
    PrivateFile(str(home / "auth.json")).replace(OLD)
    with FileLock(str(home / "state" / "auth.lock"), timeout=0, what="the store"):
        return home


def save(home: Path, *injections: str) -> Outcome:
    """Save under strace with the given injections."""
    log = home.with_suffix(".log")
    faults = [part for injection in injections for part in ("-e", f"inject={injection}")]
    child = [sys.executable, "-E", "-S", "-B", "-c", SAVE, str(home)]
    done = subprocess.run(
        # Without --seccomp-bpf, under which strace 6.1 sends no signals.
        ["strace", "-f", "-qq", "-e", "trace=%file,%desc", *faults, "-o", str(log), *child],
        capture_output=True,
        text=True,
        check=False,
    )
    error, message = json.loads(done.stdout) if done.stdout else ("", "")
    path = home / "auth.json"
    temps = sorted(home.glob(".auth.json.*")) if home.exists() else []
    content = path.read_bytes() if path.exists() else None
    return Outcome(done.returncode, error, message, content, temps, log.read_text())


def calls_of_a_save(home: Path) -> list[Call]:
    """The system calls between the marks of a save that succeeds."""
    outcome = save(home)
    assert (outcome.error, outcome.content) == ("ok", NEW)
    counts: dict[str, int] = {}
    marks = 0
    calls = []
    for line in outcome.log.splitlines():
        found = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if not found:
            continue
        name = found[1]
        counts[name] = counts.get(name, 0) + 1
        if MARK in line:
            marks += 1
        # Memory is mapped whenever the interpreter likes.
        elif marks == 1 and name != "mmap":
            calls.append(Call(name, counts[name], line))
    assert marks == 2
    return calls


def everywhere(
    tmp_path: Path, calls: list[Call], fault: str, *, fresh: bool = False
) -> list[tuple[Call, Path, Outcome]]:
    """One save for each call, with the fault at that call."""

    def one(index: int) -> tuple[Call, Path, Outcome]:
        call = calls[index]
        home = make_home(tmp_path / f"home{index}", fresh=fresh)
        return call, home, save(home, f"{call.name}:{fault}:when={call.number}")

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(len(calls))))


def assert_usable(home: Path) -> None:
    """The next save works, and leaves the file alone in its folder."""
    with FileLock(str(home / "state" / "auth.lock"), timeout=0, what="the store"):
        file = PrivateFile(str(home / "auth.json"))
        file.replace(b"next")
        assert file.read() == b"next"
    assert sorted(os.listdir(home)) == ["auth.json", "state"]


def index_of(calls: list[Call], name: str, text: str, nth: int = 0) -> Call:
    return [call for call in calls if call.name == name and text in call.line][nth]


def target(calls: list[Call], step: str) -> Call:
    """The call that does `step` of the save."""
    return {
        "openat": lambda: index_of(calls, "openat", ".tmp"),
        "fchmod": lambda: index_of(calls, "fchmod", "0600"),
        "write": lambda: index_of(calls, "write", NEW.decode()[:20]),
        "fsync": lambda: index_of(calls, "fsync", ""),
        "rename": lambda: index_of(calls, "renameat", ".tmp"),
        "flock": lambda: index_of(calls, "flock", "LOCK_EX"),
        "folder": lambda: index_of(calls, "fsync", "", 1),
    }[step]()
