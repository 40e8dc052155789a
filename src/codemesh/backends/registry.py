"""The table of backends: one line for each, and the only place that names them all.

A backend's module is imported when it is opened, never to list it. Adding a backend is
one file and one line here; the contract tests, the benchmark, `backend list` and the
documentation's table follow the table by themselves. Backends of other packages
register under the entry-point group `codemesh.backends`, and only the one that
config.toml names is ever loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from codemesh.checks import (
    Check,
    class_path,
    one_of,
    positive_duration,
    service_name,
    text,
    text_list,
)
from codemesh.errors import BackendUnavailableError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codemesh.backends.base import Backend

ENTRY_POINTS = "codemesh.backends"


class Entry(NamedTuple):
    """One backend, before anything of it is imported."""

    name: str
    path: str
    """`module:Class`, imported when the backend is opened."""

    summary: str
    install: str
    """What to type if an import fails; empty where nothing can be missing."""

    options: Mapping[str, Check] | None
    """What may stand under `[backends.NAME]` in config.toml; None leaves that to a plug-in."""

    file: str = ""
    """The store's file in the home folder where that is how it shows that it exists."""

    lasting: bool = True
    """Whether entries outlive the process; if not, config.toml may not name it."""

    preferred: bool = False
    """Whether the first write goes there if nothing says otherwise and its probe succeeds."""


_ENCRYPTED_OPTIONS: dict[str, Check] = {
    "path": text,
    "cost": one_of("default", "strong"),
    "protect": one_of("passphrase", "keychain"),
    "passphrase_command": text_list,
    "unlock_cache": one_of("kernel", "keychain", "none"),
    "unlock_for": positive_duration,
}
_KEYCHAIN_OPTIONS: dict[str, Check] = {
    "service": service_name,
    "timeout": positive_duration,
    "keyring_backend": class_path,
}

# fmt: off
TABLE: tuple[Entry, ...] = (
    Entry("plaintext", "codemesh.backends.plaintext:PlaintextBackend", "a JSON file that only you may read (mode 0600)", "", {"path": text}, "auth.json"),
    Entry("encrypted", "codemesh.backends.encrypted:EncryptedBackend", "a JSON file sealed under a passphrase (Argon2id, AES-256-GCM)", "pip install argon2-cffi cryptography", _ENCRYPTED_OPTIONS, "auth.vault.json"),
    Entry("keychain", "codemesh.backends.keychain:KeychainBackend", "the keychain of macOS, Windows or Linux", "pip install keyring", _KEYCHAIN_OPTIONS, preferred=True),
    Entry("memory", "codemesh.backends.memory:MemoryBackend", "gone when the process ends; for tests", "", {}, lasting=False),
)
# fmt: on


def lasting() -> list[Entry]:
    """The backends that config.toml may name, in the order of the table."""
    return [entry for entry in TABLE if entry.lasting]


def option_checks() -> dict[str, Mapping[str, Check]]:
    """What may stand under each `[backends.NAME]`, for those in the table."""
    return {entry.name: entry.options for entry in TABLE if entry.options is not None}


def find(name: str) -> Entry:
    """The table's line for a backend, or the plug-in of that name.

    Raises ConfigError naming the known ones if there is neither. Asking for a plug-in
    looks through the installed packages, but imports none of them.
    """
    for entry in TABLE:
        if entry.name == name:
            return entry
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=name):
        return Entry(name, point.value, f"a plug-in of {point.module}", "", None)
    known = ", ".join(entry.name for entry in lasting())
    raise ConfigError(f"unknown backend {name}", hint=f"The known ones: {known}.")


def load(entry: Entry) -> type[Backend]:
    """Import the class of a backend.

    Raises BackendUnavailableError saying what to install if the import fails, or that a
    plug-in names no backend.
    """
    from importlib import import_module

    module, _, name = entry.path.partition(":")
    try:
        backend: type[Backend] = getattr(import_module(module), name)
    except ImportError as error:
        raise BackendUnavailableError(
            f"the {entry.name} backend cannot be loaded: {error.name or 'a module'} is missing",
            hint=entry.install or f"Install the package that has {entry.path} again.",
        ) from error
    except (AttributeError, ValueError) as error:  # a ValueError for no module at all
        raise BackendUnavailableError(
            f"the {entry.name} backend cannot be loaded: {entry.path} names no backend"
        ) from error
    except Exception as error:  # noqa: BLE001  a plug-in's code may raise anything at all
        raise BackendUnavailableError(
            f"the {entry.name} backend cannot be loaded: {module} raised {type(error).__name__}"
        ) from None
    return backend
