"""The command line over a keychain that fails: the status, the message, and nothing written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import keychains
from commandline import assert_message, assert_refused
from desktops import ADDRESS
from false_buses import FakeBus, fall_silent
from keychains import THERE, keychain
from secret_service import MEMORY, Script
from support import CANARY

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import CommandLine, Outcome
    from desktops import GnomeKeyring
    from keychains import Stage

LOGIN_COMMAND = ("auth", "login", "openai", "--with-key")
ERROR = "org.freedesktop.DBus.Error"

stage = keychains.stage
keyring = keychains.keyring


@pytest.fixture
def config(cli: CommandLine) -> bytes:
    """The configuration of a user who chose the keychain, and is not patient."""
    folder = cli.home / "tmp"
    folder.mkdir()
    cli.environ["TMPDIR"] = str(folder)
    text = '# mine\nbackend = "keychain"\n\n[backends.keychain]\ntimeout = "1s"  # no more\n'
    cli.write(cli.config, text)
    return text.encode()


def login(cli: CommandLine) -> Outcome:
    """Log in with a marked secret."""
    return cli.run(*LOGIN_COMMAND, stdin=CANARY + "\n")


def assert_nothing_lies_about(cli: CommandLine, config: bytes) -> None:
    """See that no file has the secret, no store was made, and the configuration is as it was."""
    files = {path: path.read_bytes() for path in cli.home.rglob("*") if path.is_file()}

    assert [path for path in files if CANARY.encode() in files[path]] == []
    assert files.pop(cli.config) == config
    assert {path.suffix for path in files} <= {".lock"}


# -- logins that fail ------------------------------------------------------------------------


FAILING = [
    pytest.param(Script(locked=True, answer="dismissed"), 4, "dismissed", id="dismissed"),
    pytest.param(Script(locked=True, answer="ignored"), 4, "nobody answered", id="ignored"),
    pytest.param(Script(errors={"CreateItem": f"{ERROR}.AccessDenied"}), 4, "denies", id="denied"),
    pytest.param(Script(collection="", answer="dismissed"), 4, "dismissed", id="no collection"),
    pytest.param(Script(collection=MEMORY), 5, "forgets everything", id="forgetful"),
    pytest.param(Script(exits=["CreateItem"]), 5, "ended", id="ends"),
    pytest.param(Script(silent=["SearchItems"]), 8, "within 1 s", id="silent"),
    pytest.param(Script(silent=["CreateItem"]), 8, "may still be carried out", id="silent later"),
    pytest.param(Script(forget=True), 1, "did not keep openai", id="not kept"),
    pytest.param(Script(altered='{"key":"x"}'), 1, "did not keep openai", id="altered"),
    pytest.param(Script(errors={"CreateItem": f"{ERROR}.LimitsExceeded"}), 1, "full", id="full"),
    pytest.param(Script(errors={"CreateItem": "a.b.Odd"}), 1, "(a.b.Odd)", id="unknown"),
]


@pytest.mark.parametrize(("script", "status", "words"), FAILING)
def test_a_login_to_a_keychain_that_fails(  # noqa: PLR0913, PLR0917  three of them are the case
    script: Script, status: int, words: str, stage: Stage, cli: CommandLine, config: bytes
) -> None:
    """Each failure has its exit status and says what to do; the secret goes nowhere else."""
    stage.serve(script)
    cli.environ.update(stage.bus.environ)

    outcome = login(cli)

    assert_refused(outcome, status, words)
    assert CANARY not in outcome.stderr
    assert_nothing_lies_about(cli, config)


@pytest.mark.parametrize("address", [None, "", "tcp:host=127.0.0.1", "unix:path=/nonexistent"])
def test_a_login_without_a_bus(address: str | None, cli: CommandLine, config: bytes) -> None:
    """Without a session bus a login fails, and no other store takes the keychain's place."""
    if address is not None:
        cli.environ[ADDRESS] = address

    outcome = login(cli)

    assert_refused(outcome, 5, "no keychain is available", "codemesh backend use encrypted")
    assert_nothing_lies_about(cli, config)


def test_a_login_to_a_bus_without_a_keychain(
    stage: Stage, cli: CommandLine, config: bytes
) -> None:
    """On a bus without a keychain a login fails likewise."""
    cli.environ.update(stage.bus.environ)

    outcome = login(cli)

    assert_refused(outcome, 5, "no keychain is available", "codemesh backend use encrypted")
    assert_nothing_lies_about(cli, config)


def test_a_login_to_a_bus_that_falls_silent(
    tmp_path_factory: pytest.TempPathFactory, cli: CommandLine, config: bytes
) -> None:
    """A bus that lets one in and falls silent is waited for until the deadline."""
    bus = FakeBus(tmp_path_factory.mktemp("bus") / "bus", fall_silent)
    cli.environ[ADDRESS] = bus.address

    try:
        outcome = login(cli)
    finally:
        bus.stop()

    assert_refused(outcome, 8, "the session bus did not answer within 1 s")
    assert_nothing_lies_about(cli, config)


def test_a_login_to_a_real_keychain_in_trouble(
    keyring: GnomeKeyring, cli: CommandLine, config: bytes
) -> None:
    """A gnome-keyring that stands still, is locked or was killed gives 8, 4 and 5."""
    cli.environ.update(keyring.environ)

    keyring.send(signal.SIGSTOP)
    stopped = login(cli)
    keyring.restart()
    locked = login(cli)
    keyring.send(signal.SIGKILL)
    killed = login(cli)

    assert_refused(stopped, 8, "the keychain did not answer within 1 s")
    assert_refused(locked, 4, "the keychain is locked")
    assert_refused(killed, 5, "keychain")
    assert_nothing_lies_about(cli, config)


@pytest.mark.parametrize("command", [("auth", "token", "openai"), ("auth", "list")], ids=" ".join)
@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        (Script(items=THERE, locked=True, answer="dismissed"), 4, "dismissed"),
        (Script(items=THERE, exits=["GetSecret"]), 5, "keychain"),
        (Script(items=[("openai", "sk-1")]), 6, "openai"),
        (Script(items=THERE, silent=["GetSecret"]), 8, "within 1 s"),
    ],
    ids=["dismissed", "ends", "damaged", "silent"],
)
def test_a_look_into_a_keychain_that_fails(  # noqa: PLR0913, PLR0917  four of them are the case
    command: tuple[str, ...],
    script: Script,
    status: int,
    words: str,
    stage: Stage,
    cli: CommandLine,
    config: bytes,
) -> None:
    """Reading fails with the same statuses, and prints nothing on stdout."""
    stage.serve(script)
    cli.environ.update(stage.bus.environ)

    outcome = cli.run(*command)

    assert_refused(outcome, status, words)
    assert_nothing_lies_about(cli, config)


# -- settings of others ----------------------------------------------------------------------


@pytest.fixture
def hostile(cli: CommandLine) -> Path:
    """Everything that leads the keyring library elsewhere; returns what is made if it goes there.

    It names a module that leaves a mark when it is imported, in every place where the
    library looks, and keyrings.alt is there as well, which would store plaintext.
    """
    packages, mark = cli.home / "packages", cli.home / "imported"
    module = f"""
import pathlib, keyring.backend
pathlib.Path({str(mark)!r}).touch()
class Keyring(keyring.backend.KeyringBackend):
    priority = 99
    get_password = set_password = delete_password = lambda self, *given: None
"""
    cli.write(packages / "hostile.py", module)
    cli.write(packages / "keyrings" / "alt" / "__init__.py", module)
    cli.write(packages / "keyrings" / "alt" / "file.py", module)
    points = "[keyring.backends]\nhostile = hostile\nalt = keyrings.alt.file\n"
    cli.write(packages / "hostile-1.dist-info" / "entry_points.txt", points)
    cli.write(packages / "hostile-1.dist-info" / "METADATA", "Name: hostile\nVersion: 1\n")
    settings = f"[backend]\ndefault-keyring = hostile.Keyring\nkeyring-path = {packages}\n"
    cli.write(cli.home / "settings" / "python_keyring" / "keyringrc.cfg", settings)
    cli.environ |= {
        "PYTHONPATH": str(packages),
        "PYTHON_KEYRING_BACKEND": "hostile.Keyring",
        "XDG_CONFIG_HOME": str(cli.home / "settings"),
        "KEYRING_PROPERTY_PREFERRED_COLLECTION": MEMORY,
        "KEYRING_PROPERTY_SCHEME": "KeePassXC",
        "KEYRING_PROPERTY_APPID": "hostile",
        "KEYRING_PROPERTY_FILE_PATH": str(cli.home / "plaintext"),
    }
    return mark


def test_the_settings_are_hostile(hostile: Path, cli: CommandLine) -> None:
    """The keyring library itself follows them, so that the next two tests show something."""
    program = "import keyring; keyring.get_keyring()"

    subprocess.run([sys.executable, "-c", program], env=cli.environ, check=True)

    assert hostile.exists()


def test_settings_of_the_keyring_library_lead_nowhere(
    hostile: Path, gnome: object, cli: CommandLine, config: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable and no file of the keyring library says where codemesh keeps a secret."""
    del gnome
    cli.environ[ADDRESS] = os.environ[ADDRESS]
    monkeypatch.setenv("HOME", str(cli.home))

    saved, told = login(cli), cli.run("auth", "token", "openai")

    assert (saved.status, told) == (0, (0, CANARY + "\n", "")), saved.stderr
    assert CANARY in str(keychain(cli.folder, service="codemesh").get("openai"))
    assert not hostile.exists()
    assert cli.config.read_bytes() == config
    cli.good("auth", "logout", "openai", "--yes")


def test_without_a_keychain_no_other_keyring_is_taken(
    hostile: Path, cli: CommandLine, config: bytes
) -> None:
    """Where there is no keychain, what else the keyring library would find is not looked for."""
    outcome = login(cli)

    assert_refused(outcome, 5, "no keychain is available")
    assert_message(outcome.stderr)
    assert not hostile.exists()
    assert cli.config.read_bytes() == config
