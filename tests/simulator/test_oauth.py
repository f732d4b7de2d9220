"""The login service: token requests, their refusals, and the tokens that it has issued."""

from __future__ import annotations

import base64
import random
from typing import Literal

import httpx
import pytest

from genesys_media_async.simulator import OAuthClient, SimulatorSettings
from genesys_media_async.simulator.services.oauth import TokenStore
from tests.support.simulator_users import BASIC, GRANT, SteppedClock, assert_error, new_user, path_of

pytestmark = pytest.mark.anyio


def test_one_token_too_many_revokes_the_clients_oldest() -> None:
    store = TokenStore(SimulatorSettings(live_tokens=2), random.Random(1))
    first, second, third = (store.issue("one", now) for now in (0.0, 1.0, 2.0))
    assert [store.find(grant.token) for grant in (first, second, third)] == [None, second, third]


def test_each_client_has_its_own_limit_of_tokens_and_expired_ones_do_not_count() -> None:
    store = TokenStore(SimulatorSettings(live_tokens=1, token_lifetime=10.0), random.Random(1))
    mine, theirs = store.issue("one", 0.0), store.issue("two", 1.0)
    assert store.find(mine.token) is mine
    later = store.issue("one", 10.0)
    assert [store.find(grant.token) for grant in (mine, theirs, later)] == [mine, theirs, later]


def test_old_expired_tokens_are_forgotten() -> None:
    store = TokenStore(SimulatorSettings(token_lifetime=1.0), random.Random(1))
    first = store.issue("one", 0.0)
    for number in range(1, 1010):
        store.issue("one", float(number * 2))
    assert store.find(first.token) is None


async def test_the_token_reply_has_the_three_fields_of_the_grant() -> None:
    async with new_user(token_lifetime=86399.5) as user:
        reply = await user.http.post("/oauth/token", data={**GRANT, "scope": "whatever"}, auth=BASIC)
        body = reply.json()
        assert reply.status_code == 200
        assert body.keys() == {"access_token", "token_type", "expires_in"}
        assert (body["token_type"], body["expires_in"]) == ("bearer", 86399)


@pytest.mark.parametrize(
    ("auth", "form", "status", "error", "description"),
    [
        (("nobody", "demo-secret"), GRANT, 400, "invalid_client", "client not found"),
        (("demo-client", "wrong"), GRANT, 401, "invalid_client", "authentication failed"),
        (BASIC, {"grant_type": "password"}, 400, "unsupported_grant_type", "the grant type is not supported"),
        (BASIC, {}, 400, "unsupported_grant_type", "the grant type is not supported"),
        (None, GRANT, 400, "invalid_request", "client credentials are missing"),
        (
            BASIC,
            {**GRANT, "client_id": "demo-client", "client_secret": "demo-secret"},
            400,
            "invalid_request",
            "client credentials were given twice",
        ),
    ],
)
async def test_a_refused_token_request_gets_the_three_fields_of_the_login_service(
    auth: tuple[str, str] | None, form: dict[str, str], status: int, error: str, description: str
) -> None:
    async with new_user() as user:
        body = form or {"other": "field"}
        reply = await user.http.post("/oauth/token", data=body, auth=auth or httpx.Auth())
        assert reply.status_code == status
        assert reply.json() == {"error": error, "description": description, "error_description": description}
        assert user.simulator.counts.tokens_issued == 1


@pytest.mark.parametrize("header", ["Basic !!!", "Basic " + base64.b64encode(b"no-colon").decode(), "Bearer abc"])
async def test_a_malformed_authorization_is_refused(header: str) -> None:
    async with new_user() as user:
        reply = await user.http.post("/oauth/token", data=GRANT, headers={"Authorization": header})
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


async def test_a_token_request_must_be_a_posted_form() -> None:
    async with new_user() as user:
        assert (await user.http.get("/oauth/token")).status_code == 405
        reply = await user.http.post("/oauth/token", json=GRANT, auth=BASIC)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(("accepted", "status"), [(True, 200), (False, 400)])
async def test_credentials_in_the_body_are_accepted_only_if_the_settings_allow_it(accepted: bool, status: int) -> None:
    async with new_user(accept_body_credentials=accepted) as user:
        form = {**GRANT, "client_id": "demo-client", "client_secret": "demo-secret"}
        assert (await user.http.post("/oauth/token", data=form)).status_code == status


async def test_the_token_endpoint_can_throttle_with_a_400() -> None:
    clock = SteppedClock()
    async with new_user(token_requests_per_minute=2, clock=clock) as user:
        assert (await user.http.post("/oauth/token", data=GRANT, auth=BASIC)).status_code == 200
        reply = await user.http.post("/oauth/token", data=GRANT, auth=BASIC)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")
        assert reply.json()["error_description"].startswith("rate limit exceeded;")
        clock.ahead += 60.0
        assert (await user.http.post("/oauth/token", data=GRANT, auth=BASIC)).status_code == 200


async def test_each_client_has_a_secret_of_its_own() -> None:
    clients = (OAuthClient("one", "1"), OAuthClient("demo-client", "demo-secret"))
    async with new_user(clients=clients) as user:
        assert (await user.http.post("/oauth/token", data=GRANT, auth=("one", "1"))).status_code == 200
        assert (await user.http.post("/oauth/token", data=GRANT, auth=("one", "demo-secret"))).status_code == 401


async def test_the_eleventh_token_revokes_the_first() -> None:
    async with new_user() as user:
        first = user.token
        for _ in range(9):
            await user.log_in()
        assert (await user.ask(token=first)).status_code == 200
        await user.log_in()
        assert_error(await user.ask(token=first), 401, "bad.credentials")
        assert (await user.ask()).status_code == 200


async def test_a_request_without_a_valid_token_gets_the_reason() -> None:
    async with new_user() as user:
        without = await user.http.post(path_of("a"), json={"fileId": "a"})
        assert_error(without, 401, "authentication.required")
        basic = await user.http.post(path_of("a"), json={"fileId": "a"}, auth=BASIC)
        assert_error(basic, 401, "authentication.required")
        assert_error(await user.ask(token="unknown"), 401, "bad.credentials")
        user.simulator.revoke_tokens()
        assert_error(await user.ask(), 401, "bad.credentials")


@pytest.mark.parametrize("code", ["credentials.expired", "bad.credentials"])
async def test_a_token_expires(code: Literal["credentials.expired", "bad.credentials"]) -> None:
    clock = SteppedClock()
    async with new_user(token_lifetime=300.0, expired_token_code=code, clock=clock) as user:
        clock.ahead = 299.0
        assert (await user.ask()).status_code == 200
        clock.ahead = 300.0
        assert_error(await user.ask(), 401, code)
