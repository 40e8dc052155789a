"""Logging in through the browser, on a real authorization server, as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import authserver
from authserver import AuthServer
from chatserver import COMPLETIONS, TEXT, ChatServer, Reply
from codemesh import errors
from commandline import CommandLine, assert_refused
from files_support import SOURCE
from oidcserver import LOOPBACK, PASTE, PASTE_REDIRECT, OidcServer, login_by_forms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codemesh.model import Record

OTHER: Record = {"type": "api_key", "key": "sk-other"}
ASK = """
import sys
import codemesh
print("ready", flush=True)
sys.stdin.readline()
print(codemesh.open_store(sys.argv[1]).token("anthropic").reveal(), flush=True)
"""

# What stands for a browser: it goes through the pages of the server, and to where they lead.
BROWSER = """#!{python}
import os, sys
if os.fork():
    sys.exit()  # a browser does not keep its caller waiting
sys.path[:0] = {path!r}
import httpx2
from oidcserver import login_by_forms
url = login_by_forms(sys.argv[1], allow={allow})
open("landed", "w").write(url)
if url.startswith("http://127.0.0.1"):
    page = httpx2.get(url, trust_env=False)
    open("page", "w").write(page.text)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[OidcServer]:
    """One server for the whole module: no test sees the tokens of another."""
    with OidcServer() as running:
        yield running


@pytest.fixture
def user(cli: CommandLine, server: OidcServer) -> CommandLine:
    """A user whose browser logs in by itself, and who has another credential."""
    cli.keep({"openai": OTHER})
    configure(cli, server, LOOPBACK, "loopback")
    return browsing(cli)


def configure(cli: CommandLine, server: OidcServer, client_id: str, redirect_uri: str) -> None:
    """Let config.toml name the server as that of anthropic and github."""
    common = (
        f'client_id = "{client_id}"\ntoken_url = "{server.token_url}"\n'
        f'revoke_url = "{server.revoke_url}"\nstyle = "form"\n'
        'scopes = ["openid", "user:inference"]\n'
    )
    cli.write(
        cli.config,
        'backend = "plaintext"\n'
        f'[providers.anthropic.oauth]\n{common}authorize_url = "{server.authorize_url}"\n'
        f'redirect_uri = "{redirect_uri}"\n'
        f'[providers.mine]\nmethods = ["device"]\n'
        f'[providers.mine.oauth]\n{common}device_url = "{server.device_url}"\n',
    )


def browsing(cli: CommandLine, *, allow: bool = True) -> CommandLine:
    """Give the user a browser."""
    path = [SOURCE, *filter(None, sys.path)]
    script = BROWSER.format(python=sys.executable, path=path, allow=allow)
    cli.write(cli.home / "browser", script, 0o700)
    cli.environ["BROWSER"] = f"{cli.home / 'browser'} %s"
    return cli


def entry(cli: CommandLine, name: str = "anthropic") -> Record:
    """The credential as it is stored."""
    return cli.records()[name]


# -- the loopback ------------------------------------------------------------------------


def test_a_login_through_the_browser(user: CommandLine, server: OidcServer) -> None:
    """The browser comes back to this machine, and the tokens are stored and good."""
    outcome = user.run("auth", "login", "anthropic", "--method", "oauth", "--label", "mine")

    assert outcome.status == 0, outcome.stderr
    record = entry(user)
    assert set(record) >= {"access_token", "refresh_token", "expires_at", "scope", "created_at"}
    assert (record["type"], record["label"]) == ("oauth", "mine")
    assert server.knows(user.good("auth", "token", "anthropic").strip())
    assert "Close this page" in (user.home / "page").read_text()
    for secret in (record["access_token"], record["refresh_token"]):
        assert str(secret) not in outcome.stdout + outcome.stderr


def test_a_key_that_is_made_for_a_login(user: CommandLine) -> None:
    """`console` stores the API key that the provider makes, and none of the tokens."""
    with AuthServer() as keys:
        keys.answer = authserver.json({"raw_key": "sk-made-for-a-login"})
        text = user.config.read_text()
        table = "[providers.anthropic.oauth]\n"
        url = f'create_key_url = "{keys.url}"\n'
        user.config.write_text(text.replace(table, table + url))

        outcome = user.run("auth", "login", "anthropic", "--method", "console")

    assert outcome.status == 0, outcome.stderr
    assert set(entry(user)) == {"type", "key", "created_at"}
    assert user.good("auth", "token", "anthropic") == "sk-made-for-a-login\n"
    assert "sk-made" not in outcome.stderr
    assert keys.requests[0].headers["authorization"].startswith("Bearer ")


def test_a_login_that_is_refused_in_the_browser(user: CommandLine) -> None:
    """A refusal ends with 10 and the provider's own words, and nothing is stored."""
    browsing(user, allow=False)

    outcome = user.run("auth", "login", "anthropic", "--method", "oauth")

    assert outcome.status == 10
    assert "access_denied" in outcome.stderr
    assert list(user.records()) == ["openai"]


def test_the_address_is_printed(user: CommandLine) -> None:
    """With `--no-browser` none is opened; the address that is printed can be gone to."""
    command = ["auth", "login", "anthropic", "--method", "oauth", "--no-browser"]
    done = subprocess.Popen(
        [sys.executable, "-m", "codemesh", *command],
        env=user.environ,
        cwd=user.home,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.stderr is not None
    url = next(line.strip() for line in done.stderr if line.startswith("http"))
    subprocess.run([user.home / "browser", url], cwd=user.home, env=user.environ, check=True)

    assert done.wait(timeout=60) == 0
    done.stderr.close()
    assert "state=" in url
    assert "code_challenge_method=S256" in url
    assert "anthropic" in user.records()


@pytest.mark.parametrize("redirect", ["", 'redirect_uri = "http://127.0.0.1/callback"\n'])
def test_another_server_comes_back_to_this_machine(user: CommandLine, redirect: str) -> None:
    """A server of config.toml has the loopback by itself, or as its address is written out."""
    text = user.config.read_text().replace('redirect_uri = "loopback"\n', redirect)
    user.config.write_text(text)

    outcome = user.run("auth", "login", "anthropic", "--method", "oauth")

    assert outcome.status == 0, outcome.stderr
    assert "anthropic" in user.records()


def test_two_logins_at_once(user: CommandLine, server: OidcServer) -> None:
    """Each waits at an address of its own, and neither takes the answer of the other."""
    logins = [
        subprocess.Popen(
            [sys.executable, "-m", "codemesh", "auth", "login", name, "--method", "oauth"],
            env=user.environ,
            cwd=user.home,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in ("anthropic/one", "anthropic/two")
    ]

    ended = [(login.communicate(timeout=120)[1], login.returncode) for login in logins]

    assert [status for _, status in ended] == [0, 0], ended
    tokens = {str(entry(user, f"anthropic/{name}")["access_token"]) for name in ("one", "two")}
    assert len(tokens) == 2
    assert all(server.knows(token) for token in tokens)


def test_without_a_client_id(cli: CommandLine) -> None:
    """Two lines say what is missing, what needs none, and which page explains it."""
    outcome = cli.run("auth", "login", "anthropic", "--method", "oauth")

    assert_refused(outcome, 2, "client id", "--method api-key", "docs/oauth.md")
    assert len(outcome.stderr.strip().splitlines()) == 2


@pytest.mark.parametrize("method", ["oauth", "console", "device"])
def test_a_provider_without_such_a_login(cli: CommandLine, method: str) -> None:
    """A provider that has no login of that kind ends with 2."""
    assert_refused(cli.run("auth", "login", "openai", "--method", method), 2, "openai", method)


# -- what is pasted ----------------------------------------------------------------------


def test_a_code_that_is_pasted(cli: CommandLine, server: OidcServer) -> None:
    """Where the provider has a page of its own, its address or the code is pasted."""
    cli.keep({"openai": OTHER})
    configure(cli, server, PASTE, PASTE_REDIRECT)

    command = ("auth", "login", "anthropic", "--method", "oauth", "--no-browser")
    with cli.at_terminal(*command) as terminal:
        terminal.expect("Log in at:")
        terminal.expect("http")
        terminal.expect("The code that the page shows:")
        shown = terminal.seen
        url = "http" + shown.split("http", 1)[1].split()[0]
        terminal.type(login_by_forms(url) + "\n")
        outcome = terminal.end()

    assert outcome.status == 0, outcome.stdout
    assert server.knows(str(entry(cli)["access_token"]))


@pytest.mark.parametrize("answer", ["code-alone", "code#another-state", "\x1b[A", "#", "a#"])
def test_a_pasted_answer_that_is_none(cli: CommandLine, server: OidcServer, answer: str) -> None:
    """An answer without the state of this login ends with 2, and nothing is sent."""
    cli.keep({"openai": OTHER})
    configure(cli, server, PASTE, PASTE_REDIRECT)
    before = server.counters()["tokenRequests"]

    command = ("auth", "login", "anthropic", "--method", "oauth", "--no-browser")
    with cli.at_terminal(*command) as terminal:
        terminal.answer("The code that the page shows:", answer)
        outcome = terminal.end()

    assert outcome.status == 2
    assert list(cli.records()) == ["openai"]
    assert server.counters()["tokenRequests"] == before


# -- another device ----------------------------------------------------------------------


def test_a_login_on_another_device(user: CommandLine, server: OidcServer) -> None:
    """The code is shown with the host that it belongs to, and its tokens are stored."""
    outcome = user.run("auth", "login", "mine", "--method", "device")

    assert outcome.status == 0, outcome.stderr
    assert "enter the code" in outcome.stderr
    assert "127.0.0.1" in outcome.stderr
    assert server.knows(str(entry(user, "mine")["access_token"]))


def test_github_and_copilot(user: CommandLine) -> None:
    """GitHub's login is exchanged for a Copilot token, which a model is asked with."""
    with AuthServer() as exchange, ChatServer([Reply((COMPLETIONS,))]) as chat:
        ends = int(time.time()) + 1800
        token = {"token": "tid=made-up", "expires_at": ends, "endpoints": {"api": chat.url}}
        exchange.answer = authserver.json(token)
        text = (
            user.config.read_text()
            .replace('[providers.mine]\nmethods = ["device"]\n', "")
            .replace("[providers.mine.oauth]", "[providers.github.oauth]")
        )
        user.config.write_text(f'{text}create_key_url = "{exchange.url}"\n')

        outcome = user.run("auth", "login", "github", "--method", "device")
        answer = user.run("run", "hello", "-m", "github/m")
        renewed = user.run("auth", "refresh", "github-copilot")

    assert (outcome.status, renewed.status) == (0, 0), outcome.stderr + renewed.stderr
    record = entry(user, "github")
    assert (record["access_token"], record["expires_at"]) == ("tid=made-up", ends)
    sent = [request.headers["authorization"] for request in exchange.requests]
    assert sent == [f"Bearer {record['refresh_token']}"] * 2
    assert answer.stdout == f"{TEXT}\n"
    assert chat.seen[0].path == "/chat/completions"
    assert chat.seen[0].headers["authorization"] == "Bearer tid=made-up"


# -- afterwards --------------------------------------------------------------------------


def test_twenty_processes_on_a_real_server(user: CommandLine, server: OidcServer) -> None:
    """One request, twenty good answers, and the family of tokens is not revoked."""
    user.good("auth", "login", "anthropic", "--method", "oauth")
    user.keep({**user.records(), "anthropic": {**entry(user), "expires_at": 1}})
    before = server.counters()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(user.folder)],
            env={**user.environ, "PYTHONPATH": SOURCE},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(20)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"

    answers = [child.communicate("go\n", timeout=120)[0].strip() for child in children]

    after = server.counters()
    assert refreshes(after) - refreshes(before) == 1
    assert after["grantsRevoked"] == before["grantsRevoked"]
    assert len(set(answers)) == 1
    assert server.knows(answers[0])


def refreshes(counters: dict[str, object]) -> int:
    """How many requests with a refresh token were counted."""
    requests = counters["tokenRequests"]
    assert isinstance(requests, dict)
    return int(requests.get("refresh_token", 0))


def test_a_logout_revokes(user: CommandLine, server: OidcServer) -> None:
    """The provider forgets the tokens, and what is stored goes in any case."""
    user.good("auth", "login", "anthropic", "--method", "oauth")
    token = str(entry(user)["access_token"])

    outcome = user.run("auth", "logout", "anthropic", "--yes")

    assert outcome.status == 0
    assert "The provider has revoked anthropic." in outcome.stderr
    assert not server.knows(token)
    assert list(user.records()) == ["openai"]


def test_a_logout_where_the_provider_is_away(user: CommandLine) -> None:
    """What cannot be revoked is removed all the same, and that is said."""
    user.good("auth", "login", "anthropic", "--method", "oauth")
    text = user.config.read_text()
    lines = [
        'revoke_url = "http://127.0.0.1:9/revoke"' if line.startswith("revoke_url") else line
        for line in text.splitlines()
    ]
    user.config.write_text("\n".join(lines))

    outcome = user.run("auth", "logout", "anthropic", "--yes")

    assert outcome.status == 0
    assert "has not revoked anthropic" in outcome.stderr
    assert list(user.records()) == ["openai"]


def test_refreshing_by_hand(user: CommandLine, server: OidcServer) -> None:
    """`auth refresh` renews a token that is not due, and says until when it is good."""
    user.good("auth", "login", "anthropic", "--method", "oauth")
    before = entry(user)

    outcome = user.run("auth", "refresh", "anthropic")

    assert outcome.status == 0
    assert "Renewed anthropic, good until 20" in outcome.stderr
    assert entry(user)["refresh_token"] != before["refresh_token"]
    assert server.knows(str(entry(user)["access_token"]))


def test_a_login_that_was_ended_elsewhere(user: CommandLine, server: OidcServer) -> None:
    """A token that the provider has revoked ends with 11, and the list says what helps."""
    user.good("auth", "login", "anthropic", "--method", "oauth")
    server.post(server.revoke_url, token=str(entry(user)["refresh_token"]), client_id=LOOPBACK)
    user.keep({**user.records(), "anthropic": {**entry(user), "expires_at": 1}})

    outcome = user.run("auth", "token", "anthropic")

    assert_refused(outcome, errors.LoginRequiredError.exit_code, "codemesh auth login anthropic")
    listed = json.loads(user.good("auth", "list", "--json"))["credentials"]
    (row,) = [row for row in listed if row["name"] == "anthropic"]
    assert row["status"] == "login_required"
    assert user.good("auth", "token", "openai") == "sk-other\n"
