"""`codemesh auth list` and `backend list`: what people see, and what programs read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from commandline import PASSPHRASE, CommandLine, assert_refused

if TYPE_CHECKING:
    from pathlib import Path

SCREEN = """\
🔑 Authentication Status

anthropic            Claude          ✅ Authenticated (API Key)
openai               OpenAI          ❌ Not authenticated
github               GitHub Copilot  ❌ Not authenticated
google               Gemini          ❌ Not authenticated
azure                Azure OpenAI    ❌ Not authenticated
local                Local server    ❌ Not authenticated

📁 Storage: ~/.code-mesh/auth.json (plaintext)
"""
HOSTILE = "evil\x1b]0;title\x07\x9b31m\u202egnp.exe\u2066\u200b\nnext\rline\u2028end"


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user with one credential in the plaintext store."""
    cli.keep({"anthropic": {"type": "apikey", "key": "sk-1"}})
    return cli


def line(text: str, name: str) -> str:
    """The one line of the list that starts with this name."""
    (found,) = [line for line in text.splitlines() if line.split()[:1] == [name]]
    return " ".join(found.split())


@pytest.mark.parametrize("command", ["list", "status"])
def test_the_terminal_shows_every_provider(cli: CommandLine, command: str) -> None:
    """At a terminal the list has its title, its marks and the store, to the last space."""
    with cli.at_terminal("auth", command) as terminal:
        outcome = terminal.end()

    assert outcome == (0, SCREEN, "")


def test_no_color_wants_plain_text(cli: CommandLine) -> None:
    """With NO_COLOR there are no emoji at a terminal either; an empty one counts as none."""
    for value, expected in (("1", False), ("", True)):
        with cli.at_terminal("auth", "list", environ={"NO_COLOR": value}) as terminal:
            outcome = terminal.end()

        assert outcome.status == 0
        assert ("🔑" in outcome.stdout) == expected
        assert "\x1b" not in outcome.stdout


def test_a_pipe_gets_plain_text(cli: CommandLine) -> None:
    """In a pipe the list is ASCII, with the same columns."""
    listed = cli.good("auth", "list")

    assert listed.isascii()
    assert listed.splitlines()[0] == "Authentication Status"
    assert "anthropic            Claude          Authenticated (API Key)\n" in listed
    assert "openai               OpenAI          Not authenticated\n" in listed
    assert listed.endswith("\n\nStorage: ~/.code-mesh/auth.json (plaintext)\n")


def test_accounts_ends_and_labels_have_their_columns(cli: CommandLine) -> None:
    """Beside the status stand the account, when it ends, where it comes from and its label."""
    now = int(time.time())
    cli.keep(
        {
            "openai": {"type": "api_key", "key": "k", "label": "the first"},
            "openai/work": {"type": "api_key", "key": "k"},
            "google": {"type": "oauth", "access_token": "t", "expires_at": now + 3600 + 30},
            "azure": {"type": "custom", "data": {}, "expires_at": now + 5 * 86_400 + 60},
            "local": {"type": "oauth", "access_token": "t", "expires_at": 1_577_836_800},
            "mine": {"type": "oauth", "access_token": "t", "expires_at": 4_073_500_800},
            "endless": {"type": "api_key", "key": "k", "expires_at": 2**63},
            "odd": {"type": "api_key", "key": "k", "expires_at": "soon"},
        }
    )

    listed = cli.run("auth", "list", environ={"ANTHROPIC_API_KEY": "sk-env"}).stdout

    assert line(listed, "anthropic").endswith("Authenticated (API Key) from ANTHROPIC_API_KEY")
    assert line(listed, "openai").endswith('Authenticated (API Key) "the first"')
    assert line(listed, "openai/work").endswith("Authenticated (API Key) account work")
    assert line(listed, "google").endswith("Authenticated (OAuth) expires in 60 minutes")
    assert line(listed, "azure").endswith("(in 5 days)")
    assert line(listed, "local").endswith("Expired (OAuth) since 2020-01-01")
    assert line(listed, "mine").endswith("Authenticated (OAuth) expires 2099-01-31")
    assert line(listed, "endless").endswith("expires in a far future")
    assert line(listed, "odd").endswith("odd Not understood")
    assert "sk-env" not in listed


def test_a_key_of_the_environment_stands_beside_the_stored_one(cli: CommandLine) -> None:
    """Both are listed, and JSON tells the source and the variable apart."""
    outcome = cli.run("auth", "list", "--json", environ={"ANTHROPIC_API_KEY": "sk-env"})

    credentials = outcome.json()["credentials"]
    assert isinstance(credentials, list)
    found = [
        (item["source"], item["variable"]) for item in credentials if item["name"] == "anthropic"
    ]
    assert found == [("store", None), ("environment", "ANTHROPIC_API_KEY")]
    assert "sk-" not in outcome.stdout


def test_the_list_in_json_has_every_fact(cli: CommandLine) -> None:
    """JSON has the store and, for each provider and entry, the same facts as the text."""
    cli.keep({"openai/work": {"type": "api_key", "key": "k", "label": "x", "expires_at": 1}})

    document = cli.run("auth", "status", "--json").json()

    assert document["store"] == {
        "backend": "plaintext",
        "where": str(cli.plaintext),
        "encrypted": False,
        "exists": True,
    }
    credentials = document["credentials"]
    assert isinstance(credentials, list)
    assert [item["name"] for item in credentials] == [
        *("anthropic", "openai/work", "github", "google", "azure", "local")
    ]
    assert credentials[1] == {
        "name": "openai/work",
        "provider": "openai",
        "account": "work",
        "status": "expired",
        "kind": "api_key",
        "expires_at": 1,
        "label": "x",
        "source": "store",
        "variable": None,
    }


def test_hostile_text_cannot_reach_the_terminal(cli: CommandLine) -> None:
    """Names, labels, field names and values lose what a terminal would act on."""
    cli.keep(
        {
            HOSTILE: {"type": "api_key", "key": "k", "label": HOSTILE},
            "mine": {"type": "custom", "data": {HOSTILE: HOSTILE}, HOSTILE: HOSTILE},
            "odd": {"type": HOSTILE},
        }
    )
    printed = [
        cli.good("auth", "list"),
        cli.good("auth", "list", "--json"),
        cli.good("auth", "show", "mine", "--reveal"),
        cli.good("auth", "show", "odd"),
        cli.run("auth", "token", "mine").stderr,
        cli.run("migrate", "encrypted", "--dry-run").stdout,
    ]

    for text in printed:
        assert all(char.isprintable() or char == "\n" for char in text)
        assert not any(row.startswith(("next", "line", "end")) for row in text.splitlines())


def test_an_empty_home_lists_every_provider(tmp_path: Path) -> None:
    """Without a store everything is not authenticated, and nothing is made."""
    cli = CommandLine(tmp_path)

    listed = cli.good("auth", "list")

    assert listed.count("Not authenticated") == 6
    assert "auth.json (plaintext, not there yet)" in listed
    assert not cli.folder.exists()


def test_a_sealed_store_is_listed_with_its_passphrase(cli: CommandLine) -> None:
    """The list of an encrypted store needs its passphrase, and says that it is encrypted."""
    cli.seal({"openai": {"type": "api_key", "key": "k"}})

    without = cli.run("auth", "list")
    document = cli.run("auth", "list", "--json", passphrase=PASSPHRASE).json()

    assert_refused(without, 4, "--passphrase-fd")
    assert document["store"] == {
        "backend": "encrypted",
        "where": str(cli.vault),
        "encrypted": True,
        "exists": True,
    }


# -- backends --------------------------------------------------------------------------


def test_the_backends_are_listed(cli: CommandLine) -> None:
    """Every kind of store is shown, the one in use marked, and nothing is asked for."""
    cli.seal({})
    cli.choose("plaintext")

    listed = cli.run("backend", "list").stdout.splitlines()

    marked = ["* plaintext  ", "  encrypted  ", "  keychain   "]
    assert [row[:13] for row in listed[::2]] == marked
    assert listed[1].strip() == "1 credential: ~/.code-mesh/auth.json"
    assert listed[3].strip() == "locked: ~/.code-mesh/auth.vault.json"
    assert listed[5].strip() == "no keychain is available: there is no session bus"


def test_the_backends_in_json_say_what_is_known(cli: CommandLine) -> None:
    """JSON tells for each store whether it is there, locked, encrypted and in use."""
    backends = cli.run("backend", "list", "--json").json()["backends"]

    assert isinstance(backends, list)
    facts = ("name", "in_use", "available", "exists", "encrypted", "locked", "entries")
    assert [tuple(backend[fact] for fact in facts) for backend in backends] == [
        ("plaintext", True, True, True, False, False, 1),
        ("encrypted", False, True, False, True, False, 0),
        ("keychain", False, False, None, None, None, None),
    ]


def test_a_backend_that_is_damaged_does_not_hide_the_other(cli: CommandLine) -> None:
    """What is wrong with one store is said in its line, and the list still succeeds."""
    cli.write(cli.vault, "rubbish")
    cli.choose("plaintext")

    outcome = cli.run("backend", "list")

    assert outcome.status == 0
    assert "1 credential" in outcome.stdout
    assert f"{cli.vault}: " in outcome.stdout


def test_another_backend_is_used_from_now_on(cli: CommandLine) -> None:
    """`backend use` switches, moves nothing, and says how the rest can follow."""
    outcome = cli.run("backend", "use", "encrypted")

    assert (outcome.status, outcome.stdout) == (0, "")
    assert "codemesh migrate encrypted --from plaintext" in outcome.stderr
    assert cli.config.read_text() == 'backend = "encrypted"\n'
    assert set(cli.records()) == {"anthropic"}


@pytest.mark.parametrize("name", ["sqlite", "memory", "", "../x", "plaintext "])
def test_an_unknown_backend_is_refused(cli: CommandLine, name: str) -> None:
    """A name that is no lasting backend ends with 2, and nothing is written."""
    words = "for tests" if name == "memory" else "plaintext, encrypted"

    assert_refused(cli.run("backend", "use", name), 2, words)

    assert not cli.config.exists()
