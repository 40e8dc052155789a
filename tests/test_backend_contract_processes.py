"""The contract of `backends/base.py`: other processes, threads and kills, on every backend."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from codemesh.backends.base import same
from codemesh.errors import CredentialNotFoundError
from support import api_key, in_threads, run_together

if TYPE_CHECKING:
    from codemesh.model import Record
    from support import Bench, Worker

WRITERS = 16


def test_sixteen_writers_lose_nothing(bench: Bench) -> None:
    """Sixteen writers at once, each with one entry, and every entry is there."""
    bench.open().put("first", api_key("first"))
    expected = {f"w{number}": api_key(f"v{number}") for number in range(WRITERS)}

    if bench.entry.lasting:
        run_together([bench.start("put", f"w{n}", f"v{n}") for n in range(WRITERS)])
    else:
        opened = [bench.open() for _ in range(WRITERS)]
        in_threads(lambda n: opened[n].put(f"w{n}", api_key(f"v{n}")), WRITERS)

    assert same(bench.open().records(), {"first": api_key("first"), **expected})


def test_threads_share_one_opened_store(bench: Bench) -> None:
    """Threads that write through one opened store lose nothing."""
    backend = bench.filled({"first": api_key("first")})

    in_threads(lambda number: backend.put(f"t{number}", api_key(f"v{number}")), 8)

    assert backend.names() == sorted(["first", *(f"t{number}" for number in range(8))])


def test_first_write_is_raced(bench: Bench) -> None:
    """Two openings that both prepared the first write of a store both succeed."""
    one, other = bench.open(), bench.open()
    one.prepare()
    other.prepare()

    one.put("one", api_key("1"))
    other.put("other", api_key("2"))

    assert one.names() == other.names() == bench.open().names() == ["one", "other"]


def test_readers_never_see_a_torn_store(bench: Bench) -> None:
    """Beside a writer a reader sees every entry, old or new; of a document, all of one batch."""
    # A keychain takes its time, and is not ours to wear out.
    names = [f"entry{number}" for number in range(50 if bench.whole else 5)]
    last, pause = (29, 0.0) if bench.whole else (10, 0.01)
    writer, reader = bench.filled(dict.fromkeys(names, api_key("0"))), bench.open()

    def write() -> None:
        for number in range(1, last + 1):
            writer.change(dict.fromkeys(names, api_key(str(number))))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        seen: list[list[Record]] = [list(reader.records().values())]
        while not writing.done():
            time.sleep(pause)
            seen.append(list(reader.records().values()))

    writing.result()
    assert all(len(batch) == len(names) for batch in seen)
    assert all(record["type"] == "api_key" for batch in seen for record in batch)
    assert not bench.whole or all(all(map(batch[0].__eq__, batch)) for batch in seen)
    assert same(reader.get("entry0"), api_key(str(last)))


def test_reader_beside_a_retirement(bench: Bench) -> None:
    """A reader beside a store that goes and comes finds the entry or misses it, no more."""
    writer, reader = bench.filled({"a": api_key("1")}), bench.open()

    def write() -> None:
        for _ in range(5):
            writer.retire({"a": api_key("1")})
            writer.put("a", api_key("1"))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            with suppress(CredentialNotFoundError):
                assert same(reader.get("a"), api_key("1"))

    writing.result()
    assert same(reader.get("a"), api_key("1"))


def test_interrupted_writer_leaves_a_whole_store(bench: Bench) -> None:
    """Ctrl-C in the middle of writes leaves whole entries, a free lock, no debris of a file."""
    worker = _write_for_ever(bench)

    worker.process.send_signal(signal.SIGINT)

    assert worker.end().strip() == "interrupted"
    _assert_whole(bench)
    assert not bench.whole or bench.open().leftovers() == []
    bench.open().sweep()
    assert bench.open().leftovers() == []
    bench.open().put("after", api_key("after"))


@pytest.mark.parametrize("attempt", range(3))
def test_killed_writer_leaves_a_whole_store(bench: Bench, attempt: int) -> None:
    """SIGKILL in the middle of writes leaves whole entries and a free lock, each time."""
    del attempt
    worker = _write_for_ever(bench)

    worker.kill()

    _assert_whole(bench)
    bench.open().put("after", api_key("after"))


def _write_for_ever(bench: Bench) -> Worker:
    """A worker that writes one batch after the other over a store that has such a batch."""
    names = [f"entry{number}" for number in range(20 if bench.whole else 4)]
    bench.open().change(dict.fromkeys(names, api_key("0")))
    worker = bench.start("put-for-ever", *names)
    assert worker.said() == "ready"
    return worker


def _assert_whole(bench: Bench) -> None:
    """Every entry is there; of a document, all of one batch, and else of two that meet."""
    numbers = [int(str(record["key"])) for record in bench.open().records().values()]
    assert len(numbers) == (20 if bench.whole else 4)
    assert max(numbers) - min(numbers) <= (0 if bench.whole else 1)


def test_leftovers_of_a_killed_writer(document: Bench) -> None:
    """What a killed write left is listed, does no harm, and is swept, once or twice."""
    if not document.entry.file:
        pytest.skip("this store leaves nothing behind")
    document.open().put("openai", api_key("old"))
    before = document.raw()
    worker = document.start("die-in-write", "openai")
    assert worker.died() == -signal.SIGKILL
    backend = document.open()

    found = backend.leftovers()

    assert len(found) == 1
    assert document.raw() == before
    assert same(backend.records(), {"openai": api_key("old")})
    backend.sweep()
    backend.sweep()
    assert backend.leftovers() == []
    assert document.raw() == before


def test_next_write_clears_leftovers(document: Bench) -> None:
    """The next write after a killed one removes what that one left."""
    if not document.entry.file:
        pytest.skip("this store leaves nothing behind")
    document.open().put("openai", api_key("old"))
    worker = document.start("die-in-write", "openai")
    assert worker.died() == -signal.SIGKILL

    document.open().put("openai", api_key("new"))

    assert document.open().leftovers() == []
    assert same(document.open().records(), {"openai": api_key("new")})


def test_sweep_of_nothing(bench: Bench) -> None:
    """Sweeping a store that has no leftovers changes nothing."""
    backend = bench.filled({"a": api_key("1")})
    before = bench.raw()

    backend.sweep()

    assert backend.leftovers() == []
    assert bench.raw() == before
