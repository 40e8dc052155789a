"""One store file that two homes use: the one that it lies in, and another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh import ApiKey, open_store
from codemesh.errors import BusyError
from codemesh.files.lock import FileLock
from homes import write_config

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def guest(home: Path, tmp_path: Path) -> str:
    """A second home whose config.toml names the store file of the first one."""
    open_store(str(home)).put("openai", ApiKey.new("sk-1"))
    folder = tmp_path / "guest"
    write_config(
        folder,
        'backend = "plaintext"\nlock_timeout = "0s"\n'
        f'[backends.plaintext]\npath = "{home}/auth.json"\n',
    )
    return str(folder)


def test_both_homes_take_one_lock(home: Path, guest: str) -> None:
    """A writer of one home waits for a writer of the other one, so no update is lost."""
    held = FileLock(str(home / "state" / "auth.json.lock"), timeout=0, what="the store")

    with held, pytest.raises(BusyError):
        open_store(guest).put("google", ApiKey.new("sk-2"))

    assert open_store(str(home)).names() == ["openai"]


def test_both_homes_see_what_either_wrote(home: Path, guest: str) -> None:
    """Both write the same file, and leave no lock of another name beside it."""
    open_store(guest).put("google", ApiKey.new("sk-2"))

    open_store(str(home)).put("azure", ApiKey.new("sk-3"))

    assert open_store(guest).names() == ["azure", "google", "openai"]
    assert not (home / ".auth.json.lock").exists()
