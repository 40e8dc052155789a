"""The lock: exclusive between processes and threads, freed with its holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import BusyError
from files_support import SOURCE, is_free, lock, mode_of, note_refusals
from support import in_threads, quick_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from codemesh.files.lock import FileLock

if sys.platform == "win32":
    pytest.skip("modes and owners of POSIX", allow_module_level=True)
HOLDER = """if True:
    import sys
    from codemesh.files.lock import FileLock
    with FileLock(sys.argv[1], timeout=60, what="the store"):
        print("held", flush=True)
        sys.stdin.read()
"""
COUNTER = """if True:
    import sys
    from codemesh.files.lock import FileLock
    from codemesh.files.private import PrivateFile
    file = PrivateFile(sys.argv[1] + "/count")
    for _ in range(50):
        with FileLock(sys.argv[1] + "/state/count.lock", timeout=60, what="the count"):
            file.replace(str(int(file.read() or 0) + 1).encode())
"""


@pytest.fixture
def holder(lock_file: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(HOLDER, lock_file)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def start(script: str, lock_file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(lock_file)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o277, 0o777])
def test_lock_file_is_private_and_stays(lock_file: Path, mask: int) -> None:
    """The file is made 0600 in a folder of 0700, holds our number, and is kept."""
    os.umask(mask)

    for _ in range(2):
        with lock(lock_file):
            assert lock_file.read_text().strip() == str(os.getpid())

    assert mode_of(lock_file) == 0o600
    assert mode_of(lock_file.parent) == 0o700


def test_many_processes_lose_nothing(tmp_path: Path) -> None:
    """Sixteen processes with 50 increments each count to 800."""
    counters = [start(COUNTER, tmp_path) for _ in range(16)]

    for counter in counters:
        counter.communicate()

    assert [counter.returncode for counter in counters] == [0] * 16
    assert (tmp_path / "count").read_text() == "800"
    assert sorted(os.listdir(tmp_path)) == ["count", "state"]


def test_busy_names_the_holder(lock_file: Path, holder: subprocess.Popen[str]) -> None:
    """At the deadline, and not much later, the error names what, who and how long."""
    expected = f"the store is being changed by process {holder.pid}; waited 0.2 s"

    def wait_in_vain() -> float:
        started = time.monotonic()
        with pytest.raises(BusyError) as caught, lock(lock_file, timeout=0.2):
            pytest.fail("two holders")
        taken = time.monotonic() - started
        assert str(caught.value) == expected
        assert taken >= 0.2
        return taken

    assert quick_once(1, wait_in_vain)


def test_stopped_holder_still_holds(lock_file: Path, holder: subprocess.Popen[str]) -> None:
    """A process that is stopped, and not dead, keeps its lock."""
    holder.send_signal(signal.SIGSTOP)
    os.waitpid(holder.pid, os.WUNTRACED)

    with pytest.raises(BusyError, match=f"process {holder.pid}"), lock(lock_file, timeout=0.1):
        pytest.fail("two holders")

    holder.send_signal(signal.SIGCONT)


def test_killed_holder_frees_it(
    lock_file: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of a killed process is free, and who waits for it gets it."""
    refused = note_refusals(monkeypatch)

    def kill() -> None:
        refused.wait(60)
        holder.kill()

    killer = threading.Thread(target=kill)
    killer.start()

    with lock(lock_file, timeout=60):
        assert lock_file.read_text().strip() == str(os.getpid())

    killer.join()
    assert refused.is_set()


@pytest.mark.parametrize("note", [b"", b"rubbish", b"\xff" * 100])
def test_unreadable_note(lock_file: Path, holder: subprocess.Popen[str], note: bytes) -> None:
    """Without the number of the holder in the lock file there is still a message."""
    assert holder.pid
    lock_file.write_bytes(note)

    with pytest.raises(BusyError, match="by another process"), lock(lock_file):
        pytest.fail("two holders")


def test_threads_wait_for_each_other(lock_file: Path) -> None:
    """Threads of one process exclude each other, with one object or with several."""
    shared = lock(lock_file, timeout=60)
    inside: list[int] = []
    most: list[int] = []

    def work(own: FileLock) -> None:
        for _ in range(25):
            with own:
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0002)  # long enough for another thread to get its turn
                inside.pop()

    locks = [shared, shared, lock(lock_file, timeout=60), lock(lock_file, timeout=60)]
    in_threads(lambda number: work(locks[number]), len(locks))

    assert len(most) == 100
    assert max(most) == 1
    assert is_free(lock_file)


def test_not_reentrant(lock_file: Path) -> None:
    """A lock that is taken twice by one process is refused, and stays with its first holder."""
    own = lock(lock_file)

    with own:
        with pytest.raises(BusyError, match=f"this process \\({os.getpid()}\\)"), own:
            pytest.fail("entered twice")
        assert not is_free(lock_file)

    assert is_free(lock_file)


def test_forked_child_neither_holds_nor_releases(lock_file: Path) -> None:
    """A child that leaves the block does not rob its parent; the parent's release counts."""
    ready, started = os.pipe()
    wait, go = os.pipe()
    with lock(lock_file):
        pid = os.fork()
        if pid != 0:
            os.read(ready, 1)
            assert not is_free(lock_file)
    if pid == 0:
        # Here the child has left the block. Another one keeps the open file for long.
        signal.alarm(60)
        os.write(started, b"x")
        os.read(wait, 1)
        os._exit(0)

    assert is_free(lock_file)
    os.write(go, b"x")
    os.waitpid(pid, 0)
    for fd in (ready, started, wait, go):
        os.close(fd)


def test_child_that_keeps_the_open_file(lock_file: Path) -> None:
    """A forked child that never leaves the block does not keep the lock."""
    wait, go = os.pipe()
    with lock(lock_file):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            os.read(wait, 1)
            os._exit(0)

    assert is_free(lock_file)
    os.write(go, b"x")
    os.waitpid(pid, 0)
    os.close(wait)
    os.close(go)


def test_not_inherited_by_programs(lock_file: Path) -> None:
    """A program that is started under the lock does not keep it."""
    with lock(lock_file):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)

    try:
        assert is_free(lock_file)
    finally:
        child.kill()
        child.wait()


def test_interrupted_wait(lock_file: Path, holder: subprocess.Popen[str]) -> None:
    """Signals whose handler returns do not end the wait."""
    assert holder.pid
    count: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: count.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)

    try:
        with pytest.raises(BusyError), lock(lock_file, timeout=0.2):
            pytest.fail("two holders")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert count


def test_no_open_file_is_left(lock_file: Path, holder: subprocess.Popen[str]) -> None:
    """Waiting in vain and entering both close what they opened."""
    assert holder.pid
    before = len(os.listdir("/dev/fd"))

    for _ in range(3):
        assert not is_free(lock_file)
    holder.kill()
    with lock(lock_file, timeout=60):
        assert not is_free(lock_file)

    assert len(os.listdir("/dev/fd")) == before
