"""How a test makes the fake keychains misbehave, in this process and in its children.

CODEMESH_FAKE_FAULTS names a JSON file with at most one rule for each kind of step:

    {"write": {"at": 2, "error": -128}, "read": {"hang": 3600}}

A step is one call into the system. The kinds:

    read     CredRead, SecItemCopyMatching
    list     CredEnumerate
    write    CredWrite, SecItemAdd
    delete   CredDelete, SecItemDelete, also the one that begins a set on macOS
    step     any of them

Which steps a rule strikes, counted for each kind over all processes since `inject`:

    "at": n       the nth alone
    "since": n    the nth and all after it
    (neither)     every one

What happens there, before the step unless `"after": true`:

    "error": n    it fails with this winerror or OSStatus
    "hang": s     it takes s seconds more, without a lock, so others go on
    "kill": true  the process kills itself with SIGKILL
    "forget": true  the step is not done, and nothing says so; not for read and list

The counts are in a file beside the script, `.counts`; they are kept without a script too.
"""
# ruff: noqa: INP001 - this folder is put on the path; it is no package

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypedDict

import fake_storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE = "CODEMESH_FAKE_FAULTS"

Kind = Literal["read", "list", "write", "delete", "step"]


class Rule(TypedDict, total=False):
    """One rule of the script; see above."""

    at: int
    since: int
    after: bool
    error: int
    hang: float
    kill: bool
    forget: bool


class RefusedError(Exception):
    """A step failed with this number, by a rule or because that is how it is."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def inject(script: Mapping[Kind, Rule]) -> None:
    """Make this the script, and count from the start; an empty one ends all faults."""
    path = os.environ[VARIABLE]
    with fake_storage.changing(_counts(path)) as counts:
        counts.clear()
    with fake_storage.changing(path) as rules:
        rules.clear()
        rules.update(script.items())


def count(kind: Kind = "step") -> int:
    """How many steps of a kind were begun since `inject`, those that failed among them."""
    number: int = fake_storage.read(_counts(os.environ[VARIABLE])).get(kind, 0)
    return number


@contextmanager
def step(kind: Kind) -> Iterator[bool]:
    """Do one step in here. The value is whether to do it: a keychain that forgets does not.

    Raises RefusedError where a rule says so.
    """
    due = _due(kind)
    for rule in due:
        if not rule.get("after"):
            _strike(rule)
    try:
        yield not any(rule.get("forget") for rule in due)
    finally:
        # Also after a step that found nothing: a sweep of kills comes by every step.
        for rule in due:
            if rule.get("after"):
                _strike(rule)


def _due(kind: Kind) -> list[Rule]:
    """Count a step, and return the rules that strike it."""
    path = os.environ.get(VARIABLE)
    if path is None:
        return []
    kinds: tuple[Kind, Kind] = (kind, "step")
    with fake_storage.changing(_counts(path)) as counts:
        for each in kinds:
            counts[each] = counts.get(each, 0) + 1
    script = fake_storage.read(path)
    return [
        script[each] for each in kinds if each in script and _strikes(script[each], counts[each])
    ]


def _strikes(rule: Rule, number: int) -> bool:
    return number == rule.get("at", number) and number >= rule.get("since", number)


def _strike(rule: Rule) -> None:
    time.sleep(rule.get("hang", 0))
    if rule.get("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "error" in rule:
        raise RefusedError(rule["error"])


def _counts(path: str) -> str:
    return f"{path}.counts"
