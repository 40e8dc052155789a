"""A keychain that does not answer: nobody waits for ever, and nobody writes beside it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

import keyrings
from codemesh.backends.base import same
from codemesh.errors import BusyError, NotAnsweringError
from keyrings import Ring
from support import ONE, THREE, TWO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fake_faults import Kind

    from codemesh.backends.keychain import KeychainBackend

ring = keyrings.ring
macos = keyrings.macos

SHORT = 0.5  # seconds; the deadline
HANG = 1.5
ACTS: list[tuple[Kind, Callable[[KeychainBackend], object]]] = [
    ("read", lambda backend: backend.get("openai")),
    ("read", lambda backend: backend.records()),
    ("read", lambda backend: backend.status()),
    ("read", lambda backend: backend.put("openai", TWO)),
    ("write", lambda backend: backend.put("openai", TWO)),
    ("write", lambda backend: backend.put("new", TWO)),
    ("write", lambda backend: backend.probe()),
    ("delete", lambda backend: backend.remove("openai")),
]


@pytest.fixture(autouse=True)
def quiet(fakes: None) -> Iterator[None]:
    """What still hangs at the end of a test ends in the keychain of that test."""
    del fakes
    before = threading.enumerate()
    yield
    for thread in threading.enumerate():
        if thread not in before:
            thread.join(timeout=60)


def hung(act: Callable[[], object]) -> float:
    """See that an act gives up at its deadline; the seconds that it took."""
    begun = time.monotonic()
    with pytest.raises(NotAnsweringError) as caught:
        act()
    assert type(caught.value) is NotAnsweringError
    assert caught.value.exit_code == 8
    assert "did not answer within 0.5 s" in str(caught.value)
    return time.monotonic() - begun


def own_threads() -> int:
    """How many threads there are that nobody waits for."""
    return sum(thread.daemon for thread in threading.enumerate())


@pytest.mark.parametrize(("kind", "act"), ACTS)
def test_a_keychain_that_hangs(
    macos: Ring, kind: Kind, act: Callable[[KeychainBackend], object]
) -> None:
    """Whatever hangs is given up at its deadline, and nothing was lost."""
    from fake_faults import inject

    macos.fill({"openai": ONE})
    inject({kind: {"at": 1, "hang": HANG}})

    took = hung(lambda: act(macos.open(timeout=SHORT)))

    assert SHORT <= took < HANG
    assert same(macos.open().get("openai"), ONE)


def test_nobody_writes_beside_a_write_that_hangs(ring: Ring) -> None:
    """A write that was given up keeps its lock until it ends; then the next one is let in."""
    from fake_faults import inject

    ring.fill({"openai": ONE})
    inject({"write": {"at": 1, "hang": HANG}})
    begun = time.monotonic()

    hung(lambda: ring.open(timeout=SHORT).put("openai", TWO))

    with pytest.raises(BusyError) as caught:
        ring.open(lock_timeout=0.1).put("openai", THREE)
    assert type(caught.value) is BusyError
    assert time.monotonic() < begun + HANG
    assert same(ring.open().get("openai"), ONE)
    ring.open().put("openai", THREE)
    assert time.monotonic() > begun + HANG
    assert same(ring.open().records(), {"openai": THREE})


def test_what_hangs_is_asked_once(macos: Ring) -> None:
    """While a call hangs, others on the same opened store fail at once, without new threads."""
    from fake_faults import count, inject

    macos.fill({"openai": ONE})
    backend = macos.open(timeout=SHORT, lock_timeout=0.1)
    inject({"read": {"hang": HANG}})
    hung(lambda: backend.get("openai"))
    threads = own_threads()

    for _ in range(20):
        assert hung(lambda: backend.get("openai")) < SHORT

    assert own_threads() == threads
    assert count("read") == 1


def test_writes_that_hang_pile_nothing_up(macos: Ring) -> None:
    """Writes after one that hangs wait for its lock, and leave no threads behind."""
    from fake_faults import inject

    macos.fill({"openai": ONE})
    backend = macos.open(timeout=SHORT, lock_timeout=0.01)
    inject({"write": {"hang": HANG}})
    hung(lambda: backend.put("openai", TWO))
    threads = own_threads()

    for _ in range(10):
        with pytest.raises(BusyError):
            backend.put("openai", TWO)

    assert own_threads() == threads


def test_a_store_is_good_again(macos: Ring) -> None:
    """Once the call that hung has ended, the same opened store works."""
    from fake_faults import inject

    macos.fill({"openai": ONE})
    backend = macos.open(timeout=SHORT)
    inject({"read": {"at": 1, "hang": 1.5}})
    hung(lambda: backend.get("openai"))

    time.sleep(1.5)

    assert same(backend.get("openai"), ONE)
    backend.put("openai", TWO)
    assert same(backend.get("openai"), TWO)


def test_a_class_that_hangs_when_it_is_loaded(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that does not come back is given up as well, and is loaded once."""
    (tmp_path / "slow_ring.py").write_text(
        "import time\ntime.sleep(2)\nfrom fake_stranger import Keyring\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    place = keyrings.STRANGER._replace(options={"keyring_backend": "slow_ring.Keyring"})
    backend = Ring("stranger", place, home).open(timeout=SHORT, lock_timeout=0.1)
    threads = own_threads()

    hung(backend.probe)

    for _ in range(5):
        with pytest.raises(BusyError):
            backend.probe()
        hung(backend.records)
    assert own_threads() <= threads + 2


def test_threads_read_through_one_opened_store(macos: Ring) -> None:
    """Threads that ask one opened store at the same time do not take each other for hung."""
    from fake_faults import inject

    backend = macos.fill({"openai": ONE})
    inject({"read": {"hang": 0.05}})
    seen: list[object] = []

    threads = [threading.Thread(target=lambda: seen.append(backend.get("openai"))) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [ONE] * 4
