"""The documentation names what there is, all of it, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer.core
import typer.main

from chatserver import ANTHROPIC, ChatServer, Reply
from codemesh import config, diagnosis, errors, sessions
from codemesh.backends import registry
from codemesh.cli import app
from codemesh.cli.session import Session
from homes import write_config, write_plaintext

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codemesh.model import Record

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "tests" / "vectors" / "v1" / "README.md"]
)
WITHOUT_CLASS = {0, 10, 130}  # done, kept for later, interrupted
HELP = {"-h", "--help"}


def text_of(page: str) -> str:
    """The text of one page of docs."""
    return (DOCS / page).read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """The text below each heading of the second level."""
    _, *parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def cells(text: str) -> list[list[str]]:
    """The rows of the tables in a text, without their headings."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def code(text: str) -> set[str]:
    """What stands between backticks."""
    return set(re.findall(r"`([^`]+)`", text))


# -- exit codes --------------------------------------------------------------------------


def classes() -> dict[str, int]:
    """Every error class, and its exit code."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return {
        kind.__name__: kind.exit_code for kind in kinds if issubclass(kind, errors.CodemeshError)
    }


def test_error_classes() -> None:
    """exit-codes.md lists every error class with its code, and no other."""
    rows = cells(sections(text_of("exit-codes.md"))["Error classes"])

    listed = {name.strip("`"): int(number) for name, number, _ in rows if number.isdecimal()}

    assert listed == classes()


def test_exit_codes() -> None:
    """exit-codes.md gives a meaning to every code, and to no other."""
    head = text_of("exit-codes.md").partition("## ")[0]

    listed = {int(row[0]) for row in cells(head) if row[0].isdecimal()}

    assert listed == set(classes().values()) | WITHOUT_CLASS


# -- configuration -----------------------------------------------------------------------


def keys() -> set[str]:
    """Every key that config.toml may have, with its variable parts in capitals."""
    options = registry.option_checks()
    lasting = {entry.name for entry in registry.lasting()}
    return {
        *config._TOP,
        *(f"{table}.{key}" for table, checks in config._TABLES.items() for key in checks),
        *(f"providers.NAME.{key}" for key in config._PROVIDER),
        *(f"providers.NAME.oauth.{key}" for key in config._OAUTH),
        *(f"backends.{name}.{key}" for name in lasting for key in options[name]),
        "accounts.PROVIDER",
    }


def test_configuration_keys() -> None:
    """configuration.md lists every key of config.toml, and no other."""
    rows = cells(sections(text_of("configuration.md"))["Keys"])

    listed = {row[0].strip("`") for row in rows if row[0].startswith("`")}

    assert listed == keys()


def test_keys_without_effect() -> None:
    """Every key has an effect, so configuration.md calls none without one."""
    assert "no effect yet" not in text_of("configuration.md").lower()


@pytest.mark.parametrize("entry", registry.lasting(), ids=lambda entry: entry.name)
def test_backends(entry: registry.Entry) -> None:
    """configuration.md names every store that may be chosen, and its file."""
    parts = sections(text_of("configuration.md"))
    (row,) = [row for row in cells(parts["Keys"]) if row[0] == "`backend`"]

    assert entry.name in code(row[-1])
    assert not entry.file or entry.file in code(parts["Files in the home folder"])


def test_environment() -> None:
    """configuration.md names every variable of codemesh's own that the source knows."""
    source = "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    known = set(re.findall(r"\b(CODEMESH_(?!COMPLETE)[A-Z_]+)", source)) | {"NO_COLOR"}

    rows = cells(sections(text_of("configuration.md"))["Environment variables"])

    assert {row[0].strip("`") for row in rows if row[0].startswith("`")} == known


# -- commands ----------------------------------------------------------------------------


def commands() -> dict[str, set[str]]:
    """Every command that help lists, and its options but that for help."""
    found: dict[str, set[str]] = {}

    def walk(command: object, name: str) -> None:
        if isinstance(command, typer.core.TyperGroup):
            for word, below in command.commands.items():
                if not getattr(below, "hidden", False):
                    walk(below, f"{name} {word}".strip())
            if name:
                return
        params = getattr(command, "params", [])
        options = {option for param in params for option in param.opts if option.startswith("-")}
        found[name or "codemesh"] = options - HELP

    walk(typer.main.get_command(app.app), "")
    return found


def test_commands() -> None:
    """commands.md has a section for every command, and for no other."""
    assert set(sections(text_of("commands.md"))) - {"Names"} == set(commands())


@pytest.mark.parametrize("command", commands())
def test_options(command: str) -> None:
    """The section of a command lists all of its options, and no other."""
    section = sections(text_of("commands.md"))[command]

    listed = {
        word.split()[0]
        for row in cells(section)
        for word in code(row[0])
        if word.startswith("-") and word not in HELP
    }

    assert listed == commands()[command]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mentioned_commands(page: Path) -> None:
    """A page that mentions a command or a long option of codemesh mentions one that exists."""
    text = page.read_text(encoding="utf-8")
    lines = [line for line in re.findall(r"codemesh (.*)", text) if re.match(r"[a-z-]+ ?", line)]
    known = set(commands()) | {"auth status"}
    groups = {name.split()[0] for name in known if " " in name}

    named = {word for group in groups for word in re.findall(rf"codemesh ({group} \w+)", text)}
    options = {option for line in lines for option in re.findall(r"(?<![\w-])--[a-z-]+", line)}

    assert named <= known
    assert options <= HELP.union(*commands().values())


def shape(value: object) -> object:
    """The keys of a JSON value at every level; of a list, those of its first item."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return None


def documented(section: str) -> object:
    """The shape of the last JSON document that a section of commands.md shows."""
    blocks = re.findall(r"```json\n(.*?)```", sections(text_of("commands.md"))[section], re.DOTALL)
    return shape(json.loads(blocks[-1]))


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize(
    ("section", "arguments"),
    [
        ("auth list", ["auth", "list", "--json"]),
        ("auth show", ["auth", "show", "openai", "--json", "--reveal"]),
        ("backend list", ["backend", "list", "--json"]),
        ("migrate", ["migrate", "encrypted", "--json"]),
        ("doctor", ["doctor", "--json"]),
        ("providers", ["providers", "--json"]),
        ("sessions list", ["sessions", "list", "--json"]),
        ("sessions show", ["sessions", "show", "20", "--json"]),
    ],
)
def test_json_shapes(
    section: str,
    arguments: list[str],
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A JSON document has the keys that commands.md shows."""
    record: Record = {"type": "api_key", "key": "made up", "label": "x", "created_at": 1}
    store = write_plaintext(home, {"openai": record})
    if section == "doctor":
        store.chmod(0o644)
    if section.startswith("sessions"):
        talk = sessions.begun("openai", "made-up", now=1_795_486_712)
        turns = [sessions.Turn("user", "made up")]
        sessions.save(str(home), sessions.continued(talk, turns))

    app.run(arguments, Session({"CODEMESH_PASSPHRASE": "made up for the tests"}))

    assert shape(json.loads(capsys.readouterr().out)) == documented(section)


def test_json_shape_of_run(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `run --json` prints has the keys that commands.md shows."""
    monkeypatch.setattr("sys.stdin", None)
    with ChatServer([Reply((ANTHROPIC,))]) as server:
        write_config(home, f'[providers.anthropic]\nbase_url = "{server.url}"\n')

        app.run(["run", "--json", "hello"], Session({"ANTHROPIC_API_KEY": "made up"}))

    assert shape(json.loads(capsys.readouterr().out)) == documented("run")


def test_checks_of_doctor() -> None:
    """commands.md lists every word that a finding of doctor may carry."""
    source = Path(diagnosis.__file__).read_text(encoding="utf-8")
    (sentence,) = re.findall(
        r"`check` is (.*?)\. `ok`", sections(text_of("commands.md"))["doctor"], re.DOTALL
    )

    assert code(sentence) == set(re.findall(r"Finding\(\s*\"(\w+)\"", source))


# -- links -------------------------------------------------------------------------------


def anchors(text: str) -> Iterable[str]:
    """The anchors that the headings of a page make."""
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    """Every relative link leads to a file of the project, and to a heading that it has."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)

    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_decisions() -> None:
    """The index of decisions has every record, in order and without a gap."""
    records = sorted(path.name for path in (DOCS / "decisions").glob("0*.md"))

    indexed = re.findall(r"\]\((0[^)]+)\)", text_of("decisions/README.md"))

    assert indexed == records
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
