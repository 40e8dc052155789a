"""Where a passphrase comes from: the order of the sources, and prompts."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import CodemeshError, LockedError
from codemesh.unlock import passphrases as unlock
from codemesh.unlock.passphrases import Passphrases
from files_support import private_file
from support import CANARY, PASSPHRASE, given

if TYPE_CHECKING:
    from pathlib import Path


class Answers:
    """A prompt that gives prepared answers and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[bool, int]] = []

    def __call__(self, *, new: bool, attempt: int) -> str:
        """Give the next answer."""
        self.asked.append((new, attempt))
        return self.answers.pop(0)


def python(code: str) -> list[str]:
    """A command that runs this code."""
    return [sys.executable, "-c", code]


def test_order_of_sources(tmp_path: Path, pipe: tuple[int, int]) -> None:
    """Descriptor, variable, file, command, prompt: the first that is there is used."""
    os.write(pipe[1], b"from fd")
    os.close(pipe[1])
    environ = {
        unlock.VARIABLE: "from variable",
        unlock.FILE_VARIABLE: str(private_file(tmp_path / "passphrase", b"from file")),
    }
    command = python("print('from command')")
    prompt = Answers("from prompt")
    found = [given(Passphrases(fd=pipe[0], environ=environ, command=command, prompt=prompt))]

    found.append(given(Passphrases(environ=environ, command=command, prompt=prompt)))
    del environ[unlock.VARIABLE]
    found.append(given(Passphrases(environ=environ, command=command, prompt=prompt)))
    environ.clear()
    found.append(given(Passphrases(environ=environ, command=command, prompt=prompt)))
    found.append(given(Passphrases(environ=environ, prompt=prompt)))

    assert found == [
        f"from {source}" for source in ("fd", "variable", "file", "command", "prompt")
    ]


def test_only_one_source_is_tried() -> None:
    """A given passphrase is the only candidate: nobody is asked if it is wrong."""
    prompt = Answers("from prompt")

    candidates = list(Passphrases(environ={unlock.VARIABLE: "wrong"}, prompt=prompt)(new=False))

    assert candidates == ["wrong"]
    assert prompt.asked == []


def test_broken_source_is_not_passed_over(tmp_path: Path) -> None:
    """A source that is there and fails is an error, never a reason to try the next."""
    prompt = Answers("from prompt")
    environ = {unlock.FILE_VARIABLE: str(tmp_path / "absent")}

    with pytest.raises(CodemeshError):
        given(Passphrases(environ=environ, command=python("print('x')"), prompt=prompt))

    assert prompt.asked == []


def test_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment of its own it looks at that of the process."""
    monkeypatch.setenv(unlock.VARIABLE, "from variable")

    assert given(Passphrases()) == "from variable"


def test_no_source() -> None:
    """Without any source the store is locked, and the hint names every one."""
    with pytest.raises(LockedError) as caught:
        given(Passphrases(environ={}))

    for word in ("--passphrase-fd", unlock.VARIABLE, unlock.FILE_VARIABLE, "passphrase_command"):
        assert word in caught.value.hint


def test_three_prompts() -> None:
    """A prompt is tried three times for a store that is there, and told which time it is."""
    prompt = Answers("a", "b", "c", "d")

    candidates = list(Passphrases(environ={}, prompt=prompt)(new=False))

    assert candidates == ["a", "b", "c"]
    assert prompt.asked == [(False, 1), (False, 2), (False, 3)]


def test_one_prompt_for_a_new_store() -> None:
    """The passphrase of a new store is asked for once; it cannot be wrong."""
    prompt = Answers(PASSPHRASE, "another")

    assert list(Passphrases(environ={}, prompt=prompt)(new=True)) == [PASSPHRASE]
    assert prompt.asked == [(True, 1)]


def test_repr_shows_nothing() -> None:
    """An object that holds a passphrase does not show it."""
    passphrases = Passphrases(environ={unlock.VARIABLE: CANARY})
    given(passphrases)

    assert CANARY not in repr(passphrases) + str(passphrases)
