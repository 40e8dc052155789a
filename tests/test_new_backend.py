"""A new backend is one file and one line: everything generic follows the table by itself."""

from __future__ import annotations

import inspect
import json
import sys
from typing import TYPE_CHECKING

import pytest

import test_backend_contract
import test_backend_contract_batches
import test_backend_contract_damage
import test_backend_contract_secrets
from codemesh import ApiKey, cli, migration, open_store
from codemesh.backends import registry
from codemesh.backends.base import same
from codemesh.backends.registry import Entry
from codemesh.checks import text
from codemesh.errors import BackendUnavailableError, ConfigError
from homes import write_config
from support import Bench, api_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from codemesh.backends.base import Backend
    from codemesh.model import Record

# The one file.
SOURCE = '''
"""A store that keeps every byte of its document turned around."""

from codemesh.backends import _document
from codemesh.backends._files import StoreFile
from codemesh.backends._whole import WholeDocumentBackend
from codemesh.backends.base import Status


class MirrorBackend(WholeDocumentBackend):
    name = "mirror"

    def __init__(self, context):
        super().__init__(context)
        self._file = StoreFile(context, "auth.mirror")

    def status(self):
        records, rest = self._load()
        return Status(self._file.path, False, rest is not None, False, len(records))

    def _lock(self):
        return self._file.lock()

    def _load(self):
        raw = self._file.read()
        return ({}, None) if raw is None else _document.decode(raw[::-1])

    def _save(self, records, rest):
        self._file.replace(_document.encode(_document.Document(records, rest or {}))[::-1])

    def _delete(self):
        self._file.remove()
'''

# The one line.
ENTRY = Entry(
    "mirror",
    "mirror_backend:MirrorBackend",
    "a file turned around",
    "",
    {"path": text},
    "auth.mirror",
)

CONTRACT = {
    f"{module.__name__.removeprefix('test_backend_contract')}:{name}": test
    for module in (
        test_backend_contract,
        test_backend_contract_batches,
        test_backend_contract_damage,
        test_backend_contract_secrets,
    )
    for name, test in inspect.getmembers(module, inspect.isfunction)
    if name.startswith("test_")
    and [*inspect.signature(test).parameters] in (["bench"], ["document"])
}
BEYOND = {  # what this small backend leaves to the defaults of the contract
    "test_restart_twice_keeps_both",
    "test_sealed_store_has_no_plain_bytes",
    "test_salvage_of_a_sound_store",
}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Entry]:
    """A table with one line more, and the file that it names."""
    (tmp_path / "mirror_backend.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "TABLE", (*registry.TABLE, ENTRY))
    yield ENTRY
    sys.modules.pop("mirror_backend", None)


@pytest.mark.parametrize("name", [name for name in CONTRACT if name.split(":")[1] not in BEYOND])
def test_contract_runs_on_it(name: str, mirror: Entry, home: Path) -> None:
    """The tests of the contract run on the new backend as they stand."""
    CONTRACT[name](Bench(mirror, home))


def test_enough_of_the_contract_runs() -> None:
    """The main operations are among the tests that run on a new backend."""
    assert len(CONTRACT) - len(BEYOND) >= 30
    assert {name.split(":")[1] for name in CONTRACT} >= BEYOND


def test_listing_imports_nothing(mirror: Entry) -> None:
    """The table is read without importing what it names."""
    assert mirror in registry.lasting()
    assert registry.find("mirror") == mirror
    assert "mirror" in registry.option_checks()
    assert "mirror_backend" not in sys.modules


@pytest.mark.usefixtures("mirror")
def test_store_by_configuration(home: Path) -> None:
    """Named in config.toml, with options of its own, the new backend is the store."""
    write_config(home, 'backend = "mirror"\n[backends.mirror]\npath = "x.mirror"\n')

    open_store().put("openai", ApiKey.new("one"))

    assert open_store().token("openai").reveal() == "one"
    assert b"slaitnederc" in (home / "x.mirror").read_bytes()


@pytest.mark.usefixtures("mirror")
def test_options_are_checked(home: Path) -> None:
    """An unknown option of the new backend is an error that names the nearest one."""
    write_config(home, '[backends.mirror]\npaht = "x"\n')

    with pytest.raises(ConfigError, match="paht") as caught:
        open_store()

    assert "path" in caught.value.hint


@pytest.mark.usefixtures("mirror")
def test_file_of_it_is_found(home: Path) -> None:
    """With no config.toml the new backend's file shows that it is the store."""
    home.mkdir(mode=0o700)
    Bench(ENTRY, home).open().put("openai", api_key("one"))

    assert open_store().backend.name == "mirror"


@pytest.fixture
def quiet_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what the command line does to its process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


@pytest.mark.usefixtures("mirror", "quiet_process")
def test_command_line_knows_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`backend list`, `backend use` and `migrate` know the new backend."""
    Bench(ENTRY, home).open().put("openai", api_key("one"))

    assert cli.main(["backend", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["backends"]
    assert cli.main(["backend", "use", "mirror"]) == 0
    assert cli.main(["migrate", "plaintext"]) == 0
    assert cli.main(["auth", "token", "openai"]) == 0

    assert [backend["name"] for backend in listed][-1] == "mirror"
    assert [backend["in_use"] for backend in listed][-1]
    assert listed[-1]["entries"] == 1
    assert listed[-1]["summary"] == ENTRY.summary
    assert capsys.readouterr().out.splitlines()[-1] == "one"


@pytest.mark.usefixtures("mirror", "cheap")
def test_migration_to_and_from_it(home: Path, lasting: str) -> None:
    """Credentials move to the new backend and back, to the last type."""
    environ = {"CODEMESH_PASSPHRASE": "made up for the tests"}
    record: Record = {"type": "api_key", "key": "k", "x": [1, 1.0, True, None]}
    write_config(home, f'backend = "{lasting}"\n')
    open_store(environ=environ).backend.put("openai", record)

    migration.migrate(open_store(environ=environ), "mirror")
    moved = open_store(environ=environ)
    assert moved.backend.name == "mirror"
    assert same(moved.records(), {"openai": record})
    migration.migrate(moved, lasting)

    assert same(open_store(environ=environ).records(), {"openai": record})
    assert not (home / "auth.mirror").exists()


# -- plug-ins ----------------------------------------------------------------------------


@pytest.fixture
def plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with an installed package that brings three backends."""
    (tmp_path / "mirror_backend.py").write_text(SOURCE)
    (tmp_path / "other_backend.py").write_text("raise SystemExit('this was never asked for')\n")
    (tmp_path / "needy_backend.py").write_text("import a_library_that_is_missing\n")
    info = tmp_path / "plug_ins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-ins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[codemesh.backends]\n"
        "other = other_backend:OtherBackend\n"
        "mirror = mirror_backend:MirrorBackend\n"
        "needy = needy_backend:NeedyBackend\n"
        "plaintext = other_backend:Plaintext\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("mirror_backend", "other_backend", "needy_backend"):
        sys.modules.pop(name, None)


def configured(home: Path, name: str) -> Callable[[], Backend]:
    """The backend of a home whose config.toml names it, once it is called."""
    write_config(home, f'backend = "{name}"\n[backends.{name}]\nown = 1\n')
    return lambda: open_store().backend


@pytest.mark.usefixtures("plug_ins")
def test_only_the_plug_in_that_is_named_is_loaded(home: Path) -> None:
    """The plug-in that config.toml names is the store, and no other one is imported."""
    backend = configured(home, "mirror")()

    backend.put("openai", api_key("one"))

    assert same(open_store().records(), {"openai": api_key("one")})
    assert backend.context.options == {"own": 1}
    assert "other_backend" not in sys.modules


@pytest.mark.usefixtures("plug_ins")
def test_plug_in_takes_no_name_of_ours(home: Path) -> None:
    """A plug-in cannot put itself in the place of a backend of the table."""
    write_config(home, 'backend = "plaintext"\n')

    assert type(open_store().backend).__module__ == "codemesh.backends.plaintext"
    assert "other_backend" not in sys.modules


@pytest.mark.usefixtures("plug_ins")
def test_plug_in_without_its_library(home: Path) -> None:
    """A plug-in whose library is missing is an error that names the library."""
    with pytest.raises(BackendUnavailableError, match="a_library_that_is_missing"):
        configured(home, "needy")()


@pytest.mark.usefixtures("plug_ins")
def test_no_configuration_loads_no_plug_in() -> None:
    """Where config.toml names none, no plug-in is looked at."""
    open_store().put("openai", ApiKey.new("one"))

    assert not {"mirror_backend", "other_backend", "needy_backend"} & set(sys.modules)


@pytest.mark.usefixtures("plug_ins")
def test_unknown_name_loads_no_plug_in(home: Path) -> None:
    """A name that no plug-in has is an error, and none is imported to look for it."""
    with pytest.raises(ConfigError, match="unknown backend"):
        configured(home, "mirrors")()

    assert not {"mirror_backend", "other_backend", "needy_backend"} & set(sys.modules)


@pytest.mark.usefixtures("plug_ins")
@pytest.mark.parametrize("target", ["no_such_attribute", ""])
def test_plug_in_that_is_broken(home: Path, plug_ins: Path, target: str) -> None:
    """A plug-in that names nothing usable is an error of ours, not a crash."""
    info = next(plug_ins.glob("*.dist-info"))
    (info / "entry_points.txt").write_text(
        f"[codemesh.backends]\nbroken = mirror_backend{target and ':' + target}\n"
    )

    with pytest.raises(BackendUnavailableError):
        configured(home, "broken")()
