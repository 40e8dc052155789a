"""What is typed: names, keys, options, and where the output goes."""

from __future__ import annotations

import pytest

from codemesh import __version__
from commandline import (
    ONE,
    CommandLine,
    assert_message,
    assert_refused,
    needs_full_device,
    tree,
)

CONTROLS = {
    "a newline": "open\nai",
    "an escape": "\x1b[31mopenai",
    "a carriage return": "openai\r",
    "a tab": "open\tai",
    "a C1 control": "open\x9bai",
    "a line separator": "open\u2028ai",
    "nothing": "",
}
STRAY = "sk-stray-5150"


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user with one credential in the plaintext store."""
    cli.keep(ONE)
    return cli


@pytest.mark.parametrize("kind", CONTROLS)
@pytest.mark.parametrize("command", ["token", "show", "logout", "login"])
def test_a_name_is_plain_text(cli: CommandLine, kind: str, command: str) -> None:
    """A name that is empty or holds control characters ends with 2, whoever takes it."""
    more = {"login": ["--with-key"], "logout": ["--yes"]}.get(command, [])
    before = tree(cli.folder)

    outcome = cli.run("auth", command, CONTROLS[kind], *more, stdin="new\n")

    assert_refused(outcome, 2, "name")
    assert "\x1b" not in outcome.stderr
    assert tree(cli.folder) == before


@pytest.mark.parametrize("name", ["OpenAI", "open ai", "a/b/c", ".hidden", "é", "x" * 65, "a/"])
def test_a_new_name_keeps_to_the_rule(cli: CommandLine, name: str) -> None:
    """A login to a name outside of the rule ends with 2 and says the rule."""
    outcome = cli.run("auth", "login", name, "--with-key", stdin="new\n")

    assert_refused(outcome, 2, "name")


@pytest.mark.parametrize(
    "key", ["", "\n", "\r\n", "two\nlines\n", "an\x1bescape", "a\0nul\n", "a\rreturn"]
)
def test_a_key_is_one_line_of_text(cli: CommandLine, key: str) -> None:
    """A key that is empty or holds control characters ends with 2, and nothing is stored."""
    before = tree(cli.folder)

    outcome = cli.run("auth", "login", "google", "--with-key", stdin=key)

    assert_refused(outcome, 2, "the API key")
    assert tree(cli.folder) == before


@pytest.mark.parametrize(
    "key", [b"caf\xe9\n", b"x" * (2**20 + 1)], ids=["not UTF-8", "over the limit"]
)
def test_a_key_is_short_utf_8(cli: CommandLine, key: bytes) -> None:
    """A key that is not UTF-8, or larger than any key, ends with 2 and is not quoted."""
    outcome = cli.run("auth", "login", "google", "--with-key", stdin=key)

    assert_refused(outcome, 2, "the API key")
    assert len(outcome.stderr) < 200


@pytest.mark.parametrize("label", ["two\nlines", "\x1b[1mbold", ""])
def test_a_label_is_one_line_of_text(cli: CommandLine, label: str) -> None:
    """A label that is empty or holds control characters ends with 2."""
    outcome = cli.run("auth", "login", "openai", "--with-key", "--label", label, stdin="sk-1\n")

    assert_refused(outcome, 2, "the label")


def test_a_key_may_have_any_shape(cli: CommandLine) -> None:
    """Spaces, letters of any script and great length are no reason to refuse a key."""
    key = " spaces around, é and 鍵 " + "x" * 10_000 + " "

    cli.good("auth", "login", "google", "--with-key", stdin=f"{key}\r\n")

    assert cli.good("auth", "token", "google") == f"{key}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["auth", "login", "openai", STRAY],
        ["auth", "login", "openai", "--with-key", STRAY],
        ["auth", "login", "openai", "--method", STRAY],
        ["auth", "login", "openai", "--field", STRAY],
        ["auth", "login", "openai", "--expires-at", STRAY],
        ["auth", "login", "openai", f"--with-key={STRAY}"],
        ["auth", "login", "openai", f"--key={STRAY}"],
        ["auth", "login", "openai", f"-k{STRAY}"],
        ["auth", "token", "openai", STRAY],
        ["auth", "list", STRAY],
        ["--passphrase-fd", STRAY, "auth", "list"],
        ["--passphrase-fd", STRAY, "auth", "token", "openai"],
        ["migrate", "encrypted", "--passphrase-fd", STRAY],
        ["migrate", "encrypted", STRAY],
        ["config", "set", "lock_timeout", STRAY],
        ["config", "set", "backends.encrypted.passphrase_command", STRAY],
        ["doctor", STRAY],
    ],
    ids=" ".join,
)
def test_a_secret_in_the_wrong_place_is_not_echoed(cli: CommandLine, arguments: list[str]) -> None:
    """A wrong command line ends with 2, and its message repeats no argument's value."""
    before = tree(cli.folder)

    outcome = cli.run(*arguments, stdin="new\n")

    assert_refused(outcome, 2)
    assert STRAY not in outcome.stderr
    assert tree(cli.folder) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["auht"],
        ["auth", "lst"],
        ["auth", "token"],
        ["auth", "show"],
        ["auth", "logout"],
        ["auth", "logout", "openai", "--all"],
        ["backend", "use"],
        ["migrate"],
        ["config", "set", "backend"],
        ["auth", "login", "openai", "--account", "a", "--account"],
        ["auth", "login", "openai/a", "--account", "b", "--with-key"],
        ["auth", "login", "openai", "--method", "api-key", "--field", "a=b"],
        ["--passphrase-fd", "-1", "auth", "list"],
        ["--passphrase-fd", "9" * 30, "auth", "list"],
        ["--nonsense"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told(cli: CommandLine, arguments: list[str]) -> None:
    """What is missing, unknown or contradictory ends with 2 and one message."""
    assert_refused(cli.run(*arguments), 2)


@pytest.mark.parametrize("arguments", [[], ["auth"], ["backend"], ["config"]])
def test_a_group_alone_shows_its_help(cli: CommandLine, arguments: list[str]) -> None:
    """A group without a command ends with 2 and shows what there is."""
    outcome = cli.run(*arguments)

    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(" ".join(["Usage: codemesh", *arguments]))


@pytest.mark.parametrize("number", ["47", "9" * 30], ids=["closed", "impossible"])
def test_a_descriptor_that_is_not_there_is_told(cli: CommandLine, number: str) -> None:
    """A passphrase descriptor that cannot be read ends with 2, whichever command it is."""
    cli.seal({})
    for command in (["auth", "token", "openai"], ["auth", "list"]):
        outcome = cli.run("--passphrase-fd", number, *command)

        assert_refused(outcome, 2, "descriptor" if number == "47" else "--passphrase-fd")


def test_the_version_stands_alone(cli: CommandLine) -> None:
    """`--version` prints the version and nothing else, and reads no store."""
    cli.write(cli.config, "rubbish")
    for arguments in (["--version"], ["-v", "--version"], ["-q", "--version"]):
        outcome = cli.run(*arguments)

        assert outcome == (0, f"{__version__}\n", "")


def test_quiet_says_nothing_but_errors(cli: CommandLine) -> None:
    """With -q a command that works prints no talk; one that fails still says why."""
    saved = cli.run("-q", "auth", "login", "google", "--with-key", stdin="new\n")
    moved = cli.run("-q", "auth", "logout", "google", "--yes")
    failed = cli.run("-q", "auth", "token", "google")

    assert saved == moved == (0, "", "")
    assert_refused(failed, 3, "google")


def test_verbose_says_where_it_looks(cli: CommandLine) -> None:
    """With -v the home and the backend are said, on stderr alone."""
    outcome = cli.run("-v", "auth", "token", "openai")

    assert (outcome.status, outcome.stdout) == (0, "sk-1\n")
    assert str(cli.folder) in outcome.stderr
    assert "plaintext" in outcome.stderr


OUTPUTS = [
    ["auth", "token", "openai"],
    ["auth", "list"],
    ["auth", "list", "--json"],
    ["auth", "show", "openai"],
    ["backend", "list"],
    ["config", "path"],
    ["doctor"],
    ["--version"],
]
HELP = [["--help"], ["auth", "--help"], ["--show-completion", "bash"]]


@needs_full_device
@pytest.mark.parametrize("arguments", [*OUTPUTS, *HELP], ids=" ".join)
def test_a_full_output_is_told(cli: CommandLine, arguments: list[str]) -> None:
    """Where stdout takes nothing, a command ends with 1 and says so."""
    outcome = cli.run(*arguments, through='exec "$@" >/dev/full')

    assert_refused(outcome, 1, "standard output")


@pytest.mark.parametrize("arguments", OUTPUTS, ids=" ".join)
def test_a_closed_output_is_told(cli: CommandLine, arguments: list[str]) -> None:
    """Where stdout is closed, a command ends with 1 and says so."""
    outcome = cli.run(*arguments, through='exec "$@" >&-')

    assert_refused(outcome, 1, "standard output is closed")


@pytest.mark.parametrize("arguments", OUTPUTS[:2], ids=" ".join)
def test_a_reader_that_goes_away_is_no_mess(cli: CommandLine, arguments: list[str]) -> None:
    """Where the reader of a pipe has gone, a command ends with 1 and not a word on stderr."""
    # The pipe has a reader for as long as it takes to open it, and none when it is written.
    line = 'mkfifo gone; exec 3<>gone 4>gone 3>&-; "$@" >&4 4>&-; echo "status $?" >&2'

    outcome = cli.run(*arguments, through=line)

    assert outcome.stderr == "status 1\n"


@pytest.mark.parametrize(
    "line", ['exec "$@" 2>&-', pytest.param('exec "$@" 2>/dev/full', marks=needs_full_device)]
)
def test_talk_that_nobody_takes_stops_nothing(cli: CommandLine, line: str) -> None:
    """Where stderr is closed or full, a command does its work and keeps its status."""
    saved = cli.run("auth", "login", "google", "--with-key", stdin="new\n", through=line)
    failed = cli.run("auth", "token", "nobody", through=line)

    assert (saved.status, failed.status) == (0, 3)
    assert cli.good("auth", "token", "google") == "new\n"


def test_an_input_that_is_closed_is_told(cli: CommandLine) -> None:
    """Where stdin is closed, what is read from it is missing, and the command ends with 2."""
    for arguments in (["--with-key"], ["--field", "api_key=-"], []):
        outcome = cli.run("auth", "login", "openai", *arguments, through='exec "$@" <&-')

        assert_refused(outcome, 2)
    assert cli.good("auth", "token", "openai") == "sk-1\n"


def test_a_machine_says_what_an_old_encoding_can_show(cli: CommandLine) -> None:
    """A terminal or pipe that knows ASCII alone stops no list, error or JSON."""
    cli.keep({"büro": {"type": "api_key", "key": "sk-1", "label": "Büro"}})
    ascii_only = {"PYTHONIOENCODING": "ascii", "LANG": "C"}

    listed = cli.run("auth", "list", environ=ascii_only)
    failed = cli.run("auth", "token", "ö", environ=ascii_only)

    assert listed.status == 0
    assert_message(failed.stderr, "no credential named")


def test_completion_prints_a_script(cli: CommandLine) -> None:
    """`--show-completion bash` prints what bash needs to complete codemesh."""
    outcome = cli.run("--show-completion", "bash", environ={"SHELL": "/bin/bash"})

    assert outcome.status == 0
    assert "complete -o default -F _codemesh_completion codemesh" in outcome.stdout


@pytest.mark.parametrize("program", ["codemesh", "code-mesh"])
def test_a_half_typed_command_is_completed(cli: CommandLine, program: str) -> None:
    """The protocol that the script speaks completes a command of either name, without a store."""
    cli.write(cli.config, "rubbish")
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    asked = {variable: "complete_bash", "COMP_WORDS": f"{program} auth lo", "COMP_CWORD": "2"}

    outcome = cli.run(environ=asked, through=f'exec "$(dirname "$1")/{program}"')

    assert outcome.stdout.split() == ["login", "logout"]
