"""`passphrase_command`: how it is run, and every way in which it can fail."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import LockedError
from codemesh.unlock import passphrases as unlock
from codemesh.unlock.passphrases import Passphrases
from files_support import no_hanging
from support import CANARY, shown

if TYPE_CHECKING:
    from pathlib import Path


def answer(*command: str, environ: dict[str, str] | None = None) -> str:
    """What the command gives as passphrase."""
    return next(Passphrases(environ=environ or {}, command=command)(new=False))


def python(code: str, **environ: str) -> str:
    """As `answer`, for a command that runs this code."""
    return answer(sys.executable, "-c", code, environ=environ)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a command only a moment."""
    monkeypatch.setattr(unlock, "COMMAND_TIMEOUT", 0.3)


def test_no_shell(tmp_path: Path) -> None:
    """The command is run as it is, without a shell to read its words."""
    word = f"$(touch {tmp_path}/ran); `id` * ~"

    assert answer("printf", "%s", word) == word
    assert list(tmp_path.iterdir()) == []


def test_words_stay_words() -> None:
    """Words with spaces, quotes and nothing in them arrive as they are."""
    words = ["a b", "", "'\"", "\\"]

    code = "import sys; print(sys.argv[1:])"

    assert answer(sys.executable, "-c", code, *words) == str(words)


def test_environment_of_the_command() -> None:
    """The command has our environment without the passphrase variable."""
    code = "import os; print(sorted(name for name in os.environ if name.startswith('CODEMESH')))"
    environ = {"CODEMESH_OTHER": "kept", unlock.VARIABLE: CANARY}

    # A passphrase that is given is never asked for, so the source is called by itself.
    output = unlock._run([sys.executable, "-c", code], environ)

    assert output == b"['CODEMESH_OTHER']\n"


def test_command_has_no_input() -> None:
    """The command cannot eat what is piped into codemesh."""
    assert python("import sys; print(repr(sys.stdin.read()))") == "''"


def test_talk_of_the_command_stays_visible(capfd: pytest.CaptureFixture[str]) -> None:
    """What the command says on stderr reaches the user, and is no part of the passphrase."""
    assert python("import sys; sys.stderr.write('touch the key\\n'); print('x')") == "x"

    assert capfd.readouterr().err == "touch the key\n"


@pytest.mark.parametrize("command", ["no-such-program-here", "/no/such/program", ""])
def test_missing_program(command: str) -> None:
    """A program that is not there leaves the store locked, and is named."""
    with pytest.raises(LockedError, match="passphrase_command"):
        answer(command)


def test_program_that_cannot_run(tmp_path: Path) -> None:
    """A file that is executable but no program leaves the store locked."""
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF, but not really")
    path.chmod(0o700)

    with pytest.raises(LockedError, match="passphrase_command"):
        answer(str(path))


def test_nul_in_a_word() -> None:
    """A word that no program can be given leaves the store locked."""
    with pytest.raises(LockedError, match="passphrase_command"):
        answer(sys.executable, "-c", "print('x')\0")


@pytest.mark.parametrize("status", [1, 3, 255])
def test_failing_command(status: int) -> None:
    """A command that fails leaves the store locked, whatever it printed."""
    with pytest.raises(LockedError, match=f"status {status}") as caught:
        python(f"import sys; print('{CANARY}', flush=True); sys.exit({status})")

    assert CANARY not in shown(caught.value)


def test_command_killed_by_a_signal() -> None:
    """A command that is killed leaves the store locked."""
    with pytest.raises(LockedError):
        python("import os; print('x', flush=True); os.kill(os.getpid(), 9)")


@pytest.mark.usefixtures("impatient")
def test_hanging_command() -> None:
    """A command that does not end in time is ended."""
    with pytest.raises(LockedError, match="did not end"):
        python("import time; time.sleep(60)")


@pytest.mark.usefixtures("impatient")
def test_hanging_after_the_answer() -> None:
    """A command that answers, closes its output and stays is ended as well."""
    with pytest.raises(LockedError, match="did not end"):
        python("import os, time; print('x', flush=True); os.close(1); time.sleep(60)")


@pytest.mark.skipif(os.name == "nt", reason="no named pipes to hold a grandchild by")
@pytest.mark.usefixtures("impatient")
def test_hanging_grandchild(tmp_path: Path) -> None:
    """A command is not waited for because of a child that keeps its output open."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)  # once it is closed, the grandchild ends as well

    try:
        with no_hanging(), pytest.raises(LockedError, match="did not end"):
            answer("sh", "-c", 'cat "$0" & wait', str(pipe))
    finally:
        os.close(writer)


def test_megabytes() -> None:
    """A command that prints megabytes is cut short, and none of it is shown."""
    with pytest.raises(LockedError, match="more than a passphrase") as caught:
        python(f"while True: print('{CANARY}' * 1000)")

    assert CANARY not in shown(caught.value)
