"""A sign of life while somebody else is waited for: on a terminal alone, never in a pipe."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from codemesh.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FRAMES = "|/-\\"
_STEP = 0.1  # seconds
_CLEAR = "\r\x1b[K"


@contextmanager
def spinner(text: str, left: Callable[[], float] | None = None) -> Iterator[None]:
    """Show `text` and a turning sign on stderr, and the seconds `left` if they are told.

    The line is gone when the block ends, however it does. Where stderr is no terminal,
    the text is said once and nothing turns.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        terminal.say(text)
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_turn, args=(text, left, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _write(_CLEAR)


def _turn(text: str, left: Callable[[], float] | None, done: threading.Event) -> None:
    number = 0
    while not done.wait(_STEP):
        time_left = "" if left is None else f", {max(0, round(left()))} s left"
        _write(f"{_CLEAR}{_FRAMES[number % len(_FRAMES)]} {terminal.clean(text)}{time_left}")
        number += 1


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def countdown(seconds: float) -> Callable[[], float]:
    """How many seconds are left, counted from now."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()
