"""Where a passphrase comes from: descriptors, files, and what is none."""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import LockedError, TooLargeError, UnsafeFileError, UsageError
from codemesh.unlock import passphrases as unlock
from codemesh.unlock.passphrases import Passphrases
from files_support import NOBODY, as_root, private_file
from support import CANARY, PASSPHRASE, given, shown

if TYPE_CHECKING:
    from pathlib import Path

COMPOSED = "p\u00e4ssword"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


# -- what a passphrase is ----------------------------------------------------------------


@pytest.mark.parametrize(
    "passphrase",
    ["x", " spaces at both ends ", "tab\t", COMPOSED, DECOMPOSED, "\U0001f511" * 256, "x" * 1024],
)
def test_passphrase_is_taken_as_it_is(passphrase: str) -> None:
    """Any text of 1 to 1,024 bytes is a passphrase, and nothing of it is changed."""
    assert unlock.check(passphrase, "it") == passphrase


@pytest.mark.parametrize(
    ("passphrase", "reason"),
    [
        ("", "empty"),
        ("x" * 1025, "longer than 1024 bytes"),
        ("\u00e4" * 513, "longer than 1024 bytes"),
        ("a\0b", "NUL"),
        ("half \ud83d", "UTF-8"),
    ],
)
def test_what_is_no_passphrase(passphrase: str, reason: str) -> None:
    """A passphrase that is empty, too long, no text or holds NUL is refused with the reason."""
    with pytest.raises(UsageError, match=reason) as caught:
        unlock.check(passphrase, "the passphrase")

    assert passphrase == "" or passphrase not in shown(caught.value)


def test_refusals_carry_no_passphrase() -> None:
    """The error for a passphrase that is no text does not carry it along."""
    passphrases = Passphrases(environ={unlock.VARIABLE: CANARY + "\udc80"})

    with pytest.raises(UsageError) as caught:
        given(passphrases)

    assert CANARY not in shown(caught.value)


# -- line ends ---------------------------------------------------------------------------


def giving(content: bytes, source: str, tmp_path: Path, pipe: tuple[int, int]) -> Passphrases:
    """Passphrases with one source, which gives these bytes."""
    if source == "fd":
        os.write(pipe[1], content)
        os.close(pipe[1])
        return Passphrases(fd=pipe[0], environ={})
    path = str(private_file(tmp_path / "passphrase", content))
    if source == "file":
        return Passphrases(environ={unlock.FILE_VARIABLE: path})
    return Passphrases(environ={}, command=["cat", path])


@pytest.mark.parametrize(
    ("content", "passphrase"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret\n\n", "secret\n"),
        (b"secret\r", "secret\r"),
        (b" secret \n", " secret "),
        (COMPOSED.encode() + b"\n", COMPOSED),
        (DECOMPOSED.encode() + b"\n", DECOMPOSED),
        (b"x" * 1024 + b"\r\n", "x" * 1024),
        (b"x" * 1023 + b"\n\n", "x" * 1023 + "\n"),
    ],
)
@pytest.mark.parametrize("source", ["fd", "file", "command"])
def test_one_line_end_is_stripped(
    source: str, content: bytes, passphrase: str, tmp_path: Path, pipe: tuple[int, int]
) -> None:
    """Exactly one line end is stripped from what a descriptor, a file or a command gives."""
    assert given(giving(content, source, tmp_path, pipe)) == passphrase


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"a\0b\n", b"\xff\n", b"x" * 1025, b"x" * 1024 + b"\n\n"]
)
@pytest.mark.parametrize("source", ["fd", "file", "command"])
def test_bad_content_is_refused(
    source: str, content: bytes, tmp_path: Path, pipe: tuple[int, int]
) -> None:
    """What a descriptor, a file or a command gives is checked, and not shown in the error."""
    content = content.replace(b"\xff", CANARY.encode() + b"\xff")

    with pytest.raises(UsageError) as caught:
        given(giving(content, source, tmp_path, pipe))

    assert CANARY not in shown(caught.value)


# -- descriptors -------------------------------------------------------------------------


def test_descriptor_in_pieces(pipe: tuple[int, int]) -> None:
    """A passphrase that comes in pieces is read to its end."""
    read, write = pipe
    for piece in (b"sec", b"ret", b"\n"):
        os.write(write, piece)
    os.close(write)

    assert given(Passphrases(fd=read, environ={})) == "secret"


def test_descriptor_is_read_once(pipe: tuple[int, int]) -> None:
    """A second question gets the same answer from memory."""
    os.write(pipe[1], PASSPHRASE.encode())
    os.close(pipe[1])
    passphrases = Passphrases(fd=pipe[0], environ={})

    answers = [given(passphrases), given(passphrases), next(passphrases(new=True))]
    assert answers == [PASSPHRASE] * 3


@pytest.mark.parametrize("fd", [987, -1])
def test_closed_descriptor(fd: int) -> None:
    """A descriptor that is not open is a usage error that says how to open one."""
    with pytest.raises(UsageError, match="descriptor") as caught:
        given(Passphrases(fd=fd, environ={}))

    assert "passphrase-fd" in caught.value.hint


def test_descriptor_for_writing(pipe: tuple[int, int]) -> None:
    """A descriptor that cannot be read is a usage error."""
    with pytest.raises(UsageError, match="descriptor"):
        given(Passphrases(fd=pipe[1], environ={}))


# -- files -------------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    """A passphrase file that is not there leaves the store locked, and names the file."""
    path = str(tmp_path / "absent")

    with pytest.raises(LockedError, match="absent"):
        given(Passphrases(environ={unlock.FILE_VARIABLE: path}))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o602])
def test_loose_file(tmp_path: Path, mode: int) -> None:
    """A passphrase file that others may read or write is refused."""
    path = str(private_file(tmp_path / "passphrase", b"secret"))
    os.chmod(path, mode)

    with pytest.raises(UnsafeFileError):
        given(Passphrases(environ={unlock.FILE_VARIABLE: path}))


@as_root
def test_foreign_file(tmp_path: Path) -> None:
    """A passphrase file of another user is refused."""
    path = str(private_file(tmp_path / "passphrase", b"secret"))
    os.chown(path, NOBODY, NOBODY)

    with pytest.raises(UnsafeFileError):
        given(Passphrases(environ={unlock.FILE_VARIABLE: path}))


def test_special_file(tmp_path: Path) -> None:
    """A named pipe is refused and not waited for."""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)

    with pytest.raises(UnsafeFileError):
        given(Passphrases(environ={unlock.FILE_VARIABLE: str(path)}))


def test_large_file(tmp_path: Path) -> None:
    """A file that is far too large for a passphrase is not read to its end."""
    path = str(private_file(tmp_path / "passphrase", b"x" * 100_000))

    with pytest.raises(TooLargeError):
        given(Passphrases(environ={unlock.FILE_VARIABLE: path}))


def test_empty_file_variable_is_none() -> None:
    """An empty CODEMESH_PASSPHRASE_FILE is as good as none."""
    with pytest.raises(LockedError):
        given(Passphrases(environ={unlock.FILE_VARIABLE: ""}))
