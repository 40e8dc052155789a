"""Desktops for tests: a session bus of its own, and a real gnome-keyring on it.

Each has a home and a runtime folder that are nobody's. The recipe is that of a login:
the daemon gets the password of the keyring, byte for byte, on its standard input.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping
    from pathlib import Path

ADDRESS = "DBUS_SESSION_BUS_ADDRESS"
PASSWORD = "pw"
_CONFIG = """<busconfig>
<type>session</type>
<listen>unix:tmpdir=/tmp</listen>
<auth>EXTERNAL</auth>
<policy context="default">
<allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/>
<allow own="*"/>
</policy>
</busconfig>
"""


def need(*tools: str) -> None:
    """Skip a test for want of a tool; in CI, where all of them are installed, fail it."""
    if sys.platform != "linux":
        pytest.skip("a desktop of Linux")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if not missing:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{', '.join(missing)} is missing, and CI may not skip these tests")
    pytest.skip(f"{', '.join(missing)} is missing")


class Bus:
    """A session bus that starts no service by itself."""

    def __init__(self, folder: Path) -> None:
        need("dbus-daemon")
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "bus.conf"
        config.write_text(_CONFIG, encoding="utf-8")
        self._process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to be on this bus."""
        return {ADDRESS: self.address}

    def stop(self) -> None:
        """End it. A second call does nothing."""
        self._process.terminate()  # killed, it would leave its socket behind
        self._process.wait()
        _end(self._process)


class GnomeKeyring:
    """A gnome-keyring on a bus of its own, its login keyring unlocked."""

    def __init__(self, folder: Path, password: str = PASSWORD) -> None:
        need("gnome-keyring-daemon")
        self.folder = folder
        self.bus = Bus(folder)
        (folder / "run").mkdir(mode=0o700, exist_ok=True)
        self.keyrings = folder / "data" / "keyrings"
        self.keyrings.mkdir(parents=True, exist_ok=True)
        self._process = self._start(password)

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to find it."""
        return self.bus.environ

    def send(self, number: signal.Signals) -> None:
        """Send the daemon a signal."""
        self._process.send_signal(number)

    def fill_disk(self) -> None:
        """Let no file of the daemon grow beyond what a keyring needs when it is empty."""
        if sys.platform == "linux":
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (2048, 2048))

    def restart(self, password: str | None = None) -> None:
        """Kill the daemon and start it again: locked, unless it gets its password."""
        _end(self._process)
        self._process = self._start(password)

    def stop(self) -> None:
        """End the daemon and its bus. A second call does nothing."""
        _end(self._process)
        self.bus.stop()

    def _start(self, password: str | None) -> subprocess.Popen[bytes]:
        unlock = [] if password is None else ["--unlock"]
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            **self.bus.environ,
        }
        process = subprocess.Popen(
            ["gnome-keyring-daemon", "--foreground", "--components=secrets", *unlock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
            restore_signals=False,  # SIGXFSZ stays ignored: a full disk is no death
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write((password or "").encode())
        process.stdin.close()
        wait_for_service(environ)
        return process


def wait_for_service(environ: Mapping[str, str]) -> None:
    """Wait until the bus has a secret service."""
    command = [
        *("dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/"),
        *("org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"),
    ]
    for _ in range(600):
        asked = subprocess.run(
            command, env=dict(environ), capture_output=True, text=True, check=False
        )
        if "boolean true" in asked.stdout:
            return
        time.sleep(0.05)
    pytest.fail("no secret service came up within half a minute")


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
