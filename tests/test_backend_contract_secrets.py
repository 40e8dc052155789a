"""The contract of `backends/base.py`: no secret shows, on every backend."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import CodemeshError
from support import CANARY, PASSPHRASE, api_key, logged, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from codemesh.backends.base import Backend
    from support import Bench

FAILURES: dict[str, Callable[[Backend], object]] = {
    "missing": lambda backend: backend.get("missing"),
    "missing removal": lambda backend: backend.remove("missing"),
    "conflict": lambda backend: backend.change({}, expect={"openai": api_key(CANARY + "x")}),
    "unretirable": lambda backend: backend.retire({"openai": api_key(CANARY + "x")}),
    "not a number": lambda backend: backend.put("a", {"key": CANARY, "n": float("nan")}),
    "bytes": lambda backend: backend.put("a", {"key": CANARY.encode()}),
    "set": lambda backend: backend.put("a", {"key": {CANARY}}),
    "half a pair": lambda backend: backend.put("a", {"key": CANARY + "\ud83d"}),
    "bad key": lambda backend: backend.put("a", {"data": {("k", CANARY): 1}}),
    "bad name": lambda backend: backend.put("", api_key(CANARY)),
    "long integer": lambda backend: backend.put("a", {"key": CANARY, "n": 10**5000}),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES.keys())
def test_failure_shows_no_secret(
    bench: Bench,
    fail: Callable[[Backend], object],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No failure shows a secret: not in the error or those behind it, the log or the output."""
    caplog.set_level(logging.DEBUG)
    backend = bench.filled({"openai": api_key(CANARY)})

    with pytest.raises(CodemeshError) as caught:
        fail(backend)

    assert CANARY not in shown(caught.value)
    assert PASSPHRASE not in shown(caught.value)
    assert CANARY not in logged(caplog)
    assert CANARY not in "".join(capfd.readouterr())


def test_objects_show_no_secret(bench: Bench) -> None:
    """No object of a backend shows a secret when it is printed."""
    backend = bench.filled({"openai": api_key(CANARY)})
    backend.records()

    texts = [repr(backend), str(backend), repr(backend.status())]
    texts += [repr(value) for value in vars(backend).values()]

    assert CANARY not in "\n".join(texts)
    assert PASSPHRASE not in "\n".join(texts)


def test_success_says_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A backend neither prints nor logs."""
    caplog.set_level(logging.DEBUG)
    backend = bench.filled({"openai": api_key(CANARY), "google": api_key("other")})

    backend.get("openai")
    backend.remove("google")
    backend.retire({"openai": api_key(CANARY)})

    assert logged(caplog) == ""
    assert capfd.readouterr() == ("", "")


def test_sealed_store_has_no_plain_bytes(bench: Bench) -> None:
    """A store that says that it is encrypted has neither names nor secrets in its bytes."""
    backend = bench.filled({"openai": api_key(CANARY)})
    if not backend.status().encrypted:
        pytest.skip("this store does not say that it is encrypted")

    raw = bench.at_rest()

    assert raw is not None
    assert CANARY.encode() not in raw
    assert b"openai" not in raw


def test_files_are_private(bench: Bench) -> None:
    """All that a store leaves in the home folder is for its owner alone."""
    bench.open().put("openai", api_key(CANARY))

    modes = {path: path.stat().st_mode & 0o777 for path in bench.home.rglob("*")}

    assert modes or not bench.entry.file
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items())
