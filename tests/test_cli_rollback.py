"""An encrypted store that went back in time: refused until the user accepts it."""

from __future__ import annotations

import pytest

from commandline import ONE, PASSPHRASE, CommandLine, assert_refused


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user with one credential in the plaintext store."""
    cli.keep(ONE)
    return cli


def test_an_old_copy_is_refused_until_it_is_accepted(cli: CommandLine) -> None:
    """A vault restored from a backup ends with 7; --accept-rollback makes it the newest."""
    old = cli.seal(ONE).read_bytes()
    cli.plaintext.unlink()
    cli.good("auth", "login", "google", "--with-key", stdin="sk-2\n")
    newer = cli.vault.read_bytes()
    cli.write(cli.vault, old)

    refused = [
        cli.run("auth", "token", "openai", passphrase=PASSPHRASE),
        cli.run("auth", "login", "mine", "--with-key", stdin="k\n", passphrase=PASSPHRASE),
    ]
    told = cli.run("doctor", passphrase=PASSPHRASE)
    accepted = cli.run("doctor", "--accept-rollback", passphrase=PASSPHRASE)

    for outcome in refused:
        assert_refused(outcome, 7, str(cli.vault), "codemesh doctor --accept-rollback")
    assert (told.status, "--accept-rollback" in told.stdout) == (1, True)
    assert (accepted.status, cli.vault.read_bytes()) == (0, old)
    assert newer != old
    assert cli.good("auth", "token", "openai") == "sk-1\n"
    cli.good("auth", "login", "mine", "--with-key", stdin="sk-3\n")
    assert cli.good("auth", "token", "mine") == "sk-3\n"


def test_two_histories_are_refused_until_one_is_accepted(cli: CommandLine) -> None:
    """The same revision with another content ends with 7, and says that it is a fork."""
    start = cli.seal(ONE).read_bytes()
    cli.plaintext.unlink()
    cli.good("auth", "login", "google", "--with-key", stdin="sk-2\n")
    elsewhere = CommandLine(cli.home / "elsewhere")
    elsewhere.choose("encrypted")
    elsewhere.write(elsewhere.vault, start)
    elsewhere.good("auth", "login", "azure-eu", "--with-key", stdin="sk-3\n")
    cli.write(cli.vault, elsewhere.vault.read_bytes())

    refused = cli.run("auth", "token", "openai", passphrase=PASSPHRASE)
    accepted = cli.run("doctor", "--accept-rollback", passphrase=PASSPHRASE)

    assert_refused(refused, 7, str(cli.vault), "changed apart", "--accept-rollback")
    assert accepted.status == 0
    assert cli.good("auth", "token", "azure-eu") == "sk-3\n"


def test_a_rollback_is_accepted_with_the_passphrase_alone(cli: CommandLine) -> None:
    """--accept-rollback of a store that does not open accepts nothing; plaintext has none."""
    plain = cli.run("doctor", "--accept-rollback")
    cli.seal(ONE)
    cli.plaintext.unlink()

    locked = cli.run("doctor", "--accept-rollback")
    wrong = cli.run("doctor", "--accept-rollback", passphrase="wrong")

    assert (plain.status, "no revisions" in plain.stderr) == (0, True)
    assert_refused(locked, 4)
    assert_refused(wrong, 9)
