"""The session bus, with a deadline on every call and one error for each way to fail.

A connection belongs to one operation and one thread: replies are read by whoever asks.
The protocol is jeepney's; what is added here is that nothing waits for ever and that no
error of jeepney or of the system gets through.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from jeepney import DBusAddress, HeaderFields, MatchRule, MessageType, message_bus
from jeepney.bus import get_connectable_addresses
from jeepney.io.blocking import DBusConnection, prep_socket
from jeepney.wrappers import DBusErrorResponse, new_method_call

from codemesh.errors import BackendUnavailableError, NotAnsweringError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jeepney import Message

ADDRESS = "DBUS_SESSION_BUS_ADDRESS"
_WINDOW = 64  # calls that wait for their replies at a time
_FOREIGN = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    struct.error,
    DBusErrorResponse,
)
"""What jeepney raises over what a bus sends or an address says, beside TimeoutError."""


class Call(NamedTuple):
    """One method call on an object of a service."""

    path: str
    interface: str
    member: str
    signature: str = ""
    body: tuple[object, ...] = ()
    answer: str = ""
    """The signature that the reply must have."""

    def message(self, service: str) -> Message:
        """The message that makes the call."""
        address = DBusAddress(self.path, bus_name=service, interface=self.interface)
        return new_method_call(address, self.member, self.signature or None, self.body)


class Refusal(Exception):  # noqa: N818  an answer, which the caller makes an error of
    """The service answered with an error; `name` is the D-Bus name of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _Connection(DBusConnection):  # type: ignore[misc]  # jeepney has no types
    """jeepney's connection, with a deadline for every reply, that of its greeting too."""

    def __init__(self, address: str, timeout: float) -> None:
        self.seconds = timeout
        self.signals: list[Message] = []
        """The signals that came while something else was waited for."""
        self._replies: dict[int, Message] = {}
        sock = prep_socket(address, timeout=timeout)
        sock.settimeout(timeout)  # to send can block as well
        try:
            super().__init__(sock)
        except BaseException:
            self.close()
            raise

    def send_and_get_reply(self, message: Message, *, timeout: float | None = None) -> Message:
        """Send a call and wait for its reply, for as long as every call may take."""
        del timeout
        serial = next(self.outgoing_serial)
        self.send(message, serial=serial)
        return self.reply(serial)

    def reply(self, serial: int) -> Message:
        """Wait for the reply to a call that was sent."""
        deadline = time.monotonic() + self.seconds
        while serial not in self._replies:
            message = self.next_before(deadline)
            answered = message.header.fields.get(HeaderFields.reply_serial)
            if isinstance(answered, int):
                self._replies[answered] = message
            else:
                self.signals.append(message)
        return self._replies.pop(serial)

    def next_before(self, deadline: float) -> Message:
        """The next message, whatever it is. Raises TimeoutError, also while others come in."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return self.receive(timeout=left)


class Bus:
    """One connection to the session bus, for calls to one service on it.

    Raises BackendUnavailableError if there is no bus, and NotAnsweringError after
    `timeout` seconds; so does every method.
    """

    def __init__(self, service: str, timeout: float) -> None:
        self.service = service
        self.timeout = timeout
        address = _address()
        try:
            self._connection = _Connection(address, timeout)
        except (TimeoutError, BlockingIOError):  # jeepney's socket, with no time left
            raise self.silent("the session bus") from None
        except _FOREIGN as error:
            raise absent(f"no session bus answers ({_word(error)})") from None

    def close(self) -> None:
        """Close the connection. A second call does nothing."""
        self._connection.close()

    def call(self, call: Call) -> tuple[object, ...]:
        """The reply to one call. Raises Refusal for an error of the service."""
        (reply,) = self.attempts([call])
        if isinstance(reply, Refusal):
            raise reply
        return reply

    def attempts(self, calls: Iterable[Call]) -> Iterator[tuple[object, ...] | Refusal]:
        """The replies to many calls, or the refusals, in their order and without a pause."""
        window: list[Call] = []
        for call in calls:
            window.append(call)
            if len(window) == _WINDOW:
                yield from self._exchange(window)
                window = []
        yield from self._exchange(window)

    def signal(
        self, call: Call, member: str, answer: str, seconds: float
    ) -> tuple[object, ...] | None:
        """Make a call, and wait up to `seconds` for a signal that the same object sends.

        Returns the body of the signal, whose signature must be `answer`, or None if the
        time passed without one. Raises Refusal for an error of the service.
        """
        rule = MatchRule(type="signal", interface=call.interface, member=member, path=call.path)
        with self._translated():
            self._connection.send_and_get_reply(message_bus.AddMatch(rule))
        self.call(call)
        deadline = time.monotonic() + seconds
        with self._translated():
            waiting, self._connection.signals = self._connection.signals, []
            while True:  # the signal may have come before the reply
                for message in waiting:
                    if rule.matches(message):
                        return _body(message, answer)
                try:
                    waiting = [self._connection.next_before(deadline)]
                except TimeoutError:
                    return None

    def silent(self, what: str) -> NotAnsweringError:
        """The error for something that did not answer in time."""
        return NotAnsweringError(f"{what} did not answer within {self.timeout:g} s")

    def _exchange(self, window: Sequence[Call]) -> Iterator[tuple[object, ...] | Refusal]:
        serials = []
        with self._translated():
            for call in window:
                serials.append(next(self._connection.outgoing_serial))
                self._connection.send(call.message(self.service), serial=serials[-1])
        for serial, call in zip(serials, window, strict=True):
            with self._translated():
                reply = _unwrapped(self._connection.reply(serial), call.answer)
            yield reply

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Make errors of ours of those of jeepney and of the system."""
        try:
            yield
        except TimeoutError:
            raise self.silent("the keychain") from None
        except _FOREIGN as error:
            raise _gone(error) from None


def _unwrapped(message: Message, answer: str) -> tuple[object, ...] | Refusal:
    if message.header.message_type is MessageType.error:
        return Refusal(str(DBusErrorResponse(message).name))
    return _body(message, answer)


def _body(message: Message, signature: str) -> tuple[object, ...]:
    """What a message says, if it says it in the form that was asked for."""
    if message.header.fields.get(HeaderFields.signature, "") != signature:
        raise nonsense()
    return tuple(message.body)


def nonsense() -> StorageError:
    """The error for a service that answers in another form than that of the protocol."""
    return StorageError("the keychain answers in a way that no secret service does")


def _address() -> str:
    """Where the session bus listens: what the environment says, else the user's own socket."""
    named = os.environ.get(ADDRESS)
    if named:
        try:
            return str(next(get_connectable_addresses(named)))
        except (*_FOREIGN, StopIteration):
            raise absent(f"{ADDRESS} is no address of a session bus") from None
    if sys.platform == "win32":
        raise absent("there is no session bus")
    path = os.path.join(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent", "bus")
    try:
        facts = os.stat(path)
    except OSError:
        raise absent("there is no session bus") from None
    if not stat.S_ISSOCK(facts.st_mode) or facts.st_uid != os.geteuid():
        raise absent("there is no session bus")
    return path


def absent(what: str) -> BackendUnavailableError:
    """The error for a machine that has no keychain, with what to do on such a one."""
    return BackendUnavailableError(f"no keychain is available: {what}", hint=_advice())


def _advice() -> str:
    other = "keep credentials in another store: codemesh backend use encrypted"
    if os.environ.get("SSH_CONNECTION"):
        return f"Over SSH there is often no keychain. Log in at the desktop, or {other}"
    if os.environ.get("WSL_DISTRO_NAME"):
        return f"WSL has no keychain of its own. Use codemesh on the Windows side, or {other}"
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        return f"A container has no keychain. In here, {other}"
    return f"Start gnome-keyring, KWallet or KeePassXC in this session, or {other}"


def _gone(error: BaseException) -> StorageError | BackendUnavailableError:
    if isinstance(error, ValueError):  # of jeepney: over a limit of the protocol, or no sense
        return StorageError("the session bus and codemesh do not understand each other")
    return absent(f"the session bus went away ({_word(error)})")


def _word(error: BaseException) -> str:
    """What the system calls the error; never its own text, which may quote what was sent."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else type(error).__name__
