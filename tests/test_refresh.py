"""Tokens stay fresh: one request for everybody, saved before use, and nothing ever deleted."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import codemesh
from codemesh.backends.base import same
from codemesh.errors import (
    LoginRequiredError,
    NetworkError,
    ProviderError,
    StorageError,
    UsageError,
)
from homes import write_config, write_plaintext
from tokenserver import TokenServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from codemesh.backends.base import Backend
    from codemesh.model import Record
    from codemesh.store import Store

OTHER: Record = {"type": "api_key", "key": "sk-other"}
LATE = 10_000_000_000  # UNIX seconds, in a far future


@pytest.fixture
def server() -> Iterator[TokenServer]:
    """A provider's token endpoint."""
    with TokenServer() as server:
        yield server


def login(home: Path, server: TokenServer, expires_at: float | None = 0, **fields: object) -> Path:
    """A home with a login that ends at a moment, and another credential."""
    record: Record = {
        "type": "oauth",
        "access_token": "access-0",
        "refresh_token": "refresh-0",
        "expires_at": None if expires_at is None else int(expires_at),
        **fields,
    }
    write_plaintext(home, {"anthropic": record, "openai": OTHER})
    write_config(home, f'backend = "plaintext"\n{server.config()}')
    return home


def opened(home: Path) -> Store:
    """The store, as a process opens it that begins now."""
    return codemesh.open_store(str(home), environ={})


def token(home: Path) -> str:
    """The access token that a program gets."""
    return opened(home).token("anthropic").reveal()


def stored(home: Path) -> Record:
    """The entry as it lies in the store."""
    return opened(home).backend.get("anthropic")


# -- when ------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "asked"), [(3600, 0), (61, 0), (59, 1), (0, 1), (-86_400, 1)])
def test_a_token_is_renewed_a_minute_before_its_end(
    home: Path, server: TokenServer, left: int, asked: int
) -> None:
    """One that holds for more than a minute is used as it is; else it is renewed, once."""
    login(home, server, time.time() + left + 0.5)

    assert token(home) == f"access-{asked}"
    assert token(home) == f"access-{asked}"
    assert len(server.requests) == asked


@pytest.mark.parametrize("expires_at", [None, LATE])
def test_what_does_not_end_is_not_renewed(
    home: Path, server: TokenServer, expires_at: int | None
) -> None:
    """Without a moment, or with one far away, nobody is asked."""
    login(home, server, expires_at)

    assert token(home) == "access-0"
    assert server.requests == []


def test_no_refresh(home: Path, server: TokenServer) -> None:
    """Whoever wants what is stored gets it, and nobody is asked."""
    login(home, server)

    assert opened(home).token("anthropic", refresh=False).reveal() == "access-0"
    assert server.requests == []


def test_without_a_refresh_token(home: Path, server: TokenServer) -> None:
    """What cannot be renewed needs a login when it ends."""
    login(home, server, refresh_token=None)

    with pytest.raises(LoginRequiredError):
        token(home)
    with pytest.raises(UsageError):
        opened(home).refresh("anthropic")


# -- what ------------------------------------------------------------------------------


def test_what_the_answer_leaves_out_stays(home: Path, server: TokenServer) -> None:
    """The refresh token, the scope, the label and unknown fields survive a short answer."""
    extra: dict[str, Any] = {
        "scope": "a b",
        "label": "mine",
        "x-vendor": {"deep": [1, 1.0]},
        "created_at": 5,
    }
    login(home, server, **extra)
    server.answer = (200, {"access_token": "short"})

    assert token(home) == "short"

    expected = {"type": "oauth", "access_token": "short", "refresh_token": "refresh-0", **extra}
    assert same(stored(home), expected)
    assert same(opened(home).backend.get("openai"), OTHER)


def test_it_is_saved_before_it_is_used(home: Path, server: TokenServer) -> None:
    """What a process got is what every other one reads, with its new end."""
    login(home, server)

    token(home)

    record = stored(home)
    assert (record["access_token"], record["refresh_token"]) == ("access-1", "refresh-1")
    assert isinstance(record["expires_at"], int)
    assert 3500 < record["expires_at"] - time.time() <= 3600


def test_renewing_now(home: Path, server: TokenServer) -> None:
    """A token that is not due is renewed on demand."""
    login(home, server, LATE)

    renewed = opened(home).refresh("anthropic")

    assert renewed.secret().reveal() == "access-1"
    assert token(home) == "access-1"


# -- many at once ----------------------------------------------------------------------

ASK = """
import sys
import codemesh
print("ready", flush=True)
sys.stdin.readline()
print(codemesh.open_store(sys.argv[1]).token("anthropic").reveal(), flush=True)
"""


def test_twenty_processes_send_one_request(home: Path, server: TokenServer) -> None:
    """All find it due at once: one asks, all get the new token, and the login lives."""
    server.latency = 0.05
    login(home, server)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(20)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"

    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate(timeout=120)[0] for child in children]

    assert answers == ["access-1\n"] * 20
    assert server.requests == ["refresh-0"]
    assert not server.revoked


def test_what_another_process_has_put_in_place_is_taken(
    home: Path, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal of a token that was replaced meanwhile is no failure: the new one is used."""
    login(home, server)
    answers = [
        ({**stored(home), "access_token": "theirs", "refresh_token": "t", "expires_at": LATE})
    ]
    real = server.handle

    def handle(refresh_token: str) -> tuple[int, dict[str, object]]:
        opened(home).backend.put("anthropic", answers.pop())
        server.revoked = True
        return real(refresh_token)

    monkeypatch.setattr(server, "handle", handle)

    assert token(home) == "theirs"
    assert "login_required" not in stored(home)


# -- what goes wrong -------------------------------------------------------------------


def test_a_refusal_marks_the_entry_and_deletes_nothing(home: Path, server: TokenServer) -> None:
    """A provider that refuses for good is asked once; the entry says so until a new login."""
    login(home, server)
    server.answer = (400, {"error": "invalid_grant"})

    for _ in range(2):
        with pytest.raises(LoginRequiredError, match="anthropic"):
            token(home)

    assert len(server.requests) == 1
    assert stored(home) == {**stored(home), "refresh_token": "refresh-0", "login_required": True}
    assert same(opened(home).backend.get("openai"), OTHER)


def test_a_refusal_of_what_was_wanted_now(home: Path, server: TokenServer) -> None:
    """Who asks for a new token is told that there will be none, though the old one holds."""
    login(home, server, LATE)
    server.answer = (400, {"error": "invalid_grant"})

    with pytest.raises(LoginRequiredError):
        opened(home).refresh("anthropic")

    assert stored(home)["login_required"] is True
    assert token(home) == "access-0"


@pytest.mark.parametrize(
    "answer",
    [
        (500, {"error": "server_error"}),
        (401, {"error": "invalid_client", "error_description": "\x1b[31mred\x1b[0m"}),
        (200, {"token_type": "Bearer"}),
        (200, {"access_token": "a", "expires_in": "soon"}),
        (200, {"access_token": "a", "expires_in": -5}),
        (200, {"error": "invalid_grant"}),
    ],
)
def test_any_other_answer_changes_nothing(
    home: Path, server: TokenServer, answer: tuple[int, dict[str, object]]
) -> None:
    """Another refusal, or an answer without a token, is an error; the entry is as it was."""
    login(home, server)
    before = stored(home)
    server.answer = answer

    with pytest.raises(ProviderError) as caught:
        token(home)

    assert same(stored(home), before)
    assert "refresh-0" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("left", [30, -1])
def test_a_network_that_is_away_keeps_everything(
    home: Path, server: TokenServer, left: int
) -> None:
    """A token that still holds is used; one that has ended is an error; nothing is changed."""
    login(home, server, time.time() + left)
    server.__exit__()
    before = stored(home)

    if left > 0:
        assert token(home) == "access-0"
    else:
        with pytest.raises(NetworkError):
            token(home)

    assert same(stored(home), before)


def test_without_a_client_id(home: Path, server: TokenServer) -> None:
    """Where nobody can ask, a token is used to its end, and then the advice says what to set."""
    login(home, server, time.time() + 30)
    write_config(home, 'backend = "plaintext"\n')

    assert token(home) == "access-0"

    write_plaintext(home, {"anthropic": {**stored(home), "expires_at": 5}})
    with pytest.raises(LoginRequiredError) as caught:
        token(home)
    assert "providers.anthropic.oauth.client_id" in caught.value.hint
    assert server.requests == []


def test_what_cannot_be_saved_is_used_and_told(
    home: Path, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the provider has answered the new token is good, whatever the disk says."""
    login(home, server)
    store = opened(home)

    def full(backend: Backend, *arguments: object, **options: object) -> None:
        del backend, arguments, options
        raise StorageError("no space left on device")

    monkeypatch.setattr(type(store.backend), "change", full)

    assert store.token("anthropic").reveal() == "access-1"
    assert "no space left" in str(store.unsaved)


@pytest.mark.parametrize("meanwhile", ["logout", "login"])
def test_a_logout_or_login_meanwhile_holds(
    home: Path, server: TokenServer, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """Who logs in or out while the request is under way is not undone by its answer."""
    login(home, server)
    fresh: Record = {"type": "oauth", "access_token": "newer", "expires_at": LATE}
    real = server.handle

    def handle(refresh_token: str) -> tuple[int, dict[str, object]]:
        backend = opened(home).backend
        if meanwhile == "logout":
            backend.remove("anthropic")
        else:
            backend.put("anthropic", fresh)
        return real(refresh_token)

    monkeypatch.setattr(server, "handle", handle)

    if meanwhile == "login":
        assert token(home) == "newer"
    else:
        with pytest.raises(codemesh.CodemeshError, match="no credential named anthropic"):
            token(home)
        assert "anthropic" not in opened(home).names()


KILLED = """
import os, signal, sys
import codemesh
from codemesh import refresh
def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
refresh._saved = die
codemesh.open_store(sys.argv[1]).token("anthropic")
"""


def test_a_kill_between_the_answer_and_the_save(home: Path, server: TokenServer) -> None:
    """The token that only the dead one knew is lost: one honest login, all else untouched."""
    login(home, server)

    died = subprocess.run([sys.executable, "-c", KILLED, str(home)], check=False)

    assert died.returncode == -9
    assert server.requests == ["refresh-0"]
    with pytest.raises(LoginRequiredError):
        token(home)
    assert same(opened(home).backend.get("openai"), OTHER)
    assert stored(home)["refresh_token"] == "refresh-0"
