"""What the wheel and the source archive hold."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import codemesh

if TYPE_CHECKING:
    from email.message import Message

ROOT = Path(__file__).parent.parent
STEM = f"codemesh-{codemesh.__version__}"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a source archive, and of the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def wheel(dist: Path) -> zipfile.Path:
    """The inside of the wheel."""
    return zipfile.Path(dist / f"{STEM}-py3-none-any.whl")


@pytest.fixture
def metadata(wheel: zipfile.Path) -> Message:
    """What the wheel says about itself."""
    return HeaderParser().parsestr((wheel / f"{STEM}.dist-info" / "METADATA").read_text("utf-8"))


def test_wheel_holds_every_module_and_nothing_else(wheel: zipfile.Path) -> None:
    """The package is complete, says that it is typed, and brings no tests along."""
    sources = (
        path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".typed", ".txt"}
    )
    expected = {path.relative_to(ROOT / "src").as_posix() for path in sources}

    names = [info.filename for info in wheel.root.infolist() if not info.is_dir()]
    packed = {name for name in names if not name.startswith(f"{STEM}.dist-info/")}

    assert packed == expected
    assert "codemesh/py.typed" in packed


def test_wheel_installs_both_commands(wheel: zipfile.Path) -> None:
    """`codemesh` and `code-mesh` are one program."""
    parser = ConfigParser()

    parser.read_string((wheel / f"{STEM}.dist-info" / "entry_points.txt").read_text("utf-8"))

    commands = dict(parser["console_scripts"])
    assert commands.keys() == {"codemesh", "code-mesh"}
    assert len(set(commands.values())) == 1


def test_metadata_is_complete(metadata: Message) -> None:
    """A package index can show what it is, for whom, and under which licence."""
    assert metadata["Name"] == "codemesh"
    assert metadata["Version"] == codemesh.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT AND CC-BY-3.0-US"
    assert metadata.get_all("License-File") == [
        "LICENSE",
        "src/codemesh/unlock/eff_large_wordlist.LICENSE.txt",
    ]
    assert metadata["Description-Content-Type"] == "text/markdown"
    for field in ("Summary", "Author", "Keywords"):
        assert metadata[field], field
    assert "Typing :: Typed" in (metadata.get_all("Classifier") or [])


def test_wheel_needs_nothing_to_work_on_codemesh(metadata: Message) -> None:
    """Development tools are in a dependency group, so no user gets them."""
    needed = " ".join(metadata.get_all("Requires-Dist") or [])

    assert "typer" in needed
    assert "pytest" not in needed
    assert "hatchling" not in needed


def test_source_archive_can_test_itself(dist: Path) -> None:
    """It holds what `make test` needs, and no traces of the machine that it was made on."""
    with tarfile.open(dist / f"{STEM}.tar.gz") as archive:
        names = {name.removeprefix(f"{STEM}/") for name in archive.getnames()}

    assert {"Makefile", "LICENSE", "README.md", "pyproject.toml", "scripts/try"} <= names
    assert "tests/test_packaging.py" in names
    assert "benchmarks/read_one.py" in names
    stray = (".venv", ".git/", "__pycache__", "_cache", ".hypothesis", "dist/", ".pyc")
    assert [name for name in names if any(part in name for part in stray)] == []
