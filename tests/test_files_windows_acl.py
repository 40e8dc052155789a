"""The access list of a folder that is made on Windows, with fakes for its tools."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import StorageError
from codemesh.files import _windows

if TYPE_CHECKING:
    from pathlib import Path

SID = "S-1-5-21-1-2-3-1001"


class FakeTools:
    """whoami and icacls: the commands that they were run with, and an answer."""

    def __init__(self, answer: bytes = b'"pc\\ann, b.","' + SID.encode() + b'"\r\n') -> None:
        self.answer = answer
        self.commands: list[list[str]] = []
        self.broken = ""

    def __call__(self, command: list[str]) -> bytes:
        """Note the command, and answer."""
        self.commands.append(command)
        if self.broken and self.broken in command[0]:
            raise OSError(errno.EPERM, "the tool failed")
        return self.answer if "whoami" in command[0] else b""


def test_folder_outside_the_profile_is_restricted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every folder that is made outside gets its own access list, user and system alone."""
    tools = FakeTools()
    monkeypatch.setattr(_windows, "_run", tools)
    monkeypatch.setenv("HOME", str(tmp_path / "users" / "ann"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "users" / "ann"))
    monkeypatch.setenv("SystemRoot", "W:")

    _windows.make_folder(str(tmp_path / "outer" / "inner"))
    _windows.make_folder(str(tmp_path / "outer" / "inner"))

    root = os.path.join("W:", "System32")
    assert [command[0] for command in tools.commands] == [
        os.path.join(root, "whoami.exe"),
        os.path.join(root, "icacls.exe"),
    ] * 2
    rights = ["/inheritance:r", "/grant:r", f"*{SID}:(OI)(CI)F"]
    assert tools.commands[1][1:] == [
        str(tmp_path / "outer"),
        *rights,
        "/grant:r",
        "*S-1-5-18:(OI)(CI)F",
    ]
    assert tools.commands[3][1] == str(tmp_path / "outer" / "inner")


def test_folder_in_the_profile_inherits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile is private already, so no tool is run."""
    monkeypatch.setattr(_windows, "_run", FakeTools().broken)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    _windows.make_folder(str(tmp_path / ".code-mesh" / "state"))

    assert (tmp_path / ".code-mesh" / "state").is_dir()


@pytest.mark.parametrize("broken", ["whoami", "icacls", "answer"])
def test_folder_that_cannot_be_restricted_is_taken_back(tmp_path: Path, broken: str) -> None:
    """Without its access list a new folder must not be found by the next attempt."""
    tools = FakeTools(b"" if broken == "answer" else FakeTools().answer)
    tools.broken = broken
    path = tmp_path / "new"
    path.mkdir()

    with pytest.raises(StorageError, match="cannot be made private"):
        _windows.restrict_to_user(str(path), tools)

    assert not path.exists()


def test_tool_that_is_missing_or_fails() -> None:
    """A tool that cannot run, or says no, is an error of the system."""
    assert _windows._run([sys.executable, "-c", "print('yes')"]).split() == [b"yes"]
    with pytest.raises(OSError, match="No such file"):
        _windows._run(["/nonexistent/icacls.exe"])
    with pytest.raises(OSError, match="tool failed"):
        _windows._run([sys.executable, "-c", "raise SystemExit(1)"])
