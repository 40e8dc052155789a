"""A reader that opened a store which somebody emptied, after switching to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh import ApiKey, open_store
from codemesh.errors import CredentialNotFoundError
from codemesh.migration import migrate
from codemesh.unlock.passphrases import VARIABLE
from support import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from codemesh.store import Store

ENVIRON = {VARIABLE: PASSPHRASE}


@pytest.fixture
def reader(home: Path, cheap: None) -> Store:
    """A store that was opened before a migration took its only entry elsewhere."""
    del cheap
    open_store(str(home)).put("openai", ApiKey.new("sk-1"))
    opened = open_store(str(home), environ=ENVIRON)
    migrate(open_store(str(home), environ=ENVIRON), "encrypted")
    return opened


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (lambda store: store.names(), ["openai"]),
        (lambda store: store.records(), {"openai": {"type": "api_key", "key": "sk-1"}}),
        (lambda store: store.resolve("openai"), "openai"),
        (lambda store: store.token("openai").reveal(), "sk-1"),
    ],
    ids=["names", "records", "resolve", "token"],
)
def test_a_reader_follows_a_migration(
    reader: Store, read: Callable[[Store], object], found: object
) -> None:
    """What moved while the reader was on its way is not taken for lost."""
    answer = read(reader)

    assert answer == found
    assert reader.backend.name == "encrypted"


def test_what_is_nowhere_is_still_not_found(reader: Store) -> None:
    """To look again where the entries are now ends, and ends with the usual error."""
    with pytest.raises(CredentialNotFoundError, match="no credential named google"):
        reader.get("google")
