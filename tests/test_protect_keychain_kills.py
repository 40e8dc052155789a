"""A change of what protects a store, killed between any two of its steps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, cast

import pytest

import places
from codemesh.backends.base import same
from codemesh.choice import Unlocking
from codemesh.diagnosis import examine, mend
from codemesh.errors import CodemeshError
from codemesh.unlock.passphrases import VARIABLE
from homes import ENTRIES
from support import PASSPHRASE
from test_protect_keychain import NEW, User, make_user

if TYPE_CHECKING:
    from pathlib import Path

    from places import Place

pytestmark = pytest.mark.usefixtures("cheap")

# For a child: the change, killed before a step or right after it. Steps are given as OWNER.NAME.
CHANGE = """
import os, signal, sys
from codemesh import open_store, protection
from codemesh.backends import _kdf
from codemesh.backends._files import StoreFile
from codemesh.backends._keychains import OwnItems
from codemesh.backends.encrypted import EncryptedBackend
from codemesh.unlock.passphrases import NewPassphrases
_kdf.PROFILES["default"] = _kdf.PROFILES["floor"]
home, protect, step, moment = sys.argv[1:]
owner, _, name = step.partition(".")
owner = globals()[owner]
real = getattr(owner, name)
def dying(*arguments, **options):
    if moment == "after":
        real(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, dying)
protection.change_passphrase(open_store(home), NewPassphrases(), protect=protect)
"""
STEPS = ["StoreFile.replace", "EncryptedBackend._forget"]
KEEPING = ["OwnItems.write", *STEPS]
CHANGES = {
    "to the keychain": ("passphrase", "keychain", [*KEEPING, "protection._set_protection"]),
    "within it": ("keychain", "keychain", KEEPING),
    "away from it": ("keychain", "passphrase", [*STEPS, "protection._set_protection"]),
}
POINTS = [
    (change, step, moment)
    for change, (_, _, steps) in CHANGES.items()
    for step in steps
    for moment in ("before", "after")
]


@pytest.fixture(params=["gnome", "like_windows"])
def place(request: pytest.FixtureRequest) -> Place:
    """A real keychain, and one that keeps a list of its own."""
    return cast("Place", request.getfixturevalue(request.param))


def filled(home: Path, place: Place, protect: str) -> User:
    """Somebody whose store has this protection, and entries."""
    user = make_user(home, place, protect)
    user.store(PASSPHRASE).backend.change(ENTRIES)
    return user


def opening(user: User) -> list[str | None]:
    """The passphrases that open the store with all its entries; None for the keychain's."""
    opened: list[str | None] = []
    for passphrase in (None, PASSPHRASE, NEW):
        try:
            records = user.store(passphrase).records()
        except CodemeshError:
            continue
        assert same(records, ENTRIES)
        opened.append(passphrase)
    return opened


def doctored(user: User, passphrase: str | None) -> None:
    """Do what `doctor --fix` does, and see that nothing fails there."""
    environ = {} if passphrase is None else {VARIABLE: passphrase}
    findings = list(examine(str(user.home), Unlocking(environ=environ)))
    _, failed = mend(findings)
    assert failed == []
    left = list(examine(str(user.home), Unlocking(environ=environ)))
    assert [finding for finding in left if finding.problem] == []


@pytest.mark.parametrize(("change", "step", "moment"), POINTS)
def test_killed_between_two_steps(
    home: Path, place: Place, change: str, step: str, moment: str
) -> None:
    """The store still opens, `doctor --fix` leaves no item too many, and a second run succeeds."""
    before, after, _ = CHANGES[change]
    user = filled(home, place, before)
    died = subprocess.run(
        [sys.executable, "-c", CHANGE, str(home), after, step, moment],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([places.FAKES, *filter(None, sys.path)]),
            "CODEMESH_PASSPHRASE": PASSPHRASE,
            "CODEMESH_NEW_PASSPHRASE": NEW,
        },
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr

    ways = opening(user)
    assert ways, "nothing opens it"
    doctored(user, ways[0])

    assert opening(user) == ways
    assert len(user.items()) == (1 if None in ways else 0)
    assert user.change(after, old=ways[0]) == after
    assert user.protected() == after
    assert opening(user)[0] == (None if after == "keychain" else NEW)
    assert len(user.items()) == (1 if after == "keychain" else 0)
