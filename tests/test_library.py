"""The package as a library: its public names, their types, and what importing costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import codemesh

README = Path(__file__).parent.parent / "README.md"
EXAMPLE = README.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]

TYPED = """\
import codemesh


def kinds(store: codemesh.Store) -> dict[str, codemesh.Credential]:
    return {name: store.get(name) for name in store.names()}


def label(credential: codemesh.Credential) -> str | None:
    if isinstance(credential, codemesh.OAuth):
        return "oauth"
    if isinstance(credential, codemesh.ApiKey | codemesh.Custom):
        return credential.label
    return None


view: codemesh.Credential = codemesh.parse_record({"type": "custom", "data": {}})
version: str = codemesh.__version__
text: str = codemesh.Secret("x").reveal()
opened: codemesh.Store = codemesh.open_store("/nowhere", prompt=None, environ={})
moment: int | None = view.expires_at
print(kinds(opened), label(view), version, text, moment)
"""

UNTYPED = """\
import codemesh

number: int = codemesh.Secret("x").reveal()
codemesh.open_store().put("openai", "not a credential")
codemesh.no_such_name
"""


def python(code: str) -> str:
    """What this code prints in a process of its own."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout


def mypy(path: Path, code: str) -> str:
    """What mypy says of this code in strict mode."""
    path.joinpath("program.py").write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "program.py"]
    run = subprocess.run(
        [*command, f"--cache-dir={path}/cache", "--no-color-output"],
        cwd=path,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout


def test_example() -> None:
    """The example of the README has a dozen lines at most, runs as it stands, shows no secret."""
    assert len(EXAMPLE.strip().splitlines()) <= 12

    assert python(EXAMPLE) == "openai ApiKey(label='laptop', expires_at=None)\n"


def test_public_names() -> None:
    """Every public name is there, and comes from the module that defines it."""
    for name in codemesh.__all__:
        value = getattr(codemesh, name)
        assert name == "__version__" or value.__module__.startswith("codemesh.")
        assert getattr(codemesh, name) is value


def test_star_import() -> None:
    """A star import brings every public name and nothing else."""
    names = eval(python("before = {*dir()}; from codemesh import *; print({*dir()} - before)"))  # noqa: S307

    assert names - {"before"} == set(codemesh.__all__) - {"before"}


def test_unknown_name() -> None:
    """A name that is not there is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = codemesh.no_such_name  # type: ignore[attr-defined]


def test_import_is_free() -> None:
    """Importing the package imports nothing but itself, and the few lines of `__future__`."""
    code = "import sys; before = {*sys.modules}; import codemesh; print({*sys.modules} - before)"

    assert eval(python(code)) - {"__future__"} == {"codemesh"}  # noqa: S307


@pytest.mark.parametrize(
    "module", ["typer", "click", "rich", "pydantic", "keyring", "tomlkit", "argon2"]
)
def test_reading_imports_little(module: str) -> None:
    """Reading from a plaintext store imports no library that only others need."""
    code = (
        "import sys, codemesh; codemesh.open_store().names(); "
        f"print({module!r} in sys.modules, 'cryptography' in sys.modules)"
    )

    assert python(code) == "False False\n"


def test_library_is_typed(tmp_path: Path) -> None:
    """A program that imports only the package passes a strict type check, and mistakes do not."""
    assert "Success" in mypy(tmp_path, EXAMPLE + TYPED.removeprefix("import codemesh\n"))

    found = mypy(tmp_path, UNTYPED)

    assert "Incompatible types" in found
    assert 'Argument 2 to "put"' in found
    assert "no_such_name" in found


def test_library_never_asks() -> None:
    """A store that needs a passphrase is locked for a program that hands no prompt in."""
    code = (
        "import codemesh, os; home = os.environ['CODEMESH_HOME']; os.makedirs(home, 0o700)\n"
        "open(home + '/config.toml', 'w').write('backend = \"encrypted\"')\n"
        "try: codemesh.open_store().put('a', codemesh.ApiKey.new('k'))\n"
        "except codemesh.CodemeshError as error: print(error.exit_code)"
    )

    assert python(code) == "4\n"
