"""The file of the Rust program code-mesh: read where it lies, and moved without a loss."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codemesh.backends.base import same
from commandline import PASSPHRASE, CommandLine, tree

if TYPE_CHECKING:
    from codemesh.model import Record

FIXTURE = Path(__file__).with_name("fixtures") / "code-mesh-auth.json"


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user who ran the Rust program: its folder that others may enter, and its file."""
    cli.write(cli.plaintext, FIXTURE.read_bytes())
    cli.folder.chmod(0o755)
    return cli


def records() -> dict[str, Record]:
    credentials = json.loads(FIXTURE.read_bytes())["credentials"]
    assert isinstance(credentials, dict)
    return credentials


def rest(path: Path) -> dict[str, object]:
    return {
        key: value for key, value in json.loads(path.read_bytes()).items() if key != "credentials"
    }


def test_the_fixture_is_as_the_rust_program_writes_it() -> None:
    """The file is indented by two, has explicit nulls, and does not end with a newline."""
    raw = FIXTURE.read_bytes()

    text = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)

    assert raw == text.encode()
    assert b'"refresh_token": null' in raw


def test_it_is_listed_where_it_lies(cli: CommandLine) -> None:
    """Without a config.toml the file is the store, every entry is listed, nothing is written."""
    before = tree(cli.folder)

    listed = cli.good("auth", "list")

    assert "Storage: ~/.code-mesh/auth.json (plaintext)" in listed
    assert "github-copilot       GitHub Copilot  Authenticated (OAuth)" in listed
    assert "token-card                           Not understood" in listed
    assert tree(cli.folder) == before


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("anthropic", "sk-ant-example-0001"),
        ("github", "gho_example-access"),
        ("github-copilot", "gho_example-access"),
        ("google", "ya29.example-access"),
        ("local", "local-example"),
    ],
)
def test_its_secrets_are_printed(cli: CommandLine, name: str, secret: str) -> None:
    """`auth token` prints the secret of each kind of record, and of either name of GitHub."""
    assert cli.good("auth", "token", name) == f"{secret}\n"


def test_the_first_write_keeps_all_and_closes_the_folder(cli: CommandLine) -> None:
    """A login keeps every other record and key as it was, and sets the folder to 0700."""
    cli.good("auth", "login", "azure-eu", "--with-key", stdin="new-key\n")

    kept = cli.records()
    del kept["azure-eu"]
    assert same(kept, records())
    assert same(rest(cli.plaintext), rest(FIXTURE))
    assert stat.S_IMODE(cli.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(cli.plaintext.stat().st_mode) == 0o600


def test_it_survives_the_way_into_the_vault_and_back(cli: CommandLine) -> None:
    """Every record comes back equal to the last field and JSON type, unknown ones too."""
    cli.good("migrate", "encrypted")

    assert json.loads(cli.plaintext.read_bytes())["credentials"] == {}
    assert same(rest(cli.plaintext), rest(FIXTURE))
    sealed = cli.vault.read_bytes()
    assert not any(word in sealed for word in (b"sk-ant", b"gho_", b"openai", b"token-card"))

    cli.good("migrate", "plaintext")

    assert same(cli.records(), records())
    assert same(rest(cli.plaintext), rest(FIXTURE))
    assert not cli.vault.exists()


def test_a_record_in_the_vault_is_as_it_was(cli: CommandLine) -> None:
    """`auth show --reveal --json` gives the same record before and after the move."""
    names = ("openai", "local", "token-card")
    before = [cli.run("auth", "show", name, "--reveal", "--json").json() for name in names]
    cli.good("migrate", "encrypted")

    moved = [
        cli.run("auth", "show", name, "--reveal", "--json", passphrase=PASSPHRASE).json()
        for name in names
    ]

    assert same(moved, before)
    assert moved[0]["record"] == records()["openai"]
