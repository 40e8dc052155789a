"""A keychain that asks its owner: what is dismissed, ignored or answered, and what never asks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import keychains
from codemesh.errors import (
    BackendUnavailableError,
    CodemeshError,
    CredentialNotFoundError,
    DeniedError,
    LockedError,
    NotAnsweringError,
)
from desktops import ADDRESS, PASSWORD, GnomeKeyring
from keychains import ACTS, OLD, SECRET, THERE, failure, keychain, outcome
from secret_service import MEMORY, Script

if TYPE_CHECKING:
    from pathlib import Path

    from keychains import Stage

ASKING = [act for act in ACTS if act != "status"]
UNLOCK = "Unlock it"
PATIENCE = 1.0  # seconds that a prompt nobody answers is open
SHORT = 0.2  # seconds; where whatever is slow, is to fail like this
DENIED = "org.freedesktop.DBus.Error.AccessDenied"

stage = keychains.stage
keyring = keychains.keyring


# -- a locked keychain ---------------------------------------------------------------------


@pytest.mark.parametrize("act", ASKING)
def test_a_prompt_that_is_dismissed(act: str, stage: Stage, home: Path) -> None:
    """Who dismisses the prompt has said no, and nothing is asked twice."""
    service = stage.serve(Script(items=THERE, locked=True, answer="dismissed"))

    failure(
        lambda: ACTS[act](keychain(home)), DeniedError, "locked", "prompt was dismissed", UNLOCK
    )

    assert service.calls().count("Prompt") <= 1 + (act == "probe")


@pytest.mark.parametrize("act", ASKING)
def test_a_real_keychain_that_nobody_can_unlock(
    act: str, keyring: GnomeKeyring, home: Path
) -> None:
    """Without a display gnome-keyring dismisses its own prompt; the password opens it again."""
    keychain(home).put("openai", OLD)
    keyring.restart()

    failure(lambda: ACTS[act](keychain(home)), DeniedError, "the keychain is locked", UNLOCK)

    keyring.restart(PASSWORD)
    assert keychain(home).records() == {"openai": OLD}


def test_a_prompt_that_nobody_answers(stage: Stage, home: Path) -> None:
    """A prompt is waited for until the deadline, and does not stay on the screen."""
    service = stage.serve(Script(items=THERE, locked=True, answer="ignored"))

    failure(
        lambda: keychain(home, PATIENCE).put("openai", SECRET),
        LockedError,
        "the keychain is locked, and nobody answered its prompt within 1 s",
        UNLOCK,
    )

    calls = service.calls()
    assert calls[-2:] == ["Prompt", "Dismiss"]
    assert not {"CreateItem", "SetSecret"} & set(calls)


@pytest.mark.parametrize("act", ASKING)
def test_a_prompt_that_is_answered(act: str, stage: Stage, home: Path) -> None:
    """Once its owner has unlocked it, what was asked for is done, with one prompt."""
    service = stage.serve(Script(items=THERE, locked=True))

    assert outcome(lambda: ACTS[act](keychain(home))) is None

    assert service.calls().count("Prompt") == 1


@pytest.mark.parametrize("answer", ["accepted", "dismissed"])
def test_a_prompt_that_is_over_at_once(answer: str, stage: Stage, home: Path) -> None:
    """A service may tell the end of a prompt before it answers the call that shows it."""
    stage.serve(Script(items=THERE, locked=True, answer=answer, early=True))

    error = outcome(lambda: keychain(home, PATIENCE).get("openai"))

    assert type(error) is (DeniedError if answer == "dismissed" else type(None))


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (Script(exits=["Prompt"]), BackendUnavailableError, "ended"),
        (Script(errors={"Prompt": DENIED}), DeniedError, "denies access"),
        (Script(silent=["Prompt"]), NotAnsweringError, "did not answer within"),
        (Script(silent=["Unlock"]), NotAnsweringError, "did not answer within"),
    ],
    ids=["ends", "denied", "no prompt", "no answer"],
)
def test_a_keychain_that_fails_at_its_prompt(
    script: Script, kind: type[CodemeshError], words: str, stage: Stage, home: Path
) -> None:
    """A service that ends or falls silent instead of asking is no owner who said no."""
    stage.serve(replace(script, items=THERE, locked=True))
    timeout = SHORT if script.silent else PATIENCE

    failure(lambda: keychain(home, timeout).get("openai"), kind, words)


def test_a_look_never_asks(stage: Stage, home: Path) -> None:
    """The status of a locked keychain is told without a prompt; the entries are not counted."""
    service = stage.serve(Script(items=THERE, locked=True, answer="ignored"))

    status = keychain(home).status()

    assert (status.exists, status.locked, status.entries) == (True, True, None)
    assert "Unlock" not in service.calls()


# -- confirmations ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "act", "items"),
    [("CreateItem", "put", []), ("Delete", "remove", THERE)],
    ids=["add", "remove"],
)
@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ("dismissed", DeniedError, "dismissed"),
        ("ignored", LockedError, "nobody answered its prompt"),
    ],
)
def test_a_change_that_is_not_confirmed(  # noqa: PLR0913, PLR0917  six of them are the case
    prompt: str,
    act: str,
    items: list[tuple[str, str]],
    answer: str,
    kind: type[CodemeshError],
    words: str,
    stage: Stage,
    home: Path,
) -> None:
    """Where the keychain asks before a change, and gets no yes, nothing is changed."""
    service = stage.serve(Script(items=items, prompts=[prompt], answer=answer))

    failure(lambda: ACTS[act](keychain(home, PATIENCE)), kind, words)

    assert keychain(home).records() == ({"openai": OLD} if items else {})
    assert ("Dismiss" in service.calls()) == (answer == "ignored")


def test_a_change_that_is_confirmed(stage: Stage, home: Path) -> None:
    """Where the keychain asks before a change, and gets its yes, the change is made."""
    stage.serve(Script(prompts=["CreateItem", "Delete"]))

    keychain(home).put("openai", OLD)
    there = keychain(home).records()
    keychain(home).remove("openai")

    assert there == {"openai": OLD}
    assert keychain(home).records() == {}


def test_to_write_over_an_entry_asks_nobody(stage: Stage, home: Path) -> None:
    """An item is changed in place: to replace it opens a window, in KeePassXC."""
    service = stage.serve(Script(items=THERE, prompts=["Replace"], answer="ignored"))

    keychain(home).put("openai", SECRET)

    assert keychain(home).get("openai") == SECRET
    assert not {"CreateItem", "Prompt"} & set(service.calls())


# -- a keychain without a collection -----------------------------------------------------------


def test_a_first_collection_is_made(stage: Stage, home: Path) -> None:
    """Where there is no collection yet, the first write makes one, with its owner's consent."""
    service = stage.serve(Script(collection=""))

    keychain(home).put("openai", OLD)

    assert keychain(home).records() == {"openai": OLD}
    assert service.calls().count("CreateCollection") == 1


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ("dismissed", DeniedError, "dismissed"),
        ("ignored", LockedError, "nobody answered its prompt"),
    ],
)
def test_a_first_collection_that_nobody_wants(
    answer: str, kind: type[CodemeshError], words: str, stage: Stage, home: Path
) -> None:
    """Without consent to a collection nothing is written, and reading goes on."""
    stage.serve(Script(collection="", answer=answer))

    failure(lambda: keychain(home, PATIENCE).put("openai", SECRET), kind, "no collection", words)

    assert keychain(home).records() == {}
    assert not keychain(home).status().exists
    with pytest.raises(CredentialNotFoundError):
        keychain(home).get("openai")


def test_a_real_keychain_without_a_collection(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gnome-keyring that nobody ever logged in to has nothing to write to."""
    keyring = GnomeKeyring(tmp_path, password="")
    monkeypatch.setenv(ADDRESS, keyring.bus.address)

    try:
        failure(lambda: keychain(home).put("openai", SECRET), DeniedError, "no collection", UNLOCK)
    finally:
        keyring.stop()


@pytest.mark.parametrize("act", ["put", "prepare", "probe"])
def test_a_collection_that_forgets(act: str, stage: Stage, home: Path) -> None:
    """A keychain that has only the collection of this session is none to keep anything in."""
    service = stage.serve(Script(collection=MEMORY))

    failure(
        lambda: ACTS[act](keychain(home)),
        BackendUnavailableError,
        "forgets everything at logout",
        "codemesh backend use",
    )

    assert "CreateItem" not in service.calls()
