"""`run`: a question to a model, its answer as it comes, and the sessions that are kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from chatserver import ANTHROPIC, COMPLETIONS, JSON, SECRET, TEXT, ChatServer, Reply, fault, split
from commandline import CommandLine, Outcome, assert_refused
from tokenserver import TokenServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codemesh.model import Record

KEYS: dict[str, Record] = {
    "anthropic": {"type": "api_key", "key": f"{SECRET}-anthropic"},
    "openai": {"type": "api_key", "key": f"{SECRET}-openai"},
    "google": {"type": "api_key", "key": f"{SECRET}-google"},
    "azure": {"type": "custom", "data": {"api_key": f"{SECRET}-azure"}},
    "github": {"type": "oauth", "access_token": f"{SECRET}-github", "expires_at": 9_999_999_999},
}
FORMS = {"anthropic": ANTHROPIC}


@pytest.fixture
def serve(cli: CommandLine) -> Iterator[Callable[..., ChatServer]]:
    """Start a server that stands for every provider, and give the user keys for all."""
    running: list[ChatServer] = []

    def start(*replies: Reply, more: str = "") -> ChatServer:
        server = ChatServer(replies or [Reply((COMPLETIONS,))])
        running.append(server.__enter__())
        tables = "".join(
            f'[providers.{name}]\nbase_url = "{server.url}"\nmodel = "m-{name}"\n'
            for name in (*KEYS, "local")
        )
        cli.write(cli.config, f'backend = "plaintext"\n{more}{tables}')
        return server

    cli.keep(KEYS)
    yield start
    for server in running:
        server.__exit__()


def sessions(cli: CommandLine) -> list[dict[str, object]]:
    """What is kept, the newest first."""
    found = json.loads(cli.good("sessions", "list", "--json"))["sessions"]
    assert isinstance(found, list)
    return found


# -- an answer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path", "header"),
    [
        ("anthropic", "/v1/messages", "x-api-key"),
        ("openai", "/v1/chat/completions", "authorization"),
        ("google", "/v1/chat/completions", "authorization"),
        ("azure", "/openai/v1/chat/completions", "api-key"),
        ("github", "/chat/completions", "authorization"),
    ],
)
def test_every_provider_answers(
    cli: CommandLine, serve: Callable[..., ChatServer], name: str, path: str, header: str
) -> None:
    """Each is asked at its own path with its own credential, and the answer alone is printed."""
    server = serve(Reply((FORMS.get(name, COMPLETIONS),)))

    outcome = cli.run("run", "what", "is", "this?", "-m", name)

    assert (outcome.status, outcome.stdout) == (0, f"{TEXT}\n"), outcome.stderr
    (seen,) = server.seen
    assert seen.path == path
    assert seen.headers[header].endswith(f"{SECRET}-{name}")
    assert seen.body["model"] == f"m-{name}"
    assert seen.body["messages"] == [{"role": "user", "content": "what is this?"}]
    assert SECRET not in outcome.stderr


def test_a_login_of_anthropic(cli: CommandLine, serve: Callable[..., ChatServer]) -> None:
    """Tokens go as a bearer with the header that they need, never as a key."""
    server = serve(Reply((ANTHROPIC,)))
    cli.keep({"anthropic": {"type": "oauth", "access_token": SECRET, "expires_at": 9_999_999_999}})

    assert cli.run("run", "x", "-m", "anthropic").status == 0

    headers = server.seen[0].headers
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["anthropic-beta"] == "oauth-2025-04-20"
    assert "x-api-key" not in headers


def test_the_environment_comes_first(cli: CommandLine, serve: Callable[..., ChatServer]) -> None:
    """A key of the provider's own variable is preferred to one of the store."""
    server = serve()

    cli.run("run", "x", "-m", "openai", environ={"OPENAI_API_KEY": "sk-of-the-environment"})

    assert server.seen[0].headers["authorization"] == "Bearer sk-of-the-environment"


def test_a_locked_store_is_not_opened_for_nothing(
    cli: CommandLine, serve: Callable[..., ChatServer]
) -> None:
    """With a key in the environment nobody needs the passphrase of the store."""
    serve()
    config = cli.config.read_text()
    cli.seal(KEYS)
    cli.write(cli.config, config.replace("plaintext", "encrypted"))

    for model in ((), ("-m", "openai")):
        outcome = cli.run("run", "x", *model, environ={"OPENAI_API_KEY": "sk-here"})
        assert (outcome.status, outcome.stdout) == (0, f"{TEXT}\n"), outcome.stderr


def test_a_server_of_this_machine_needs_no_key(
    cli: CommandLine, serve: Callable[..., ChatServer]
) -> None:
    """A local one is asked without a credential if there is none."""
    server = serve()

    assert cli.run("run", "x", "-m", "local").stdout == f"{TEXT}\n"
    assert "authorization" not in server.seen[0].headers


def test_what_is_piped_in_is_part_of_the_question(
    cli: CommandLine, serve: Callable[..., ChatServer]
) -> None:
    """Words and a pipe go together; a pipe alone is a question too."""
    server = serve()

    cli.run("run", "review", "this", "-m", "openai", stdin="+ a line\n")
    cli.run("run", "-m", "openai", stdin="alone\n")

    asked = [seen.body["messages"] for seen in server.seen]
    assert asked == [
        [{"role": "user", "content": "review this\n\n+ a line"}],
        [{"role": "user", "content": "alone"}],
    ]


def test_which_model(cli: CommandLine, serve: Callable[..., ChatServer]) -> None:
    """`-m` counts, then `run.model`, then the first provider that has a credential."""
    server = serve(Reply((ANTHROPIC,)), Reply((COMPLETIONS,)), more='[run]\nmodel = "openai/x"\n')
    cli.run("run", "a", "-m", "anthropic/named")
    cli.run("run", "b")
    cli.keep({"google": KEYS["google"]})
    cli.write(cli.config, cli.config.read_text().replace('[run]\nmodel = "openai/x"\n', ""))
    cli.run("run", "c")

    assert [seen.body["model"] for seen in server.seen] == ["named", "x", "m-google"]


def test_json(cli: CommandLine, serve: Callable[..., ChatServer]) -> None:
    """The whole answer is one document, with the session and what it took."""
    serve()

    document = cli.run("run", "x", "-m", "openai", "--json").json()

    assert document["schema"] == 1
    assert (document["provider"], document["model"]) == ("openai", "m-openai")
    assert document["text"] == TEXT
    assert document["stop"] == "stop"
    assert document["usage"] == {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}
    assert document["session"] == sessions(cli)[0]["id"]


def test_escape_codes_of_a_model(cli: CommandLine, serve: Callable[..., ChatServer]) -> None:
    """What a terminal would act on is left out of an answer, and line ends stay."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "a\x1b[31m\u202eb\n\tc"}}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    raw = b"".join(f"data: {json.dumps(each)}\n\n".encode() for each in (chunk, end))
    serve(Reply((raw + b"data: [DONE]\n\n",)))

    assert cli.run("run", "x", "-m", "openai").stdout == "a[31mb\n\tc\n"


# -- sessions ----------------------------------------------------------------------------


def test_a_session_is_kept_and_continued(
    cli: CommandLine, serve: Callable[..., ChatServer]
) -> None:
    """What was said is saved with mode 0600, and `-c` and `-s` go on with it."""
    server = serve()
    cli.run("run", "first", "-m", "openai")
    (kept,) = sessions(cli)

    cli.run("run", "second", "-c")
    cli.run("run", "third", "-s", str(kept["id"])[:-2])

    assert [len(_messages(seen.body)) for seen in server.seen] == [1, 3, 5]
    assert _messages(server.seen[2].body)[3] == {"role": "assistant", "content": TEXT}
    (path,) = (cli.folder / "sessions").glob("*.json")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "third" in cli.good("sessions", "show", str(kept["id"]))
    assert (sessions(cli)[0]["messages"], sessions(cli)[0]["title"]) == (6, "first")


def _messages(body: dict[str, object]) -> list[object]:
    messages = body["messages"]
    assert isinstance(messages, list)
    return messages


def test_the_last_of_several_in_one_second(
    cli: CommandLine, serve: Callable[..., ChatServer]
) -> None:
    """`-c` goes on with the one that was written last, however quick they came."""
    server = serve()
    for number in range(4):
        cli.run("run", f"question {number}", "-m", "openai")

    cli.run("run", "more", "-c")

    first = _messages(server.seen[-1].body)[0]
    assert first == {"role": "user", "content": "question 3"}


def test_sessions_are_removed(cli: CommandLine, serve: Callable[..., ChatServer]) -> None:
    """One is removed after asking, and a second time there is none."""
    serve()
    cli.run("run", "x", "-m", "openai")
    id_ = str(sessions(cli)[0]["id"])

    assert cli.run("sessions", "remove", id_).status == 2
    assert cli.run("sessions", "remove", id_, "--yes").status == 0
    assert cli.run("sessions", "remove", id_, "--yes").status == 2
    assert sessions(cli) == []


@pytest.mark.parametrize("option", [["-c"], ["-s", "2026"]])
def test_no_such_session(
    cli: CommandLine, serve: Callable[..., ChatServer], option: list[str]
) -> None:
    """To go on with what is not there ends with 2, and nobody is asked."""
    server = serve()

    assert cli.run("run", "x", *option).status == 2
    assert server.seen == []


# -- what goes wrong ---------------------------------------------------------------------


def test_no_credential(cli: CommandLine, serve: Callable[..., ChatServer]) -> None:
    """Without a credential and without a terminal it ends with 3, and says what to type."""
    server = serve(more='[providers.none]\nbase_url = "https://none.example"\nmodel = "m"\n')

    assert_refused(cli.run("run", "x", "-m", "none"), 3, "none", "codemesh auth")
    cli.keep({})
    assert_refused(cli.run("run", "x"), 3, "codemesh auth login")
    assert server.seen == []


def test_no_credential_at_a_terminal(cli: CommandLine, serve: Callable[..., ChatServer]) -> None:
    """At a terminal a login is offered, and then the question is asked."""
    server = serve()
    config = cli.config.read_text().replace("127.0.0.1", "localhost.invalid")
    cli.keep({})
    cli.write(cli.config, config.replace("http://localhost.invalid", "https://localhost.invalid"))

    with cli.at_terminal("run", "x", "-m", "openai") as terminal:
        terminal.answer("Log in now? [y/N]", "y")
        terminal.answer("API key of openai:", "sk-typed")
        outcome = terminal.end()

    assert cli.records()["openai"]["key"] == "sk-typed"
    assert outcome.status == 10  # there is no such host, but it was asked
    assert server.seen == []


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (fault({"error": {"type": "invalid", "message": "bad \x1b[31mmodel"}}, 400), "bad"),
        (fault({"error": "no"}, 401), "401"),
        (Reply((b"<html>",), 200, (("Content-Type", "text/html"),)), "no stream of events"),
        (Reply((), 307, (("Location", "http://127.0.0.1:9/steal"),)), "sends elsewhere"),
        (Reply((b"x" * 100_000,), 500, JSON), "500"),
    ],
)
def test_refusals(
    cli: CommandLine, serve: Callable[..., ChatServer], reply: Reply, words: str
) -> None:
    """A provider that refuses ends with 10 and its own words, and no session is kept."""
    serve(reply)

    outcome = cli.run("run", "x", "-m", "openai")

    assert_refused(outcome, 10, words)
    assert SECRET not in outcome.stderr
    assert "\x1b" not in outcome.stderr
    assert sessions(cli) == []


def test_an_answer_that_breaks_off(cli: CommandLine, serve: Callable[..., ChatServer]) -> None:
    """What came before an error is printed and kept; the end is 10."""
    parts = split(COMPLETIONS, COMPLETIONS.index(b'"finish_reason": "stop"'))
    serve(Reply(parts[:1], cut=True))

    outcome = cli.run("run", "x", "-m", "openai")

    assert outcome.status == 10
    assert outcome.stdout == TEXT
    assert sessions(cli)[0]["messages"] == 2


def test_a_refused_token_is_renewed_once(
    cli: CommandLine, serve: Callable[..., ChatServer]
) -> None:
    """A 401 for a token that should be good renews it, and asks once more."""
    with TokenServer() as tokens:
        server = serve(fault({"error": "expired"}, 401), Reply((ANTHROPIC,)))
        with cli.config.open("a") as file:
            file.write(tokens.config())
        login: Record = {"type": "oauth", "access_token": "access-0", "refresh_token": "refresh-0"}
        cli.keep({"anthropic": {**login, "expires_at": 9_999_999_999}})

        outcome = cli.run("run", "x", "-m", "anthropic")

    assert (outcome.status, outcome.stdout) == (0, f"{TEXT}\n"), outcome.stderr
    sent = [seen.headers["authorization"] for seen in server.seen]
    assert sent == ["Bearer access-0", "Bearer access-1"]
    assert cli.records()["anthropic"]["refresh_token"] == "refresh-1"


def test_an_interrupt_keeps_what_came(cli: CommandLine, serve: Callable[..., ChatServer]) -> None:
    """Ctrl-C in the middle ends with 130, and the session has the part that came."""
    go_on = threading.Event()
    server = serve()
    parts = split(COMPLETIONS, COMPLETIONS.index(b'"finish_reason": "stop"'))

    class Slow(tuple[bytes, ...]):  # noqa: SLOT001  one of a test
        def __iter__(self) -> Iterator[bytes]:
            yield parts[0]
            go_on.wait(60)

    server._replies = [Reply(Slow((b"",)))]
    child = subprocess.Popen(
        [sys.executable, "-m", "codemesh", "run", "x", "-m", "openai"],
        env=cli.environ,
        cwd=cli.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.read(len(TEXT.encode())) == TEXT.encode()

    os.kill(child.pid, signal.SIGINT)
    status = child.wait(timeout=60)
    go_on.set()
    child.stdout.close()

    assert status == 130
    assert sessions(cli)[0]["messages"] == 2


def test_the_credential_goes_to_its_own_origin_alone(
    cli: CommandLine, serve: Callable[..., ChatServer]
) -> None:
    """An address that is not https, or has a user in it, gets nothing at all."""
    serve()
    for url in ("http://example.com", "https://user@example.com"):
        cli.write(cli.config, f'backend = "plaintext"\n[providers.openai]\nbase_url = "{url}"\n')
        assert_refused(cli.run("run", "x", "-m", "openai"), 2, "providers.openai.base_url")

    custom: Record = {"type": "custom", "data": {"endpoint": "http://example.com", "api_key": "k"}}
    cli.keep({"azure": custom})
    cli.write(cli.config, 'backend = "plaintext"\n')
    assert_refused(cli.run("run", "x", "-m", "azure/m"), 2, "https")


def test_no_question(cli: CommandLine, serve: Callable[..., ChatServer]) -> None:
    """Without words and without a pipe it ends with 2."""
    serve()

    outcome: Outcome = cli.run("run")

    assert_refused(outcome, 2, "no question")
