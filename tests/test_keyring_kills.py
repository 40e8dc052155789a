"""A process that is killed anywhere in a change of a keychain costs nobody anything.

A keychain that is killed at keeps what it has at that step, so every state that a change
goes through is looked at. Real kills show that they leave no other. They are sampled, unless
CODEMESH_TEST_FULL=1 asks for one before and one after every step, which takes minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import keyrings
import places
from codemesh.backends.base import same
from codemesh.backends.keychain import KeychainBackend
from keyrings import Change, Deaths, Ring, passing, restore, state
from support import api_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codemesh.model import Record

FULL = os.environ.get("CODEMESH_TEST_FULL") == "1"
STRIDE = 1 if FULL else 23  # odd, so that kills before and after a step take turns
PROGRAM = keyrings.__file__.replace("keyrings", "keyring_deaths")
ring = keyrings.ring


def short(mark: str) -> Record:
    """A record that is one item."""
    return api_key(f"{mark}-short")


def long(mark: str) -> Record:
    """A record that takes four items on most keychains, the last of them full of it, too."""
    return api_key(f"{mark}-long-" * (4000 // len(f"{mark}-long-")))


OLD: dict[str, Record] = {
    "openai": short("old1"),
    "google/a@b.c": short("old2"),
    "anthropic": long("old3"),
    "Mistral": short("old4"),
}
WIDE = {"\U0001f511" * 255: short("wide")}
"""An entry whose name alone makes the list too long for one item."""

CHANGES: dict[str, tuple[Mapping[str, Record], Change]] = {
    "first put": ({}, Change({"openai": short("new")}, [], {})),
    "first put, long": ({}, Change({"openai": long("new")}, [], {})),
    "second put": ({"openai": short("old")}, Change({"x": short("new")}, [], {})),
    "short over short": (OLD, Change({"openai": short("new")}, [], {})),
    "long over long": (OLD, Change({"anthropic": long("new")}, [], {})),
    "short over long": (OLD, Change({"anthropic": short("new")}, [], {})),
    "long over short": (OLD, Change({"openai": long("new")}, [], {})),
    "batch": (
        OLD,
        Change({"openai": long("new1"), "Mistral": short("new2"), "x": short("new3")}, [], {}),
    ),
    "remove": (OLD, Change({}, ["openai"], {})),
    "remove long": (OLD, Change({}, ["anthropic"], {})),
    "remove the last": ({"openai": long("old")}, Change({}, ["openai"], {})),
    "put and remove": (OLD, Change({"openai": short("new")}, ["Mistral"], {})),
    "over the last": ({"openai": long("old")}, Change({"openai": short("new")}, [], {})),
    "retire": (OLD, Change({}, [], {name: OLD[name] for name in ("openai", "anthropic")})),
    "put, long list": (OLD | WIDE, Change({"x": short("new")}, [], {})),
    "short over short, long list": (OLD | WIDE, Change({"openai": short("new")}, [], {})),
    "remove, long list": (OLD | WIDE, Change({}, ["openai"], {})),
}


PAIRS = [
    ("short over short", "short over short"),
    ("short over short", "remove"),
    ("long over long", "long over long"),
    ("long over long", "remove long"),
    ("short over short, long list", "put, long list"),
    ("over the last", "remove the last"),
]


MENDED = ["first put, long", "long over long", "remove long", "short over short, long list"]


class Victims:
    """Processes that make changes and are killed, over and over."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([places.FAKES, *sys.path])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def deaths(self, ring: Ring, change: Change) -> Deaths:
        """Make a change from where the keychain is, and be killed at each of its steps."""
        names = ("HOME", "CODEMESH_FAKE_KEYCHAIN", "CODEMESH_FAKE_FAULTS")
        task = {
            "environ": {name: os.environ[name] for name in names},
            "options": ring.options,
            "home": str(ring.home),
            "change": change,
            "stride": STRIDE,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return Deaths(*json.loads(self._process.stdout.readline()))

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    """They are started once."""
    victims = Victims()
    yield victims
    victims.stop()


@pytest.mark.parametrize("name", CHANGES)
def test_a_kill_leaves_each_entry_old_or_new(
    ring: Ring, name: str, victims: Victims, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a change is killed, nothing is lost, the rest is told, and can be put right."""
    before, change = CHANGES[name]
    ring.fill(before)

    deaths = victims.deaths(ring, change)
    states = passing(ring, change.make, monkeypatch)

    assert deaths.alive == []
    assert {*deaths.states} <= {*states}
    monkeypatch.delenv("CODEMESH_FAKE_FAULTS")  # without them the keychain is faster
    for number, left in enumerate(states):
        restore(left)
        check_old_or_new(ring, before, change)
        check_mended(ring, {*before, *change.puts}, number)
        change.make(ring.open())
        assert ring.tidy(change.made(before))


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_kill_after_a_kill(
    ring: Ring, first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of what a kill left, killed too, leaves each entry as it was or as it makes it."""
    before, change = CHANGES[first]
    _, other = CHANGES[second]
    ring.fill(before)
    monkeypatch.delenv("CODEMESH_FAKE_FAULTS")

    for left in passing(ring, change.make, monkeypatch)[1:]:
        restore(left)
        found = ring.open().records()
        for then in passing(ring, other.make, monkeypatch):
            restore(then)
            check_old_or_new(ring, found, other)
        assert ring.open().faults([*before, *other.puts]) == []
        ring.open().sweep()
        assert ring.tidy(other.made(found))


@pytest.mark.parametrize("name", MENDED)
def test_a_kill_while_it_is_mended(ring: Ring, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill of what puts things right loses nothing either."""
    before, change = CHANGES[name]
    ring.fill(before)
    monkeypatch.delenv("CODEMESH_FAKE_FAULTS")

    for left in passing(ring, change.make, monkeypatch)[1:]:
        restore(left)
        records = ring.open().records()
        for act in (mend, KeychainBackend.sweep):
            restore(left)
            for then in passing(ring, act, monkeypatch):
                restore(then)
                assert same(ring.open().records(), records)


def check_old_or_new(ring: Ring, before: Mapping[str, Record], change: Change) -> None:
    """See that each entry is as before a change or as after it."""
    records = ring.open().records()
    for name in {*records, *before, *change.puts}:
        sides = (before.get(name), change.made(before).get(name))
        assert any(same(records.get(name), side) for side in sides), name


def check_mended(ring: Ring, candidates: set[str], number: int) -> None:
    """See that what is left over is told, and that doing what is offered loses nothing."""
    records = ring.open().records()
    left = state()
    told = [*ring.open().leftovers(), *ring.open().faults(candidates)]
    assert bool(told) != ring.tidy(records)
    orders = [[KeychainBackend.sweep, mend], [mend, KeychainBackend.sweep]]
    for acts in orders if FULL else [orders[number % 2]]:
        restore(left)
        for act in acts:
            act(ring.open())
        assert same(ring.open().records(), records)
        assert ring.tidy(records)


def mend(backend: KeychainBackend) -> None:
    """Put right what is at fault with any name of these tests."""
    for fault in backend.faults([*OLD, *WIDE, "x"]):
        assert fault.mend is not None
        fault.mend()
