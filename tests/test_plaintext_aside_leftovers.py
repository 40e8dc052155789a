"""What a kill leaves behind while a damaged store is being set aside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from codemesh.backends.context import Context
from codemesh.backends.plaintext import PlaintextBackend
from support import passphrases

if TYPE_CHECKING:
    from pathlib import Path

SECRET = b'{"credentials": {"openai": {"type": "api_key", "key": "sk-1"}'
LEFT = ".auth.json.damaged-20261123T183238Z.0123456789abcdef.tmp"
NOT_OURS = (
    ".auth.json.damaged-20261123T183238Z.tmp",
    ".auth.json.copy.0123456789abcdef.tmp",
    ".auth.json.damaged-x.0123456789ABCDEF.tmp",
)


@pytest.fixture
def killed(home: Path) -> PlaintextBackend:
    """A store whose recovery was killed while it copied the damaged file."""
    home.mkdir(mode=0o700)
    for name in (LEFT, *NOT_OURS):
        (home / name).write_bytes(SECRET)
    return PlaintextBackend(Context(str(home), {}, 60.0, passphrases))


def test_an_unfinished_copy_is_found(killed: PlaintextBackend, home: Path) -> None:
    """It holds credentials in clear, so it is told of; files of other names are not ours."""
    found = killed.leftovers()

    assert found == [str(home / LEFT)]


def test_the_next_write_removes_an_unfinished_copy(killed: PlaintextBackend, home: Path) -> None:
    """It would otherwise outlive a migration to a sealed store."""
    killed.put("openai", {"type": "api_key", "key": "sk-2"})

    left = {name for name in os.listdir(home) if name.endswith(".tmp")}

    assert left == set(NOT_OURS)
