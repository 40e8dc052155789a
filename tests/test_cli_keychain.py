"""The command line on a keychain: what is particular to it in each command."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from commandline import CommandLine
    from desktops import GnomeKeyring


@pytest.fixture
def user(cli: CommandLine, desktop: GnomeKeyring) -> CommandLine:
    """A user whose store is a keychain with one key in it."""
    cli.environ |= desktop.environ
    cli.choose("keychain")
    cli.good("auth", "login", "openai", "--with-key", stdin="sk-1")
    return cli


def secret_tool(cli: CommandLine, *arguments: str, stdin: str = "") -> str:
    """Run secret-tool on the same keychain; what it prints."""
    done = subprocess.run(
        ["secret-tool", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=cli.environ,
        check=False,
    )
    return done.stdout


def test_another_program_reads_the_record(user: CommandLine) -> None:
    """secret-tool prints the record of an entry, as JSON."""
    printed = secret_tool(user, "lookup", "service", "codemesh/openai", "username", "openai")

    record = json.loads(printed)
    assert (record["type"], record["key"]) == ("api_key", "sk-1")


def test_changes_of_another_program_are_seen(user: CommandLine) -> None:
    """What secret-tool stores is read and listed, and what it clears is gone."""
    of_google = ("service", "codemesh/google", "username", "google")
    of_openai = ("service", "codemesh/openai", "username", "openai")
    record = '{"type": "api_key", "key": "by hand"}'
    secret_tool(user, "store", "--label=by hand", *of_google, stdin=record)
    secret_tool(user, "store", "--label=by hand", *of_openai, stdin=record)

    assert user.good("auth", "token", "google") == "by hand\n"
    assert user.good("auth", "token", "openai") == "by hand\n"
    secret_tool(user, "clear", *of_openai)

    assert user.run("auth", "token", "openai").status == 3
    listed = user.run("auth", "list", "--json").json()
    assert isinstance(listed["credentials"], list)
    stored = [row["name"] for row in listed["credentials"] if row["source"] == "store"]
    assert stored == ["google"]


def test_the_list_says_where(user: CommandLine) -> None:
    """`auth list` and `backend list` name the keychain and the prefix."""
    listed = user.run("auth", "list", "--json").json()
    backends = user.good("backend", "list")

    store = listed["store"]
    assert isinstance(store, dict)
    assert (store["backend"], store["encrypted"]) == ("keychain", True)
    assert store["where"] == "Secret Service, codemesh/*"
    assert "1 credential: Secret Service, codemesh/*" in backends


def test_another_prefix_leaves_entries_behind(user: CommandLine) -> None:
    """To change the prefix is to look elsewhere, which is said; nothing is lost."""
    outcome = user.run("config", "set", "backends.keychain.service", "other")

    assert "What Secret Service, codemesh/* has stays there" in outcome.stderr
    assert user.run("auth", "token", "openai").status == 3
    user.good("config", "set", "backends.keychain.service", "codemesh")
    assert user.good("auth", "token", "openai") == "sk-1\n"


def test_two_folders_share_no_item(user: CommandLine) -> None:
    """Another folder of codemesh has a prefix of its own."""
    elsewhere = {"CODEMESH_HOME": str(user.home / "other")}
    first = user.run(*("auth", "login", "openai", "--with-key"), stdin="sk-2", environ=elsewhere)

    assert first.status == 0
    assert user.run("auth", "token", "openai", environ=elsewhere).stdout == "sk-2\n"
    assert user.good("auth", "token", "openai") == "sk-1\n"


def test_a_damaged_item_is_set_aside(user: CommandLine) -> None:
    """`auth recover` moves what is no record within the keychain, and keeps the rest."""
    of_google = ("service", "codemesh/google", "username", "google")
    secret_tool(user, "store", "--label=x", *of_google, stdin="sk-no-record")
    assert user.run("auth", "list").status == 6

    outcome = user.run("auth", "recover", "--yes")

    assert outcome.status == 0, outcome.stderr
    assert "lost:     google" in outcome.stderr
    assert "%damaged-" in outcome.stderr
    assert "sk-no-record" not in outcome.stderr + outcome.stdout
    assert user.run("auth", "list").status == 0
    assert user.good("auth", "token", "openai") == "sk-1\n"
    (folder,) = re.findall(r"%damaged-\w+", outcome.stderr)
    aside = f"{folder}/google"
    kept = secret_tool(user, "lookup", "service", f"codemesh/{aside}", "username", aside)
    assert kept == "sk-no-record"


def test_logout(user: CommandLine) -> None:
    """What is logged out is in the keychain no more."""
    user.good("auth", "logout", "openai", "--yes")

    assert not secret_tool(user, "lookup", "service", "codemesh/openai", "username", "openai")
    assert user.run("auth", "token", "openai").status == 3


@pytest.mark.parametrize("name", ["null.Keyring", "fail.Keyring", "chainer.ChainerBackend"])
def test_classes_that_keep_nothing(user: CommandLine, name: str) -> None:
    """A class that loses what it gets is refused, with the file that names it."""
    named = f"keyring.backends.{name}"
    user.write(
        user.config, f'backend = "keychain"\n[backends.keychain]\nkeyring_backend = "{named}"\n'
    )

    outcome = user.run("auth", "login", "google", "--with-key", stdin="sk-2")

    assert outcome.status == 2
    assert str(user.config) in outcome.stderr
    assert named in outcome.stderr
