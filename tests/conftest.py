"""Every test is sealed off, and every backend of the table keeps the same contract.

No test sees this machine: it has a home of its own, a clean environment and no network.
A backend that is added to the table is under contract without a change here.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from codemesh.backends import registry
from codemesh.backends._kdf import PROFILES
from codemesh.providers import table as providers
from codemesh.unlock import VARIABLE
from files_support import private_file
from homes import DIRECTIONS, ENTRIES, RUST_STORE, backend, write_config
from support import PASSPHRASE, Bench, end_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commandline import CommandLine

_OTHERS = ("NO_COLOR", "FORCE_COLOR", "DBUS_SESSION_BUS_ADDRESS", "PYTHON_KEYRING_BACKEND")
_PREFIXES = ("CODEMESH", "CODE_MESH", "_CODEMESH", "_CODE_MESH", "XDG_")

# A busy machine is no failure: no example and no drawing of one has to be quick.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def sealed(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Seal a test: own HOME and CODEMESH_HOME, clean environment, umask 022, no network.

    At its end the umask is what it was, and none of its workers is left.
    """
    keys = {variable for provider in providers.TABLE for variable in provider.variables}
    for name in list(os.environ):
        if name in keys or name in _OTHERS or name.startswith(_PREFIXES):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("sealed")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CODEMESH_HOME", str(home / ".code-mesh"))
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(name))
    umask = os.umask(0o022)
    # A job in the background ignores Ctrl-C, and so would every process that it starts.
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, interrupt)
    os.umask(umask)
    end_workers()


@pytest.fixture
def home() -> Path:
    """The codemesh folder of this test; it is not there yet."""
    return Path(os.environ["CODEMESH_HOME"])


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a new encrypted store with the least cost that the format allows."""
    monkeypatch.setitem(PROFILES, "default", PROFILES["floor"])


@pytest.fixture(params=registry.TABLE, ids=lambda entry: entry.name)
def bench(request: pytest.FixtureRequest, home: Path, cheap: None) -> Bench:
    """Each backend of the table in turn, on a store that is not there yet."""
    del cheap
    entry: registry.Entry = request.param
    return Bench(entry, home)


# -- what lies on the disk ---------------------------------------------------------------


@pytest.fixture
def config_file(home: Path) -> Path:
    """The path of config.toml, in a home that is there."""
    home.mkdir(mode=0o700)
    return home / "config.toml"


@pytest.fixture
def rust_file(home: Path) -> Path:
    """The file of a store as the Rust program leaves it, in a folder that others may read."""
    home.mkdir(mode=0o755)
    return private_file(home / "auth.json", RUST_STORE)


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A private folder with nothing in it; what lies beside it is the test's."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def store(private: Path) -> Path:
    """A private file in that folder, with the old content."""
    return private_file(private / "auth.json")


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    """The path of a lock file; neither it nor its folder is there yet."""
    return tmp_path / "state" / "auth.lock"


@pytest.fixture(params=DIRECTIONS, ids="-to-".join)
def direction(
    request: pytest.FixtureRequest, home: Path, cheap: None, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """Two lasting backends; the first one is the store, and has the entries.

    Workers find the passphrase in their environment.
    """
    del cheap
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    source, target = request.param
    write_config(home, f'# mine\nbackend = "{source}"  # for now\n')
    backend(home, source).change(ENTRIES)
    return source, target


# -- what a process has ------------------------------------------------------------------


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe, closed at the end of the test unless it did."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """The command line of a user without a store."""
    from commandline import CommandLine

    return CommandLine(tmp_path)


# -- no network --------------------------------------------------------------------------


def _guarded(name: str) -> object:
    real = getattr(socket.socket, name)

    def connect(self: socket.socket, address: object) -> object:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0] if isinstance(address, tuple) else ""
            if not _loopback(str(host)):
                pytest.fail("a test reached for the network")
        return real(self, address)

    return connect


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
