"""The ways in: two commands and `python -m codemesh`, from whatever folder they are run."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import codemesh

SUFFIX = ".exe" if os.name == "nt" else ""
SCRIPTS = Path(sysconfig.get_path("scripts"))
COMMANDS = {
    "codemesh": [str(SCRIPTS / f"codemesh{SUFFIX}")],
    "code-mesh": [str(SCRIPTS / f"code-mesh{SUFFIX}")],
    "python -m": [sys.executable, "-m", "codemesh"],
}
HOSTILE = (
    "__future__",
    "argon2",
    "cryptography",
    "json",
    "keyring",
    "resource",
    "tomlkit",
    "tomllib",
    "typer",
    "typing",
)
KEY = "sk-made-up"


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> list[str]:
    """One way to start codemesh."""
    return COMMANDS[request.param]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder whose modules are named like those that codemesh imports, and tell on it."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in HOSTILE:
        (folder / f"{name}.py").write_text(f"open({name + '.imported'!r}, 'w').close()\n")
    return folder


@pytest.fixture(params=["none", "leading", "trailing", "dot"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """An environment whose PYTHONPATH may, by accident, name the current directory."""
    paths = {
        "leading": os.pathsep + str(tmp_path),
        "trailing": str(tmp_path) + os.pathsep,
        "dot": ".",
    }
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    environ["CODEMESH_HOME"] = str(tmp_path / "home")
    if request.param in paths:
        environ["PYTHONPATH"] = paths[request.param]
    return environ


def run(
    command: list[str], cwd: Path, environ: dict[str, str], text: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, cwd=cwd, env=environ, input=text, capture_output=True, text=True
    )


def test_every_way_in_prints_the_version_alone(command: list[str], tmp_path: Path) -> None:
    """`--version` is one line for scripts to read."""
    done = run([*command, "--version"], tmp_path, dict(os.environ))

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{codemesh.__version__}\n", "")


def test_nothing_is_imported_from_the_current_directory(
    command: list[str], hostile: Path, environment: dict[str, str]
) -> None:
    """A folder that was cloned or unpacked cannot run code in codemesh by a file's name."""
    sealed = environment | {"CODEMESH_PASSPHRASE": "made up for the tests"}

    login = run([*command, "auth", "login", "openai", "--with-key"], hostile, environment, KEY)
    token = run([*command, "auth", "token", "openai"], hostile, environment)
    migrate = run([*command, "migrate", "encrypted"], hostile, sealed)

    assert [done.returncode for done in (login, token, migrate)] == [0, 0, 0]
    assert token.stdout == f"{KEY}\n"
    assert [path.name for path in hostile.iterdir() if path.suffix != ".py"] == []


def test_a_removed_current_directory_is_no_obstacle(command: list[str], tmp_path: Path) -> None:
    """It starts where the shell stands in a folder that is gone."""
    if os.name == "nt":
        pytest.skip("Windows does not remove a folder that somebody stands in")
    gone = tmp_path / "gone"
    gone.mkdir()
    leave = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"

    done = run([sys.executable, "-c", leave, *command, "--version"], gone, dict(os.environ))

    assert (done.returncode, done.stdout) == (0, f"{codemesh.__version__}\n")


def test_the_folders_that_hold_python_and_codemesh_stay_on_the_path(command: list[str]) -> None:
    """Standing where the standard library or codemesh itself lies breaks nothing."""
    for module in (os, codemesh):
        assert module.__file__ is not None
        folder = Path(module.__file__).parent
        folder = folder if module is os else folder.parent

        done = run([*command, "auth", "--help"], folder, dict(os.environ))

        assert (done.returncode, done.stderr) == (0, "")
