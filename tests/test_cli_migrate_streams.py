"""`codemesh migrate` of many entries where stderr is closed, full or no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from commandline import PASSPHRASE, needs_full_device

if TYPE_CHECKING:
    from codemesh.model import Record
    from commandline import CommandLine

MANY: dict[str, Record] = {f"p/{n}": {"type": "api_key", "key": "k"} for n in range(300)}


@pytest.mark.parametrize(
    "through",
    [
        '"$@" 2>&-',
        '"$@" 2>/dev/null',
        pytest.param('"$@" 2>/dev/full', marks=needs_full_device),
    ],
)
def test_progress_neither_stops_a_migration_nor_joins_its_json(
    cli: CommandLine, through: str
) -> None:
    """The JSON stands alone on stdout, and everything has moved."""
    cli.seal(MANY)

    outcome = cli.run("migrate", "plaintext", "--json", passphrase=PASSPHRASE, through=through)

    assert outcome.status == 0
    assert outcome.json()["switched"] is True
    assert cli.records() == MANY
