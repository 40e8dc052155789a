"""The contract of `backends/base.py`: batches, expectations, retirement, on every backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh.backends.base import same
from codemesh.errors import ConflictError, CredentialNotFoundError, UsageError
from support import ONE, THREE, TWO, api_key

if TYPE_CHECKING:
    from codemesh.model import Record
    from support import Bench

# -- batches -----------------------------------------------------------------------------


def test_change_puts_and_removes_at_once(bench: Bench) -> None:
    """One change writes some entries, removes others and leaves the rest."""
    backend = bench.filled({"a": ONE, "b": ONE, "c": ONE})

    backend.change({"b": TWO, "d": TWO}, ["a"])

    assert same(bench.open().records(), {"b": TWO, "c": ONE, "d": TWO})


def test_change_of_nothing(bench: Bench) -> None:
    """A change of nothing leaves the entries."""
    backend = bench.filled({"a": ONE})

    backend.change({})

    assert same(bench.open().records(), {"a": ONE})


def test_entry_in_puts_and_removes(bench: Bench) -> None:
    """An entry that is removed and written in one change is the written one."""
    backend = bench.filled({"a": ONE})

    backend.change({"a": TWO}, ["a"])

    assert same(bench.open().records(), {"a": TWO})


def test_missing_removal_undoes_the_batch(bench: Bench) -> None:
    """One missing entry among those to remove, and nothing of the batch is done."""
    backend = bench.filled({"a": ONE, "b": ONE})
    before = bench.raw()

    with pytest.raises(CredentialNotFoundError):
        backend.change({"a": TWO, "c": TWO}, ["b", "missing"])

    assert bench.raw() == before


@pytest.mark.parametrize("bad", [{"key": float("nan")}, {"key": b"k"}, ["no object"], None])
def test_bad_record_undoes_the_batch(bench: Bench, bad: object) -> None:
    """One record that cannot be stored, and nothing of the batch is written."""
    backend = bench.filled({"a": ONE})
    before = bench.raw()

    with pytest.raises(UsageError):
        backend.change({"a": TWO, "bad": bad, "z": TWO}, ["a"])  # type: ignore[dict-item]

    assert bench.raw() == before


@pytest.mark.parametrize("name", ["", "x" * 256, "half\ud83d"])
def test_bad_name_undoes_the_batch(bench: Bench, name: str) -> None:
    """One name that cannot be stored, and nothing of the batch is written."""
    backend = bench.filled({"a": ONE})
    before = bench.raw()

    with pytest.raises(UsageError):
        backend.change({"a": TWO, name: TWO}, ["a"])

    assert bench.raw() == before


def test_bad_batch_makes_no_store(bench: Bench) -> None:
    """A first write that is refused leaves no store behind."""
    backend = bench.open()

    with pytest.raises(UsageError):
        backend.change({"a": {"key": {1, 2}}})

    assert bench.raw() is None


# -- expectations ------------------------------------------------------------------------


def test_expected_state_lets_the_change_through(bench: Bench) -> None:
    """A change goes through if every entry that it names is as expected."""
    backend = bench.filled({"a": ONE})

    backend.change({"a": TWO, "b": TWO}, expect={"a": ONE, "b": None})

    assert same(bench.open().records(), {"a": TWO, "b": TWO})


@pytest.mark.parametrize(
    "expected",
    [
        {"a": TWO},
        {"a": None},
        {"b": ONE},
        {"a": {**ONE, "extra": None}},
        {"a": ONE, "b": TWO},
    ],
)
def test_unexpected_state_refuses_the_change(
    bench: Bench, expected: dict[str, Record | None]
) -> None:
    """A change is refused whole if one entry that it names is not as expected."""
    backend = bench.filled({"a": ONE})
    before = bench.raw()

    with pytest.raises(ConflictError) as caught:
        backend.change({"a": TWO, "c": TWO}, expect=expected)

    assert caught.value.names == sorted(expected)[-1:]
    assert bench.raw() == before


def test_expectations_tell_types_apart(bench: Bench) -> None:
    """To an expectation 1, 1.0 and true are three different values."""
    backend = bench.filled({"a": {"value": 1}})

    for value in (1.0, True, "1"):
        with pytest.raises(ConflictError):
            backend.change({"a": TWO}, expect={"a": {"value": value}})

    assert same(backend.get("a"), {"value": 1})


# -- retirement --------------------------------------------------------------------------


def test_retire_everything_removes_the_store(bench: Bench) -> None:
    """A store that has lost its last entry to another one is gone."""
    backend = bench.filled({"a": ONE, "b": TWO})

    backend.retire({"a": ONE, "b": TWO})

    assert bench.raw() is None
    assert not bench.open().status().exists


def test_retire_some_keeps_the_rest(bench: Bench) -> None:
    """Entries that did not move stay, and so does their store."""
    backend = bench.filled({"a": ONE, "b": TWO})

    backend.retire({"a": ONE})

    assert same(bench.open().records(), {"b": TWO})


def test_retire_twice(bench: Bench) -> None:
    """Retiring entries that are gone, or a store that is gone, does nothing."""
    backend = bench.filled({"a": ONE})
    backend.retire({"a": ONE})

    backend.retire({"a": ONE})
    bench.open().retire({"a": ONE})

    assert bench.raw() is None


def test_retire_refuses_what_has_changed(bench: Bench) -> None:
    """An entry that is another one by now is not retired, and neither are the others."""
    backend = bench.filled({"a": ONE, "b": TWO})
    before = bench.raw()

    with pytest.raises(ConflictError) as caught:
        backend.retire({"a": ONE, "b": ONE})

    assert caught.value.names == ["b"]
    assert bench.raw() == before


def test_put_after_retirement(bench: Bench) -> None:
    """A retired store can be written again, by the same opening and by others."""
    backend = bench.filled({"a": ONE, "b": ONE})
    backend.put("a", TWO)
    backend.retire({"a": TWO, "b": ONE})

    backend.put("c", THREE)

    assert same(backend.records(), {"c": THREE})
    assert same(bench.open().records(), {"c": THREE})


# -- cost --------------------------------------------------------------------------------


def test_batch_is_one_write(document: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of 1,000 entries replaces the store once."""
    backend = document.filled({"a": ONE})
    batch = {f"entry{number}": api_key(str(number)) for number in range(1000)}

    writes = document.writes(monkeypatch, lambda: backend.change(batch, ["a"]))

    assert writes == 1
    assert same(document.open().records(), batch)


def test_refused_change_writes_nothing(document: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that is refused does not replace the store, not even by the same bytes."""
    backend = document.filled({"a": ONE})

    def refused() -> None:
        with pytest.raises(ConflictError):
            backend.change({"b": TWO}, expect={"a": TWO})

    assert document.writes(monkeypatch, refused) == 0
