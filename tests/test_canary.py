"""A marked secret goes through every command, and is seen where it was asked for alone."""

from __future__ import annotations

import itertools
import json
import signal
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from canary import MARK, PASSPHRASE, RECORDS, Watched
from commandline import CUT_OFF, assert_message

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUIET = [
    ["--version"],
    ["--help"],
    ["auth", "list"],
    ["auth", "list", "--json"],
    ["-v", "auth", "status"],
    *(["auth", "show", name] for name in RECORDS),
    *(["auth", "show", name, "--json"] for name in RECORDS),
    ["auth", "token", "nobody"],
    ["auth", "token", "expired"],
    ["auth", "token", "future"],
    ["auth", "token", "halved"],
    ["auth", "token", "odd"],
    ["auth", "token", "azure", "--field", "nothing"],
    ["auth", "token", "openai", "--field", "nothing"],
    ["auth", "logout", "openai"],
    ["auth", "logout", "nobody", "--yes"],
    ["auth", "recover"],
    ["backend", "list"],
    ["backend", "list", "--json"],
    ["config", "show"],
    ["config", "set", "lock_timeout", "9s"],
    ["config", "set", "lock_timeout", "soon"],
    ["migrate", "plaintext", "--dry-run"],
    ["migrate", "encrypted", "--dry-run", "--json"],
    ["auth", "refresh", "openai"],
    ["auth", "refresh", "expired"],
    ["providers"],
    ["providers", "--json"],
    ["sessions", "list"],
    ["sessions", "show", "2026"],
    ["run", "what is it?", "-m", "nobody/x"],
    ["lock"],
    ["doctor"],
    ["doctor", "--json"],
    ["doctor", "--fix"],
]
KEYS: list[str | bytes] = [
    f"{MARK}\n",
    f"{MARK}\nsecond line",
    f"\x1b{MARK}\n",
    f"{MARK}\0",
    MARK.encode() + b"\xff\n",
    MARK.encode() * 100_000,
]
BREAKS: dict[str, list[Callable[[bytes], bytes]]] = {
    "plaintext": [
        lambda raw: raw[:-30],
        lambda raw: raw + raw,
        lambda raw: raw.replace(b'"apikey"', b"NaN"),
        lambda raw: raw.replace(b'"key":', b'"key": 1, "key":'),
        lambda raw: raw.replace(b"canary", b"\xffcanary", 1),
        lambda raw: raw.replace(b"canary", b"\\ud800canary", 1),
        lambda raw: raw.replace(b'"credentials"', b'"others"'),
        lambda raw: b"\xef\xbb\xbf" + raw,
    ],
    "encrypted": [
        lambda raw: raw[:-30],
        lambda raw: raw + raw,
        lambda raw: raw.replace(b'"argon2id"', b"NaN"),
        lambda raw: raw.replace(b'"key":', b'"key": 1, "key":'),
        lambda raw: raw.replace(b'"data": "', b'"data": "\xff'),
        lambda raw: raw.replace(b'"data": "', b'"data": "A'),
        lambda raw: raw.replace(b'"payload"', b'"others"'),
        lambda raw: b"\xef\xbb\xbf" + raw,
    ],
}
# Imported by the interpreter at its start: kills the process at its n-th rename.
HOOK = """
import itertools, os, signal
wanted, count, real = os.environ.get("KILL_AT"), itertools.count(1), os.rename
def rename(*arguments, **options):
    if str(next(count)) == wanted:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments, **options)
os.rename = rename
"""
# What passphrase_command runs: writes down all that it can see.
DUMP = """
import json, os, sys
parent = open(f"/proc/{os.getppid()}/cmdline").read() if os.path.exists("/proc/self") else ""
with open(sys.argv[1], "w") as file:
    json.dump([dict(os.environ), sys.argv, parent], file)
print(sys.stdin.read() + os.environ["WORDS"][::-1])
"""
# A defect whose error holds the secret.
BROKEN = """
import os
def rename(*arguments, **options):
    secret = open(os.environ["HOME"] + "/.code-mesh/auth.json").read()
    raise ValueError(secret)
os.rename = rename
"""


@pytest.fixture(params=["plaintext", "encrypted"])
def cli(request: pytest.FixtureRequest, tmp_path: Path) -> Watched:
    """Each store in turn, full of marked secrets, with CODEMESH_DEBUG, which shows more."""
    return Watched(tmp_path, str(request.param))


def test_no_command_shows_what_it_was_not_asked_for(cli: Watched) -> None:
    """Commands that list, look, refuse or fail print no secret and leave none anywhere."""
    for arguments in QUIET:
        outcome = cli.watch(*arguments)

        assert "internal error" not in outcome.stderr
    assert cli.traces() == []


def test_what_is_asked_for_goes_to_stdout_alone(cli: Watched) -> None:
    """`auth token` and `auth show --reveal` print the secret, and talk of it nowhere."""
    for arguments in (
        ["auth", "token", "openai"],
        ["auth", "token", "azure", "--field", "n"],
        ["auth", "token", "expired", "--no-refresh"],
        ["auth", "show", "google", "--reveal"],
        ["-v", "auth", "show", "future", "--reveal", "--json"],
    ):
        outcome = cli.run(*arguments, passphrase=PASSPHRASE)

        assert (outcome.status, MARK in outcome.stdout) == (0, True)
        assert MARK not in outcome.stderr
    assert cli.traces() == []


def test_a_key_that_is_read_is_never_repeated(cli: Watched) -> None:
    """A piped key, taken or refused, is in no output and nowhere but in the store."""
    for key in KEYS:
        cli.watch("auth", "login", "mine", "--with-key", stdin=key)
        cli.watch("auth", "login", "mine", "--field", "token=-", stdin=key)

    assert cli.traces() == []


def test_a_passphrase_is_never_repeated(cli: Watched) -> None:
    """A passphrase that is wrong, impossible or right is in no output and no file."""
    for passphrase in (f"{MARK} wrong", f"{MARK}\0", MARK * 100, f"{MARK}\ud800"):
        raw = passphrase.encode("utf-8", "surrogatepass")
        given = cli.home / "given"
        given.write_bytes(raw)
        for command in (["auth", "list"], ["auth", "token", "nobody"], ["auth", "recover"]):
            outcome = cli.run(
                "--passphrase-fd", "3", *command, through='exec "$@" 3<"$HOME/given"'
            )
            assert MARK not in outcome.stdout + outcome.stderr
        given.unlink()

        if "\0" not in passphrase and "\ud800" not in passphrase:
            outcome = cli.run("auth", "list", environ={"CODEMESH_PASSPHRASE": passphrase})
            assert MARK not in outcome.stdout + outcome.stderr
    assert cli.traces() == []


def test_damage_is_told_without_a_quote(cli: Watched) -> None:
    """A damaged store is described and never quoted, and recovering it prints no secret."""
    whole = cli.path.read_bytes()
    for damage in BREAKS[cli.store]:
        cli.write(cli.path, damage(whole))
        assert cli.path.read_bytes() != whole
        for arguments in (
            ["auth", "list"],
            ["auth", "token", "nobody"],
            ["auth", "login", "mine", "--with-key"],
            ["doctor"],
            ["auth", "recover"],
        ):
            outcome = cli.watch(*arguments, stdin=MARK)
            assert outcome.status != 0
            assert "internal error" not in outcome.stderr

    cli.write(cli.path, whole[:-30])
    cli.watch("auth", "recover", "--yes")

    asides = [path.name for path in cli.folder.glob("*.damaged-*")]
    expected = asides if cli.store == "plaintext" else []
    assert len(asides) == 1
    assert cli.traces() == [f".code-mesh/{name}" for name in expected]


def test_a_full_disk_leaves_no_secret_behind(cli: Watched) -> None:
    """Writes that the disk cuts off print no secret, and leave none in a temporary file."""
    (cli.folder / "state").mkdir(0o700, exist_ok=True)
    for arguments in (
        ["auth", "login", "mine", "--with-key"],
        ["auth", "logout", "openai", "--yes"],
        ["migrate", "encrypted" if cli.store == "plaintext" else "plaintext"],
    ):
        outcome = cli.watch(*arguments, stdin=MARK, through=CUT_OFF)

        assert_message(outcome.stderr, "file size limit exceeded")
    assert cli.traces() == []


def test_a_kill_leaves_a_secret_in_the_store_alone(cli: Watched) -> None:
    """A killed write leaves at most a private file beside a plaintext store, for a while."""
    cli.write(cli.home / "hook" / "sitecustomize.py", HOOK)
    cli.environ["PYTHONPATH"] = str(cli.home / "hook")
    for step in itertools.count(1):
        outcome = cli.watch("auth", "login", "mine", "--with-key", stdin=MARK, hook=str(step))

        if outcome.status == 0:
            break
        assert outcome.status == -signal.SIGKILL
        for trace in cli.traces():
            assert cli.store == "plaintext"
            assert trace.startswith(".code-mesh/.auth.json.")
            assert stat.S_IMODE((cli.home / trace).stat().st_mode) == 0o600
    assert step > 1
    assert cli.traces() == []


def test_a_move_leaves_the_secret_in_one_store(cli: Watched) -> None:
    """After a migration the mark is in the target alone, and in an encrypted one nowhere."""
    target = "encrypted" if cli.store == "plaintext" else "plaintext"

    outcome = cli.watch("migrate", target)

    assert outcome.status == 0
    assert cli.traces() == []
    assert cli.plaintext.exists() == (target == "plaintext")


def test_a_child_gets_no_secret(cli: Watched) -> None:
    """passphrase_command sees no secret in its environment, arguments, input or parent."""
    seen = cli.home.parent / f"{cli.home.name}-seen.json"
    program = cli.write(cli.home / "dump.py", DUMP)
    command = json.dumps([sys.executable, str(program), str(seen)])
    cli.write(
        cli.config,
        f'backend = "{cli.store}"\n[backends.encrypted]\npassphrase_command = {command}\n',
    )
    words = {"WORDS": PASSPHRASE[::-1]}  # known to the child alone, and not as it is

    outcomes = [
        cli.run("auth", "login", "mine", "--with-key", stdin=MARK, environ=words),
        cli.run("auth", "list", environ=words),
        cli.run("migrate", "plaintext", environ=words),
    ]

    for outcome in outcomes:
        assert outcome.status == 0
        assert MARK not in outcome.stdout + outcome.stderr
    assert seen.exists() == (cli.store == "encrypted")
    if seen.exists():
        assert MARK not in seen.read_text(encoding="utf-8")
    assert cli.traces() == []


def test_a_defect_shows_no_secret(cli: Watched) -> None:
    """Even an error that nobody foresaw, with a secret in its text, is told without it."""
    cli.write(cli.home / "hook" / "sitecustomize.py", BROKEN)
    cli.environ["PYTHONPATH"] = str(cli.home / "hook")
    if cli.store == "encrypted":
        cli.write(cli.plaintext, MARK)

    for debug in ("", "1"):
        cli.environ["CODEMESH_DEBUG"] = debug
        outcome = cli.watch("auth", "login", "mine", "--with-key", stdin=MARK)

        assert outcome.status == 1
        assert "internal error: ValueError" in outcome.stderr
        assert (", line " in outcome.stderr) == bool(debug)
    cli.plaintext.unlink()
    assert cli.traces() == []
