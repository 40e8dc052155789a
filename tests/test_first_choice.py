"""Which store the first write takes, where neither config.toml nor a file says it."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from codemesh import ApiKey, open_store
from codemesh.choice import load_config
from desktops import ADDRESS, Bus, GnomeKeyring
from places import secret_service_items
from support import run_together, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from commandline import CommandLine

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the keychain is hidden from tests"
)
HASTY = '[backends.keychain]\ntimeout = "500ms"\n'


@pytest.fixture
def bare_bus(tmp_path: Path) -> Iterator[Bus]:
    """A session bus with no secret service on it."""
    bus = Bus(tmp_path / "bus")
    yield bus
    bus.stop()


@pytest.fixture
def mute_bus(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket that takes connections and never says a word; its address, and itself."""
    path = tmp_path / "mute"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0)
        yield f"unix:path={path}", listener


def login(cli: CommandLine, address: str) -> str:
    """Log in to openai for the first time; what is said."""
    outcome = cli.run(
        *("auth", "login", "openai", "--with-key"),
        stdin="sk-1",
        environ={ADDRESS: address} if address else {},
    )
    assert outcome.status == 0, outcome.stderr
    assert outcome.stdout == ""
    return outcome.stderr


def test_a_keychain_that_answers_is_taken(cli: CommandLine, desktop: GnomeKeyring) -> None:
    """The first login goes to the keychain, says so, and writes the choice down."""
    said = login(cli, desktop.bus.address)

    assert cli.config.read_text() == 'backend = "keychain"\n'
    assert said.splitlines()[0].startswith("First credential: the store is now Secret Service")
    assert "codemesh migrate" in said
    assert not cli.plaintext.exists()


@pytest.mark.usefixtures("gnome")
def test_the_probe_leaves_nothing() -> None:
    """After the first write the keychain has that entry alone."""
    open_store().put("openai", ApiKey.new("sk-1"))

    items = secret_service_items("codemesh")

    assert len(items) == 1
    assert '"codemesh/openai"' in next(iter(items))


def test_without_a_bus_it_is_the_file(cli: CommandLine) -> None:
    """Where there is no session bus, the first login makes the plaintext file and says why."""
    said = login(cli, "")

    assert cli.config.read_text() == 'backend = "plaintext"\n'
    assert said.splitlines()[0] == "No keychain is available: there is no session bus."
    assert set(cli.records()) == {"openai"}


def test_without_a_secret_service_it_is_the_file(cli: CommandLine, bare_bus: Bus) -> None:
    """A bus that nothing keeps secrets on is no keychain."""
    said = login(cli, bare_bus.address)

    assert cli.config.read_text() == 'backend = "plaintext"\n'
    assert "nothing on this session bus is a secret service" in said


def test_a_mute_bus_has_a_deadline(cli: CommandLine, mute_bus: tuple[str, socket.socket]) -> None:
    """A bus that never answers is given up after the deadline, and the file is taken."""
    cli.write(cli.config, HASTY)

    said = login(cli, mute_bus[0])

    assert 'backend = "plaintext"' in cli.config.read_text()
    assert "did not answer within 0.5 s" in said


def test_a_locked_keychain_is_passed_over(cli: CommandLine, desktop: GnomeKeyring) -> None:
    """A keychain that nobody unlocks is not the first choice; it is said why."""
    desktop.restart()

    said = login(cli, desktop.bus.address)

    assert cli.config.read_text() == 'backend = "plaintext"\n'
    assert "locked" in said.splitlines()[0]


@pytest.mark.parametrize("file", ["auth.json", "auth.vault.json"])
def test_a_store_that_is_there_stays_the_store(
    cli: CommandLine, desktop: GnomeKeyring, file: str
) -> None:
    """Somebody's store of old is used on, whatever keychain there is, and nothing is chosen."""
    environ = desktop.environ
    cli.fill("encrypted" if "vault" in file else "plaintext", {})
    cli.config.unlink(missing_ok=True)

    done = cli.run(
        *("auth", "login", "openai", "--with-key"),
        stdin="sk-1",
        passphrase="correct horse battery staple",
        environ=environ,
    )

    assert done.status == 0, done.stderr
    assert "First credential" not in done.stderr
    assert not cli.config.exists()
    assert not any(secret_service_items_of(desktop))


def secret_service_items_of(desktop: GnomeKeyring) -> dict[str, str]:
    """What codemesh has in a keyring that this process is not on the bus of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ADDRESS, desktop.bus.address)
        return secret_service_items("codemesh")


@pytest.mark.parametrize(
    "command", [["auth", "token", "openai"], ["auth", "list"], ["auth", "logout", "openai", "-y"]]
)
def test_reads_decide_nothing(
    cli: CommandLine, mute_bus: tuple[str, socket.socket], command: list[str]
) -> None:
    """Without a store nothing is asked of a keychain to read, and nothing is written."""
    address, listener = mute_bus

    cli.run(*command, environ={ADDRESS: address})

    with pytest.raises(BlockingIOError):  # nobody came
        listener.accept()
    assert not cli.folder.exists()


@pytest.mark.usefixtures("gnome")
def test_two_first_writes_at_once(home: Path) -> None:
    """Two processes that both write first choose one store, and both entries are in it."""
    run_together([start("store", str(home), "put", prefix, "1") for prefix in ("one", "two")])

    assert load_config(str(home)).backend == "keychain"
    assert open_store().names() == ["one0", "two0"]


@pytest.mark.usefixtures("gnome")
def test_the_rust_program_comes_first(home: Path) -> None:
    """A file that another program makes after the probe is the store, not the keychain."""
    store = open_store()
    store.decide()
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "auth.json").write_text('{"credentials": {}}')
    (home / "auth.json").chmod(0o600)

    store.put("openai", ApiKey.new("sk-1"))

    assert store.backend.name == "plaintext"
    assert open_store().names() == ["openai"]
