"""`auth token NAME`: the command that other programs call, so it starts quickly.

It is parsed here without Typer when its arguments are plain; anything unusual goes the
long way and gets Typer's messages. Both ways end in `print_token`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from codemesh import model
from codemesh.cli import terminal

if TYPE_CHECKING:
    from codemesh.cli.session import Session

_FD_DIGITS = 9  # of a descriptor; more go the long way, which says what is wrong


class Request(NamedTuple):
    """The arguments of `auth token`."""

    name: str
    field: str | None = None
    refresh: bool = True


def parse(arguments: list[str], session: Session) -> Request | None:
    """The request, if the arguments are a plain `auth token`; the session gets its options."""
    words = iter(arguments)
    rest: list[str] = []
    field = None
    refresh = True
    for word in words:
        if word == "-q" and not rest:
            session.quiet = True
        elif word == "--passphrase-fd" and not rest:
            number = next(words, "")
            if not number.isdecimal() or len(number) > _FD_DIGITS:
                return None
            session.passphrase_fd = int(number)
        elif word == "--field" and rest:
            field = next(words, None)
            if field is None:
                return None
        elif word == "--no-refresh" and rest:
            refresh = False
        elif word.startswith("-"):
            return None
        else:
            rest.append(word)
    match rest:
        case ["auth", "token", name]:
            return Request(name, field, refresh)
    return None


def print_token(session: Session, request: Request) -> None:
    """Print the secret alone on stdout."""
    name = model.check_typed(request.name, "the name")
    store = session.store()
    secret = store.token(name, request.field, refresh=request.refresh)
    if store.unsaved is not None:
        # The provider may have made the old one worthless: whoever asks next will need a login.
        terminal.error(store.unsaved)
    terminal.out(secret.reveal())
