"""Everything that is printed or asked.

What a program wants goes to stdout: the secret alone, the list, the JSON. Talk, progress
and errors go to stderr. Questions go to the terminal itself (`/dev/tty`, `CONIN$`), so
they work inside a pipeline; without a terminal nothing is asked, and what is missing is
an error that names the option. Messages are short and plain, and text from outside is
printed without control and bidirectional characters.

The module is on the path of `auth token`: what only some commands need is imported late.
"""

from __future__ import annotations

import os
import sys

from codemesh.errors import CodemeshError, StorageError, UsageError

TYPE_CHECKING = False  # typing's own would load it, for annotations alone
if TYPE_CHECKING:
    from typing import Literal, TextIO

_NOT_THE_STORE = "The store is not concerned."
_INPUT_LIMIT = 2**20  # bytes read from a pipe that should hold one secret


def clean(text: str) -> str:
    """The text in one line, without characters that a terminal would act on."""
    return "".join(char if char.isprintable() else " " for char in text)


def show(text: str) -> None:
    """Write lines for people to stdout; what its encoding lacks is escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    out(text.encode(encoding, "backslashreplace").decode(encoding))


def out(text: str) -> None:
    """Write one line to stdout exactly, at once. Raises StorageError if that fails."""
    if sys.stdout is None:  # Python's word for a descriptor that was closed from the start
        raise StorageError("standard output is closed", hint=_NOT_THE_STORE)
    try:
        # Strictly, whatever the stream is set to: a secret is never written with a part missing.
        text.encode(sys.stdout.encoding or "utf-8")
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, UnicodeEncodeError) as error:
        raise unwritable(error) from None


def part(text: str) -> None:
    """Write a part of a longer text to stdout at once, line ends and all.

    It is a stranger's: what a terminal would act on is left out. Raises StorageError as
    `out`.
    """
    if sys.stdout is None:
        raise StorageError("standard output is closed", hint=_NOT_THE_STORE)
    encoding = sys.stdout.encoding or "utf-8"
    cleaned = "".join(char for char in text if char.isprintable() or char in "\n\t")
    try:
        sys.stdout.write(cleaned.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(error) from None


def unwritable(error: OSError | UnicodeEncodeError) -> StorageError:
    """The error for a stdout that takes nothing; what it still holds is given up."""
    abandon(sys.stdout)
    reason = error.strerror if isinstance(error, OSError) else "not in this encoding"
    return StorageError(f"standard output cannot be written: {reason}", hint=_NOT_THE_STORE)


def out_json(document: dict[str, object]) -> None:
    """Write one JSON document to stdout, with its schema number."""
    import json

    out(json.dumps({"schema": 1, **document}, indent=2))


def say(text: str) -> None:
    """Write one line of talk to stderr, if anybody listens."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(clean(text) + "\n")
    except OSError:
        abandon(sys.stderr)


def abandon(stream: TextIO) -> None:
    """Let what a stream could not write go nowhere, so that the process ends quietly."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return


def error(failure: CodemeshError) -> None:
    """Say what failed, and what to type next."""
    say(f"codemesh: {failure}")
    if failure.hint:
        say(failure.hint)


def decorated() -> bool:
    """Whether stdout is a terminal that wants more than plain text."""
    if sys.stdout is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return False
    return (sys.stdout.encoding or "").lower().startswith("utf")


def short_path(path: str) -> str:
    """The path with the home directory written as `~`."""
    home = os.path.expanduser("~")
    inside = home != "~" and path.startswith(home.rstrip(os.sep) + os.sep)
    return "~" + path[len(home.rstrip(os.sep)) :] if inside else path


# -- questions -----------------------------------------------------------------------


def can_ask() -> bool:
    """Whether there is a terminal to ask at."""
    try:
        with _terminal("r"):
            return True
    except OSError:
        return False


def ask(question: str, *, missing: str) -> str:
    """Ask for one line. Raises UsageError saying what is `missing` if nobody can be asked."""
    try:
        with _terminal("r") as source, _terminal("w") as screen:
            screen.write(clean(question) + " ")
            screen.flush()
            line = source.readline()
    except OSError:
        raise UsageError(f"there is no terminal to ask at; {missing}") from None
    except UnicodeDecodeError:
        raise UsageError("the answer is not UTF-8 text") from None
    if not line:
        say("")  # the message starts on a line of its own
        raise UsageError(f"the input ended; {missing}")
    return line.rstrip("\r\n")


def ask_secret(question: str, *, missing: str, ended: type[CodemeshError] = UsageError) -> str:
    """As `ask`, but what is typed is not shown; the echo is restored whatever happens.

    `ended` is the error for an input that ends instead.
    """
    import getpass
    import warnings

    if not can_ask():
        raise UsageError(f"there is no terminal to ask at; {missing}")
    with warnings.catch_warnings():
        # Without this, getpass would read with echo where it cannot turn it off.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(clean(question) + " ")
        except EOFError:
            say("")
            raise ended(f"the input ended; {missing}") from None
        except getpass.GetPassWarning:
            raise UsageError("the terminal cannot hide what is typed") from None
        except UnicodeDecodeError:
            raise UsageError("the answer is not UTF-8 text") from None


def confirm(question: str, *, missing: str) -> bool:
    """Ask for a yes; anything else, and just Enter, is a no."""
    answer = ask(f"{question} [y/N]", missing=missing)
    return answer.strip().lower() in {"y", "yes"}


def read_secret(what: str) -> str:
    """One secret from stdin, without its line end; typed at a terminal it is hidden."""
    if sys.stdin is None:
        raise UsageError(f"standard input is closed: {what} was expected there")
    if sys.stdin.isatty():
        return ask_secret(f"{what[:1].upper()}{what[1:]}:", missing=f"{what} is missing")
    try:
        raw = sys.stdin.buffer.read(_INPUT_LIMIT + 1)
        text = raw.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{what} is not UTF-8 text") from None
    except OSError as failure:
        raise UsageError(f"standard input cannot be read: {failure.strerror}") from None
    if len(raw) > _INPUT_LIMIT:
        raise UsageError(f"{what} is longer than {_INPUT_LIMIT} bytes")
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def reveal_once(text: str) -> None:
    """Write one line to the terminal alone, whatever stdout and stderr are."""
    with _terminal("w") as screen:
        screen.write(clean(text) + "\n")


def _terminal(mode: Literal["r", "w"]) -> TextIO:
    if sys.platform == "win32":
        return open("CONIN$" if mode == "r" else "CONOUT$", mode, encoding="utf-8")
    return open("/dev/tty", mode, encoding="utf-8")
