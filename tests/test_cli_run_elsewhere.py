"""`run` against somebody else's imitation of the providers: the npm package aimock."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from commandline import CommandLine, assert_refused
from nodes import installed, program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codemesh.model import Record

FOLDER = Path(__file__).with_name("aimock")
ANSWER = "Good morning, and Gr\u00fc\u00dfe to \u4e16\u754c."
KEY: Record = {"type": "api_key", "key": "made-up"}
PATHS = {"anthropic": "", "openai": "", "google": "/v1beta/openai", "local": "/v1"}


@pytest.fixture(scope="module")
def imitation() -> Iterator[str]:
    """The web address of the imitation, which knows three questions."""
    folder = installed(FOLDER, "answers.json")
    command = ["node_modules/.bin/llmock", "-p", "0", "-f", "answers.json", "--strict", "-c", "3"]
    process = subprocess.Popen(
        [program("node"), *command],
        cwd=folder,
        env={"PATH": os.environ.get("PATH", os.defpath), "AIMOCK_API_KEYS": "made-up"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append(line)
        if found := re.search(r"listening on (http://127\.0\.0\.1:\d+)", line):
            break
    else:
        pytest.fail("".join(told))
    yield found[1]
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def user(cli: CommandLine, imitation: str) -> CommandLine:
    """A user for whom every provider is the imitation."""
    tables = "".join(
        f'[providers.{name}]\nbase_url = "{imitation}{path}"\nmodel = "made-up-1"\n'
        for name, path in PATHS.items()
    )
    cli.keep(dict.fromkeys(PATHS, KEY))
    cli.write(cli.config, f'backend = "plaintext"\n{tables}')
    return cli


@pytest.mark.parametrize("name", PATHS)
def test_an_answer(user: CommandLine, name: str) -> None:
    """Both formats are understood as somebody else writes them."""
    outcome = user.run("run", "greet", "-m", name)

    assert (outcome.status, outcome.stdout) == (0, f"{ANSWER}\n"), outcome.stderr


@pytest.mark.parametrize("name", ["anthropic", "openai"])
def test_a_conversation(user: CommandLine, name: str) -> None:
    """What was said before goes along, and the last question is the one that is answered."""
    user.run("run", "greet", "-m", name)

    assert user.run("run", "again", "-c").stdout == "Once more.\n"


@pytest.mark.parametrize("name", ["anthropic", "openai"])
def test_a_refusal(user: CommandLine, name: str) -> None:
    """Its errors are told in its own words."""
    assert_refused(user.run("run", "fail", "-m", name), 10, "too many")


@pytest.mark.parametrize("name", ["anthropic", "openai"])
def test_a_wrong_key(user: CommandLine, name: str) -> None:
    """A key that it does not know ends with 10."""
    user.keep({name: {"type": "api_key", "key": "another"}})

    assert_refused(user.run("run", "greet", "-m", name), 10, "401")
