"""Running the command line as a user does: as a process, with a terminal or without one."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, NamedTuple, Self

import pexpect  # type: ignore[import-untyped]
import pytest

import support
from codemesh.backends import _vault
from codemesh.backends._kdf import PROFILES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from codemesh.model import Record

if sys.platform == "win32":
    pytest.skip("terminals and descriptors of POSIX", allow_module_level=True)

PASSPHRASE = support.PASSPHRASE
CUT_OFF = 'ulimit -f 0; exec "$@"'  # as on a disk that takes no byte more
ONE: dict[str, Record] = {"openai": {"type": "api_key", "key": "sk-1"}}
_SEALED = """
from codemesh.backends import registry
registry.TABLE = tuple(entry._replace(preferred=False) for entry in registry.TABLE)
from codemesh.__main__ import run
run()
"""
# On macOS the keychain is found without any variable, and is somebody's.
SCRIPT = (sys.executable, *(("-c", _SEALED) if sys.platform == "darwin" else ("-m", "codemesh")))
ENTER, END_OF_INPUT, CTRL_C = "\r", "\x04", "\x03"
needs_full_device = pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="only Linux has a device that is always full"
)
_DEADLINE = 120.0  # only for what hangs, however busy the machine is


class Outcome(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    stdout: str
    stderr: str

    def json(self) -> dict[str, object]:
        """The JSON document on stdout, which must be all of it and carry its schema."""
        document = json.loads(self.stdout)
        assert isinstance(document, dict)
        assert document["schema"] == 1
        return document


class CommandLine:
    """The command line of one made-up user."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / ".code-mesh"
        self.environ = {
            "HOME": str(home),
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
        }

    # -- the store, as it lies on the disk -----------------------------------------------

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "config.toml"

    @property
    def plaintext(self) -> Path:
        """The plaintext store."""
        return self.folder / "auth.json"

    @property
    def vault(self) -> Path:
        """The encrypted store."""
        return self.folder / "auth.vault.json"

    def write(self, path: Path, content: bytes | str, mode: int = 0o600) -> Path:
        """Put a file into the home, and the folder that it needs."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def keep(self, records: Mapping[str, Record], **rest: object) -> Path:
        """Make a plaintext store of these records, with other keys at its top."""
        return self.write(self.plaintext, json.dumps({"credentials": records, **rest}, indent=2))

    def seal(self, records: Mapping[str, Record], revision: int = 0) -> Path:
        """Make an encrypted store of these records that is quick to open, and choose it."""
        self.choose("encrypted")
        return self.write(self.vault, sealed(records, revision))

    def fill(self, backend: str, records: Mapping[str, Record]) -> Path:
        """Make the plaintext store or the encrypted one of these records."""
        return self.seal(records) if backend == "encrypted" else self.keep(records)

    def choose(self, backend: str) -> Path:
        """Let the configuration name a backend, and nothing else."""
        return self.write(self.config, f'backend = "{backend}"\n')

    def records(self) -> dict[str, Record]:
        """The records of the plaintext store."""
        credentials = json.loads(self.plaintext.read_bytes())["credentials"]
        assert isinstance(credentials, dict)
        return credentials

    # -- running ---------------------------------------------------------------------------

    def run(
        self,
        *arguments: str,
        stdin: str | bytes = b"",
        passphrase: str | None = None,
        environ: Mapping[str, str] | None = None,
        through: str = "",
    ) -> Outcome:
        """Run one command where there is no terminal, the passphrase given by a descriptor.

        With `through`, that shell line is run, in which "$@" stands for the command.
        """
        given, handles = _passphrase_pipe(passphrase)
        try:
            done = subprocess.run(
                _command([*given, *arguments], through),
                input=stdin.encode() if isinstance(stdin, str) else stdin,
                capture_output=True,
                env={**self.environ, **(environ or {})},
                cwd=self.home,
                pass_fds=handles,
                start_new_session=True,
                timeout=_DEADLINE,
                check=False,
            )
        finally:
            for handle in handles:
                os.close(handle)
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    def good(self, *arguments: str, **options: str) -> str:
        """Run one command that must succeed; returns what it printed on stdout."""
        outcome = self.run(*arguments, stdin=options.get("stdin", ""), passphrase=PASSPHRASE)
        assert outcome.status == 0, outcome.stderr
        return outcome.stdout

    def both(self, passphrase: str | None = None, *, through: str = "") -> list[Outcome]:
        """What a reading command and a writing one say; `through` is as in `run`."""
        login = ("auth", "login", "google", "--with-key")
        return [
            self.run("auth", "list", passphrase=passphrase, through=through),
            self.run(*login, stdin="new\n", passphrase=passphrase, through=through),
        ]

    def at_terminal(
        self, *arguments: str, environ: Mapping[str, str] | None = None, through: str = ""
    ) -> Terminal:
        """Start one command at a terminal; `through` is as in `run`."""
        command = _command(arguments, through)
        return Terminal(command, {**self.environ, **(environ or {})}, self.home)


def sealed(
    records: Mapping[str, Record], revision: int = 0, passphrase: str = PASSPHRASE
) -> bytes:
    """The bytes of an encrypted store of these records that is quick to open."""
    sealing = _vault.new_sealing(passphrase, PROFILES["floor"])
    return _vault.seal(sealing, revision, records)


class Terminal:
    """One command at a terminal of its own."""

    def __init__(self, command: list[str], environ: Mapping[str, str], folder: Path) -> None:
        with warnings.catch_warnings():
            # Python 3.12 and later warn of every fork beside the threads of pytest-xdist.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._child = pexpect.spawn(
                command[0],
                command[1:],
                env=dict(environ),
                cwd=str(folder),
                encoding="utf-8",
                codec_errors="replace",
                timeout=_DEADLINE,
                dimensions=(50, 200),
            )
        self._child.delaybeforesend = None
        self._seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._child.close(force=True)

    @property
    def pid(self) -> int:
        """The number of the process."""
        pid = self._child.pid
        assert isinstance(pid, int)
        return pid

    def expect(self, text: str) -> None:
        """Wait until the command has printed `text`."""
        self._child.expect_exact(text)
        self._seen += self._child.before + self._child.after

    @property
    def seen(self) -> str:
        """What the command has printed, as far as it was waited for."""
        return str(self._seen)

    def type(self, text: str | bytes) -> None:
        """Type these characters, or these bytes."""
        os.write(self._child.child_fd, text.encode() if isinstance(text, str) else text)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and answer it with a line."""
        self.expect(question)
        self.type(text + ENTER)

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        import termios

        flags = termios.tcgetattr(self._child.child_fd)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def end(self) -> Outcome:
        """Wait for the end; what was on the screen counts as stdout, with plain line ends."""
        self._child.expect(pexpect.EOF)
        self._seen += self._child.before
        self._child.wait()
        status = self._child.exitstatus
        return Outcome(
            -int(self._child.signalstatus) if status is None else int(status),
            self._seen.replace("\r\n", "\n"),
            "",
        )


# -- looking ---------------------------------------------------------------------------


class Seen(NamedTuple):
    """One file as it was found."""

    mode: int
    inode: int
    content: bytes


def tree(folder: Path) -> dict[str, Seen]:
    """Every file and folder below, but for the locks and what was seen of revisions."""
    return {
        str(path.relative_to(folder)): _seen(path)
        for path in sorted(folder.rglob("*"))
        if "state" not in path.relative_to(folder).parts
    }


def _seen(path: Path) -> Seen:
    facts = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(facts.st_mode) else b""
    if stat.S_ISLNK(facts.st_mode):
        content = os.fsencode(path.readlink())
    return Seen(stat.S_IMODE(facts.st_mode), facts.st_ino, content)


def assert_refused(outcome: Outcome, status: int, *words: str) -> None:
    """See that a command ended with `status` and one clear message that has these words."""
    assert (outcome.status, outcome.stdout) == (status, ""), outcome.stderr
    assert_message(outcome.stderr, *words)


def assert_message(stderr: str, *words: str) -> None:
    """See that this is one message of one or two lines, without a traceback."""
    lines = stderr.splitlines()
    assert 1 <= len(lines) <= 2, stderr
    assert lines[0].startswith("codemesh: ")
    assert all(line.strip() for line in lines)
    for word in ("Traceback", "internal error", "Warning", "Errno", "object at 0x"):
        assert word not in stderr
    for word in words:
        assert word in stderr, stderr


def _command(arguments: Sequence[str], shell: str) -> list[str]:
    command = [*SCRIPT, *arguments]
    return ["/bin/sh", "-c", shell, "sh", *command] if shell else command


def _passphrase_pipe(passphrase: str | None) -> tuple[list[str], list[int]]:
    if passphrase is None:
        return [], []
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(passphrase.encode() + b"\n")
    return ["--passphrase-fd", str(reader)], [reader]
