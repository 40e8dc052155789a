"""Where there is no keychain, or none that answers: each way is its own error, and none hangs."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import keychains
from codemesh.errors import BackendUnavailableError, CodemeshError, NotAnsweringError
from desktops import ADDRESS
from false_buses import (
    FakeBus,
    babble,
    drip,
    fall_silent,
    hang_up,
    listen,
    refuse_hello,
    reject,
    speak_http,
    welcome,
)
from keychains import ACTS, OLD, SECRET, THERE, failure, keychain, outcome
from secret_service import Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keychains import Stage

SHORT = 0.2  # seconds; where whatever is slow, is to fail like this
INSTEAD = "codemesh backend use encrypted"


stage = keychains.stage


# -- no bus ------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ACTS)
def test_without_a_session_bus_nothing_works(act: str, home: Path) -> None:
    """Where nothing says that there is a session bus, every operation says what to do."""
    failure(
        lambda: ACTS[act](keychain(home)),
        BackendUnavailableError,
        "no keychain is available: there is no session bus",
        INSTEAD,
    )


@pytest.mark.parametrize(
    "address",
    [
        "",
        " ",
        "nonsense",
        "unix:",
        "unix:path",
        "unix:path=",
        "unix:path=%zz",
        "unix:path=\udcff",
        "unix:path=/" + "x" * 200,
        "unix:abstract=codemesh-nobody-is-there",
        "unix:path=/nonexistent/bus",
        "unix:path=/dev/null",
        "tcp:host=127.0.0.1,port=1",
        "autolaunch:",
        "disabled:",
        ";;",
    ],
    ids=ascii,
)
def test_an_address_that_leads_nowhere(
    address: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address of a bus that is empty, no address, of another kind or of nobody is no bus."""
    monkeypatch.setenv(ADDRESS, address)

    failure(
        lambda: keychain(home).put("openai", SECRET),
        BackendUnavailableError,
        "no keychain is available",
        INSTEAD,
    )


def test_a_socket_that_nobody_listens_at(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket that a bus which was killed has left is no bus."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "bus"))
    left.close()
    monkeypatch.setenv(ADDRESS, f"unix:path={tmp_path}/bus")

    failure(
        lambda: keychain(home).get("openai"),
        BackendUnavailableError,
        "Connection refused",
        INSTEAD,
    )


@pytest.mark.parametrize("kind", ["nothing", "file", "folder", "foreign"])
def test_the_users_own_bus_must_be_a_socket_of_theirs(
    kind: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in the runtime folder instead of the user's own socket is no bus."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    bus = tmp_path / "bus"
    if kind == "file":
        bus.touch()
    if kind == "folder":
        bus.mkdir()
    if kind == "foreign":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(bus))
        monkeypatch.setattr(os, "geteuid", lambda: bus.stat().st_uid + 1)

    failure(
        lambda: keychain(home).get("openai"),
        BackendUnavailableError,
        "there is no session bus",
        INSTEAD,
    )


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("SSH_CONNECTION", ["Over SSH", "Log in at the desktop", INSTEAD]),
        ("WSL_DISTRO_NAME", ["WSL", "the Windows side", INSTEAD]),
    ],
)
def test_the_hint_fits_the_place(
    variable: str, words: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over SSH and in WSL the hint says why there is no keychain, and where one is."""
    monkeypatch.setenv(variable, "10.0.0.1 1 10.0.0.2 22")

    failure(lambda: keychain(home).status(), BackendUnavailableError, *words)


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ("/.dockerenv", ["A container has no keychain", INSTEAD]),
        ("/run/.containerenv", ["A container has no keychain", INSTEAD]),
        ("", ["gnome-keyring, KWallet or KeePassXC", INSTEAD]),
    ],
)
def test_the_hint_knows_containers(
    there: str, words: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container the hint sends the user to another store, elsewhere to a keychain."""
    monkeypatch.setattr(os.path, "exists", lambda path: path == there)

    failure(lambda: keychain(home).status(), BackendUnavailableError, *words)


# -- a bus that is none, or no more -------------------------------------------------------


@contextmanager
def listening(
    play: Callable[[socket.socket], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A false bus as the session bus."""
    bus = FakeBus(folder / "bus", play)
    monkeypatch.setenv(ADDRESS, bus.address)
    try:
        yield
    finally:
        bus.stop()


@pytest.mark.parametrize("act", ["get", "put"])
@pytest.mark.parametrize(
    ("play", "kind", "words"),
    [
        (listen, NotAnsweringError, "the session bus did not answer within 0.2 s"),
        (drip, NotAnsweringError, "the session bus did not answer within 0.2 s"),
        (fall_silent, NotAnsweringError, "the session bus did not answer within 0.2 s"),
        (welcome, NotAnsweringError, "did not answer within 0.2 s"),
        (hang_up, BackendUnavailableError, "no session bus answers"),
        (speak_http, BackendUnavailableError, "no session bus answers"),
        (reject, BackendUnavailableError, "no session bus answers"),
        (refuse_hello, BackendUnavailableError, "no session bus answers"),
        (babble, BackendUnavailableError, "the session bus went away"),
    ],
)
def test_a_bus_that_is_none(  # noqa: PLR0913, PLR0917  three of them are the case
    act: str,
    play: Callable[[socket.socket], None],
    kind: type[CodemeshError],
    words: str,
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever listens at the address, and wherever it falls silent, there is an error in time."""
    with listening(play, tmp_path, monkeypatch):
        failure(lambda: ACTS[act](keychain(home, SHORT)), kind, words)


@pytest.mark.parametrize("play", [fall_silent, refuse_hello])
def test_a_bus_that_is_none_leaves_nothing_open(
    play: Callable[[socket.socket], None],
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program that keeps on trying does not run out of descriptors."""
    with warnings.catch_warnings(record=True) as caught, listening(play, tmp_path, monkeypatch):
        warnings.simplefilter("always")
        outcome(lambda: keychain(home, SHORT).get("openai"))
        gc.collect()

    assert [str(warning.message) for warning in caught] == []


def test_signals_do_not_put_the_deadline_off(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bus that sends signals all the time, but no answer, has not answered in time."""
    program = (
        "import sys, pathlib, false_buses\n"
        "false_buses.FakeBus(pathlib.Path(sys.argv[1]), false_buses.flood)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv(ADDRESS, f"unix:path={tmp_path}/bus")
    command = [sys.executable, "-c", program, str(tmp_path / "bus")]

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bus:
        assert bus.stdout is not None
        assert bus.stdout.readline() == b"ready\n"
        failure(lambda: keychain(home, SHORT).get("openai"), NotAnsweringError, "within 0.2 s")


# -- no service, or none any more ---------------------------------------------------------


@pytest.mark.parametrize("act", ACTS)
def test_a_bus_without_a_secret_service(act: str, stage: Stage, home: Path) -> None:
    """A bus on which nothing is a keychain, and nothing becomes one, has none."""
    del stage

    failure(
        lambda: ACTS[act](keychain(home)),
        BackendUnavailableError,
        "nothing on this session bus is a secret service",
        INSTEAD,
    )


def test_the_users_own_bus_is_found_without_the_variable(
    tmp_path: Path, stage: Stage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a shell lost the address, as in a cron job, the bus in the runtime folder is used."""
    stage.serve(Script(items=THERE))
    socket_path = stage.bus.address.removeprefix("unix:path=").partition(",")[0]
    (tmp_path / "bus").symlink_to(socket_path)
    monkeypatch.delenv(ADDRESS)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    assert keychain(home).get("openai") == OLD
