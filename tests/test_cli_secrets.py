"""`codemesh auth show` and `auth token`: one secret, alone, and only when it is asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from commandline import PASSPHRASE, CommandLine, Outcome, assert_refused, tree

if TYPE_CHECKING:
    from codemesh.model import Record

LATER = int(time.time()) + 86_400
RECORDS: dict[str, Record] = {
    "openai": {"type": "api_key", "key": "sk-key", "label": "mine"},
    "openai/work": {"type": "api_key", "key": "sk-work"},
    "google": {
        "type": "oauth",
        "access_token": "sk-access",
        "refresh_token": "sk-refresh",
        "expires_at": LATER,
        "scope": "all",
    },
    "expired": {"type": "oauth", "access_token": "sk-old", "expires_at": 1},
    "expiring": {"type": "api_key", "key": "sk-ended", "expires_at": 1},
    "azure": {
        "type": "custom",
        "data": {"secret": "sk-4", "token": "sk-3", "key": "sk-2", "api_key": "sk-1"},
    },
    "keyed": {"type": "custom", "data": {"secret": "sk-4", "token": "sk-3", "key": "sk-2"}},
    "tokened": {"type": "custom", "data": {"secret": "sk-4", "token": "sk-3"}},
    "secretive": {"type": "custom", "data": {"endpoint": "x", "secret": "sk-4"}},
    "other": {"type": "custom", "data": {"user": "u", "words": ["a", 1, None]}},
    "future": {"type": "passkey", "blob": "sk-blob"},
}
WORK = 'backend = "plaintext"\n[accounts]\nopenai = "work"\n'


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user with credentials of every kind in the plaintext store."""
    cli.keep(RECORDS)
    return cli


def ways(cli: CommandLine, *arguments: str, **options: str) -> list[Outcome]:
    """The same `auth token` by the quick way, and by the way that all commands go."""
    passphrase = options.get("passphrase")
    return [
        cli.run("auth", "token", *arguments, passphrase=passphrase),
        # A global option that the quick way does not know leads along the other one.
        cli.run("--quiet", "auth", "token", *arguments, passphrase=passphrase),
    ]


@pytest.mark.parametrize(
    ("arguments", "secret"),
    [
        (["openai"], "sk-key"),
        (["openai/work"], "sk-work"),
        (["google"], "sk-access"),
        (["google", "--field", "refresh_token"], "sk-refresh"),
        (["--field", "refresh_token", "google"], "sk-refresh"),
        (["google", "--field", "expires_at"], str(LATER)),
        (["google", "--field=scope"], "all"),
        (["openai", "--field", "label"], "mine"),
        (["openai", "--no-refresh"], "sk-key"),
        (["--no-refresh", "expired"], "sk-old"),
        (["expiring", "--no-refresh", "--field", "key"], "sk-ended"),
        (["azure"], "sk-1"),
        (["keyed"], "sk-2"),
        (["tokened"], "sk-3"),
        (["secretive"], "sk-4"),
        (["secretive", "--field", "endpoint"], "x"),
        (["other", "--field", "words"], '["a", 1, null]'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_secret_comes_alone(cli: CommandLine, arguments: list[str], secret: str) -> None:
    """`auth token` prints one line, the same by both ways, and writes nothing."""
    before = tree(cli.home)

    outcomes = ways(cli, *arguments)

    assert outcomes == [(0, f"{secret}\n", "")] * 2
    assert tree(cli.home) == before


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nobody"], 3, ["nobody", "codemesh auth list"]),
        (["openai/nobody"], 3, ["openai/nobody"]),
        (["openai", "--field", "data"], 3, ["data", "It has: key, label, type"]),
        (["other", "--field", "type"], 3, ["type", "user, words"]),
        (["other"], 2, ["--field", "user, words"]),
        (["future"], 6, ["future", "type"]),
        (["expired"], 11, ["expired", "codemesh auth login expired"]),
        (["expiring"], 11, ["expiring"]),
        (["expired", "--field", "access_token"], 11, ["expired"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_there_is_told(
    cli: CommandLine, arguments: list[str], status: int, words: list[str]
) -> None:
    """Each failure of `auth token` has its status and message, the same by both ways."""
    outcomes = ways(cli, *arguments)

    assert outcomes[0] == outcomes[1]
    assert_refused(outcomes[0], status, *words)
    assert "sk-" not in outcomes[0].stderr


def test_a_default_account_is_what_a_provider_means(cli: CommandLine) -> None:
    """With a default account the plain name means that one; an account named is exact."""
    cli.write(cli.config, WORK)

    assert ways(cli, "openai") == [(0, "sk-work\n", "")] * 2
    assert cli.good("auth", "show", "openai").startswith("openai/work\n")
    assert_refused(cli.run("auth", "token", "openai/openai"), 3)


@pytest.mark.parametrize(
    ("kept", "typed"), [("github", "github-copilot"), ("github-copilot", "github")]
)
def test_an_alias_finds_the_entry(cli: CommandLine, kept: str, typed: str) -> None:
    """Either name of GitHub finds the entry; where both exist, the exact one wins."""
    cli.keep({kept: {"type": "api_key", "key": "sk-one"}})
    alone = cli.good("auth", "token", typed)
    cli.keep(
        {
            kept: {"type": "api_key", "key": "sk-one"},
            typed: {"type": "api_key", "key": "sk-two"},
        }
    )

    assert (alone, cli.good("auth", "token", typed)) == ("sk-one\n", "sk-two\n")


def test_a_sealed_secret_needs_its_passphrase(cli: CommandLine) -> None:
    """Both ways take the passphrase from every source, and end with 4 and 9 alike."""
    cli.seal(RECORDS)
    words = cli.write(cli.home / "words", f"{PASSPHRASE}\n")
    sources = {"CODEMESH_PASSPHRASE": PASSPHRASE, "CODEMESH_PASSPHRASE_FILE": str(words)}

    assert ways(cli, "openai", passphrase=PASSPHRASE) == [(0, "sk-key\n", "")] * 2
    for variable, value in sources.items():
        given = cli.run("auth", "token", "openai", environ={variable: value})
        assert given == (0, "sk-key\n", "")
    for passphrase, status in ((None, 4), ("wrong", 9)):
        for outcome in (
            cli.run("auth", "token", "openai", passphrase=passphrase),
            cli.run("--quiet", "auth", "token", "openai", passphrase=passphrase),
        ):
            assert_refused(outcome, status)


def test_a_passphrase_file_that_others_read_is_refused(cli: CommandLine) -> None:
    """CODEMESH_PASSPHRASE_FILE open to others ends with 7, one that is not there with 4."""
    cli.seal(RECORDS)
    words = cli.write(cli.home / "words", f"{PASSPHRASE}\n", 0o644)

    loose = cli.run("auth", "token", "openai", environ={"CODEMESH_PASSPHRASE_FILE": str(words)})
    absent = cli.run("auth", "token", "openai", environ={"CODEMESH_PASSPHRASE_FILE": "/absent"})

    assert_refused(loose, 7, str(words))
    assert_refused(absent, 4, "/absent")


@pytest.mark.parametrize(
    ("command", "status", "word"),
    [
        ('["printf", "%s\\\\n", "correct horse battery staple"]', 0, ""),
        ('["false"]', 4, "passphrase_command failed with status 1"),
        ('["no-such-program-here"]', 4, "no-such-program-here is not on the PATH"),
        ('["true"]', 2, "empty"),
        ('["yes"]', 4, "passphrase_command"),
        ('["printf", "wrong"]', 9, "wrong passphrase"),
        ('["/"]', 4, "passphrase_command"),
    ],
)
def test_a_command_gives_the_passphrase(
    cli: CommandLine, command: str, status: int, word: str
) -> None:
    """passphrase_command is run without a shell; what it does wrong is told in its name."""
    cli.seal(RECORDS)
    cli.write(
        cli.config,
        f'backend = "encrypted"\n[backends.encrypted]\npassphrase_command = {command}\n',
    )

    outcome = cli.run("auth", "token", "openai")

    if status == 0:
        assert outcome == (0, "sk-key\n", "")
    else:
        assert_refused(outcome, status, word)


# -- show ------------------------------------------------------------------------------


def test_one_entry_is_shown_masked(cli: CommandLine) -> None:
    """`auth show` has the kind first, plain facts as they are, and secrets masked."""
    shown = cli.good("auth", "show", "google")

    assert shown.splitlines()[:2] == ["google", "  type             oauth"]
    assert "  access_token     ******** (9 characters)\n" in shown
    assert "  scope            all\n" in shown
    assert "UTC" in shown
    assert "sk-" not in shown


@pytest.mark.parametrize("name", RECORDS)
def test_no_entry_shows_a_secret_unasked(cli: CommandLine, name: str) -> None:
    """Masked, as text and as JSON, no field of any kind shows what could be a secret."""
    text = cli.good("auth", "show", name)
    document = cli.run("auth", "show", name, "--json")

    assert document.json()["name"] == name
    assert "sk-" not in text + document.stdout


def test_all_is_shown_when_asked_for(cli: CommandLine) -> None:
    """--reveal shows the secrets; with --json it is the record itself."""
    text = cli.good("auth", "show", "azure", "--reveal")
    record = cli.run("auth", "show", "azure", "--reveal", "--json").json()["record"]

    assert "  data.api_key     sk-1\n" in text
    assert record == RECORDS["azure"]


def test_an_entry_that_is_not_there_is_told(cli: CommandLine) -> None:
    """`auth show` of what is not there ends with 3."""
    assert_refused(cli.run("auth", "show", "nobody"), 3, "nobody", "codemesh auth list")
