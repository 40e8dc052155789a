"""config.toml: wrong ones are told by file and key; `codemesh config` looks and changes."""

from __future__ import annotations

import pytest

from commandline import ONE, CommandLine, Outcome, assert_refused, tree

UNKNOWN = {
    'bakend = "plaintext"': ("bakend", "backend"),
    "[backend]\n": ("backend", ""),
    '[backends.plaintext]\npaht = "x.json"': (
        "backends.plaintext.paht",
        "backends.plaintext.path",
    ),
    '[backends.encrypted]\ncots = "strong"': (
        "backends.encrypted.cots",
        "backends.encrypted.cost",
    ),
    '[run]\nmodle = "x/y"': ("run.modle", "run.model"),
    '[providers.local]\nbaseurl = "http://h"': (
        "providers.local.baseurl",
        "providers.local.base_url",
    ),
    '[providers.anthropic.oauth]\nclientid = "x"': (
        "providers.anthropic.oauth.clientid",
        "providers.anthropic.oauth.client_id",
    ),
}
WRONG = {
    "[providers.local]\noauth = 5": "providers.local.oauth",
    'backend = "sqlite"': "plaintext, encrypted",
    'backend = "memory"': "memory",
    'backend = ""': "backend",
    "backend = 5": "backend",
    "lock_timeout = 10": "lock_timeout",
    'lock_timeout = "soon"': "lock_timeout",
    '[backends.encrypted]\ncost = "cheap"': "backends.encrypted.cost",
    '[backends.encrypted]\npassphrase_command = "pass show x"': "passphrase_command",
    "[backends.encrypted]\npassphrase_command = []": "passphrase_command",
    '[backends.encrypted]\nprotect = "prayer"': "backends.encrypted.protect",
    "[accounts]\nopenai = 5": "accounts.openai",
    'accounts = "work"': "accounts",
    'backends = "x"': "backends",
    "[backends]\nplaintext = 5": "backends.plaintext",
    "[providers]\nlocal = 5": "providers.local",
    'run = "x"': "run",
    "backend = ": "TOML",
    'backend = "plaintext"\nbackend = "encrypted"\n': "TOML",
    "x = " + "[" * 5_000: "nested too deeply",
}
TEXT = """\
# how this machine is set up

backend = "plaintext"   # for now
lock_timeout = "5s"

[run]
model = "anthropic/some-model"  # the usual one

[backends.encrypted]
# asked for by name
passphrase_command = ["pass", "show", "codemesh"]
cost = "default"
"""


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user with one credential in the plaintext store."""
    cli.keep(ONE)
    return cli


def every(cli: CommandLine) -> list[Outcome]:
    """What a reading command and a writing one say."""
    return [
        cli.run("auth", "token", "openai"),
        cli.run("auth", "login", "google", "--with-key", stdin="new\n"),
    ]


@pytest.mark.parametrize("text", UNKNOWN)
def test_an_unknown_key_is_named_with_its_neighbour(cli: CommandLine, text: str) -> None:
    """An unknown key at any level ends with 2 and names file, key and nearest known key."""
    cli.write(cli.config, text)
    before = tree(cli.folder)
    key, nearest = UNKNOWN[text]

    outcomes = every(cli)

    for outcome in outcomes:
        assert_refused(outcome, 2, str(cli.config), key, nearest)
    assert tree(cli.folder) == before


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:40])
def test_a_wrong_value_is_named(cli: CommandLine, text: str) -> None:
    """A value that cannot be used ends with 2, and the message names the file and what it is."""
    cli.write(cli.config, text)
    before = tree(cli.folder)

    outcomes = every(cli)

    for outcome in outcomes:
        assert_refused(outcome, 2, str(cli.config), WRONG[text])
    assert tree(cli.folder) == before


def test_a_config_in_another_encoding_is_told(cli: CommandLine) -> None:
    """Bytes that are not UTF-8 end with 2 and are not quoted."""
    cli.write(cli.config, 'backend = "\xe9"'.encode("latin-1"))

    outcomes = every(cli)

    for outcome in outcomes:
        assert_refused(outcome, 2, str(cli.config), "UTF-8")


def test_a_config_that_others_may_write_is_refused(cli: CommandLine) -> None:
    """It can name a command to run, so it ends with 7, and doctor puts it right."""
    cli.choose("plaintext").chmod(0o666)

    outcomes = every(cli)

    for outcome in outcomes:
        assert_refused(outcome, 7, str(cli.config), "codemesh doctor --fix")
    assert cli.run("doctor", "--fix").status == 0
    assert cli.good("auth", "token", "openai") == "sk-1\n"


def test_a_config_that_others_may_read_is_fine(cli: CommandLine) -> None:
    """There is no secret in it, so mode 0644 stops nobody."""
    cli.choose("plaintext").chmod(0o644)

    assert [outcome.status for outcome in every(cli)] == [0, 0]


def test_two_stores_and_no_choice_is_an_error_with_a_way_out(cli: CommandLine) -> None:
    """With two stores and no config.toml nothing is guessed; `backend use` settles it."""
    cli.seal({})
    cli.config.unlink()

    outcomes = every(cli)

    for outcome in outcomes:
        assert_refused(outcome, 2, str(cli.config), "codemesh backend use plaintext")
    assert cli.run("backend", "use", "plaintext").status == 0
    assert cli.good("auth", "token", "openai") == "sk-1\n"


def test_a_relative_home_is_refused(cli: CommandLine) -> None:
    """A relative CODEMESH_HOME ends with 2, because the current directory decides nothing."""
    for arguments in (["auth", "list"], ["auth", "token", "openai"], ["config", "path"]):
        outcome = cli.run(*arguments, environ={"CODEMESH_HOME": ".code-mesh"})

        assert_refused(outcome, 2, "CODEMESH_HOME", "absolute")


def test_the_home_can_be_elsewhere(cli: CommandLine) -> None:
    """CODEMESH_HOME moves everything; an empty one counts as none."""
    elsewhere = {"CODEMESH_HOME": str(cli.home / "elsewhere")}

    saved = cli.run("auth", "login", "google", "--with-key", stdin="new\n", environ=elsewhere)

    assert saved.status == 0
    assert (cli.home / "elsewhere" / "auth.json").exists()
    assert set(cli.records()) == {"openai"}
    assert cli.run("config", "path", environ={"CODEMESH_HOME": ""}).stdout == f"{cli.config}\n"


def test_the_path_is_printed_before_there_is_a_file(cli: CommandLine) -> None:
    """`config path` prints where the file lies or would lie, and makes nothing."""
    assert cli.good("config", "path") == f"{cli.config}\n"
    assert not cli.config.exists()


def test_what_is_set_is_shown(cli: CommandLine) -> None:
    """`config show` prints each value with its dotted key, in the order of the file."""
    empty = cli.run("config", "show")
    cli.write(cli.config, TEXT)

    shown = cli.good("config", "show")

    assert (empty.status, empty.stdout) == (0, "")
    assert shown.splitlines() == [
        'backend = "plaintext"',
        'lock_timeout = "5s"',
        'run.model = "anthropic/some-model"',
        'backends.encrypted.passphrase_command = ["pass", "show", "codemesh"]',
        'backends.encrypted.cost = "default"',
    ]


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("lock_timeout", "20s", 'lock_timeout = "5s"', 'lock_timeout = "20s"'),
        ("backends.encrypted.cost", "strong", 'cost = "default"', 'cost = "strong"'),
        ("run.model", "openai/x", '"anthropic/some-model"  #', '"openai/x"  #'),
        (
            "backends.encrypted.passphrase_command",
            '["x"]',
            '["pass", "show", "codemesh"]',
            '["x"]',
        ),
        ("backend", "encrypted", 'backend = "plaintext"   #', 'backend = "encrypted"   #'),
    ],
)
def test_setting_a_value_keeps_everything_else(
    cli: CommandLine, key: str, value: str, old: str, new: str
) -> None:
    """`config set` changes one value; comments, order and spacing stay."""
    cli.write(cli.config, TEXT)

    outcome = cli.run("config", "set", key, value)

    assert (outcome.status, outcome.stdout) == (0, "")
    assert cli.config.read_text() == TEXT.replace(old, new)


def test_setting_a_value_makes_the_table_that_it_needs(cli: CommandLine) -> None:
    """A key of a table that is not there yet, and a file that is not there yet, are made."""
    cli.good("config", "set", "accounts.openai", "work")
    cli.good("config", "set", "providers.local.base_url", "http://127.0.0.1:1")

    assert cli.good("config", "show").splitlines() == [
        'accounts.openai = "work"',
        'providers.local.base_url = "http://127.0.0.1:1"',
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lock_timeout", "soon"),
        ("backend", "sqlite"),
        ("backend", "memory"),
        ("backends.encrypted.cost", "cheap"),
        ("backends.encrypted.passphrase_command", "pass show codemesh"),
        ("backends.encrypted.passphrase_command", '["pass", '),
        ("nonsense", "1"),
        ("backends.encrypted.nonsense", "1"),
        ("run", "x"),
        ("run.model.name", "x"),
        ("lock_timeout.x", "x"),
        ("", "x"),
        (".", "x"),
        ("run.", "x"),
        ("backends.encrypted.passphrase_command", "[1]"),
        ("accounts.openai", ""),
    ],
)
def test_a_wrong_value_is_not_set(cli: CommandLine, key: str, value: str) -> None:
    """A value that could not be read back ends with 2, and the file stays as it is."""
    cli.write(cli.config, TEXT)
    before = tree(cli.folder)

    outcome = cli.run("config", "set", key, value)

    assert_refused(outcome, 2)
    assert tree(cli.folder) == before
