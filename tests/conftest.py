"""Every test is sealed off, and every backend of the table keeps the same contract.

No test sees this machine: it has a home of its own, a clean environment and no network.
A backend that is added to the table is under contract without a change here.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

import places
from codemesh.backends import registry
from codemesh.backends._kdf import PROFILES
from codemesh.providers import table as providers
from codemesh.unlock.passphrases import VARIABLE
from files_support import private_file
from homes import DIRECTIONS, ENTRIES, LASTING, RUST_STORE, backend, write_config
from support import PASSPHRASE, Bench, end_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commandline import CommandLine
    from desktops import GnomeKeyring
    from keepassxc import KeePassXC
    from places import Place

_OTHERS = ("NO_COLOR", "FORCE_COLOR", "DBUS_SESSION_BUS_ADDRESS", "PYTHON_KEYRING_BACKEND")
_SECRET_SERVICE = sys.platform not in {"darwin", "win32"}
_PREFIXES = ("CODEMESH", "CODE_MESH", "_CODEMESH", "_CODE_MESH", "XDG_")

# What the contract runs on: every backend of the table, and every keychain of the keychain.
BENCHES = [
    (entry, place)
    for entry in registry.TABLE
    for place in (places.PLACES if entry.name == "keychain" else [""])
]

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
    if not _SECRET_SERVICE:
        # There the keychain is found without any variable, and is somebody's.
        unpreferred = tuple(entry._replace(preferred=False) for entry in registry.TABLE)
        monkeypatch.setattr(registry, "TABLE", unpreferred)
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


@pytest.fixture(
    params=BENCHES, ids=lambda param: "-".join(filter(None, (param[0].name, param[1])))
)
def bench(request: pytest.FixtureRequest, home: Path, cheap: None) -> Bench:
    """Each backend of the table in turn, on a store that is not there yet."""
    del cheap
    entry, place = request.param
    return Bench(entry, home, request.getfixturevalue(place) if place else None)


@pytest.fixture(params=[entry for entry, place in BENCHES if not place], ids=lambda e: e.name)
def document(request: pytest.FixtureRequest, home: Path, cheap: None) -> Bench:
    """Each backend of the table whose store is one document, as `bench`."""
    del cheap
    return Bench(request.param, home)


# -- keychains ---------------------------------------------------------------------------


@pytest.fixture
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GnomeKeyring | KeePassXC]:
    """A real gnome-keyring, unlocked, that nobody else has; see `places.SERVICE`."""
    keyring = places.desktop(tmp_path_factory.mktemp("desktop"))
    yield keyring
    keyring.stop()


@pytest.fixture
def gnome(desktop: GnomeKeyring | KeePassXC, monkeypatch: pytest.MonkeyPatch) -> Place:
    """That keyring, as the keychain of this test and of its workers."""
    return places.of_desktop(desktop, monkeypatch)


@pytest.fixture
def keepassxc(gnome: Place) -> Place:
    """The same, under the name of what then stands for gnome-keyring."""
    return gnome


@pytest.fixture
def fakes(sealed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The fake keychains are on the path, here and in children, and keep what they have.

    At the end nothing that was imported over them is left to other tests.
    """
    from keyring.backend import KeyringBackend

    if sys.platform == "win32":
        pytest.skip("the fakes keep their files with the locks of POSIX")
    del sealed
    monkeypatch.syspath_prepend(places.FAKES)
    monkeypatch.setenv("PYTHONPATH", places.FAKES)
    monkeypatch.setenv("CODEMESH_FAKE_KEYCHAIN", str(tmp_path / "keychain.json"))
    monkeypatch.setenv("CODEMESH_FAKE_FAULTS", str(tmp_path / "faults.json"))
    monkeypatch.setattr(KeyringBackend, "_classes", set(KeyringBackend._classes))
    places.forget_fakes()
    yield
    places.forget_fakes()


@pytest.fixture
def native(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The keychain of macOS or Windows itself, if this machine was set aside for tests."""
    yield places.of_this_machine(monkeypatch)
    for used in (home, home.with_name("another")):
        places.empty_native(used)


@pytest.fixture
def like_windows(fakes: None) -> Place:
    """A keychain that behaves as that of Windows."""
    del fakes
    return places.of_windows()


@pytest.fixture
def like_macos(fakes: None) -> Place:
    """A keychain that behaves as that of macOS."""
    del fakes
    return places.of_macos()


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


@pytest.fixture(params=LASTING)
def lasting(request: pytest.FixtureRequest) -> str:
    """The name of each backend that config.toml may name, ready for use."""
    if request.param == "keychain":
        request.getfixturevalue("gnome")
    return str(request.param)


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
    if "keychain" in request.param:
        request.getfixturevalue("gnome")
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
