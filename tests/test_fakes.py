"""The fakes of the keychains of Windows and macOS do as the real ones do.

The classes of the keyring library that run over them are its own.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from keyring.errors import KeyringError, KeyringLocked, PasswordSetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_faults import Rule
    from keyring.backend import KeyringBackend

CLASSES = {
    "windows": ("keyring.backends.Windows", "WinVaultKeyring"),
    "macos": ("fake_macos", "Keyring"),
}
CALL = """if True:
    import importlib, sys
    module, name, method, *arguments = sys.argv[1:]
    keyring = getattr(importlib.import_module(module), name)()
    print(getattr(keyring, method)(*arguments))
"""


@pytest.fixture
def windows(fakes: None) -> KeyringBackend:
    """The library's own backend for Windows, over the fake Credential Manager."""
    del fakes
    return backend("windows")


@pytest.fixture
def macos(fakes: None) -> KeyringBackend:
    """The library's own backend for macOS, over the fake keychain."""
    del fakes
    return backend("macos")


@pytest.fixture(params=CLASSES)
def system(request: pytest.FixtureRequest, fakes: None) -> str:
    """The name of each system in turn."""
    del fakes
    name: str = request.param
    return name


def backend(system: str) -> KeyringBackend:
    """The backend of a system, opened anew."""
    module, name = CLASSES[system]
    make: Callable[[], KeyringBackend] = getattr(importlib.import_module(module), name)
    return make()


def child(system: str, *call: str) -> subprocess.Popen[str]:
    """Call a method of the backend in a process of its own, which prints the result."""
    command = [sys.executable, "-c", CALL, *CLASSES[system], *call]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def credentials() -> dict[str, tuple[str | None, str]]:
    """The user and the text under each target of the Credential Manager."""
    from win32ctypes.pywin32.win32cred import CredEnumerate

    return {
        each["TargetName"]: (each["UserName"], each["CredentialBlob"].decode("utf-16-le"))
        for each in CredEnumerate()
    }


def test_a_rotation_on_windows_leaves_the_old_value(windows: KeyringBackend) -> None:
    """A second set of the same user keeps the first value under the compound name."""
    windows.set_password("cm", "a", "old")

    windows.set_password("cm", "a", "new")

    assert credentials() == {"cm": ("a", "new"), "a@cm": ("a", "old")}


def test_a_blob_has_1280_units(windows: KeyringBackend) -> None:
    """Windows takes a value of 1,280 UTF-16 units, with a NUL in it."""
    text = "x" * 1277 + "\0" + "\U0001f600"

    windows.set_password("cm", "a", text)

    assert windows.get_password("cm", "a") == text


@pytest.mark.parametrize(
    ("service", "user", "text", "winerror"),
    [
        ("cm", "a", "x" * 1281, 1783),
        ("cm", "a", "\U0001f600" * 641, 1783),
        ("s" * 32768, "a", "x", 1734),
        ("cm", "u" * 514, "x", 1734),
    ],
)
def test_windows_refuses_what_is_too_long(
    windows: KeyringBackend, service: str, user: str, text: str, winerror: int
) -> None:
    """A blob is bad data (1783), a name is out of bounds (1734), and nothing is kept."""
    from win32ctypes.pywin32.pywintypes import error

    with pytest.raises(error) as caught:
        windows.set_password(service, user, text)

    assert (caught.value.winerror, caught.value.funcname) == (winerror, "CredWrite")
    assert windows.get_password(service, user) is None


def test_targets_have_no_case(windows: KeyringBackend) -> None:
    """On Windows a service is the same in capitals, and is spelled as it was last."""
    windows.set_password("Café", "a", "old")

    windows.set_password("CAFÉ", "a", "new")

    assert windows.get_password("café", "a") == "new"
    assert credentials() == {"CAFÉ": ("a", "new"), "a@CAFÉ": ("a", "old")}


def test_credentials_are_enumerated_by_prefix(windows: KeyringBackend) -> None:
    """CredEnumerate takes an asterisk at the end, and error 1168 says that there is none."""
    from win32ctypes.pywin32 import pywintypes, win32cred

    windows.set_password("cm:one", "a", "1")
    windows.set_password("other", "a", "2")

    found = win32cred.CredEnumerate("CM:*")

    assert [each["TargetName"] for each in found] == ["cm:one"]
    with pytest.raises(pywintypes.error) as caught:
        win32cred.CredEnumerate("none*")
    assert (caught.value.winerror, caught.value.funcname) == (1168, "CredEnumerate")


def test_a_nul_ends_every_text_on_macos(macos: KeyringBackend) -> None:
    """A service, an account and a value end at their first NUL, and nothing says so."""
    macos.set_password("cm\0x", "a\0y", "one\0two")

    found = macos.get_password("cm", "a")

    assert found == "one"


def test_a_denied_add_loses_the_value(macos: KeyringBackend) -> None:
    """A set on macOS deletes first, so a denial of the add leaves nothing."""
    from fake_faults import inject

    macos.set_password("cm", "a", "old")
    inject({"write": {"error": -128}})

    with pytest.raises(KeyringLocked):
        macos.set_password("cm", "a", "new")

    assert macos.get_password("cm", "a") is None


def test_a_session_without_a_screen_is_an_unknown_error(macos: KeyringBackend) -> None:
    """Status -25308 has no meaning of its own for the library, and is found in the cause."""
    from fake_faults import inject

    inject({"step": {"error": -25308}})

    with pytest.raises(PasswordSetError) as setting:
        macos.set_password("cm", "a", "value")
    with pytest.raises(KeyringError) as getting:
        macos.get_password("cm", "a")

    causes = (setting.value.__cause__, getting.value.__cause__)
    assert [cause and cause.args for cause in causes] == [(-25308, "Unknown Error")] * 2


def test_a_child_shares_the_keychain(system: str) -> None:
    """What a child writes is here, and what is written here is in a child."""
    child(system, "set_password", "cm", "a", "of the child").communicate(timeout=60)
    backend(system).set_password("cm2", "a", "of the parent")

    shown, _ = child(system, "get_password", "cm2", "a").communicate(timeout=60)

    assert shown == "of the parent\n"
    assert backend(system).get_password("cm", "a") == "of the child"


def test_sixteen_processes_write_at_once(system: str) -> None:
    """No write of another process is lost."""
    writers = [child(system, "set_password", f"cm{n}", "a", str(n)) for n in range(16)]

    for writer in writers:
        writer.communicate(timeout=60)

    found = [backend(system).get_password(f"cm{n}", "a") for n in range(16)]
    assert found == [str(n) for n in range(16)]


@pytest.mark.parametrize(
    ("rule", "struck"),
    [({"at": 2}, [2]), ({"at": 2, "after": True}, [2]), ({"since": 3}, [3, 4])],
)
def test_a_rule_says_which_steps_fail(
    macos: KeyringBackend, rule: Rule, struck: list[int]
) -> None:
    """A rule strikes the nth step of its kind, or all from it on."""
    from fake_faults import count, inject

    inject({"read": {**rule, "error": -25307}})
    failed = []

    for number in range(1, 5):
        try:
            macos.get_password("cm", "a")
        except KeyringError:
            failed.append(number)

    assert (failed, count("read"), count("write")) == (struck, 4, 0)


def test_a_keychain_that_forgets_says_yes(system: str) -> None:
    """A set that is forgotten raises nothing, and nothing is there."""
    from fake_faults import inject

    inject({"write": {"forget": True}})

    backend(system).set_password("cm", "a", "value")

    assert backend(system).get_password("cm", "a") is None


@pytest.mark.parametrize(
    ("rule", "left"),
    [({"at": 1}, "old"), ({"at": 1, "after": True}, None), ({"at": 2, "after": True}, "new")],
)
def test_a_kill_strikes_between_steps(macos: KeyringBackend, rule: Rule, left: str | None) -> None:
    """A set on macOS that is killed leaves the old value, none, or the new one."""
    from fake_faults import count, inject

    macos.set_password("cm", "a", "old")
    inject({"step": {**rule, "kill": True}})

    killed = child("macos", "set_password", "cm", "a", "new")
    killed.communicate(timeout=60)

    assert (killed.returncode, count()) == (-9, rule["at"])
    inject({})
    assert macos.get_password("cm", "a") == left


def test_a_step_that_hangs_stops_no_other(system: str) -> None:
    """While one process waits for the keychain, another one uses it."""
    from fake_faults import count, inject

    inject({"read": {"at": 1, "hang": 60}})
    waiting = child(system, "get_password", "cm", "a")
    while waiting.poll() is None and not count():
        time.sleep(0.01)

    backend(system).set_password("cm", "a", "value")

    assert backend(system).get_password("cm", "a") == "value"
    assert waiting.poll() is None
    waiting.kill()
    waiting.communicate(timeout=60)
