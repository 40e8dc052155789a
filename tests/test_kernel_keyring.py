"""The kernel's keyring as a place where keys rest, asked for real."""

from __future__ import annotations

import os
import time
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import BackendUnavailableError, StorageError
from files_support import as_root
from kernelkeys import in_child, needs_kernel_keyring, refusing, strace, without_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codemesh.unlock.kernel import KernelKeyring

SECRET = bytes(range(72))
FIND = "found = keyring.find(sys.argv[1]); print(found.hex() if found else None)"


@pytest.fixture
def keyring() -> KernelKeyring:
    """The keyring of this user."""
    needs_kernel_keyring()
    from codemesh.unlock.kernel import KernelKeyring

    return KernelKeyring()


@pytest.fixture
def name(keyring: KernelKeyring) -> Iterator[str]:
    """A name that nobody else has, under which nothing stays."""
    name = os.urandom(16).hex()
    yield name
    keyring.drop(name)


@pytest.fixture
def stranger() -> int:
    """The number of a user that nobody is, and that has no keyring yet."""
    return 300_000_000 + int.from_bytes(os.urandom(3), "big")


# -- what it keeps -----------------------------------------------------------------------


def test_what_is_kept_is_found(keyring: KernelKeyring, name: str) -> None:
    """A secret is found under its name, and under no other."""
    keyring.keep(name, SECRET, 60)

    assert keyring.find(name) == SECRET
    assert keyring.find(name[:-1]) is None


def test_a_second_secret_replaces_the_first(keyring: KernelKeyring, name: str) -> None:
    """There is one secret under a name, the one kept last."""
    keyring.keep(name, b"first", 60)

    keyring.keep(name, SECRET, 60)

    assert keyring.find(name) == SECRET


def test_dropped_is_gone(keyring: KernelKeyring, name: str) -> None:
    """What is dropped is found no more, and a second call says that nothing was there."""
    keyring.keep(name, SECRET, 60)

    assert [keyring.drop(name), keyring.find(name), keyring.drop(name)] == [True, None, False]


def test_the_kernel_forgets_on_time(keyring: KernelKeyring, name: str) -> None:
    """After its end nobody finds a secret, although nobody dropped it."""
    keyring.keep(name, SECRET, 1)

    deadline = time.monotonic() + 30
    while keyring.find(name) is not None and time.monotonic() < deadline:
        time.sleep(0.1)

    assert keyring.find(name) is None


def test_a_thread_keeps_for_all(keyring: KernelKeyring, name: str) -> None:
    """What a thread kept stays when it has ended."""
    thread = Thread(target=keyring.keep, args=(name, SECRET, 60))
    thread.start()
    thread.join()

    assert keyring.find(name) == SECRET


# -- who may read it ---------------------------------------------------------------------


def test_other_processes_find_it(keyring: KernelKeyring, name: str) -> None:
    """Another process of the user finds it, and what that one kept is found here."""
    keyring.keep(name, SECRET, 60)

    assert in_child(FIND, name) == SECRET.hex()

    in_child("keyring.keep(sys.argv[1], b'of a child', 60)", name)
    assert keyring.find(name) == b"of a child"


def test_every_session_finds_it(keyring: KernelKeyring, name: str) -> None:
    """A session with a keyring of its own, as su, systemd and cron begin one, finds it."""
    keyring.keep(name, SECRET, 60)

    elsewhere = in_child("control(JOIN_SESSION, None)\n" + FIND, name)
    in_child("control(JOIN_SESSION, None); keyring.keep(sys.argv[1], b'from there', 60)", name)

    assert elsewhere == SECRET.hex()
    assert keyring.find(name) == b"from there"


@as_root
def test_no_other_user_finds_it(keyring: KernelKeyring, name: str, stranger: int) -> None:
    """Another user of the machine does not find it."""
    keyring.keep(name, SECRET, 60)

    assert in_child(FIND, name, uid=stranger) == "None"


# -- what goes wrong ---------------------------------------------------------------------


@as_root
def test_full(keyring: KernelKeyring, stranger: int) -> None:
    """Where the user's quota of keys is used up, the error says so."""
    del keyring
    script = """
from codemesh.errors import StorageError
try:
    for number in range(1000):
        keyring.keep(f"{number}", bytes(72), 60)
except StorageError as error:
    print(error)
"""

    assert in_child(script, uid=stranger) == "the kernel's keyring of this user is full"


@as_root
def test_revoked(keyring: KernelKeyring, stranger: int) -> None:
    """In a keyring that was revoked nothing is found or dropped, and nothing can be kept."""
    del keyring
    script = """
from codemesh.errors import StorageError
keyring.keep("a", b"secret", 60)
control(REVOKE, USER)
print(keyring.find("a"), keyring.drop("a"))
try:
    keyring.keep("a", b"secret", 60)
except StorageError as error:
    print(error, error.hint)
"""

    told = in_child(script, uid=stranger)

    assert told.startswith("None False\nthe kernel's keyring of this user cannot be used")
    assert "CODEMESH_PASSPHRASE_FILE" in told
    assert "unlock_cache keychain" in told


@pytest.mark.parametrize("call", ["add_key", "keyctl"])
@pytest.mark.parametrize("code", ["EPERM", "ENOSYS", "EACCES"])
def test_refused(keyring: KernelKeyring, name: str, call: str, code: str) -> None:
    """Where the system refuses a call, nothing can be kept, and the error says what to do."""
    keyring.keep(name, SECRET, 60)
    script = """
from codemesh.errors import BackendUnavailableError
try:
    keyring.keep(sys.argv[1], b"new", 60)
except BackendUnavailableError as error:
    print(error, error.hint)
"""

    told = in_child(script, name, prefix=refusing(call, code))

    assert "the kernel's keyring is closed here, as in many containers" in told
    assert "CODEMESH_PASSPHRASE_FILE" in told
    assert keyring.find(name) == SECRET


@pytest.mark.parametrize("code", ["EPERM", "ENOSYS", "EACCES"])
def test_looking_is_refused(keyring: KernelKeyring, name: str, code: str) -> None:
    """Where the system refuses to look, nothing is there, and that is no error."""
    keyring.keep(name, SECRET, 60)

    told = in_child(
        FIND + "; print(keyring.drop(sys.argv[1]))", name, prefix=refusing("keyctl", code)
    )

    assert told.split() == ["None", "False"]


@pytest.mark.parametrize("step", [("add_key", 1), *(("keyctl", number) for number in range(1, 5))])
def test_killed(keyring: KernelKeyring, name: str, step: tuple[str, int]) -> None:
    """A kill at any call leaves the old secret or the new one, and never one without an end."""
    keyring.keep(name, b"old", 60)
    call, number = step
    kill = f"{strace()} -e inject={call}:signal=KILL:when={number}"

    in_child("keyring.keep(sys.argv[1], b'new', 60)", name, prefix=kill)

    assert keyring.find(name) in (b"old", b"new")
    deadline = time.monotonic() + 30  # the kernel clears up after a dead thread a moment later
    while (endless := without_end(name)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not endless


def test_a_name_that_is_somebody_elses(keyring: KernelKeyring, name: str) -> None:
    """A key under our name that we may not read is no key, and can be replaced."""
    in_child(
        "control(5, keyring._call(keyring._add_key, b'user', "
        "b'codemesh:' + sys.argv[1].encode(), b'x', 1, USER), 0x3f010000)",
        name,
    )

    elsewhere = in_child("control(JOIN_SESSION, None)\n" + FIND, name)
    keyring.keep(name, SECRET, 60)

    assert elsewhere == "None"
    assert keyring.find(name) == SECRET


def test_errors_are_ours(keyring: KernelKeyring, name: str) -> None:
    """What the kernel takes no key for is an error of ours, without the secret."""
    with pytest.raises((StorageError, BackendUnavailableError)) as caught:
        keyring.keep(name, b"secret" * 10_000, 60)

    assert "secretsecret" not in str(caught.value)
