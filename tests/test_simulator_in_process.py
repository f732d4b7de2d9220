"""The simulator without sockets: the same rules, in virtual time, through an httpx transport."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from genesys_media_async.clock import VirtualClock
from genesys_media_async.simulator import Fault, Quota, Simulator, SimulatorSettings

GRANT = {"grant_type": "client_credentials"}
DAY = 86400.0

Scenario = Callable[[httpx.AsyncClient, Simulator, VirtualClock], Awaitable[Any]]


async def log_in(http: httpx.AsyncClient) -> None:
    reply = await http.post("/oauth/token", data=GRANT, auth=("demo-client", "demo-secret"))
    http.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"


async def ask(http: httpx.AsyncClient, file_id: str = "a") -> httpx.Response:
    return await http.post(f"/api/v2/media/storage/files/{file_id}/download-url", json={"fileId": file_id})


def in_virtual_time(scenario: Scenario, **settings: Any) -> tuple[Any, float]:
    """Run a scenario (http, simulator, clock) in virtual time and return what it returns and how long it took."""
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(**settings), clock=clock)

    async def main() -> tuple[Any, float]:
        transport = simulator.transport()
        async with httpx.AsyncClient(transport=transport, base_url=simulator.base_url, timeout=None) as http:
            await log_in(http)
            began = clock.monotonic()
            outcome = await scenario(http, simulator, clock)
            return outcome, clock.monotonic() - began

    return clock.run(main())


def test_a_simulator_that_never_listened_has_a_placeholder_for_its_url() -> None:
    simulator = Simulator()
    assert simulator.base_url == simulator.login_url == "http://127.0.0.1:1"
    assert simulator.webhook_url == "http://127.0.0.1:1/webhooks/receiver"
    assert repr(simulator) == "<Simulator at http://127.0.0.1:1: 0 requests>"


def test_requests_are_answered_and_counted_as_over_sockets() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        reply = await ask(http)
        http.headers.pop("Authorization")
        media = await http.get(reply.json()["url"])
        head = await http.head(reply.json()["url"])
        assert (head.content, head.headers["content-length"]) == (b"", "2048")
        return reply.status_code, media.status_code, len(media.content), simulator.counts

    (status, media_status, size, counts), took = in_virtual_time(scenario)
    assert (status, media_status, size, took) == (200, 200, 2048, 0.0)
    assert (counts.api_ok, counts.ok_by_file_id, counts.connections_total) == (1, {"a": 1}, 0)


def test_an_hour_of_quota_passes_at_once() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        for number in range(1000):
            reply = await ask(http, f"file-{number}")
            while reply.status_code == 429:
                await clock.sleep(int(reply.headers["Retry-After"]))
                reply = await ask(http, f"file-{number}")
        return simulator.counts

    counts, took = in_virtual_time(scenario, quota=Quota(10, 60.0))
    assert counts.api_ok == 1000
    assert took == pytest.approx(99 * 60.0)


def test_a_token_expires_in_virtual_time() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        await clock.sleep(DAY)
        return (await ask(http)).json()["code"]

    assert in_virtual_time(scenario)[0] == "credentials.expired"


def test_latency_passes_on_the_clock_for_all_at_once() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        await asyncio.gather(*(ask(http) for _ in range(20)))
        return simulator.counts.greatest_in_flight

    greatest, took = in_virtual_time(scenario, latency=3.0)
    assert greatest == 20
    assert took == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(
    ("fault", "error", "least"),
    [
        (Fault.RESET_BEFORE_REPLY, httpx.ReadError, 0.0),
        (Fault.RESET_DURING_REPLY, httpx.ReadError, 0.0),
        (Fault.CLOSE_BEFORE_REPLY, httpx.RemoteProtocolError, 0.0),
        (Fault.HANG, httpx.RemoteProtocolError, 500.0),
        (Fault.GARBAGE, httpx.RemoteProtocolError, 0.0),
        (Fault.TRUNCATED_BODY, httpx.RemoteProtocolError, 0.0),
    ],
)
def test_a_fault_of_the_wire_raises_what_httpx_raises_over_a_socket(
    fault: Fault, error: type[httpx.TransportError], least: float
) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script(fault)
        with pytest.raises(error):
            await ask(http)
        assert (simulator.counts.in_flight, simulator.counts.api_ok) == (0, 0)

    _, took = in_virtual_time(scenario, fault_seconds=500.0)
    assert least <= took < least + 1.0


def test_a_slow_drip_takes_its_time_and_arrives() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script(Fault.SLOW_DRIP)
        body = (await ask(http)).json()
        return body["fileName"], simulator.counts.api_ok

    outcome, took = in_virtual_time(scenario, fault_seconds=500.0)
    assert outcome[0].startswith("a.")
    assert outcome[1] == 1
    assert took == pytest.approx(500.0, abs=1.0)


def test_a_drip_left_early_is_not_counted_as_served() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script(Fault.SLOW_DRIP)
        path = "/api/v2/media/storage/files/a/download-url"
        async with http.stream("POST", path, json={"fileId": "a"}) as reply:
            async for _ in reply.aiter_raw():
                break
        return simulator.counts

    counts, _ = in_virtual_time(scenario)
    assert (counts.in_flight, counts.api_ok) == (0, 0)


@pytest.mark.parametrize("settings", [{"latency": 30.0}, {"faults": {Fault.HANG: 1.0}, "fault_seconds": 30.0}])
def test_a_read_time_out_is_over_before_a_longer_wait(settings: dict[str, Any]) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        http.timeout = httpx.Timeout(5.0)
        with pytest.raises(httpx.ReadTimeout):
            await ask(http)
        return simulator.counts

    counts, took = in_virtual_time(scenario, **settings)
    assert took == pytest.approx(5.0, abs=0.01)
    assert (counts.in_flight, counts.api_ok) == (0, 0)


def test_a_cancelled_request_is_no_longer_in_flight() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(http), 1.0)
        return simulator.counts

    counts, _ = in_virtual_time(scenario, latency=30.0)
    assert (counts.in_flight, counts.api_ok) == (0, 0)


def test_oversized_and_compressed_bodies_come_as_such() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script(Fault.OVERSIZED_BODY, Fault.COMPRESSED_BODY)
        return await ask(http), await ask(http)

    (oversized, compressed), _ = in_virtual_time(scenario)
    assert len(oversized.content) > 64 * 1024
    assert oversized.headers["transfer-encoding"] == "chunked"
    assert compressed.headers["content-encoding"] == "gzip"
    assert json.loads(compressed.content)["fileName"]


def test_a_body_over_the_limit_is_refused() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        headers = {"Content-Type": "application/json"}
        path = "/api/v2/media/storage/files/a/download-url"
        return (await http.post(path, content=b" " * 512_001, headers=headers)).status_code

    assert in_virtual_time(scenario)[0] == 413


def test_the_target_extension_is_what_is_asked_for() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        target = {"target": b"/api/v2/media/storage/files/../download-url"}
        path = "/api/v2/media/storage/files/a/download-url"
        return (await http.post(path, json={"fileId": "a"}, extensions=target)).status_code

    assert in_virtual_time(scenario)[0] == 404


def test_the_same_seed_gives_the_same_run() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        return [(await ask(http)).headers["ININ-Correlation-Id"] for _ in range(20)], simulator.counts.by_status

    chances = {Fault.SERVER_ERROR_503: 0.5}
    first, second = (in_virtual_time(scenario, faults=chances, seed=7)[0] for _ in range(2))
    assert first == second != in_virtual_time(scenario, faults=chances, seed=8)[0]
