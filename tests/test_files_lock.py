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
from codemesh.files.lock import FileLock
from files_support import SOURCE, mode_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform == "win32":
    pytest.skip("modes and owners of POSIX", allow_module_level=True)
HOLDER = """if True:
    import sys, time
    from codemesh.files.lock import FileLock
    with FileLock(sys.argv[1], timeout=10, what="the store"):
        print("held", flush=True)
        time.sleep(60)
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
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "auth.lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(HOLDER, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def start(script: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        text=True,
    )


def lock(path: Path, timeout: float = 0) -> FileLock:
    return FileLock(str(path), timeout=timeout, what="the store")


def is_free(path: Path) -> bool:
    try:
        with lock(path):
            return True
    except BusyError:
        return False


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o277, 0o777])
def test_lock_file_is_private_and_stays(path: Path, mask: int) -> None:
    """The file is made 0600 in a folder of 0700, holds our number, and is kept."""
    before = os.umask(mask)
    try:
        for _ in range(2):
            with lock(path):
                assert path.read_text().strip() == str(os.getpid())
    finally:
        os.umask(before)

    assert mode_of(path) == 0o600
    assert mode_of(path.parent) == 0o700


def test_many_processes_lose_nothing(tmp_path: Path) -> None:
    """Sixteen processes with 50 increments each count to 800."""
    counters = [start(COUNTER, tmp_path) for _ in range(16)]

    codes = [counter.wait(timeout=60) for counter in counters]
    for counter in counters:
        counter.communicate()

    assert codes == [0] * 16
    assert (tmp_path / "count").read_text() == "800"
    assert sorted(os.listdir(tmp_path)) == ["count", "state"]


def test_busy_names_the_holder(path: Path, holder: subprocess.Popen[str]) -> None:
    """At the deadline the error names what, who and how long, and the wait ends in time."""
    started = time.monotonic()

    with pytest.raises(BusyError) as caught, lock(path, timeout=0.2):
        pytest.fail("two holders")

    assert 0.2 <= time.monotonic() - started < 1
    expected = f"the store is being changed by process {holder.pid}; waited 0.2 s"
    assert str(caught.value) == expected


def test_stopped_holder_still_holds(path: Path, holder: subprocess.Popen[str]) -> None:
    """A stopped process is not a dead one."""
    holder.send_signal(signal.SIGSTOP)

    with pytest.raises(BusyError, match=f"process {holder.pid}"), lock(path, timeout=0.1):
        pytest.fail("two holders")

    holder.send_signal(signal.SIGCONT)


def test_killed_holder_frees_it(path: Path, holder: subprocess.Popen[str]) -> None:
    """The kernel frees the lock of the dead, and a waiter gets it."""
    timer = threading.Timer(0.1, holder.kill)
    timer.start()

    with lock(path, timeout=10):
        assert path.read_text().strip() == str(os.getpid())

    timer.join()


@pytest.mark.parametrize("note", [b"", b"rubbish", b"\xff" * 100])
def test_unreadable_note(path: Path, holder: subprocess.Popen[str], note: bytes) -> None:
    """The number is for messages only; without one there is still a message."""
    assert holder.pid
    path.write_bytes(note)

    with pytest.raises(BusyError, match="by another process"), lock(path):
        pytest.fail("two holders")


def test_threads_wait_for_each_other(path: Path) -> None:
    """Threads of one process exclude each other, with one object or with several."""
    shared = lock(path, timeout=30)
    inside: list[int] = []
    most: list[int] = []

    def work(own: FileLock) -> None:
        for _ in range(25):
            with own:
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0002)
                inside.pop()

    locks = [shared, shared, lock(path, timeout=30), lock(path, timeout=30)]
    threads = [threading.Thread(target=work, args=(own,)) for own in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(most) == 100
    assert max(most) == 1
    assert is_free(path)


def test_not_reentrant(path: Path) -> None:
    """Who enters twice waits for itself, and the first hold is not harmed."""
    own = lock(path)

    with own:
        with pytest.raises(BusyError, match=f"this process \\({os.getpid()}\\)"), own:
            pytest.fail("entered twice")
        assert not is_free(path)

    assert is_free(path)


def test_forked_child_neither_holds_nor_releases(path: Path) -> None:
    """A child that leaves the block does not rob its parent; the parent's release counts."""
    ready, started = os.pipe()
    wait, go = os.pipe()
    with lock(path):
        pid = os.fork()
        if pid != 0:
            os.read(ready, 1)
            assert not is_free(path)
    if pid == 0:
        # Here the child has left the block. Another one keeps the open file for long.
        signal.alarm(20)
        os.write(started, b"x")
        os.read(wait, 1)
        os._exit(0)

    assert is_free(path)
    os.write(go, b"x")
    os.waitpid(pid, 0)
    for fd in (ready, started, wait, go):
        os.close(fd)


def test_child_that_keeps_the_open_file(path: Path) -> None:
    """A forked child that never leaves the block does not keep the lock."""
    wait, go = os.pipe()
    with lock(path):
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            os.read(wait, 1)
            os._exit(0)

    assert is_free(path)
    os.write(go, b"x")
    os.waitpid(pid, 0)
    os.close(wait)
    os.close(go)


def test_not_inherited_by_programs(path: Path) -> None:
    """A program that is started under the lock does not keep it."""
    with lock(path):
        child = subprocess.Popen(["sleep", "30"], close_fds=False)

    free = is_free(path)
    child.kill()
    child.wait()
    assert free


def test_interrupted_wait(path: Path, holder: subprocess.Popen[str]) -> None:
    """Signals whose handler returns do not end the wait."""
    assert holder.pid
    count: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: count.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)

    try:
        with pytest.raises(BusyError), lock(path, timeout=0.2):
            pytest.fail("two holders")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert count


def test_deleted_lock_file(path: Path) -> None:
    """Who waited on a file that somebody deleted locks the one that took its place."""
    first = lock(path)
    entered = threading.Event()
    leave = threading.Event()

    def wait() -> None:
        with lock(path, timeout=10):
            entered.set()
            leave.wait(10)

    with first:
        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(0.05)
        path.unlink()
        assert not entered.is_set()
    assert entered.wait(10)

    assert path.exists()
    assert not is_free(path)
    leave.set()
    waiter.join()


def test_no_open_file_is_left(path: Path, holder: subprocess.Popen[str]) -> None:
    """Waiting in vain and entering both close what they opened."""
    assert holder.pid
    before = len(os.listdir("/dev/fd"))

    for _ in range(3):
        assert not is_free(path)
    holder.kill()
    with lock(path, timeout=10):
        pass

    assert len(os.listdir("/dev/fd")) == before
