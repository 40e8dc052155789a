"""A keychain that refuses, lies, stands still, ends or holds what is none of ours."""

from __future__ import annotations

import signal
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

import keychains
from codemesh.errors import (
    BackendUnavailableError,
    CodemeshError,
    CredentialNotFoundError,
    DamagedError,
    DeniedError,
    LockedError,
    NotAnsweringError,
    NotKeptError,
    StorageError,
)
from desktops import PASSWORD
from keychains import ACTS, OLD, SECRET, SERVICE, THERE, failure, keychain, outcome
from secret_service import Script

if TYPE_CHECKING:
    from pathlib import Path

    from desktops import GnomeKeyring
    from keychains import Stage

SHORT = 0.2  # seconds; where whatever is slow, is to fail like this
DBUS, SECRETS = "org.freedesktop.DBus.Error", "org.freedesktop.Secret.Error"
WRITING = ["ReadAlias", "Locked", "OpenSession", "SearchItems", "CreateItem", "GetSecret"]
"""What a first write asks of the service."""

OTHERS = [("SetSecret", "put"), ("Delete", "remove"), ("Attributes", "records")]
"""What else is asked of it, and when."""

ASKED: list[tuple[str, str, list[tuple[str, str]]]]
ASKED = [(method, "put", []) for method in WRITING] + [(*other, THERE) for other in OTHERS]

stage = keychains.stage
keyring = keychains.keyring


# -- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        (f"{DBUS}.AccessDenied", DeniedError, "the keychain denies access"),
        ("org.gnome.keyring.Error.Denied", DeniedError, "the keychain denies access"),
        (f"{SECRETS}.IsLocked", LockedError, "the keychain is locked"),
        (f"{DBUS}.LimitsExceeded", StorageError, "the keychain is full"),
        (f"{DBUS}.NoMemory", StorageError, "the keychain is full"),
        (f"{DBUS}.ServiceUnknown", BackendUnavailableError, "is a secret service"),
        (f"{DBUS}.NameHasNoOwner", BackendUnavailableError, "is a secret service"),
        (f"{DBUS}.Spawn.ChildExited", BackendUnavailableError, "is a secret service"),
        (f"{DBUS}.NoReply", BackendUnavailableError, "ended"),
        (f"{DBUS}.TimedOut", NotAnsweringError, "did not answer in time"),
        (f"{SECRETS}.NoSession", StorageError, f"{SECRETS}.NoSession"),
        ("org.example.Whim", StorageError, "the keychain refused (org.example.Whim)"),
    ],
)
def test_a_refusal_has_its_own_error(
    name: str, kind: type[CodemeshError], words: str, stage: Stage, home: Path
) -> None:
    """What a keychain answers with tells the user whether to unlock, allow, wait or go elsewhere.

    What the service says of it is not repeated, as it quotes what was sent.
    """
    stage.serve(Script(errors={"CreateItem": name}))

    text = failure(lambda: keychain(home).put("openai", SECRET), kind, words)

    assert "b''" not in text


@pytest.mark.parametrize(("method", "act", "items"), ASKED)
def test_a_refusal_at_any_point(
    method: str, act: str, items: list[tuple[str, str]], stage: Stage, home: Path
) -> None:
    """Whatever the keychain denies, the operation that needs it is denied."""
    stage.serve(Script(items=items, errors={method: f"{DBUS}.AccessDenied"}))

    failure(lambda: ACTS[act](keychain(home)), DeniedError, "the keychain denies access")


@pytest.mark.parametrize(("method", "act"), [("SetSecret", "put"), ("Delete", "remove")])
def test_what_was_denied_was_not_done(method: str, act: str, stage: Stage, home: Path) -> None:
    """After a refused change the entry is what it was."""
    stage.serve(Script(items=THERE, errors={method: f"{DBUS}.AccessDenied"}))

    outcome(lambda: ACTS[act](keychain(home)))

    assert keychain(home).records() == {"openai": OLD}


# -- silence, ends and nonsense ------------------------------------------------------------


@pytest.mark.parametrize(("method", "act", "items"), ASKED)
def test_silence_at_any_point(
    method: str, act: str, items: list[tuple[str, str]], stage: Stage, home: Path
) -> None:
    """Whatever the keychain does not answer, the operation ends at its deadline."""
    stage.serve(Script(items=items, silent=[method]))

    failure(lambda: ACTS[act](keychain(home, SHORT)), NotAnsweringError, "within 0.2 s")


@pytest.mark.parametrize(("method", "act", "items"), ASKED)
def test_an_end_at_any_point(
    method: str, act: str, items: list[tuple[str, str]], stage: Stage, home: Path
) -> None:
    """Wherever the keychain ends, it is absent from then on, and nobody waits for it."""
    stage.serve(Script(items=items, exits=[method]))

    failure(lambda: ACTS[act](keychain(home)), BackendUnavailableError, "ended")


@pytest.mark.parametrize(
    ("method", "act", "items"), [each for each in ASKED if each[0] != "SetSecret"]
)
def test_nonsense_at_any_point(
    method: str, act: str, items: list[tuple[str, str]], stage: Stage, home: Path
) -> None:
    """A reply without what belongs into it is the keychain's fault, and no crash."""
    stage.serve(Script(items=items, nonsense=[method]))

    failure(lambda: ACTS[act](keychain(home)), StorageError, "keychain")


@pytest.mark.parametrize("act", ["get", "records", "put", "status", "probe"])
def test_a_keychain_that_stands_still(act: str, keyring: GnomeKeyring, home: Path) -> None:
    """A daemon that was stopped is waited for until the deadline, and used again later."""
    keychain(home).put("openai", OLD)
    keyring.send(signal.SIGSTOP)

    try:
        failure(
            lambda: ACTS[act](keychain(home, SHORT)),
            NotAnsweringError,
            "did not answer within 0.2 s",
            "Look, then try again",
        )
    finally:
        keyring.send(signal.SIGCONT)

    keychain(home).put("openai", OLD)  # through the lock that the failed write held
    assert keychain(home).get("openai") == OLD


def test_a_keychain_that_was_killed(keyring: GnomeKeyring, home: Path) -> None:
    """After its daemon was killed the keychain is absent, and what was written is not lost."""
    opened = keychain(home)
    opened.put("openai", OLD)
    keyring.send(signal.SIGKILL)

    failure(partial(opened.get, "openai"), BackendUnavailableError)
    for act in ACTS.values():
        failure(partial(act, keychain(home)), BackendUnavailableError)

    keyring.restart(PASSWORD)
    assert opened.get("openai") == OLD


def test_a_bus_that_was_killed(keyring: GnomeKeyring, home: Path) -> None:
    """After the bus was killed between two calls the keychain is absent."""
    opened = keychain(home)
    opened.put("openai", OLD)
    keyring.bus.stop()

    failure(lambda: opened.get("openai"), BackendUnavailableError, "no session bus", "backend use")


# -- lies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [[], THERE], ids=["new", "over"])
@pytest.mark.parametrize("act", ["put", "probe"])
@pytest.mark.parametrize(
    "lie",
    [Script(forget=True), Script(altered='{"type":"api_key","key":"x"}')],
    ids=["no", "other"],
)
def test_a_write_that_was_not_kept(
    lie: Script, act: str, items: list[tuple[str, str]], stage: Stage, home: Path
) -> None:
    """A keychain that confirms a write, and keeps nothing or something else, is found out."""
    stage.serve(replace(lie, items=items))

    failure(lambda: ACTS[act](keychain(home)), NotKeptError, "did not keep", "codemesh doctor")


def test_a_removal_that_was_not_done(stage: Stage, home: Path) -> None:
    """A keychain that confirms a removal, and keeps the item, is found out."""
    stage.serve(Script(items=THERE, forget=True))

    failure(
        lambda: keychain(home).remove("openai"),
        NotKeptError,
        "the keychain did not remove openai",
        "codemesh doctor",
    )


# -- items that go, and items that are damaged -----------------------------------------------


def test_an_item_that_goes_while_it_is_read(stage: Stage, home: Path) -> None:
    """An item that somebody removes between the search and the read is not there."""
    stage.serve(Script(items=THERE, vanish=True))

    with pytest.raises(CredentialNotFoundError):
        keychain(home).get("openai")

    assert keychain(home).records() == {}


def test_an_item_that_is_found_and_never_there(stage: Stage, home: Path) -> None:
    """A keychain that finds what it does not have is not asked for ever."""
    stage.serve(Script(items=THERE, errors={"GetSecret": f"{SECRETS}.NoSuchObject"}))

    failure(lambda: keychain(home).get("openai"), StorageError, "openai", "changes all the time")


DAMAGED = {
    "not UTF-8": b'{"type":"api_key","key":"\xff"}',
    "not JSON": b"sk-1",
    "empty": b"",
    "not an object": b'["sk-1"]',
    "a name twice": b'{"type":"api_key","key":"a","key":"b"}',
}


@pytest.fixture(params=list(DAMAGED.values()), ids=list(DAMAGED))
def damaged(request: pytest.FixtureRequest, keyring: GnomeKeyring, home: Path) -> None:
    """An entry of two has a value that codemesh never wrote."""
    import secretstorage

    del keyring
    keychain(home).put("anthropic", OLD)
    connection = secretstorage.dbus_init()
    attributes = {"service": f"{SERVICE}/openai", "username": "openai"}
    collection = secretstorage.get_default_collection(connection)
    collection.create_item("by hand", attributes, request.param)
    connection.close()


@pytest.mark.usefixtures("damaged")
def test_a_damaged_item_is_named_and_stands_alone(home: Path) -> None:
    """A value that is no record is named, never skipped; the other entries stay readable."""
    for act in (ACTS["get"], ACTS["records"]):
        failure(partial(act, keychain(home)), DamagedError, "openai", "Nothing was changed")

    assert keychain(home).get("anthropic") == OLD


@pytest.mark.usefixtures("damaged")
def test_a_damaged_item_can_be_replaced(home: Path) -> None:
    """A new login puts a damaged entry right."""
    keychain(home).put("openai", SECRET)

    assert keychain(home).records() == {"anthropic": OLD, "openai": SECRET}


@pytest.mark.usefixtures("damaged")
def test_a_damaged_item_is_salvaged_around(home: Path) -> None:
    """What can be saved beside a damaged entry is saved, and the entry is named."""
    salvage = keychain(home).salvage()

    assert salvage.records == {"anthropic": OLD}
    assert salvage.lost == ["openai"]
