"""One change of a keychain, made again and again, and killed at another step each time.

A child process of `test_keyring_kills.py`: it reads what to do as a line of JSON, and
answers with a line, for each line anew. Whatever dies is a fork of this process, which has
everything imported already.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, TypedDict

import fake_faults

from codemesh.backends.context import Context
from codemesh.backends.keychain import KeychainBackend
from keyrings import Change, Deaths, restore, state
from support import passphrases

if TYPE_CHECKING:
    from fake_faults import Kind, Rule


class Task(TypedDict):
    """What to do."""

    environ: dict[str, str]
    options: dict[str, object]
    home: str
    change: list[object]
    stride: int
    """Which steps to be killed at: 1 for each, before it and after it."""


def die(task: Task) -> Deaths:
    """Make the change from where it starts, once for each kill, and collect what is left."""
    os.environ.update(task["environ"])
    start = state()
    done = fork(task, {})
    assert done == 0, f"the change fails without a kill: {done}"
    steps = range(1, fake_faults.count() + 1)
    rules: list[Rule] = [
        {"at": at, "after": after, "kill": True} for at in steps for after in (False, True)
    ]
    states = []
    alive = []
    for rule in rules[:: task["stride"]]:
        restore(start)
        if fork(task, {"step": rule}) != -signal.SIGKILL:
            alive.append(str(rule))
        states.append(state())
    restore(start)
    return Deaths(sorted(set(states)), alive)


def fork(task: Task, script: dict[Kind, Rule]) -> int:
    """Make the change in a process of its own; its status, below zero for a signal."""
    fake_faults.inject(script)
    child = os.fork()
    if not child:
        try:
            context = Context(task["home"], task["options"], 60.0, passphrases)
            Change(*task["change"]).make(KeychainBackend(context))  # type: ignore[arg-type]  # of JSON
        except BaseException as error:  # noqa: BLE001  a fork must not return into the loop
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    import fake_macos
    import fake_stranger
    import keyring.backends.Windows

    del fake_macos, fake_stranger, keyring
    for line in sys.stdin:
        print(json.dumps(die(json.loads(line))), flush=True)
