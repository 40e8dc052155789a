"""Classes that codemesh does not know: whatever they raise or answer, it is an error of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from keyring.errors import InitError, KeyringLocked, NoKeyringError, PasswordSetError

import keyrings
from codemesh.errors import (
    BackendUnavailableError,
    CodemeshError,
    DamagedError,
    DeniedError,
    StorageError,
)
from keyrings import Ring, failure
from support import CANARY, ONE, api_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from codemesh.backends.keychain import KeychainBackend

stranger = keyrings.stranger

SECRET = api_key(CANARY)
ACTS: list[Callable[[KeychainBackend], object]] = [
    lambda backend: backend.get("openai"),
    lambda backend: backend.records(),
    lambda backend: backend.status(),
    lambda backend: backend.put("openai", SECRET),
    lambda backend: backend.probe(),
]


class OddError(BaseException):
    """Even the top of its tree is not that of errors."""


ODD: list[tuple[BaseException, type[CodemeshError]]] = [
    (RuntimeError(CANARY), StorageError),
    (KeyError(CANARY), StorageError),
    (KeyError(5), StorageError),
    (ValueError(CANARY, -128), StorageError),
    (SystemExit(5), StorageError),
    (SystemExit(CANARY), StorageError),
    (KeyboardInterrupt(CANARY), StorageError),
    (GeneratorExit(CANARY), StorageError),
    (StopIteration(CANARY), StorageError),
    (OddError(CANARY), StorageError),
    (OSError(5, CANARY, CANARY), StorageError),
    (OSError(14, CANARY), StorageError),
    (MemoryError(CANARY), StorageError),
    (RecursionError(CANARY), StorageError),
    (ImportError(CANARY, name=CANARY), StorageError),
    (TypeError(), StorageError),
    (PasswordSetError(CANARY), StorageError),
    (UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY), DamagedError),
    (UnicodeEncodeError("utf-8", CANARY, 0, 1, CANARY), DamagedError),
    (KeyringLocked(CANARY), DeniedError),
    (InitError(CANARY), BackendUnavailableError),
    (NoKeyringError(CANARY), BackendUnavailableError),
    (ExceptionGroup(CANARY, [ValueError(CANARY)]), StorageError),
]
METHODS = ["get_password", "set_password", "delete_password"]


@pytest.mark.parametrize(("raised", "error"), ODD, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("method", METHODS)
def test_a_stranger_that_raises(
    stranger: Ring,
    method: str,
    raised: BaseException,
    error: type[CodemeshError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever a class raises is an error of ours, which shows nothing of what it says."""
    import fake_stranger

    def fail(*_: object) -> None:
        raise raised from ValueError(CANARY)

    stranger.fill({"openai": SECRET})
    monkeypatch.setattr(fake_stranger.Keyring, method, fail)

    told = failure(stranger, lambda backend: backend.change({"openai": ONE, "new": SECRET}))

    assert type(told) is error, repr(told)
    assert told.__cause__ is None
    assert told.__context__ is None


@pytest.mark.parametrize("answer", [b"bytes", 5, True, ["a"], {}], ids=repr)
def test_a_stranger_that_answers_no_text(
    stranger: Ring, answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is no text is damage, and nothing is written."""
    import fake_stranger

    monkeypatch.setattr(fake_stranger.Keyring, "get_password", lambda *_: answer)

    for act in ACTS:
        error = failure(stranger, act)
        assert type(error) is DamagedError
        assert error.where
    assert stranger.items() == {}
