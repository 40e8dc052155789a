"""What the tests of the kernel's keyring share: names of their own, and children elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codemesh import errors

SOURCE = str(Path(errors.__file__).parents[1])

# For children: the kernel's keyring, by calls of their own.
CALLS = """
import ctypes, os, sys
sys.path.insert(0, {source!r})
from codemesh.errors import StorageError
from codemesh.unlock.kernel import KernelKeyring
keyring = KernelKeyring()
JOIN_SESSION, REVOKE = 1, 3
USER = -4
def control(operation, *arguments):
    return keyring._control(operation, *arguments)
""".replace("{source!r}", repr(SOURCE))


def needs_kernel_keyring() -> None:
    """Skip where there is no such keyring, but never let a CI run pass without one."""
    if sys.platform != "linux":
        pytest.skip("the kernel's keyring is one of Linux")
    from codemesh.unlock.kernel import KernelKeyring

    keyring, name = KernelKeyring(), os.urandom(16).hex()
    try:
        keyring.keep(name, b"probe", 60)
    except errors.CodemeshError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI may not skip these tests: {error}")
        pytest.skip(str(error))
    keyring.drop(name)


def in_child(script: str, *arguments: str, uid: int | None = None, prefix: str = "") -> str:
    """Run a script in a process of its own, as another user if asked; what it prints.

    `prefix` is a command that runs it, such as strace.
    """
    # It becomes that user once all is loaded: the files here need not be open to everybody.
    become = "" if uid is None else f"os.setgroups([]); os.setgid({uid}); os.setuid({uid})\n"
    command = [*prefix.split(), sys.executable, "-c", CALLS + become + script, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, -9, 137), done.stderr
    return done.stdout.strip()


def without_end(name: str) -> list[str]:
    """The keys under a name that this user may see, and that no time ends."""
    lines = Path("/proc/keys").read_text(encoding="ascii").splitlines()
    return [line for line in lines if f"codemesh:{name}:" in line and " perm " in line]


def strace() -> str:
    """The command that traces; see `refusing`."""
    if shutil.which("strace") is None:
        if os.environ.get("CI"):
            pytest.fail("strace is missing, and CI may not skip these tests")
        pytest.skip("strace is missing")
    return "strace -f -qq -o /dev/null -e trace=add_key,keyctl"


def refusing(call: str, code: str) -> str:
    """A command that runs another one, in which a system call fails."""
    return f"{strace()} -e inject={call}:error={code}"
