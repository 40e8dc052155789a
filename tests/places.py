"""The keychains that the contract runs on: a real Secret Service, and two that behave like others.

Each shows what lies in it under one prefix, seen by other means than those of codemesh.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from codemesh.backends._items import service_of
from codemesh.backends.context import Context
from codemesh.backends.keychain import KeychainBackend
from desktops import ADDRESS, GnomeKeyring
from keepassxc import KeePassXC
from support import passphrases

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE = os.environ.get("CODEMESH_TEST_KEYCHAIN", "gnome")
"""The Secret Service of this run: gnome, or keepassxc, and then no other keychain."""

PLACES = {
    "linux": ["gnome", "like_windows", "like_macos"],
    "darwin": ["native", "like_windows", "like_macos"],
    "win32": ["native"],
}.get(sys.platform, ["like_windows", "like_macos"])
"""The fixtures that give a keychain on this platform."""
if SERVICE != "gnome":
    PLACES = [SERVICE]

NATIVE = os.environ.get("CODEMESH_TEST_NATIVE_KEYCHAIN") == "1"
"""Whether the keychain of this machine is there for tests."""

_HOME = os.environ.get("HOME", "")  # before a test hides it: macOS finds its keychain there

FAKES = str(Path(__file__).with_name("fakes"))
"""The folder of those that are made up; the keyring library's own classes run over them."""

_STANDING_IN = ("fake_", "win32ctypes", "keyring.backends.Windows", "keyring.backends.macOS")


def desktop(folder: Path) -> GnomeKeyring | KeePassXC:
    """The real Secret Service of this run, unlocked, started in a folder."""
    return KeePassXC(folder) if SERVICE == "keepassxc" else GnomeKeyring(folder)


class Place(NamedTuple):
    """One keychain for tests."""

    options: dict[str, object]
    """What stands under `[backends.keychain]` to reach it."""

    items: Callable[[str], dict[str, str]]
    """The texts that lie under a prefix, by what they are found under."""

    disk: Path | None = None
    """Where its keychain lies on a disk."""

    def at_rest(self) -> bytes:
        """All bytes of its files; skips where there are none."""
        if self.disk is None:
            pytest.skip("this keychain is made up, and encrypts nothing")
        return b"".join(path.read_bytes() for path in self.disk.iterdir())

    def raw(self, home: Path) -> bytes | None:
        """All that lies there for a home, as bytes that can be compared; None for nothing."""
        items = self.items(service_of(str(home), None) + "/")
        return json.dumps(items, sort_keys=True).encode() if items else None


def of_desktop(keyring: GnomeKeyring | KeePassXC, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The real one, for this process and those that it starts."""
    monkeypatch.setenv(ADDRESS, keyring.bus.address)
    return Place({}, secret_service_items, keyring.keyrings)


def secret_service_items(prefix: str) -> dict[str, str]:
    """The texts of the Secret Service whose `service` attribute starts with a prefix."""
    import secretstorage

    connection = secretstorage.dbus_init()
    try:
        found = {}
        for item in secretstorage.get_default_collection(connection).get_all_items():
            attributes = item.get_attributes()
            if attributes.get("service", "").startswith(prefix):
                found[json.dumps(attributes, sort_keys=True)] = item.get_secret().decode()
        return found
    finally:
        connection.close()


# -- the keychain of this machine --------------------------------------------------------


def of_this_machine(monkeypatch: pytest.MonkeyPatch) -> Place:
    """The keychain of macOS or Windows, on a machine that was set aside for tests."""
    if not NATIVE:
        pytest.skip("the keychain of this machine is not there for tests")
    monkeypatch.setenv("HOME", _HOME)
    return Place({}, native_items)


def native_items(prefix: str) -> dict[str, str]:
    """The texts under a prefix, as codemesh reads them: the system lists none."""
    records = _native(prefix.rstrip("/")).records()
    return {name: json.dumps(record) for name, record in records.items()}


def empty_native(home: Path) -> None:
    """Remove what a test with this home has left."""
    backend = _native(service_of(str(home), None))
    backend.change({}, backend.names())


def _native(service: str) -> KeychainBackend:
    return KeychainBackend(Context(_HOME, {"service": service}, 60.0, passphrases))


# -- the fakes ---------------------------------------------------------------------------


def of_windows() -> Place:
    """One that behaves as the Credential Manager does; the fixture `fakes` is in use."""
    return Place({"keyring_backend": "keyring.backends.Windows.WinVaultKeyring"}, windows_items)


def of_macos() -> Place:
    """One that behaves as the keychain of macOS does; the fixture `fakes` is in use."""
    return Place({"keyring_backend": "fake_macos.Keyring"}, macos_items)


def windows_items(prefix: str) -> dict[str, str]:
    """The texts whose target has the prefix, alone or behind a user name and `@`."""
    targets = _kept("windows").values()
    return {
        each["TargetName"]: bytes.fromhex(each["CredentialBlob"]).decode("utf-16-le")
        for each in targets
        if each["TargetName"].rpartition("@")[2].startswith(prefix)
    }


def macos_items(prefix: str) -> dict[str, str]:
    """The texts whose service has the prefix, by service and account."""
    return {
        f"{service} {account}": bytes.fromhex(text).decode()
        for service, accounts in _kept("macos").items()
        for account, text in accounts.items()
        if service.startswith(prefix)
    }


def _kept(system: str) -> dict[str, dict[str, str]]:
    path = Path(os.environ["CODEMESH_FAKE_KEYCHAIN"])
    content = json.loads(path.read_text(encoding="ascii")) if path.exists() else {}
    kept: dict[str, dict[str, str]] = content.get(system, {})
    return kept


def forget_fakes() -> None:
    """Let the fakes, and what runs over them, be imported anew."""
    for name in list(sys.modules):
        if name.startswith(_STANDING_IN):
            del sys.modules[name]
