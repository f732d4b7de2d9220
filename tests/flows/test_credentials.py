"""Tokens over a whole run: one for all ids, replaced when it ends, and an early end without one."""

from __future__ import annotations

import httpx
import pytest

from genesys_media_async import (
    CredentialsRejectedError,
    MediaRetriever,
    PermissionDeniedError,
    Settings,
    TokenRejectedError,
    TokenUnavailableError,
    VirtualClock,
)
from genesys_media_async.simulator import Fault, OAuthClient, Simulator, SimulatorSettings
from tests.support.retrievers import collect, settings_for
from tests.support.virtual_runs import ids, run_virtual


@pytest.mark.anyio
async def test_a_revoked_token_is_replaced_once_for_all_ids():
    async with Simulator() as simulator:
        async with MediaRetriever(settings_for(simulator, concurrency=20)) as retriever:
            async with retriever.retrieve_many(ids(200)) as results:
                ok = 0
                async for result in results:
                    ok += result.ok
                    if ok == 50:
                        simulator.revoke_tokens()
        assert ok == 200
        assert simulator.counts.tokens_issued == 2


@pytest.mark.anyio
async def test_wrong_credentials_end_the_run_before_anything_is_read():
    read: list[str] = []

    def reading():
        read.append("something")
        yield "recording-1"

    async with Simulator() as simulator:
        async with MediaRetriever(settings_for(simulator, client_secret="wrong")) as retriever:
            with pytest.raises(CredentialsRejectedError, match="authentication failed"):
                await collect(retriever, reading())
            with pytest.raises(CredentialsRejectedError):
                await retriever.retrieve("recording-1")
        assert simulator.counts.token_requests == 1
        assert simulator.counts.api_requests == 0
    assert read == []


def test_a_run_raises_if_the_login_host_stays_down_at_its_start():
    clock = VirtualClock()
    simulator = Simulator(clock=clock)
    simulator.script_token(*(Fault.SERVER_ERROR_503,) * 50)

    async def run():
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            await collect(retriever, ["recording-1"])

    with pytest.raises(TokenUnavailableError, match="503"):
        clock.run(run())
    assert simulator.counts.token_requests == 4
    assert clock.monotonic() < 15


def test_a_login_host_that_is_down_during_a_run_costs_time_but_no_id():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, token_lifetime=60.0, latency=1.0), clock=clock)
    simulator.script_token(None, *(Fault.SERVER_ERROR_503,) * 5, None)

    async def run():
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            return await collect(retriever, ids(200), concurrency=2)

    results = clock.run(run())
    assert all(result.ok for result in results)
    assert simulator.counts.tokens_issued >= 2


@pytest.mark.anyio
async def test_a_rejected_access_token_ends_the_run_after_the_results_so_far():
    async with Simulator(SimulatorSettings(clients=(OAuthClient("other", "secret"),))) as simulator:
        settings = settings_for(simulator, client_id=None, client_secret=None, access_token="not-a-good-one")
        async with MediaRetriever(settings) as retriever:
            async with retriever.retrieve_many(ids(1_000), concurrency=1) as run:
                results = []
                with pytest.raises(CredentialsRejectedError, match="Set a new one") as caught:
                    async for result in run:
                        results.append(result)
                assert run.statistics().retries == 0
        assert simulator.counts.token_requests == 0
        assert simulator.counts.api_requests == 1
    (only,) = results
    assert str(only.error) == str(caught.value)
    assert only.error.__traceback__ is None


@pytest.mark.parametrize("concurrency", [1, 20])
def test_tokens_that_the_api_never_accepts_end_the_run(concurrency: int):
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, faults={Fault.UNAUTHORIZED: 1.0}), clock=clock)
    results = []

    async def run():
        settings = settings_for(simulator)
        async with MediaRetriever(settings, transport=simulator.transport(), clock=clock) as retriever:
            async for result in retriever.retrieve_many(ids(500), concurrency=concurrency):
                results.append(result)

    with pytest.raises((TokenRejectedError, CredentialsRejectedError)):
        clock.run(run())
    assert 1 <= len(results) <= concurrency
    assert not any(result.ok for result in results)
    assert simulator.counts.token_requests <= 4


def test_a_client_that_is_deleted_during_a_run_ends_it():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    results = []

    async def run():
        settings = settings_for(simulator)
        async with MediaRetriever(settings, transport=simulator.transport(), clock=clock) as retriever:
            async for result in retriever.retrieve_many(ids(500), concurrency=5):
                results.append(result)
                if len(results) == 50:
                    simulator.revoke_tokens()
                    simulator.script_token(*(Fault.UNAUTHORIZED,) * 9)

    with pytest.raises(CredentialsRejectedError):
        clock.run(run())
    assert sum(result.ok for result in results) >= 50
    assert len(results) < 100


def test_an_id_that_meets_two_revoked_tokens_fails_alone():
    _, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=None), 50, script=(None, Fault.UNAUTHORIZED, Fault.UNAUTHORIZED), concurrency=1
    )
    assert [type(result.error) for result in results if not result.ok] == [TokenRejectedError]
    assert simulator.counts.api_ok == 49


@pytest.mark.anyio
async def test_a_401_about_the_requested_resource_does_not_invalidate_the_token():
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith("/oauth/token"):
            return httpx.Response(200, json={"access_token": "t", "expires_in": 3_600})
        return httpx.Response(401, json={"code": "unauthorized", "message": "Unauthorized to access document."})

    settings = Settings(client_id="a", client_secret="b", base_url="https://api.example.com", quota=None)
    async with MediaRetriever(settings, transport=httpx.MockTransport(answer)) as retriever:
        results = await retriever.retrieve_all(ids(5))
    assert {type(result.error) for result in results} == {PermissionDeniedError}
    assert sum(path.endswith("/oauth/token") for path in asked) == 1
    assert len(asked) == 6
