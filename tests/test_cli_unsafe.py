"""A store that is not safe to use is refused, and never touched."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from codemesh.files.lock import FileLock
from commandline import CUT_OFF, ONE, PASSPHRASE, CommandLine, assert_refused, tree
from files_support import NOBODY, as_root, make_socket

if TYPE_CHECKING:
    from collections.abc import Callable

_LIMIT = 64 * 2**20
MOUNT = """exec unshare --mount sh -c '
    mount --bind "$HOME" "$HOME" && mount -o remount,ro,bind "$HOME" && exec "$@"
' sh "$@"
"""


def fifo(cli: CommandLine) -> None:
    os.mkfifo(cli.plaintext, 0o600)


def directory(cli: CommandLine) -> None:
    cli.plaintext.mkdir(0o700)


def device(cli: CommandLine) -> None:
    cli.plaintext.symlink_to("/dev/zero")


def unix_socket(cli: CommandLine) -> None:
    make_socket(cli.plaintext)


def over_the_limit(cli: CommandLine) -> None:
    cli.keep(ONE)
    os.truncate(cli.plaintext, _LIMIT + 1)


def readable_by_others(cli: CommandLine) -> None:
    cli.keep(ONE).chmod(0o644)


def writable_by_others(cli: CommandLine) -> None:
    cli.keep(ONE).chmod(0o620)


def in_a_writable_folder(cli: CommandLine) -> None:
    cli.keep(ONE)
    cli.folder.chmod(0o777)


def a_link_through_a_writable_folder(cli: CommandLine) -> None:
    public = cli.home / "public"
    public.mkdir()
    public.chmod(0o777)
    cli.keep(ONE).rename(public / "auth.json")
    cli.plaintext.symlink_to(public / "auth.json")


def a_link_to_nowhere(cli: CommandLine) -> None:
    cli.plaintext.symlink_to(cli.home / "missing" / "auth.json")


def a_link_to_itself(cli: CommandLine) -> None:
    cli.plaintext.symlink_to(cli.plaintext)


CASES: list[Callable[[CommandLine], None]] = [
    fifo,
    directory,
    device,
    unix_socket,
    over_the_limit,
    readable_by_others,
    writable_by_others,
    in_a_writable_folder,
    a_link_through_a_writable_folder,
    a_link_to_nowhere,
    a_link_to_itself,
]


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user with an empty folder."""
    cli.folder.mkdir(0o700)
    return cli


@pytest.mark.parametrize("prepare", CASES, ids=lambda case: case.__name__)
def test_it_is_refused(cli: CommandLine, prepare: Callable[[CommandLine], None]) -> None:
    """Reading and writing end with 7 and one message, at once, and change nothing."""
    prepare(cli)
    before = tree(cli.home)

    outcomes = cli.both(PASSPHRASE)

    for outcome in outcomes:
        assert_refused(outcome, 7, str(cli.folder))
    assert tree(cli.home) == before


@as_root
@pytest.mark.parametrize("whose", ["the store", "the folder", "the link", "the target's folder"])
def test_what_another_user_owns_is_refused(cli: CommandLine, whose: str) -> None:
    """A store, a folder or a link of somebody else ends with 7, and is not touched."""
    cli.keep(ONE)
    other = cli.home / "other"
    other.mkdir(0o755)
    if whose == "the store":
        os.chown(cli.plaintext, NOBODY, NOBODY)
    elif whose == "the folder":
        os.chown(cli.folder, NOBODY, NOBODY)
    else:
        cli.plaintext.rename(other / "auth.json")
        cli.plaintext.symlink_to(other / "auth.json")
        theirs = cli.plaintext if whose == "the link" else other
        os.chown(theirs, NOBODY, NOBODY, follow_symlinks=False)
    before = tree(cli.home)

    outcomes = cli.both(PASSPHRASE)

    for outcome in outcomes:
        assert_refused(outcome, 7, str(cli.folder))
    assert tree(cli.home) == before


def test_a_safe_link_works_and_stays_a_link(cli: CommandLine) -> None:
    """A link into a folder of one's own is read and written through."""
    dotfiles = cli.home / "dotfiles"
    dotfiles.mkdir(0o755)
    cli.keep(ONE).rename(dotfiles / "credentials.json")
    cli.plaintext.symlink_to(dotfiles / "credentials.json")

    read, written = cli.both(PASSPHRASE)

    assert read.status == written.status == 0
    assert cli.plaintext.is_symlink()
    assert set(cli.records()) == {"openai", "google"}
    assert stat.S_IMODE((dotfiles / "credentials.json").stat().st_mode) == 0o600
    assert [path.name for path in dotfiles.iterdir() if "tmp" in path.name] == []


@pytest.mark.parametrize("backend", ["plaintext", "encrypted"])
def test_a_read_only_folder_can_be_read(cli: CommandLine, backend: str) -> None:
    """Where the folder cannot be written, reading works, and a write ends with 1."""
    (cli.folder / "state").mkdir(0o700)
    cli.fill(backend, ONE)
    cli.folder.chmod(0o500)
    through = 'exec "$@"'
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root writes anywhere")
        through = 'exec setpriv --bounding-set=-dac_override,-dac_read_search "$@"'
    before = tree(cli.home)

    read, written = cli.both(PASSPHRASE, through=through)

    cli.folder.chmod(0o700)
    assert read.status == 0
    assert_refused(written, 1, "permission denied")
    cli.folder.chmod(0o500)
    assert tree(cli.home) == before
    cli.folder.chmod(0o700)


@as_root
def test_a_read_only_disk_can_be_read(cli: CommandLine) -> None:
    """On a read-only mount reading works, and a write ends with 1 and names the cause."""
    if shutil.which("unshare") is None or cli.run("--version", through=MOUNT).status != 0:
        pytest.skip("this system mounts nothing")
    cli.keep(ONE)
    before = tree(cli.home)

    read, written = cli.both(PASSPHRASE, through=MOUNT)

    assert read.status == 0
    assert_refused(written, 1, "read-only file system")
    assert tree(cli.home) == before


@pytest.mark.parametrize("backend", ["plaintext", "encrypted"])
def test_a_full_disk_leaves_the_store_as_it_was(cli: CommandLine, backend: str) -> None:
    """A write that the disk cuts off ends with 1, names the cause and leaves nothing behind."""
    (cli.folder / "state").mkdir(0o700)
    cli.fill(backend, ONE)
    cli.run("auth", "list", passphrase=PASSPHRASE)
    before = tree(cli.home)

    written = cli.both(PASSPHRASE, through=CUT_OFF)[1]

    assert_refused(written, 1, "file size limit exceeded")
    assert tree(cli.home) == before


@pytest.mark.parametrize("backend", ["plaintext", "encrypted"])
def test_a_store_that_is_being_changed_is_waited_for(cli: CommandLine, backend: str) -> None:
    """While another process holds the lock, reading works, and a write ends with 8 in time."""
    path = cli.fill(backend, ONE)
    cli.write(cli.config, f'backend = "{backend}"\nlock_timeout = "100ms"\n')
    lock = cli.folder / "state" / f"{path.name}.lock"
    before = tree(cli.home)

    with FileLock(str(lock), timeout=1, what="the store"):
        read, written = cli.both(PASSPHRASE)

    assert read.status == 0
    assert_refused(written, 8, str(path), f"process {os.getpid()}", "lock_timeout")
    assert path.read_bytes() == before[f".code-mesh/{path.name}"].content
