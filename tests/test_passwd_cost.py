"""What a guess costs after a change of passphrase: never less than before, nor than was asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from codemesh.backends import _vault
from codemesh.backends._kdf import PROFILES, Cost
from codemesh.backends.base import Rekeying
from codemesh.backends.context import Context
from codemesh.backends.encrypted import EncryptedBackend
from codemesh.unlock.passphrases import NEW_VARIABLE, NewPassphrases
from support import ONE, PASSPHRASE, passphrases
from test_passwd import BOTH, NEW, assert_changed, document, passwd
from test_passwd import cli as cli  # noqa: PLC0414  a fixture

if TYPE_CHECKING:
    from pathlib import Path

    from commandline import CommandLine

FLOOR = PROFILES["floor"]
DEARER = Cost(19_456, 4, 2)


def store(home: Path, cost: str = "default") -> EncryptedBackend:
    """The store of this home, opened by somebody who knows its passphrase."""
    return EncryptedBackend(Context(str(home), {"cost": cost}, 10.0, passphrases))


def rekeyed(home: Path, cost: str = "default", wish: str | None = None) -> Cost:
    """Change the passphrase under a policy and a wish; what a guess costs afterwards."""
    new = NewPassphrases(environ={NEW_VARIABLE: NEW})
    store(home, cost).rekey(Rekeying(new, "passphrase", wish))()
    return stands(home)


def stands(home: Path) -> Cost:
    """The cost that the file names."""
    kdf: dict[str, Any] = json.loads((home / "auth.vault.json").read_bytes())["kdf"]
    return Cost(kdf["m"], kdf["t"], kdf["p"])


def sealed_at(home: Path, cost: Cost) -> Path:
    """A home whose store has this cost."""
    home.mkdir(mode=0o700)
    file = home / "auth.vault.json"
    file.write_bytes(_vault.seal(_vault.new_sealing(PASSPHRASE, cost), 0, {"openai": ONE}))
    file.chmod(0o600)
    return home


# -- the command -------------------------------------------------------------------------


def test_a_cheap_store_is_named_and_raised(cli: CommandLine) -> None:
    """`doctor` has a note of a store below the policy, which the next change raises to it."""
    told = cli.run("doctor", "--json").json()["findings"]

    assert passwd(cli).status == 0

    assert isinstance(told, list)
    (note,) = [each for each in told if each["check"] == "cost"]
    assert note["problem"] is False
    assert "codemesh passwd" in json.dumps(note)
    assert stands(cli.folder) == PROFILES["default"]
    assert '"cost"' not in cli.run("doctor", "--json").stdout


def test_a_strong_cost_is_never_lowered(cli: CommandLine) -> None:
    """`--cost strong` raises the cost, and a later change to `default` keeps that."""
    raised = passwd(cli, "--cost", "strong")
    again = BOTH | {"CODEMESH_PASSPHRASE": NEW}
    later = passwd(cli, "--cost", "default", environ=again)

    assert (raised.status, later.status) == (0, 0)
    assert stands(cli.folder) == PROFILES["strong"]
    assert document(cli)["revision"] == 7
    assert_changed(cli)


@pytest.mark.parametrize("cost", ["floor", "weak", ""])
def test_no_other_cost_is_offered(cli: CommandLine, cost: str) -> None:
    """A cost that is neither default nor strong ends with 2, before anything is asked."""
    before = cli.vault.read_bytes()

    outcome = passwd(cli, "--cost", cost)

    assert outcome.status == 2
    assert cli.vault.read_bytes() == before


# -- the rule ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dearer", [(20_000, 2, 1), (19_456, 3, 1), (19_456, 2, 2), DEARER], ids=str
)
@pytest.mark.usefixtures("cheap")
def test_a_dearer_store_keeps_what_is_dearer(home: Path, dearer: tuple[int, int, int]) -> None:
    """Each parameter above the policy stays as it is, and `doctor` has nothing to say of it."""
    sealed_at(home, Cost(*dearer))

    assert store(home).weaknesses() == []
    assert rekeyed(home) == dearer


def test_each_parameter_is_the_greatest_of_all(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory may come from the policy, passes from the wish and lanes from the file."""
    monkeypatch.setitem(PROFILES, "default", Cost(20_480, 2, 1))
    monkeypatch.setitem(PROFILES, "strong", Cost(19_456, 3, 1))
    sealed_at(home, Cost(19_456, 2, 4))

    assert rekeyed(home, wish="strong") == (20_480, 3, 4)


def test_the_policy_is_that_of_the_configuration(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy of `strong` holds without any wish, also against a wish for less."""
    monkeypatch.setitem(PROFILES, "default", FLOOR)
    monkeypatch.setitem(PROFILES, "strong", Cost(20_480, 3, 2))
    sealed_at(home, FLOOR)

    (weakness,) = store(home, "strong").weaknesses()

    assert "m=19456 KiB, t=2, p=1" in weakness.message
    assert weakness.mend is None
    assert rekeyed(home, "strong", wish="default") == PROFILES["strong"]


def test_one_weak_parameter_is_a_weakness(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with more passes but less memory than the policy is told, and only then raised."""
    monkeypatch.setitem(PROFILES, "default", Cost(20_480, 2, 1))
    sealed_at(home, DEARER)

    assert len(store(home).weaknesses()) == 1
    store(home).put("google", ONE)
    assert stands(home) == DEARER
    assert rekeyed(home) == (20_480, 4, 2)
