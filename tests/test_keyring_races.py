"""Reading beside a writer, at a keychain that has no lock for readers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import keyrings
from codemesh.backends.base import same
from keyrings import Ring, sized
from support import ONE, TWO, api_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from codemesh.backends.keychain import KeychainBackend
    from codemesh.model import Record

ring = keyrings.ring

WIDE: dict[str, Record] = {"\U0001f511" * 255: TWO}
"""An entry whose name makes the list too long for one item."""

READS: dict[str, Callable[[KeychainBackend], object]] = {
    "get": lambda backend: backend.get("openai"),
    "records": lambda backend: backend.records()["openai"],
    "salvage": lambda backend: backend.salvage().records["openai"],
    "status": lambda backend: ONE if backend.status().entries else None,
    "faults": lambda backend: backend.faults(["openai"]) or ONE,
}


@pytest.mark.parametrize("before", [{}, WIDE], ids=["short list", "long list"])
@pytest.mark.parametrize("read", READS)
def test_a_write_between_two_steps_of_a_read(
    ring: Ring, read: str, before: dict[str, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a write comes between the steps of a read, the entry is there, old or new."""
    ring.fill({"openai": sized(2000), **before})
    steps = stepping(ring, monkeypatch, lambda _: None)
    READS[read](ring.open())
    assert len(steps) > 1

    for at in range(1, len(steps) + 1):

        def write(number: int, at: int = at) -> None:
            if number == at:
                ring.open().put("openai", ONE if at % 2 else sized(2001))

        with monkeypatch.context() as patch:
            stepping(ring, patch, write)
            seen = READS[read](ring.open())

        assert seen in (sized(2000), sized(2001), ONE)


def test_a_reader_beside_a_writer(ring: Ring) -> None:
    """A reader in another thread sees every entry, old or new, and no error."""
    names = ["openai", "x", *WIDE]
    values = [api_key("0"), sized(3000), api_key("1"), sized(4000)]
    ring.fill(dict.fromkeys(names, values[0]))
    ended = threading.Event()
    seen: list[dict[str, Record]] = []
    errors: list[BaseException] = []

    def read() -> None:
        try:
            while not ended.is_set():
                seen.append(ring.open().records())
        except BaseException as error:  # noqa: BLE001  whatever it is, the test looks at it
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(12):
        ring.open().change(dict.fromkeys(names, values[number % 4]))
    ended.set()
    reader.join()

    assert errors == []
    assert seen
    for records in seen:
        assert sorted(records) == sorted(names)
        assert all(record in values for record in records.values())


def stepping(
    ring: Ring, monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]
) -> list[None]:
    """Call `act` with the number of each step that reads; returns what grows by one a step.

    Steps that `act` itself makes are not counted.
    """
    steps: list[None] = []
    acting = False
    found = type(ring.foreign())
    real = found.get_password

    def get_password(self: object, service: str, username: str) -> str | None:
        nonlocal acting
        if not acting:
            acting = True
            steps.append(None)
            act(len(steps))
            acting = False
        return real(self, service, username)  # type: ignore[arg-type]  # it is one of that class

    monkeypatch.setattr(found, "get_password", get_password)
    return steps


def test_a_moving_list_is_not_an_empty_one(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that changes its slot at every look of a reader is found in the end."""
    ring.fill({"openai": ONE})
    moves = iter([True] * 4)

    def write(number: int) -> None:
        del number
        if next(moves, False):
            ring.open().put("openai", TWO)

    stepping(ring, monkeypatch, write)

    assert same(ring.open().records(), {"openai": TWO})
