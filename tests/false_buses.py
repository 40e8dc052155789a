"""What listens at the address of a session bus, and is none."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from jeepney import DBusAddress, Parser, new_error, new_method_return, new_signal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jeepney import Message


class FakeBus:
    """A socket that is no proper bus: `play` gets each connection, until the peer leaves."""

    def __init__(self, path: Path, play: Callable[[socket.socket], None]) -> None:
        self.address = f"unix:path={path}"
        self._play = play
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(16)
        self._peer: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, and the connection that is left."""
        for each in (self._socket, self._peer):
            if each is not None:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                self._peer, _ = self._socket.accept()
            except OSError:
                return
            with self._peer, suppress(OSError):
                self._play(self._peer)


def listen(peer: socket.socket) -> None:
    """Take everything and say nothing."""
    while peer.recv(4096):
        pass


def drip(peer: socket.socket) -> None:
    """Say a little all the time, and never enough."""
    while True:
        peer.sendall(b"O")
        time.sleep(0.001)


def hang_up(peer: socket.socket) -> None:
    """Leave at the first word."""
    peer.recv(1)


def speak_http(peer: socket.socket) -> None:
    """Be another server altogether."""
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n")
    listen(peer)


def reject(peer: socket.socket) -> None:
    """Let nobody in."""
    peer.recv(4096)
    peer.sendall(b"REJECTED EXTERNAL\r\n")
    listen(peer)


def fall_silent(peer: socket.socket) -> None:
    """Let the peer in, and say nothing any more."""
    _authenticate(peer)
    listen(peer)


def refuse_hello(peer: socket.socket) -> None:
    """Let the peer in, and have no place for one more, as a bus at its limit."""
    hello = _authenticate(peer)
    refusal = new_error(hello, "org.freedesktop.DBus.Error.LimitsExceeded", "s", ("no more",))
    peer.sendall(refusal.serialise(1))
    listen(peer)


def welcome(peer: socket.socket) -> None:
    """Be a bus in all ways, except that no call is ever answered."""
    peer.sendall(new_method_return(_authenticate(peer), "s", (":1.1",)).serialise(1))
    listen(peer)


def babble(peer: socket.socket) -> None:
    """Be a bus until the first call, and then send what is no message."""
    peer.sendall(new_method_return(_authenticate(peer), "s", (":1.1",)).serialise(1))
    peer.recv(4096)
    peer.sendall(b"\xff" * 4096)
    listen(peer)


def flood(peer: socket.socket) -> None:
    """Be a bus that never answers a call, but sends signals without a pause, for a while."""
    peer.sendall(new_method_return(_authenticate(peer), "s", (":1.1",)).serialise(1))
    signal = new_signal(DBusAddress("/x", interface="a.b"), "Changed", "s", ("x",))
    many = signal.serialise(2) * 500
    end = time.monotonic() + 2
    while time.monotonic() < end:
        peer.sendall(many)


def _authenticate(peer: socket.socket) -> Message:
    """Let the peer in; returns its first call."""
    heard = b""
    while b"\r\n" not in heard:
        heard += peer.recv(4096)
    peer.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
    while b"BEGIN\r\n" not in heard:
        heard += peer.recv(4096)
    parser = Parser()
    parser.add_data(heard.partition(b"BEGIN\r\n")[2])
    while (message := parser.get_next_message()) is None:
        parser.add_data(peer.recv(4096))
    return message
