"""A real KeePassXC on a session bus of its own: the other Secret Service that tests run on.

CODEMESH_TEST_KEYCHAIN=keepassxc asks for it, and `make test-keepassxc` sets that. Its windows
open on no screen, so nobody ever answers one. It writes its database only at its end: 2.7.4
crashes, or forgets a change, where one comes over the bus while it writes.
"""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from desktops import PASSWORD, Bus, need, wait_for_service

_CONFIG = """[General]
ConfigVersion=2
UpdateCheckMessageShown=true
AutoSaveAfterEveryChange=false
AutoSaveOnExit=true

[FdoSecrets]
Enabled=true
ShowNotification=false
ConfirmAccessItem={access}
ConfirmDeleteItem={deletion}

[Security]
NoConfirmMoveEntryToRecycleBin=false
"""

# What KeePassXC exports of a database with one group in it, which the bus may see; the
# value of FDO_SECRETS_EXPOSED_GROUP is the UUID of that group.
_EMPTY = """<?xml version="1.0" encoding="UTF-8"?>
<KeePassFile>
<Meta>
<RecycleBinEnabled>True</RecycleBinEnabled>
<CustomData><Item>
<Key>FDO_SECRETS_EXPOSED_GROUP</Key>
<Value>{1c2a2791-ed0a-4b68-9ea8-a6a4ca8a7e09}</Value>
</Item></CustomData>
</Meta>
<Root>
<Group>
<UUID>8YvAnkOASXWVNLinJn/NKQ==</UUID><Name>Passwords</Name>
<Group><UUID>HConke0KS2ieqKakyop+CQ==</UUID><Name>Secret Service</Name></Group>
</Group>
</Root>
</KeePassFile>
"""


class KeePassXC:
    """A KeePassXC on a bus of its own, its one database open, that asks nothing."""

    def __init__(self, folder: Path) -> None:
        need("keepassxc", "keepassxc-cli")
        self.folder = folder
        self.bus = Bus(folder)
        (folder / "run").mkdir(mode=0o700)
        self.keyrings = folder / "databases"
        self.keyrings.mkdir()
        self.database = self.keyrings / "login.kdbx"
        self.database.write_bytes(_empty_database())
        self._process = self._start(PASSWORD, "")

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to find it."""
        return self.bus.environ

    def restart(self, password: str | None = None, asks: str = "") -> None:
        """End it and start it again: locked, unless it gets its password.

        It asks its owner what `asks` says: access, before an item is read or changed, or
        deletion. While it asks, nothing but `kill` ends it.
        """
        self._process.terminate()
        self._process.wait(60)
        self._process = self._start(password, asks)

    def fill_disk(self) -> None:
        """Skip the test."""
        pytest.skip("KeePassXC answers before it writes, so nobody learns of a full disk")

    def kill(self) -> None:
        """Kill it; what was changed is lost. A second call does nothing."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Kill it, and end its bus. A second call does nothing."""
        self.kill()
        self.bus.stop()

    def _start(self, password: str | None, asks: str) -> subprocess.Popen[bytes]:
        answers = {asked: str(asked == asks).lower() for asked in ("access", "deletion")}
        config = _CONFIG.format_map(answers)
        (self.folder / "keepassxc.ini").write_text(config, encoding="ascii")
        run = str(self.folder / "run")
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "QT_QPA_PLATFORM": "offscreen",
            "TMPDIR": run,  # where it looks whether it is running already
            "XDG_RUNTIME_DIR": run,
            **self.bus.environ,
        }
        files = {"config": "keepassxc.ini", "localconfig": "local.ini"}
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        options += [] if password is None else ["--pw-stdin"]
        process = subprocess.Popen(
            ["keepassxc", *options, str(self.database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environ,
        )
        assert process.stdin is not None
        process.stdin.write(f"{password or ''}\n".encode())
        process.stdin.close()
        wait_for_service(environ)
        _wait_until(environ, locked=password is None)
        return process


def _wait_until(environ: dict[str, str], *, locked: bool) -> None:
    """Wait until the database is locked, or open; it comes up locked."""
    command = [
        *("dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.secrets"),
        *("/org/freedesktop/secrets/aliases/default", "org.freedesktop.DBus.Properties.Get"),
        *("string:org.freedesktop.Secret.Collection", "string:Locked"),
    ]
    for _ in range(600):
        asked = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if f"boolean {str(locked).lower()}" in asked.stdout:
            return
        time.sleep(0.05)
    pytest.fail("KeePassXC did not open its database within half a minute")


@functools.cache
def _empty_database() -> bytes:
    """A database with nothing in it, under the password of tests."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty.xml").write_text(_EMPTY, encoding="ascii")
        subprocess.run(
            # The least work that it lets a password take, in milliseconds.
            ["keepassxc-cli", "import", "-q", "-p", "-t", "100", "empty.xml", "empty.kdbx"],
            cwd=folder,
            input=f"{PASSWORD}\n{PASSWORD}\n",
            capture_output=True,
            text=True,
            check=True,
        )
        return (folder / "empty.kdbx").read_bytes()
