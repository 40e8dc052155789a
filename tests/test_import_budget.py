"""What a read may import: most of the time that a short program takes is its imports."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

import codemesh
from codemesh import ApiKey
from kernelkeys import needs_kernel_keyring

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = "made up for the tests"
KEY = "sk-made-up"

# Runs codemesh as its commands do, and tells on stderr what that has imported.
CHILD = """
import os, sys
before = set(sys.modules)
from codemesh.__main__ import run
def end(status):
    sys.stderr.write(" ".join(sorted(set(sys.modules) - before)))
    sys.stderr.flush()
    leave(status)
leave, os._exit = os._exit, end
run()
"""

OWN_FOR_PLAINTEXT = {
    "codemesh",
    "codemesh.__main__",
    "codemesh.backends",
    "codemesh.backends._document",
    "codemesh.backends._files",
    "codemesh.strictjson",
    "codemesh.backends._whole",
    "codemesh.backends.base",
    "codemesh.backends.context",
    "codemesh.backends.plaintext",
    "codemesh.backends.registry",
    "codemesh.checks",
    "codemesh.choice",
    "codemesh.cli",
    "codemesh.cli.session",
    "codemesh.cli.terminal",
    "codemesh.cli.token",
    "codemesh.config",
    "codemesh.errors",
    "codemesh.files",
    "codemesh.files._posix",
    "codemesh.files._system",
    "codemesh.files._windows",
    "codemesh.files._words",
    "codemesh.files.folder",
    "codemesh.files.private",
    "codemesh.files.problem",
    "codemesh.model",
    "codemesh.providers",
    "codemesh.providers.table",
    "codemesh.secret",
    "codemesh.store",
}
# By the first part of their names; json, tomllib and typing bring most of them along.
STANDARD_FOR_PLAINTEXT = {
    *("__future__", "collections", "contextlib", "copyreg", "datetime", "enum", "errno", "fcntl"),
    *("functools", "importlib", "itertools", "json", "keyword", "math", "operator", "re"),
    *("reprlib", "resource", "string", "time", "tomllib", "types", "typing", "warnings"),
    "gc",
    *("ctypes", "msvcrt", "struct"),  # Windows
}
OWN_FOR_KEYCHAIN = {
    "codemesh.backends._dbus",
    "codemesh.backends._items",
    "codemesh.backends._keychains",
    "codemesh.backends._secretprotocol",
    "codemesh.backends._secretservice",
    "codemesh.backends.keychain",
}
STANDARD_FOR_KEYCHAIN = {
    *("array", "binascii", "jeepney", "select", "selectors", "socket", "struct", "zlib"),
}
OWN_FOR_UNLOCKED = {
    "codemesh.backends._kdf",
    "codemesh.backends._keys",
    "codemesh.backends._revisions",
    "codemesh.backends._vault",
    "codemesh.backends._vaultjson",
    "codemesh.backends.encrypted",
    "codemesh.unlock",
    "codemesh.unlock.kernel",
    "codemesh.unlock.resting",
}
# cryptography itself imports these.
STANDARD_FOR_UNLOCKED = {"abc", "binascii", "cryptography", "ctypes", "struct"}
SLOW = {
    *("asyncio", "dataclasses", "http", "inspect", "logging", "pathlib", "subprocess"),
    *("threading", "urllib"),
    *("argon2", "cryptography", "hashlib", "keyring", "pydantic", "rich", "tomlkit", "typer"),
    *("aiohttp", "httpx", "httpx2", "requests", "urllib3"),
}


class Run(NamedTuple):
    """One run of codemesh, and the modules that it imported."""

    stdout: str
    modules: set[str]

    @property
    def own(self) -> set[str]:
        """The modules of codemesh."""
        return {name for name in self.modules if name.partition(".")[0] == "codemesh"}

    @property
    def others(self) -> set[str]:
        """The packages of everybody else, without the private parts of Python."""
        packages = {name.partition(".")[0] for name in self.modules - self.own}
        return {name for name in packages if name == "__future__" or not name.startswith("_")}


def home(path: Path, backend: str) -> Path:
    """A home folder whose store holds one key."""
    path.mkdir(mode=0o700)
    (path / "config.toml").write_text(f'backend = "{backend}"\n', encoding="utf-8")
    store = codemesh.open_store(str(path), environ={"CODEMESH_PASSPHRASE": PASSPHRASE})
    store.put("openai", ApiKey.new(KEY))
    return path


def run(folder: Path, *arguments: str, fd: int | None = None) -> Run:
    environ = {name: text for name, text in os.environ.items() if not name.startswith("CODEMESH")}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        check=True,
        cwd=folder,
        env=environ | {"CODEMESH_HOME": str(folder)},
        capture_output=True,
        text=True,
        pass_fds=() if fd is None else (fd,),
    )
    loaded = set(done.stderr.split())
    assert "codemesh.store" in loaded  # otherwise nothing was counted
    return Run(done.stdout, loaded)


def test_a_read_of_the_plaintext_store_imports_little(tmp_path: Path) -> None:
    """`auth token` loads these modules of codemesh, and a few of the standard library."""
    folder = home(tmp_path / "home", "plaintext")

    done = run(folder, "auth", "token", "openai")

    assert done.stdout == f"{KEY}\n"
    assert done.own - OWN_FOR_PLAINTEXT == set()
    assert done.others - STANDARD_FOR_PLAINTEXT == set()
    assert done.others & SLOW == set()


@pytest.mark.usefixtures("gnome")
def test_a_read_of_the_keychain_imports_little(tmp_path: Path) -> None:
    """On Linux it is jeepney that speaks to the keychain, and what keyring brings stays out."""
    folder = home(tmp_path / "home", "keychain")

    done = run(folder, "auth", "token", "openai")

    assert done.stdout == f"{KEY}\n"
    assert done.own - OWN_FOR_PLAINTEXT - OWN_FOR_KEYCHAIN == set()
    assert done.others - STANDARD_FOR_PLAINTEXT - STANDARD_FOR_KEYCHAIN == set()
    assert done.others & SLOW == set()


@pytest.mark.usefixtures("cheap")
def test_a_read_of_an_unlocked_store_imports_little(tmp_path: Path) -> None:
    """Where the key rests nothing is loaded that derives one, asks for it, or draws."""
    needs_kernel_keyring()
    folder = home(tmp_path / "home", "encrypted")
    store = codemesh.open_store(str(folder), environ={"CODEMESH_PASSPHRASE": PASSPHRASE})
    store.backend.unlock(60.0)

    done = run(folder, "auth", "token", "openai")
    store.backend.lock()

    assert done.stdout == f"{KEY}\n"
    assert done.own - OWN_FOR_PLAINTEXT - OWN_FOR_UNLOCKED == set()
    assert done.others - STANDARD_FOR_PLAINTEXT - STANDARD_FOR_UNLOCKED == set()
    assert done.others & SLOW == {"cryptography"}


def test_the_lists_do_not_contradict_each_other() -> None:
    """What is slow is not allowed by mistake."""
    allowed = (STANDARD_FOR_PLAINTEXT | STANDARD_FOR_KEYCHAIN) & SLOW

    assert allowed == set()


@pytest.mark.usefixtures("cheap")
@pytest.mark.skipif(os.name == "nt", reason="Windows hands no descriptors down by number")
def test_a_read_of_the_encrypted_store_imports_no_user_interface(tmp_path: Path) -> None:
    """With the passphrase at hand nothing is loaded that only asks, draws, writes or sends."""
    folder = home(tmp_path / "home", "encrypted")
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w") as pipe:
        pipe.write(PASSPHRASE)
        pipe.close()

        done = run(folder, "--passphrase-fd", str(reader), "auth", "token", "openai", fd=reader)

    # argon2-cffi itself imports dataclasses and inspect; deriving needs a thread.
    needed = {"argon2", "cryptography", "dataclasses", "inspect", "threading"}
    assert done.stdout == f"{KEY}\n"
    assert done.others & (SLOW - needed) == set()


def test_the_list_of_the_plaintext_store_imports_no_cryptography(tmp_path: Path) -> None:
    """`auth list` pays for Typer, but not for stores that are not in use."""
    folder = home(tmp_path / "home", "plaintext")

    done = run(folder, "auth", "list")

    costly = {"argon2", "cryptography", "httpx", "httpx2", "keyring", "pydantic", "rich"}
    assert "openai" in done.stdout
    assert done.others & (costly | {"requests", "tomlkit"}) == set()
