"""The authorization server of the tests is as strict as those that codemesh logs in to."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import httpx2
import pytest

from codemesh.errors import ProviderError
from codemesh.providers import device
from oidcserver import (
    LOOPBACK,
    PASTE,
    PASTE_REDIRECT,
    SCOPES,
    OidcServer,
    login_by_forms,
    query_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[OidcServer]:
    """One server for the whole module: no test sees the tokens of another."""
    with OidcServer() as running:
        yield running


# -- the browser -------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:1024", "127.0.0.1:65535", "[::1]:4000"])
def test_a_login_comes_back_to_any_port_of_this_machine(server: OidcServer, host: str) -> None:
    """The redirect has the code, the state as it was sent, and the issuer (RFC 9207)."""
    proof = server.proof(redirect_uri=f"http://{host}/callback")

    redirected = login_by_forms(proof.url)

    address, _, _ = redirected.partition("?")
    query = query_of(redirected)
    assert address == f"http://{host}/callback"
    assert set(query) == {"code", "state", "iss"}
    assert (query["state"], query["iss"]) == (proof.state, server.issuer)
    status, tokens = server.exchange(proof, redirected)
    assert status == 200
    assert {"access_token", "refresh_token", "expires_in", "token_type"} <= set(tokens)
    assert (tokens["token_type"], tokens["scope"]) == ("Bearer", " ".join(SCOPES))
    assert server.knows(str(tokens["access_token"]))


def test_a_login_whose_code_is_pasted(server: OidcServer) -> None:
    """The other client is sent to its own page, and its code is good as well."""
    proof = server.proof(PASTE, PASTE_REDIRECT)

    redirected = login_by_forms(proof.url)

    assert redirected.startswith(f"{PASTE_REDIRECT}?code=")
    assert server.exchange(proof, redirected)[0] == 200


@pytest.mark.parametrize(
    ("client", "redirect"),
    [
        (LOOPBACK, "http://127.0.0.1:4000/elsewhere"),
        (LOOPBACK, "http://localhost:4000/callback"),
        (LOOPBACK, PASTE_REDIRECT),
        (PASTE, "http://127.0.0.1:4000/callback"),
        (PASTE, f"{PASTE_REDIRECT}/"),
    ],
)
def test_a_redirect_that_is_not_registered(server: OidcServer, client: str, redirect: str) -> None:
    """Nobody is sent anywhere else."""
    answer = httpx2.get(server.proof(client, redirect).url, trust_env=False)

    assert answer.status_code == 400
    assert "redirect_uri" in answer.text


@pytest.mark.parametrize(
    ("pattern", "by"),
    [
        (r"&code_challenge=[^&]*&code_challenge_method=S256", ""),
        (r"_method=S256", "_method=plain"),
        (r"&code_challenge_method=S256", ""),
    ],
    ids=["none", "plain", "plain by default"],
)
def test_a_login_without_pkce_is_refused(server: OidcServer, pattern: str, by: str) -> None:
    """Only S256 will do (RFC 9700, 2.1.1)."""
    url = re.sub(pattern, by, server.proof().url)

    query = query_of(login_by_forms(url))

    assert query["error"] == "invalid_request"
    assert "code" not in query


def test_a_code_needs_its_verifier(server: OidcServer) -> None:
    """Another verifier gets no token."""
    proof = server.proof()
    stolen = proof._replace(verifier="x" * 43)

    status, document = server.exchange(stolen, login_by_forms(proof.url))

    assert (status, document["error"]) == (400, "invalid_grant")


def test_a_code_is_good_once(server: OidcServer) -> None:
    """A second exchange is refused, and takes the tokens of the first along."""
    proof = server.proof()
    redirected = login_by_forms(proof.url)
    _, tokens = server.exchange(proof, redirected)

    status, document = server.exchange(proof, redirected)

    assert (status, document["error"]) == (400, "invalid_grant")
    assert not server.knows(str(tokens["access_token"]))


def test_a_login_that_is_cancelled(server: OidcServer) -> None:
    """The client learns that somebody said no."""
    query = query_of(login_by_forms(server.proof().url, allow=False))

    assert query["error"] == "access_denied"


# -- tokens ------------------------------------------------------------------------------


def test_a_refresh_token_rotates(server: OidcServer) -> None:
    """Each refresh gives another pair, and the new refresh token is good."""
    first = server.log_in()

    status, second = server.refresh(first["refresh_token"])
    again, third = server.refresh(second["refresh_token"])

    assert (status, again) == (200, 200)
    assert len({first["refresh_token"], second["refresh_token"], third["refresh_token"]}) == 3
    assert len({first["access_token"], second["access_token"], third["access_token"]}) == 3


def test_a_refresh_token_that_is_used_twice(server: OidcServer) -> None:
    """The whole family is gone: the newest refresh token, and every access token."""
    first = server.log_in()
    other = server.log_in()
    _, second = server.refresh(first["refresh_token"])

    status, document = server.refresh(first["refresh_token"])

    assert (status, document["error"]) == (400, "invalid_grant")
    assert server.refresh(second["refresh_token"])[1]["error"] == "invalid_grant"
    assert not server.knows(str(first["access_token"]))
    assert not server.knows(str(second["access_token"]))
    assert server.knows(str(other["access_token"]))


def test_a_refresh_token_belongs_to_its_client(server: OidcServer) -> None:
    """Another client cannot use it."""
    status, document = server.refresh(server.log_in()["refresh_token"], PASTE)

    assert (status, document["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
def test_a_token_is_revoked(server: OidcServer, kind: str) -> None:
    """Either takes the other along (RFC 7009, 2.1)."""
    tokens = server.log_in()

    status, _ = server.post(server.revoke_url, token=str(tokens[kind]), client_id=LOOPBACK)

    assert status == 200
    assert not server.knows(str(tokens["access_token"]))
    assert server.refresh(tokens["refresh_token"])[0] == 400


def test_revoking_what_is_no_token(server: OidcServer) -> None:
    """That is no error (RFC 7009, 2.2)."""
    assert server.post(server.revoke_url, token="made-up", client_id=LOOPBACK)[0] == 200


def test_what_happens_is_counted() -> None:
    """Requests, tokens that were given, revocations, and families that are gone."""
    with OidcServer() as server:
        tokens = server.log_in()
        _, second = server.refresh(tokens["refresh_token"])
        server.refresh(tokens["refresh_token"])
        server.post(server.revoke_url, token=str(second["refresh_token"]), client_id=LOOPBACK)

        assert server.counters() == {
            "tokenRequests": {"authorization_code": 1, "refresh_token": 2},
            "tokensGiven": {"authorization_code": 1, "refresh_token": 1},
            "revocations": 1,
            "grantsRevoked": 1,
        }


def test_lives_and_latency_are_as_they_are_asked_for() -> None:
    """A short token expires, and the token endpoint takes its time."""
    with OidcServer(access_ttl=1, latency=0.3) as server:
        began = time.monotonic()
        tokens = server.log_in()
        took = time.monotonic() - began
        time.sleep(2.1)

        assert tokens["expires_in"] == 1
        assert took >= 0.3
        assert not server.knows(str(tokens["access_token"]))
        assert server.refresh(tokens["refresh_token"])[0] == 200


# -- the device flow ---------------------------------------------------------------------


def test_a_login_on_another_device(server: OidcServer) -> None:
    """The tokens come once the code was entered in a browser, and not before."""
    grant = device.start(server.device_url, LOOPBACK, SCOPES)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            assert grant.verification_uri_complete is not None
            login_by_forms(grant.verification_uri_complete)

    tokens = device.poll(server.token_url, LOOPBACK, grant, clock=lambda: 0.0, wait=wait)

    assert grant.verification_uri == f"{server.issuer}/device"
    assert waits == [5, 5, 5]
    assert server.knows(str(tokens["access_token"]))
    assert server.refresh(tokens["refresh_token"])[0] == 200


def test_a_login_on_another_device_that_is_refused(server: OidcServer) -> None:
    """Who cancels it in the browser ends it here too."""
    grant = device.start(server.device_url, LOOPBACK, SCOPES)
    assert grant.verification_uri_complete is not None
    login_by_forms(grant.verification_uri_complete, allow=False)

    with pytest.raises(ProviderError, match="refused in the browser"):
        device.poll(server.token_url, LOOPBACK, grant, clock=lambda: 0.0, wait=lambda _: None)


def test_a_code_for_another_device_expires() -> None:
    """The server says so itself."""
    with OidcServer(device_ttl=1) as server:
        grant = device.start(server.device_url, LOOPBACK, SCOPES)
        time.sleep(2.1)

        with pytest.raises(ProviderError, match="not entered in time"):
            device.poll(
                server.token_url,
                LOOPBACK,
                grant._replace(expires_in=60),
                clock=lambda: 0.0,
                wait=lambda _: None,
            )


def test_the_other_client_may_not_use_the_device_flow(server: OidcServer) -> None:
    """It is refused at the start."""
    with pytest.raises(ProviderError, match="refused the login"):
        device.start(server.device_url, PASTE, SCOPES)
