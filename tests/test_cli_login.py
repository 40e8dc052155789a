"""`codemesh auth login`: what is asked, what is read, and what is stored."""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING

import pytest

from codemesh.providers import table as providers
from commandline import CommandLine, assert_refused, tree

if TYPE_CHECKING:
    from codemesh.model import Record


def stored(cli: CommandLine, name: str) -> Record:
    """One record without the moment of its making, which must be now."""
    record = cli.records()[name]
    created = record.pop("created_at")
    assert isinstance(created, int)
    assert abs(time.time() - created) < 60
    return record


def test_the_first_login_makes_the_store_and_says_so(cli: CommandLine) -> None:
    """The first write chooses the plaintext store once, privately, and says how to change it."""
    outcome = cli.run("auth", "login", "openai", "--with-key", stdin="sk-1\n")

    assert (outcome.status, outcome.stdout) == (0, "")
    assert "the store is now ~/.code-mesh/auth.json (plaintext)" in outcome.stderr
    assert "codemesh migrate" in outcome.stderr
    assert "Saved openai in ~/.code-mesh/auth.json (plaintext)." in outcome.stderr
    assert stored(cli, "openai") == {"type": "api_key", "key": "sk-1"}
    assert cli.config.read_text() == 'backend = "plaintext"\n'
    assert [stat.S_IMODE(path.stat().st_mode) for path in (cli.folder, cli.plaintext)] == [
        0o700,
        0o600,
    ]


def test_the_second_login_does_not_choose_again(cli: CommandLine) -> None:
    """Once there is a choice, a login says what it saved and no more."""
    cli.good("auth", "login", "openai", "--with-key", stdin="sk-1\n")

    outcome = cli.run("auth", "login", "google", "--with-key", stdin="sk-2")

    assert outcome == (0, "", "Saved google in ~/.code-mesh/auth.json (plaintext).\n")


@pytest.mark.parametrize(
    ("answer", "name"),
    [("1", "anthropic"), ("2", "openai"), ("google", "google"), ("my-own", "my-own")],
)
def test_the_menu_takes_a_number_or_a_name(cli: CommandLine, answer: str, name: str) -> None:
    """Without a provider the menu shows all of them; the key is then asked for and hidden."""
    with cli.at_terminal("auth", "login") as terminal:
        for number, provider in enumerate(providers.TABLE, start=1):
            terminal.expect(f"  {number}. {provider.name}")
        terminal.answer("Provider (number or name):", answer)
        terminal.answer(f"API key of {name}:", "sk-typed")
        outcome = terminal.end()

    assert outcome.status == 0
    assert "sk-typed" not in outcome.stdout
    assert stored(cli, name) == {"type": "api_key", "key": "sk-typed"}


@pytest.mark.parametrize("answer", ["0", "7", "99", "", "Open AI"])
def test_the_menu_refuses_what_it_does_not_have(cli: CommandLine, answer: str) -> None:
    """A number outside of the menu, or no name, ends with 2 and stores nothing."""
    with cli.at_terminal("auth", "login") as terminal:
        terminal.answer("Provider (number or name):", answer)
        outcome = terminal.end()

    assert outcome.status == 2
    assert tree(cli.folder) == {}


def test_a_key_can_be_pasted_by_with_key_too(cli: CommandLine) -> None:
    """With --with-key at a terminal the key is read there, and not shown."""
    with cli.at_terminal("auth", "login", "openai", "--with-key") as terminal:
        terminal.answer("The API key:", "sk-typed")
        outcome = terminal.end()

    assert outcome.status == 0
    assert "sk-typed" not in outcome.stdout
    assert stored(cli, "openai")["key"] == "sk-typed"


def test_an_account_a_label_and_an_end_are_kept(cli: CommandLine) -> None:
    """--account, --label and --expires-at go into the name and the record."""
    arguments = ["--account", "work", "--label", "Büro", "--expires-at", "2099-01-31"]

    cli.good("auth", "login", "openai", "--with-key", *arguments, stdin="sk-1\n")

    assert stored(cli, "openai/work") == {
        "type": "api_key",
        "key": "sk-1",
        "label": "Büro",
        "expires_at": 4_073_500_800,
    }


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("2099-01-31T18:00+01:00", 4_073_562_000),
        ("2099-01-31T18:00:00Z", 4_073_565_600),
        ("20990131", 4_073_500_800),
    ],
)
def test_an_end_is_a_date_of_iso_8601(cli: CommandLine, date: str, seconds: int) -> None:
    """A date may have a time and an offset; without one it is UTC."""
    cli.good("auth", "login", "openai", "--with-key", "--expires-at", date, stdin="sk-1\n")

    assert stored(cli, "openai")["expires_at"] == seconds


@pytest.mark.parametrize("date", ["tomorrow", "", "2099-13-01", "4073500800000"])
def test_an_end_that_is_no_date_is_refused(cli: CommandLine, date: str) -> None:
    """Another --expires-at ends with 2, shows an example, and stores nothing."""
    outcome = cli.run(
        "auth", "login", "openai", "--with-key", "--expires-at", date, stdin="sk-1\n"
    )

    assert_refused(outcome, 2, "--expires-at", "2027-01-31")
    assert tree(cli.folder) == {}


def test_fields_make_a_custom_credential(cli: CommandLine) -> None:
    """Each --field goes into the data, and NAME=- is read from stdin, of any text."""
    pem = "-----BEGIN-----\n\tA=\x1b\n-----END-----"

    cli.good(
        *("auth", "login", "mine", "--field", "url=https://x?a=b"),
        *("--field", "pem=-", "--field", "empty="),
        stdin=f"{pem}\n",
    )

    assert stored(cli, "mine") == {
        "type": "custom",
        "data": {"url": "https://x?a=b", "pem": pem, "empty": ""},
    }
    assert cli.good("auth", "token", "mine", "--field", "pem") == f"{pem}\n"


def test_a_secret_as_an_argument_is_warned_of(cli: CommandLine) -> None:
    """A field with a telling name given openly is stored, with a word on who can see it."""
    outcome = cli.run("auth", "login", "mine", "--field", "api_key=sk-open")

    assert outcome.status == 0
    assert "use api_key=- instead" in outcome.stderr
    assert "sk-open" not in outcome.stderr


@pytest.mark.parametrize("field", ["endpoint", "=x", ""])
def test_a_field_has_a_name_and_a_value(cli: CommandLine, field: str) -> None:
    """Another --field ends with 2, and stores nothing."""
    assert_refused(cli.run("auth", "login", "mine", "--field", field), 2, "NAME=VALUE")
    assert tree(cli.folder) == {}


def test_stdin_holds_one_secret(cli: CommandLine) -> None:
    """Two secrets that would both be read from one pipe end with 2, and nothing is stored."""
    for more in (["--with-key"], ["--field", "b=-"]):
        outcome = cli.run("auth", "login", "mine", "--field", "a=-", *more, stdin="sk-1\n")

        assert_refused(outcome, 2, "one secret")
    assert tree(cli.folder) == {}


def test_azure_asks_for_its_endpoint_and_key(cli: CommandLine) -> None:
    """A provider that needs several fields asks for each, the secret one hidden."""
    with cli.at_terminal("auth", "login", "azure") as terminal:
        terminal.answer("endpoint:", "https://example.invalid")
        terminal.answer("api_key:", "sk-typed")
        outcome = terminal.end()

    assert outcome.status == 0
    assert "sk-typed" not in outcome.stdout
    assert stored(cli, "azure") == {
        "type": "custom",
        "data": {"endpoint": "https://example.invalid", "api_key": "sk-typed"},
    }


def test_azure_without_an_endpoint_is_refused(cli: CommandLine) -> None:
    """A field that is needed and left empty ends with 2, and stores nothing."""
    with cli.at_terminal("auth", "login", "azure") as terminal:
        terminal.answer("endpoint:", "")
        outcome = terminal.end()

    assert outcome.status == 2
    assert "endpoint is empty" in outcome.stdout
    assert tree(cli.folder) == {}


def test_a_local_server_needs_no_answer(cli: CommandLine) -> None:
    """Enter takes what is suggested, and leaves out a key that is not needed."""
    with cli.at_terminal("auth", "login", "local") as terminal:
        terminal.answer("base_url [http://127.0.0.1:8080]:", "")
        terminal.answer("api_key [none]:", "")
        outcome = terminal.end()

    assert outcome.status == 0
    assert stored(cli, "local") == {
        "type": "custom",
        "data": {"base_url": "http://127.0.0.1:8080"},
    }


def test_any_provider_can_have_fields_asked_for(cli: CommandLine) -> None:
    """--method custom asks for names and values until Enter, telling names hidden."""
    with cli.at_terminal("auth", "login", "mine", "--method", "custom") as terminal:
        terminal.answer("A field of mine (Enter ends):", "region")
        terminal.answer("region:", "eu")
        terminal.answer("A field of mine (Enter ends):", "secret")
        terminal.answer("secret:", "sk-typed")
        terminal.answer("A field of mine (Enter ends):", "")
        outcome = terminal.end()

    assert outcome.status == 0
    assert "sk-typed" not in outcome.stdout
    assert stored(cli, "mine")["data"] == {"region": "eu", "secret": "sk-typed"}


def test_a_key_of_azure_can_be_piped(cli: CommandLine) -> None:
    """--with-key beside fields puts the key among them; alone it makes a plain API key."""
    cli.good(
        *("auth", "login", "azure", "--with-key", "--field", "endpoint=https://x"), stdin="sk-1\n"
    )
    cli.good("auth", "login", "azure/plain", "--with-key", stdin="sk-2\n")

    assert stored(cli, "azure")["data"] == {"endpoint": "https://x", "api_key": "sk-1"}
    assert stored(cli, "azure/plain") == {"type": "api_key", "key": "sk-2"}


def test_replacing_is_asked_for_at_a_terminal(cli: CommandLine) -> None:
    """A login over an entry asks first at a terminal, and then replaces the whole record."""
    cli.keep({"openai": {"type": "api_key", "key": "sk-old", "label": "old"}})

    with cli.at_terminal("auth", "login", "openai") as terminal:
        terminal.answer("openai is there already. Replace it? [y/N]", "y")
        terminal.answer("API key of openai:", "sk-new")
        outcome = terminal.end()

    assert outcome.status == 0
    assert "Replaced openai in" in outcome.stdout
    assert stored(cli, "openai") == {"type": "api_key", "key": "sk-new"}


def test_replacing_is_not_asked_for_in_a_pipe(cli: CommandLine) -> None:
    """A script that pipes a key in replaces the entry without a question."""
    cli.keep({"openai": {"type": "api_key", "key": "sk-old"}})

    outcome = cli.run("auth", "login", "openai", "--with-key", stdin="sk-new\n")

    assert (outcome.status, "Replaced openai in" in outcome.stderr) == (0, True)
    assert stored(cli, "openai")["key"] == "sk-new"


def test_a_login_finds_the_entry_that_a_name_means(cli: CommandLine) -> None:
    """The stored spelling and the default account are what a login writes to."""
    cli.keep({"github-copilot": {"type": "api_key", "key": "sk-old"}})
    cli.write(cli.config, 'backend = "plaintext"\n[accounts]\nopenai = "work"\n')

    cli.good("auth", "login", "github", "--with-key", stdin="sk-1\n")
    cli.good("auth", "login", "openai", "--with-key", stdin="sk-2\n")

    assert set(cli.records()) == {"github-copilot", "openai/work"}
    assert stored(cli, "github-copilot")["key"] == "sk-1"


def test_a_login_into_a_new_vault_asks_for_its_passphrase_twice(cli: CommandLine) -> None:
    """The first credential of an encrypted store makes it, and the passphrase is not shown."""
    cli.choose("encrypted")

    with cli.at_terminal("auth", "login", "openai") as terminal:
        terminal.answer("API key of openai:", "sk-typed")
        terminal.answer("New passphrase:", "hidden-words")
        terminal.answer("The same again:", "hidden-words")
        outcome = terminal.end()

    assert outcome.status == 0
    assert "hidden-words" not in outcome.stdout
    assert b"sk-typed" not in cli.vault.read_bytes()
    assert cli.run("auth", "token", "openai", passphrase="hidden-words").stdout == "sk-typed\n"
