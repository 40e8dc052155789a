"""Where the passphrase of an encrypted store comes from.

The sources, in order: a file descriptor, CODEMESH_PASSPHRASE, CODEMESH_PASSPHRASE_FILE,
the `passphrase_command` of config.toml, and a prompt that is handed in. The first one
that is there is used; if it turns out wrong, no other one is tried. Before all of them
comes a key that rests, which is not looked for here.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Protocol

from codemesh.errors import LockedError, UnsafeFileError, UsageError
from codemesh.files.private import PrivateFile

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence

VARIABLE = "CODEMESH_PASSPHRASE"
NEW_VARIABLE = "CODEMESH_NEW_PASSPHRASE"
FILE_VARIABLE = "CODEMESH_PASSPHRASE_FILE"
ATTEMPTS = 3
COMMAND_TIMEOUT = 120.0
"""How long passphrase_command may take, in seconds; it may be asking a person."""

_LIMIT = 1024  # bytes of a passphrase
_READ_LIMIT = _LIMIT + 2  # and its line end


class Prompt(Protocol):
    """Asks a person for a passphrase."""

    def __call__(self, *, new: bool, attempt: int) -> str:
        """Return what was typed; a new passphrase is asked for twice.

        `attempt` counts from 1; above 1, the last answer was wrong. Raises LockedError
        if nobody can be asked.
        """


class Passphrases:
    """The candidates for one store's passphrase. Calling it twice asks nobody twice.

    It never shows what it holds.
    """

    def __init__(
        self,
        *,
        fd: int | None = None,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        prompt: Prompt | None = None,
    ) -> None:
        self._fd = fd
        self._environ = os.environ if environ is None else environ
        self._command = command
        self._prompt = prompt
        self._given: str | None = None

    def __call__(self, *, new: bool) -> Iterator[str]:
        """Candidates, best first: one from the first source there is, or up to three prompts.

        Raises LockedError if there is no source, UsageError for a passphrase that is
        empty, longer than 1,024 bytes, not UTF-8 or holds NUL, or a new one that would be
        guessed, and UnsafeFileError if others may read the passphrase file.
        """
        if self._given is None:
            self._given = self._from_sources()
        if self._given is not None:
            if new:
                refuse_weak(self._given, self._environ)
            yield self._given
        elif self._prompt is None:
            raise self._missing(new=new)
        else:
            for attempt in range(1, 2 if new else ATTEMPTS + 1):
                passphrase = check(self._prompt(new=new, attempt=attempt), "the passphrase")
                if new:
                    refuse_weak(passphrase, self._environ)
                yield passphrase

    def _missing(self, *, new: bool) -> LockedError:
        if new:
            return LockedError("the new store needs a passphrase", hint=LockedError.sources_hint)
        return LockedError("the store needs its passphrase")

    def _from_sources(self) -> str | None:
        if self._fd is not None:
            return _decode(_read_fd(self._fd), f"the passphrase of descriptor {self._fd}")
        if VARIABLE in self._environ:
            return check(self._environ[VARIABLE], VARIABLE)
        if path := self._environ.get(FILE_VARIABLE):
            raw = _read_file(path)
            if raw is None:
                raise LockedError(f"{FILE_VARIABLE} names a file that is not there", where=path)
            return _decode(raw, path)
        if self._command is not None:
            return _decode(_run(self._command, self._environ), "what passphrase_command printed")
        return None


class NewPassphrases(Passphrases):
    """The one candidate for the passphrase that `passwd` changes to.

    It comes from a descriptor of its own, CODEMESH_NEW_PASSPHRASE or a prompt, so that
    the old one and the new one can both come without a terminal.
    """

    def _missing(self, *, new: bool) -> LockedError:
        del new
        return LockedError(
            "the new passphrase is missing",
            hint="Run it in a terminal, or use --new-passphrase-fd N or CODEMESH_NEW_PASSPHRASE.",
        )

    def _from_sources(self) -> str | None:
        if self._fd is not None:
            what = f"the new passphrase of descriptor {self._fd}"
            return _decode(_read_fd(self._fd), what)
        if NEW_VARIABLE in self._environ:
            return check(self._environ[NEW_VARIABLE], NEW_VARIABLE)
        return None


def refuse_weak(passphrase: str, environ: Mapping[str, str]) -> None:
    """Raise UsageError with the reason if a new passphrase would be guessed."""
    import platform

    from codemesh.providers import table
    from codemesh.unlock import strength

    own = [environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")]
    providers = [provider.id for provider in table.TABLE]
    strength.refuse_weak(passphrase, known=[*own, platform.node(), *providers])


def check(passphrase: str, what: str) -> str:
    """Return the passphrase if it can be one; otherwise raise UsageError naming `what`."""
    if not passphrase:
        raise UsageError(f"{what} is empty")
    try:
        size = len(passphrase.encode())
    except UnicodeEncodeError:
        size = 0  # that error holds the passphrase, so ours is raised without it
    if size == 0:
        raise UsageError(f"{what} is not UTF-8 text")
    if size > _LIMIT:
        raise UsageError(f"{what} is longer than {_LIMIT} bytes")
    if "\0" in passphrase:
        raise UsageError(f"{what} holds a NUL character")
    return passphrase


def _decode(raw: bytes, what: str) -> str:
    """Strip exactly one line end: a passphrase may have spaces at its ends."""
    line_end = b"\r\n" if raw.endswith(b"\r\n") else b"\n"
    # What is no UTF-8 becomes lone surrogates, which `check` refuses.
    return check(raw.removesuffix(line_end).decode("utf-8", "surrogateescape"), what)


def _read_file(path: str) -> bytes | None:
    try:
        return PrivateFile(os.path.abspath(path), limit=_READ_LIMIT).read()
    except UnsafeFileError as error:
        error.hint = f"{FILE_VARIABLE} must name a file of yours alone: chmod 600 {path}"
        raise


def _read_fd(fd: int) -> bytes:
    raw = b""
    try:
        while len(raw) <= _READ_LIMIT and (chunk := os.read(fd, _READ_LIMIT + 1 - len(raw))):
            raw += chunk
    except OSError as error:
        raise UsageError(
            f"descriptor {fd} cannot be read: {error.strerror}",
            hint="Open it for codemesh, as in: codemesh --passphrase-fd 3 … 3<FILE",
        ) from None
    return raw


def _run(command: Sequence[str], environ: Mapping[str, str]) -> bytes:
    """What the command prints. It gets no shell, no input, and not the passphrase variable."""
    import shutil
    import subprocess

    program = shutil.which(command[0])
    if program is None:
        raise LockedError(f"passphrase_command: {command[0]} is not on the PATH")
    try:
        child = subprocess.Popen(  # noqa: S603  a list from the user's own config.toml, no shell
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={
                name: value
                for name, value in environ.items()
                if name not in {VARIABLE, NEW_VARIABLE}
            },
        )
    except (OSError, ValueError) as error:  # a ValueError for NUL in a word
        reason = getattr(error, "strerror", None) or "a word holds a NUL character"
        raise LockedError(f"passphrase_command cannot be run: {reason}") from None
    try:
        output, status = _answer(child)
    except subprocess.TimeoutExpired:
        raise LockedError(
            f"passphrase_command did not end within {COMMAND_TIMEOUT:g} seconds"
        ) from None
    finally:
        child.kill()  # does nothing if it has ended
        child.wait()
    if len(output) > _READ_LIMIT:
        raise LockedError("passphrase_command printed more than a passphrase")
    if status != 0:
        raise LockedError(f"passphrase_command failed with status {status}")
    return output


def _answer(child: subprocess.Popen[bytes]) -> tuple[bytes, int]:
    """What the child prints, as far as it can matter, and its status.

    Raises TimeoutExpired. Windows cannot wait for a pipe with a deadline, so a thread
    reads it. It owns the pipe: a grandchild may keep that open longer than we wait.
    """
    import threading
    from subprocess import TimeoutExpired

    output = bytearray()

    def collect() -> None:
        with child.stdout or open(os.devnull, "rb") as pipe:
            while len(output) <= _READ_LIMIT and (chunk := pipe.read(_READ_LIMIT + 1)):
                output.extend(chunk)

    deadline = time.monotonic() + COMMAND_TIMEOUT
    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    reader.join(COMMAND_TIMEOUT)
    if reader.is_alive():
        raise TimeoutExpired(child.args, COMMAND_TIMEOUT)
    if len(output) > _READ_LIMIT:
        return bytes(output), 0
    return bytes(output), child.wait(max(0.0, deadline - time.monotonic()))
