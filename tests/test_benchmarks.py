"""The benchmark runs, checks what it times, and prints what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codemesh.backends import registry

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "read_one.py"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the benchmark needs POSIX descriptors")


def run(*arguments: str) -> str:
    command = [sys.executable, str(SCRIPT), "--rounds", "1", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.usefixtures("gnome")
def test_every_backend_that_lasts_is_measured() -> None:
    """The backend table feeds the benchmark, and each figure has its quartiles and aim."""
    document = json.loads(run("--json"))

    figures = {figure["name"]: figure for figure in document["results"]}
    assert (document["schema"], document["rounds"]) == (1, 1)
    assert figures["python -c pass"]["ratio"] == 1.0
    assert figures["codemesh auth token (plaintext)"]["aim"] == 3.0
    assert figures["codemesh auth token (keychain)"]["aim"] == 4.5
    assert figures["codemesh auth token (encrypted)"]["aim_over"] == "Argon2id alone"
    assert figures["codemesh auth token (encrypted, unlocked)"]["aim"] == 4.5
    for entry in registry.lasting():
        assert f"codemesh auth token ({entry.name})" in figures
    for figure in figures.values():
        assert figure["median_ms"] > 0
        assert len(figure["quartiles_ms"]) == 2


def test_the_table_shows_the_aims() -> None:
    """What people see is Markdown with one row a command."""
    lines = run().splitlines()

    rows = [line for line in lines if line.startswith("| ")]
    assert "byte-compiled" in lines[0]
    assert len({row.count("|") for row in rows}) == 1
    assert any("1.25 over Argon2id alone" in row for row in rows)
