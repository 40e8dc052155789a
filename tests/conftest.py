"""Every test is sealed off, and every backend of the table keeps the same contract.

No test sees this machine: it has a home of its own, a clean environment and no network.
A backend that is added to the table is under contract without a change here.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import TYPE_CHECKING

import pytest

from codemesh.backends import registry
from codemesh.backends._kdf import PROFILES
from codemesh.providers import table as providers
from support import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OTHERS = ("NO_COLOR", "FORCE_COLOR", "DBUS_SESSION_BUS_ADDRESS", "PYTHON_KEYRING_BACKEND")
_PREFIXES = ("CODEMESH", "CODE_MESH", "_CODEMESH", "_CODE_MESH", "XDG_")


@pytest.fixture(autouse=True)
def sealed(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Seal a test: own HOME and CODEMESH_HOME, clean environment, umask 022, no network."""
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
    yield
    os.umask(umask)


@pytest.fixture
def home() -> Path:
    """The codemesh folder of this test; it is not there yet."""
    from pathlib import Path

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
