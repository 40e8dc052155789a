"""Logging in through the browser that people have, by what they see on its pages."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest

from chromium import Chromium
from codemesh.errors import ProviderError
from commandline import SCRIPT, CommandLine
from oidcserver import LOOPBACK, OidcServer, query_of
from test_cli_browser import configure

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE = 120  # seconds; only for what hangs


class Login(NamedTuple):
    """A login that waits for its browser, and the web address that it has printed."""

    process: subprocess.Popen[str]
    url: str

    def end(self) -> tuple[int, str]:
        """Wait for its end: the exit status, and what it printed since."""
        _, stderr = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, stderr


@pytest.fixture(scope="module")
def server() -> Iterator[OidcServer]:
    """One server for the whole module: no test sees the tokens of another."""
    with OidcServer() as running:
        yield running


@pytest.fixture
def user(cli: CommandLine, server: OidcServer) -> CommandLine:
    """A user who has no credential yet."""
    cli.keep({})
    configure(cli, server, LOOPBACK, "loopback")
    return cli


@pytest.fixture
def browser(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chromium]:
    """A real browser, whose driver is reached without a proxy."""
    monkeypatch.setenv("no_proxy", "*")
    with Chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@contextmanager
def logging_in(cli: CommandLine) -> Iterator[Login]:
    """Start a login whose address is printed; at the end it is gone in any case."""
    with subprocess.Popen(
        [*SCRIPT, "auth", "login", "anthropic", "--method", "oauth", "--no-browser"],
        env=cli.environ,
        cwd=cli.home,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            yield Login(process, next(line.strip() for line in process.stderr if "http" in line))
        finally:
            process.kill()


def test_a_login(user: CommandLine, server: OidcServer, browser: Chromium) -> None:
    """Who signs in and agrees lands on a page of this machine that loads nothing else."""
    with logging_in(user) as login:
        browser.open(login.url)
        browser.type("login", "ada")
        browser.type("password", "anything")
        browser.press("Sign-in")
        browser.press("Continue")
        status, _ = login.end()

    page, asked = browser.address, browser.requests()
    assert browser.text.startswith("codemesh has the answer. Close this page")
    assert urlsplit(page).hostname == "127.0.0.1"
    assert page.startswith(f"{query_of(login.url)['redirect_uri']}?")
    assert asked[asked.index(page) :] == [page]
    assert status == 0
    assert server.knows(user.good("auth", "token", "anthropic").strip())


def test_a_login_that_is_cancelled(user: CommandLine, browser: Chromium) -> None:
    """Who cancels is told where to read why, and nothing is stored."""
    with logging_in(user) as login:
        browser.open(login.url)
        browser.press("[ Cancel ]")
        status, stderr = login.end()

    assert browser.text == "The login was refused. Your terminal says why."
    assert urlsplit(browser.address).hostname == "127.0.0.1"
    assert status == ProviderError.exit_code == 10
    assert "access_denied" in stderr
    assert user.records() == {}
