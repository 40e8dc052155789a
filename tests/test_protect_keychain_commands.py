"""The command line on a store whose passphrase a real gnome-keyring keeps."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from commandline import PASSPHRASE, CommandLine, assert_refused
from kernelkeys import needs_kernel_keyring
from test_passwd import NEW
from test_protect_keychain import GENERATED

if TYPE_CHECKING:
    from desktops import GnomeKeyring
    from places import Place

TOKEN = ("auth", "token", "openai")
LOGIN = ("auth", "login", "openai", "--with-key")


@pytest.fixture
def user(cli: CommandLine, gnome: Place, desktop: GnomeKeyring) -> CommandLine:
    """A user who has made such a store, in the way that the documentation says."""
    del gnome
    cli.environ |= desktop.environ
    for command in (
        ("backend", "use", "encrypted"),
        ("config", "set", "backends.encrypted.protect", "keychain"),
        LOGIN,
    ):
        outcome = cli.run(*command, stdin="sk-1\n")
        assert outcome.status == 0, outcome.stderr
    return cli


def texts(place: Place) -> list[str]:
    """The passphrases that the keychain has."""
    return list(place.items("codemesh-vault/").values())


def token(cli: CommandLine, passphrase: str | None = None) -> tuple[int, str]:
    """The status and the output of a read."""
    outcome = cli.run(*TOKEN, passphrase=passphrase)
    return outcome.status, outcome.stdout


def test_it_is_read_without_a_passphrase(user: CommandLine, gnome: Place) -> None:
    """It is read and listed by commands that have none, and is told as not locked."""
    listed = json.loads(user.run("backend", "list", "--json").stdout)["backends"]

    (store,) = [each for each in listed if each["name"] == "encrypted"]
    assert store["locked"] is False
    assert token(user) == (0, "sk-1\n")
    assert user.run("doctor").status == 0
    assert len(texts(gnome)) == 1


def test_its_passphrase_is_shown_nowhere(user: CommandLine, gnome: Place) -> None:
    """No command prints the 64 digits, be it verbose, in JSON or a change of them."""
    seen = texts(gnome)
    commands = (
        TOKEN,
        ("-v", "auth", "list", "--json"),
        ("backend", "list", "--json"),
        ("config", "show"),
        ("-v", "doctor", "--json"),
        ("-v", "passwd"),
        ("-v", "passwd", "--protect", "passphrase"),
    )
    printed = ""
    for command in commands:
        outcome = user.run(*command, environ={"CODEMESH_NEW_PASSPHRASE": NEW})
        assert outcome.status == 0, outcome.stderr
        seen += texts(gnome)
        printed += outcome.stdout + outcome.stderr

    assert len({*seen}) == 2
    assert all(re.fullmatch(GENERATED, text) for text in seen)
    assert not any(text in printed for text in seen)
    assert not any(text.encode() in user.vault.read_bytes() for text in seen)


def test_back_and_forth(user: CommandLine, gnome: Place) -> None:
    """`--protect` changes config.toml and the file alike, and says what keeps the passphrase."""
    away = user.run(
        *("passwd", "--protect", "passphrase"), environ={"CODEMESH_NEW_PASSPHRASE": NEW}
    )
    between = (user.config.read_text(), texts(gnome), token(user)[0], token(user, NEW))
    back = user.run("passwd", "--protect", "keychain", passphrase=NEW)

    assert (away.status, back.status) == (0, 0)
    assert "Its passphrase is the new one." in away.stderr
    assert 'protect = "passphrase"' in between[0]
    assert between[1:] == ([], 4, (0, "sk-1\n"))
    assert "a generated one, kept in the keychain" in back.stderr
    assert 'protect = "keychain"' in user.config.read_text()
    assert len(texts(gnome)) == 1
    assert token(user) == (0, "sk-1\n")


def test_a_locked_keychain(user: CommandLine, desktop: GnomeKeyring) -> None:
    """A keychain that is locked is an error of its own, whatever passphrase is at hand."""
    before = user.vault.read_bytes()
    desktop.restart()

    for outcome in [*user.both(), *user.both(PASSPHRASE), user.run("passwd")]:
        assert_refused(outcome, 4, "keychain")
        assert "has no passphrase" not in outcome.stderr

    assert user.vault.read_bytes() == before
    assert not user.plaintext.exists()
    desktop.restart("pw")
    assert token(user) == (0, "sk-1\n")


def test_a_keychain_that_is_gone(user: CommandLine, desktop: GnomeKeyring) -> None:
    """Without its keychain the store is out of reach, which ends with 5; none is made instead."""
    before = user.vault.read_bytes()
    desktop.stop()

    for outcome in [*user.both(), *user.both(PASSPHRASE), user.run("passwd")]:
        assert_refused(outcome, 5)
    listed = user.run("backend", "list")
    examined = user.run("doctor")

    assert listed.status == 0, listed.stderr
    assert examined.status in {0, 1}
    assert "Traceback" not in examined.stdout + examined.stderr
    assert user.vault.read_bytes() == before
    assert not user.plaintext.exists()


def test_an_item_that_somebody_removed(user: CommandLine, gnome: Place) -> None:
    """Without the item the command ends with 4 and names the keychain; the file stays."""
    import secretstorage

    before = user.vault.read_bytes()
    connection = secretstorage.dbus_init()
    for item in secretstorage.get_default_collection(connection).get_all_items():
        item.delete()
    connection.close()
    assert texts(gnome) == []

    assert_refused(user.run(*TOKEN), 4, "the keychain has no passphrase for it")
    assert token(user, PASSPHRASE)[0] == 9
    assert_refused(user.run("passwd"), 4, "the keychain has no passphrase for it")
    assert user.vault.read_bytes() == before


def test_an_unlocked_store_asks_the_keychain_no_more(
    user: CommandLine, desktop: GnomeKeyring
) -> None:
    """While its key rests it is read without the keychain, which a change still needs."""
    needs_kernel_keyring()
    try:
        assert user.run("unlock", "--for", "60s").status == 0
        desktop.stop()

        assert token(user) == (0, "sk-1\n")
        assert user.run("passwd").status == 5
    finally:
        user.run("lock")


def test_what_a_migration_leaves(user: CommandLine, gnome: Place) -> None:
    """Moved to the plaintext store, neither the file nor its item is left."""
    outcome = user.run("migrate", "plaintext")

    assert outcome.status == 0, outcome.stderr
    assert not user.vault.exists()
    assert texts(gnome) == []
    assert token(user) == (0, "sk-1\n")


def test_a_service_that_is_no_text(user: CommandLine) -> None:
    """A list in the place of the keychain's prefix is an error of config.toml, not a crash."""
    with user.config.open("a") as config:
        config.write('\n[backends.keychain]\nservice = ["codemesh"]\n')

    assert_refused(user.run(*TOKEN), 2, str(user.config))
