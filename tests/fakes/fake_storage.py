"""JSON files that processes share: what the fake keychains keep, and what the faults count.

The file that CODEMESH_FAKE_KEYCHAIN names has what both keychains keep:

    {"windows": {TARGET IN CAPITALS: {"TargetName": …, "CredentialBlob": hexadecimal, …}},
     "macos": {SERVICE: {ACCOUNT: hexadecimal}}}
"""
# ruff: noqa: INP001 - this folder is put on the path; it is no package

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "CODEMESH_FAKE_KEYCHAIN"


def keychain() -> str:
    """The path of the file that both keychains are kept in."""
    return os.environ[VARIABLE]


def read(path: str) -> dict[str, Any]:
    """The content of a file; empty if there is none."""
    try:
        with open(path, encoding="ascii") as file:
            content: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return {}
    return content


@contextmanager
def changing(path: str) -> Iterator[dict[str, Any]]:
    """The content of a file, which is written back at the end unless an error ends it.

    One change happens at a time. Whoever reads sees the file before it or after it, also
    when the process that makes it is killed.
    """
    with open(f"{path}.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = read(path)
        yield content
        # The lock makes one name enough, so that kills do not pile up files.
        with open(f"{path}.tmp", "w", encoding="ascii") as file:
            json.dump(content, file, indent=1)
        os.replace(f"{path}.tmp", path)
