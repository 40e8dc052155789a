"""What `doctor` takes for a stray copy of a store, and what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh.choice import Unlocking
from codemesh.diagnosis import examine, mend
from homes import write_config

if TYPE_CHECKING:
    from pathlib import Path


def strays(home: Path) -> list[str]:
    """The names of the files that are told as strays."""
    found = examine(str(home), Unlocking(environ={}))
    messages = [finding.message for finding in found if finding.check == "strays"]
    return sorted(message.split(" looks")[0].rpartition("/")[2] for message in messages)


@pytest.mark.parametrize(
    "name", ["auth", "auth.json~", "auth.json.bak", "auth (1).json", "auth-conflict.json"]
)
def test_copies_of_a_store(home: Path, name: str) -> None:
    """Whatever editors, backups and sync tools call a copy, it is found."""
    home.mkdir(mode=0o700)
    home.joinpath(name).write_text("{}")

    assert strays(home) == [name]


@pytest.mark.parametrize("name", ["authors.txt", "notes", "config.toml.bak", ".auth.swp"])
def test_other_files(home: Path, name: str) -> None:
    """A file whose name only begins alike is none of ours."""
    home.mkdir(mode=0o700)
    home.joinpath(name).write_text("{}")

    assert strays(home) == []


def test_store_with_a_dot_before_its_name(home: Path, tmp_path: Path) -> None:
    """Beside a hidden store, other hidden files are neither told nor mended."""
    tmp_path.chmod(0o700)
    write_config(home, f'[backends.plaintext]\npath = "{tmp_path}/.keys.json"\n')
    other = tmp_path / ".profile"
    other.write_text("")
    tmp_path.joinpath(".keys.json.bak").write_text("{}")

    mend(list(examine(str(home), Unlocking(environ={}))))

    assert strays(home) == [".keys.json.bak"]
    assert other.stat().st_mode & 0o777 == 0o644
