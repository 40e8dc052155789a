"""What a keychain answers through the keyring library, and which error of codemesh it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

import keyrings
from codemesh.backends.base import same
from codemesh.errors import (
    BackendUnavailableError,
    CodemeshError,
    DeniedError,
    LockedError,
    NotKeptError,
    StorageError,
    TooLargeError,
)
from keyrings import Change, Ring, failure, sized
from support import CANARY, ONE, TWO, api_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_faults import Kind

    from codemesh.backends.keychain import KeychainBackend

ring = keyrings.ring
windows = keyrings.windows
macos = keyrings.macos

SECRET = api_key(CANARY)
UNLOCK = "security unlock-keychain"
ELSEWHERE = "codemesh backend use encrypted"


class Answer(NamedTuple):
    """What a system says, and what the user is told."""

    number: int
    error: type[CodemeshError]
    exit_code: int
    words: str


MACOS = [
    Answer(-128, DeniedError, 4, "Allow Python"),
    Answer(-25293, DeniedError, 4, "Allow Python"),
    Answer(-67030, DeniedError, 4, "Allow Python"),
    Answer(-61, DeniedError, 4, "Allow Python"),
    Answer(-25308, LockedError, 4, UNLOCK),
    Answer(-25315, LockedError, 4, UNLOCK),
    Answer(-25307, BackendUnavailableError, 5, ELSEWHERE),
    Answer(-25291, BackendUnavailableError, 5, ELSEWHERE),
    Answer(-25294, BackendUnavailableError, 5, ELSEWHERE),
    Answer(-34, StorageError, 1, "full"),
    Answer(-25299, StorageError, 1, "error -25299"),
    Answer(-50, StorageError, 1, "error -50"),
    Answer(-2147413719, StorageError, 1, "error -2147413719"),
]
WINDOWS = [
    Answer(5, DeniedError, 4, "Allow Python"),
    Answer(1312, BackendUnavailableError, 5, ELSEWHERE),
    Answer(1717, BackendUnavailableError, 5, ELSEWHERE),
    Answer(8, StorageError, 1, "full"),
    Answer(14, StorageError, 1, "full"),
    Answer(112, StorageError, 1, "full"),
    Answer(1450, StorageError, 1, "full"),
    Answer(1783, TooLargeError, 7, "too large"),
    Answer(87, StorageError, 1, "error 87"),
    Answer(1004, StorageError, 1, "error 1004"),
    Answer(-2146893802, StorageError, 1, "error -2146893802"),
]
ACTS: dict[Kind, list[Callable[[KeychainBackend], object]]] = {
    "read": [
        lambda backend: backend.get("openai"),
        lambda backend: backend.records(),
        lambda backend: backend.status(),
        lambda backend: backend.put("openai", SECRET),
        lambda backend: backend.probe(),
    ],
    "write": [
        lambda backend: backend.put("openai", SECRET),
        lambda backend: backend.put("new", SECRET),
        lambda backend: backend.probe(),
    ],
    "delete": [
        lambda backend: backend.remove("openai"),
        lambda backend: backend.retire({"openai": ONE}),
        lambda backend: backend.probe(),
    ],
}


# -- what the systems answer -------------------------------------------------------------


def assert_told(ring: Ring, kind: Kind, answer: Answer) -> None:
    """See that a failing step of a kind is the error that it should be, and does no harm."""
    from fake_faults import inject

    records = {"openai": ONE, "google": sized(2000)}
    ring.fill(records)

    for act in ACTS[kind]:
        inject({kind: {"error": answer.number}})
        error = failure(ring, act)
        inject({})
        assert (type(error), error.exit_code) == (answer.error, answer.exit_code)
        assert answer.words in f"{error}\n{error.hint}"
        assert same(ring.open().records(), records)


@pytest.mark.parametrize("answer", MACOS, ids=lambda answer: str(answer.number))
@pytest.mark.parametrize("kind", ACTS)
def test_a_status_of_macos(macos: Ring, kind: Kind, answer: Answer) -> None:
    """Each status of macOS is one error, wherever it comes, and the store stays as it was."""
    assert_told(macos, kind, answer)


@pytest.mark.parametrize("answer", WINDOWS, ids=lambda answer: str(answer.number))
@pytest.mark.parametrize("kind", ACTS)
def test_an_error_of_windows(windows: Ring, kind: Kind, answer: Answer) -> None:
    """Each error of Windows is one error, wherever it comes, and the store stays as it was."""
    assert_told(windows, kind, answer)


@pytest.mark.parametrize("at", range(1, 5))
def test_a_denied_add_after_the_delete(macos: Ring, at: int) -> None:
    """MacOS deletes before it adds; whichever add is denied, the old value can be read."""
    from fake_faults import inject

    macos.fill({"openai": ONE})
    inject({"write": {"at": at, "error": -128}})

    if at <= 2:  # the item, and the list
        assert isinstance(
            failure(macos, lambda backend: backend.put("openai", SECRET)), DeniedError
        )
    else:
        macos.open().put("openai", ONE)

    assert same(macos.open().get("openai"), ONE)


# -- keychains that lie ------------------------------------------------------------------


@pytest.mark.parametrize("since", [1, 2, 3])
def test_a_write_that_is_forgotten(ring: Ring, since: int) -> None:
    """A keychain that says yes and keeps nothing is found out, and what was there stays."""
    from fake_faults import inject

    ring.fill({"openai": ONE, "google": TWO})
    inject({"write": {"since": since, "forget": True}})

    puts = {"openai": sized(3000), "new": SECRET, "x": SECRET}

    error = failure(ring, lambda backend: backend.change(puts))

    inject({})
    assert (type(error), error.exit_code) == (NotKeptError, 1)
    assert "codemesh doctor" in error.hint
    assert same(ring.open().get("google"), TWO)
    assert same(ring.open().get("openai"), ONE)


def test_a_first_write_that_is_forgotten(ring: Ring) -> None:
    """A keychain that keeps nothing at all does not get as far as the value."""
    from fake_faults import inject

    inject({"write": {"forget": True}})

    error = failure(ring, lambda backend: backend.put("openai", SECRET))

    assert type(error) is NotKeptError
    assert type(failure(ring, lambda backend: backend.probe())) is NotKeptError
    assert ring.items() == {}


@pytest.mark.parametrize(
    "change",
    [Change({}, ["openai"], {}), Change({"openai": ONE}, [], {}), Change({}, [], {"x": TWO})],
    ids=["remove", "put", "retire"],
)
def test_a_delete_that_is_forgotten(ring: Ring, change: Change) -> None:
    """A keychain that says yes and removes nothing is found out, at every item and part."""
    from fake_faults import count, inject

    before = {"openai": sized(4000), "google": TWO, "x": TWO}
    ring.fill(before)
    start = keyrings.state()
    inject({})
    change.make(ring.open())
    deletes = count("delete")

    assert deletes > 0
    for at in range(1, deletes + 1):
        keyrings.restore(start)
        inject({"delete": {"at": at, "forget": True}})
        told = False
        try:
            change.make(ring.open())
        except NotKeptError:
            told = True
        assert told or ring.tidy(change.made(before))
        inject({})
        assert same(ring.open().get("google"), TWO)


def test_an_old_value_that_is_not_removed(windows: Ring) -> None:
    """What Windows keeps of a value that was written over is seen to be gone, or it is told."""
    from fake_faults import inject

    windows.fill({"openai": SECRET})
    inject({"delete": {"forget": True}})

    error = failure(windows, lambda backend: backend.put("openai", ONE))

    assert type(error) is NotKeptError
    inject({})
    assert same(windows.open().get("openai"), ONE)
    assert windows.open().leftovers() == ["an older value of openai"]
