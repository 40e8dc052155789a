"""`codemesh run` and `codemesh sessions`: one question to a model, and what was said."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, cast

import typer

from codemesh import sessions
from codemesh.cli import listing, login, terminal, waiting
from codemesh.cli.options import Json, Yes
from codemesh.cli.session import session_of
from codemesh.errors import CodemeshError, CredentialNotFoundError, UsageError
from codemesh.sessions import Turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codemesh.asking import Model
    from codemesh.cli.session import Session
    from codemesh.providers.chat import Delta
    from codemesh.sessions import Session as Talk
    from codemesh.store import Store

Role: TypeAlias = Literal["user", "assistant", "system"]  # `sessions` reads no other
app = typer.Typer(help="See and remove what was said to models.", no_args_is_help=True)

_CUT = frozenset({"length", "max_tokens"})  # in the words of the two formats
_INPUT_LIMIT = 4 * 2**20  # bytes of a question that is piped in


def run(
    ctx: typer.Context,
    message: Annotated[list[str] | None, typer.Argument(help="The question.")] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", metavar="PROVIDER/MODEL", help="Whom to ask.")
    ] = None,
    go_on: Annotated[
        bool, typer.Option("-c", "--continue", help="Go on with the last session.")
    ] = False,
    session_id: Annotated[
        str | None, typer.Option("-s", "--session", metavar="ID", help="Go on with this one.")
    ] = None,
    json: Json = False,
) -> None:
    """Ask a model one question, and print its answer as it comes."""
    session = session_of(ctx)
    question = _question(message or [])
    store = session.store()
    before = _before(store.config.home, session_id, go_on=go_on)
    if model is None and before is not None:
        model = f"{before.provider}/{before.model}"
    chosen = _chosen(ctx, store, model)
    talk = before or sessions.begun(chosen.provider.id, chosen.name)
    answer = Answer(store, chosen, talk, question)
    try:
        answer.come(session, show=not json)
    except CodemeshError:
        if not json and sys.stdout is not None and sys.stdout.isatty():
            terminal.part("\n")  # the error starts on a line of its own
        raise
    finally:
        answer.keep()  # whatever ended it, Ctrl-C or the provider: what came is kept
    if json:
        terminal.out_json(answer.as_json())


class Answer:
    """One question and its answer, as far as it has come."""

    def __init__(self, store: Store, model: Model, talk: Talk, question: str) -> None:
        self._store = store
        self._model = model
        self._talk = talk
        self._question = question
        self._parts: list[str] = []
        self._usage: dict[str, int] = {}
        self._stop: str | None = None

    def come(self, session: Session, *, show: bool) -> None:
        """Let the answer come, and print each part at once."""
        from codemesh import asking
        from codemesh.providers.chat import Message

        turns = (*self._talk.messages, Turn("user", self._question))
        messages = [Message(cast("Role", turn.role), turn.content) for turn in turns]
        deltas = asking.ask(self._store, self._model, messages, session.environ)
        who = f"{self._model.provider.id}/{self._model.name}"
        for delta in _with_a_sign_of_life(deltas, f"Asking {who}", quiet=session.quiet):
            self._usage |= delta.usage or {}
            self._stop = delta.stop or self._stop
            if delta.text:
                self._parts.append(delta.text)
                if show:
                    terminal.part(delta.text)
        if show:
            terminal.part("\n")
        if self._stop in _CUT:
            session.say("The answer was cut at the most that is asked for. Go on with: run -c")
        if self._store.unsaved is not None:
            terminal.error(self._store.unsaved)

    def keep(self) -> None:
        """Save the session, if anything was answered."""
        if self._parts:
            turns = [Turn("user", self._question), Turn("assistant", "".join(self._parts))]
            self._talk = sessions.continued(self._talk, turns)
            try:
                sessions.save(self._store.config.home, self._talk)
            except CodemeshError as error:
                terminal.error(error)

    def as_json(self) -> dict[str, object]:
        """The answer as a document, without its schema number."""
        return {
            "session": self._talk.id,
            "provider": self._model.provider.id,
            "model": self._model.name,
            "text": "".join(self._parts),
            "usage": self._usage,
            "stop": self._stop,
        }


def _with_a_sign_of_life(deltas: Iterator[Delta], text: str, *, quiet: bool) -> Iterator[Delta]:
    """The parts of an answer; until the first one is there, a terminal shows that it waits."""
    if not quiet and sys.stderr is not None and sys.stderr.isatty():
        with waiting.spinner(text):
            first = next(deltas, None)
        if first is None:
            return
        yield first
    yield from deltas


def _question(words: list[str]) -> str:
    """The words of the command line, and what is piped in behind them."""
    piped = ""
    if sys.stdin is not None and not sys.stdin.isatty():
        try:
            raw = sys.stdin.buffer.read(_INPUT_LIMIT + 1)
            piped = raw.decode()
        except UnicodeDecodeError:
            raise UsageError("what is piped in is not UTF-8 text") from None
        except OSError as failure:
            raise UsageError(f"standard input cannot be read: {failure.strerror}") from None
        if len(raw) > _INPUT_LIMIT:
            raise UsageError(f"what is piped in is longer than {_INPUT_LIMIT} bytes")
    question = "\n\n".join(part for part in (" ".join(words), piped.strip("\n")) if part.strip())
    if not question:
        raise UsageError("there is no question", hint="As in: codemesh run 'why is the sky blue?'")
    return question


def _before(home: str, session_id: str | None, *, go_on: bool) -> Talk | None:
    if session_id is not None:
        return sessions.load(home, session_id)
    if not go_on:
        return None
    latest = sessions.latest(home)
    if latest is None:
        raise UsageError("there is no session to go on with", hint="Ask without -c.")
    return latest


def _chosen(ctx: typer.Context, store: Store, wish: str | None) -> Model:
    """The model to ask; where it has no credential, a terminal is offered a login first."""
    from codemesh import asking  # which loads an HTTP client

    environ = session_of(ctx).environ
    try:
        model = asking.choose(store, environ, wish)
        asking.look(store, model, environ)
    except CredentialNotFoundError as error:
        wanted = None if wish is None else wish.partition("/")[0]
        if not terminal.can_ask() or not terminal.confirm(
            f"{str(error)[:1].upper()}{str(error)[1:]}. Log in now?", missing="log in first"
        ):
            raise
        login.login(ctx, wanted)
        store.reload()
        model = asking.choose(store, environ, wish)
    return model


# -- sessions ------------------------------------------------------------------------


@app.command("list")
def list_sessions(ctx: typer.Context, json: Json = False) -> None:
    """Show every session, the newest first."""
    found = sessions.listed(session_of(ctx).config().home)
    if json:
        terminal.out_json({"sessions": [_described(each) for each in found]})
        return
    for each in found:
        if each.session is None:
            terminal.show(f"{each.id}  {terminal.clean(each.problem)}")
        else:
            talk = each.session
            who = f"{talk.provider}/{talk.model}"
            when = listing.moment(talk.updated_at)
            terminal.show(terminal.clean(f"{talk.id}  {when}  {who}  {talk.title}"))
    if not found:
        session_of(ctx).say("There is no session.")


def _described(each: sessions.Listed) -> dict[str, object]:
    talk = each.session
    return {
        "id": each.id,
        "problem": each.problem or None,
        "provider": None if talk is None else talk.provider,
        "model": None if talk is None else talk.model,
        "title": None if talk is None else talk.title,
        "created_at": None if talk is None else talk.created_at,
        "updated_at": None if talk is None else talk.updated_at,
        "messages": None if talk is None else len(talk.messages),
    }


@app.command()
def show(
    ctx: typer.Context,
    session_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or how it begins.")],
    json: Json = False,
) -> None:
    """Show what was said in a session."""
    talk = sessions.load(session_of(ctx).config().home, session_id)
    if json:
        turns = [turn._asdict() for turn in talk.messages]
        terminal.out_json({**_described(sessions.Listed(talk.id, talk)), "messages": turns})
        return
    for turn in talk.messages:
        terminal.show(f"{turn.role}:")
        terminal.part(turn.content.rstrip("\n") + "\n\n")


@app.command()
def remove(
    ctx: typer.Context,
    session_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or how it begins.")],
    yes: Yes = False,
) -> None:
    """Remove a session, after asking."""
    session = session_of(ctx)
    if not yes and not terminal.confirm(
        f"Remove the session {session_id}?", missing="confirm with --yes"
    ):
        session.say("Nothing was removed.")
        return
    session.say(f"Removed {sessions.remove(session.config().home, session_id)}.")
