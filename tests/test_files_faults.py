"""Kills and faults at every system call of one save, injected from outside by strace."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import StorageError
from codemesh.files.private import PrivateFile
from files_faults import (
    NEW,
    OLD,
    Outcome,
    assert_usable,
    calls_of_a_save,
    everywhere,
    make_home,
    save,
    target,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

if sys.platform != "linux":
    pytest.skip("strace is a tool of Linux", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def strace() -> None:
    """Skip without strace, but never let a CI run pass without these tests."""
    program = shutil.which("strace")
    works = program and subprocess.run(
        [program, "-f", "-o", os.devnull, "true"], check=False, stderr=subprocess.DEVNULL
    )
    if works and works.returncode == 0:
        return
    if os.environ.get("CI"):
        pytest.fail("strace is missing or may not trace, and CI may not skip these tests")
    pytest.skip("strace is missing or may not trace")


@pytest.mark.parametrize("fresh", [False, True])
def test_kill_at_every_call(tmp_path: Path, *, fresh: bool) -> None:
    """Killed anywhere, the file is the old or the new one, and the next save cleans up."""
    calls = calls_of_a_save(make_home(tmp_path / "plain", fresh=fresh))
    before = None if fresh else OLD
    seen: dict[bytes | None, int] = {}
    left = 0

    for call, home, outcome in everywhere(tmp_path, calls, "signal=KILL", fresh=fresh):
        assert outcome.code in {-9, 137}, call
        assert outcome.content in {before, NEW}, call
        for path in [*outcome.temps, home / "auth.json"]:
            assert not path.exists() or stat.S_IMODE(path.stat().st_mode) == 0o600, call
        assert len(outcome.temps) <= 1, call
        assert_usable(home)
        seen[outcome.content] = seen.get(outcome.content, 0) + 1
        left += len(outcome.temps)

    # Otherwise the faults did not hit where they were aimed at.
    assert seen[before] > 10
    assert seen[NEW] >= 2
    assert left >= 3


def test_input_output_error_at_every_call(tmp_path: Path) -> None:
    """Whatever call fails, the outcome that is told is the one on the disk."""
    calls = calls_of_a_save(make_home(tmp_path / "plain"))
    told: dict[str, int] = {}

    for call, home, outcome in everywhere(tmp_path, calls, "error=EIO"):
        assert "INJECTED" in outcome.log, call
        assert outcome.code == 0, (call, outcome)
        expected = NEW if outcome.error in {"ok", "NotDurableError"} else OLD
        assert outcome.content == expected, (call, outcome)
        assert outcome.temps == [], call
        if outcome.error != "ok":
            assert "input/output error" in outcome.message, (call, outcome)
        assert_usable(home)
        told[outcome.error] = told.get(outcome.error, 0) + 1

    assert set(told) == {"ok", "StorageError", "NotDurableError"}
    assert told["NotDurableError"] == 1
    assert told["StorageError"] > 15


CAUSES = {
    "ENOSPC": "no space left on device",
    "EIO": "input/output error of the disk",
    "EROFS": "read-only file system",
    "EACCES": "permission denied",
    "EMFILE": "too many open files",
    "EDQUOT": "disk quota exceeded",
}


@pytest.mark.parametrize("step", ["openat", "fchmod", "write", "fsync", "rename", "flock"])
def test_cause_is_named(tmp_path: Path, step: str) -> None:
    """Each fault before the rename leaves the old file alone, and is told in plain words."""
    aimed = target(calls_of_a_save(make_home(tmp_path / "plain")), step)

    def one(number: str) -> tuple[str, Path, Outcome]:
        home = make_home(tmp_path / number)
        return number, home, save(home, f"{aimed.name}:error={number}:when={aimed.number}")

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(one, CAUSES))

    for number, home, outcome in results:
        assert outcome.error == "StorageError", (number, outcome)
        assert CAUSES[number] in outcome.message
        assert str(home) in outcome.message
        assert outcome.content == OLD
        assert outcome.temps == []


@pytest.mark.parametrize("number", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_file_system_without_locks(tmp_path: Path, number: str) -> None:
    """On a file system that refuses locks nothing is written, and the message says so."""
    aimed = target(calls_of_a_save(make_home(tmp_path / "plain")), "flock")

    outcome = save(make_home(tmp_path / "home"), f"flock:error={number}:when={aimed.number}")

    assert outcome.error == "StorageError"
    assert "refuses locks, so nothing was written" in outcome.message
    assert outcome.content == OLD


def test_interrupted_calls_are_repeated(tmp_path: Path) -> None:
    """EINTR at any step of the save is no failure."""
    calls = calls_of_a_save(make_home(tmp_path / "plain"))
    steps = [target(calls, step) for step in ("openat", "write", "fsync", "flock", "folder")]

    for call, _, outcome in everywhere(tmp_path, steps, "error=EINTR"):
        assert "INJECTED" in outcome.log, call
        assert (outcome.error, outcome.content) == ("ok", NEW), call


def test_folder_flush_that_fails(tmp_path: Path) -> None:
    """When only the flush of the folder fails, the file is saved and said not to be confirmed."""
    aimed = target(calls_of_a_save(make_home(tmp_path / "plain")), "folder")

    outcome = save(make_home(tmp_path / "home"), f"fsync:error=EIO:when={aimed.number}")

    assert outcome.error == "NotDurableError"
    assert "saved, but durability is not confirmed: input/output error" in outcome.message
    assert outcome.content == NEW
    assert outcome.temps == []


def test_leftover_that_cannot_be_removed(tmp_path: Path) -> None:
    """When cleaning up fails as well, the first cause is told, and the next save cleans."""
    aimed = target(calls_of_a_save(make_home(tmp_path / "plain")), "fsync")
    home = make_home(tmp_path / "home")

    outcome = save(home, f"fsync:error=ENOSPC:when={aimed.number}+", "unlinkat:error=EIO")

    assert outcome.error == "StorageError"
    assert "no space left" in outcome.message
    assert outcome.content == OLD
    assert [stat.S_IMODE(path.stat().st_mode) for path in outcome.temps] == [0o600]
    assert_usable(home)


def test_order_of_the_steps(tmp_path: Path) -> None:
    """The content is flushed before it takes the name, and the folder after."""
    calls = calls_of_a_save(make_home(tmp_path / "home"))
    steps = ["openat", "fchmod", "write", "fsync", "rename", "folder"]
    lines = [target(calls, step) for step in steps]
    opened, chmod, write, flush, rename, folder = (call.line for call in lines)

    assert [calls.index(call) for call in lines] == sorted(calls.index(call) for call in lines)
    assert "O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600" in opened
    fd, inside = opened.rpartition("= ")[2], opened.partition("openat(")[2].partition(",")[0]
    assert f"fchmod({fd}, 0600)" in chmod
    assert f"write({fd}, " in write
    assert f"fsync({fd})" in flush
    assert f"fsync({inside})" in folder
    assert rename.count(f"({inside}, ") + rename.count(f", {inside}, ") == 2
    closed = [call.line for call in calls[calls.index(lines[3]) : calls.index(lines[4])]]
    assert any(f"close({fd})" in line for line in closed)
    assert sum(call.name == "fsync" for call in calls) == 2


# --- short writes, for which no fault from outside is needed ------------------------------


def test_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes seven bytes at a time gets all of them."""
    write: Callable[[int, memoryview], int] = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    file = PrivateFile(str(tmp_path / "auth.json"))

    file.replace(NEW * 10)

    assert file.read() == NEW * 10


def test_write_that_is_cut_short(tmp_path: Path) -> None:
    """A write that stops half-way, at a limit of the process, leaves the old file alone."""
    home = make_home(tmp_path / "home")
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))

    try:
        with pytest.raises(StorageError, match="file size limit exceeded"):
            PrivateFile(str(home / "auth.json")).replace(b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert (home / "auth.json").read_bytes() == OLD
    assert_usable(home)


def test_readers_need_no_lock(tmp_path: Path) -> None:
    """Whoever reads during 500 saves gets one of the contents, whole, every time."""
    file = PrivateFile(str(tmp_path / "auth.json"))
    contents = {bytes([65 + number]) * 5000 * (number + 1) for number in range(5)}
    saves = [content for _ in range(100) for content in contents]
    file.replace(saves[0])

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: deque(map(file.replace, saves), maxlen=0))
        reads = []
        while not writing.done():
            reads.append(file.read())

    writing.result()
    assert len(reads) > 100
    assert set(reads) <= contents
