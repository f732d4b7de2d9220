"""The in-process transport: the same rules without sockets, in virtual time."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from genesys_media_async.simulator import Fault, Quota, Simulator
from tests.support.virtual_simulators import ask, in_virtual_time

if TYPE_CHECKING:
    from genesys_media_async.clock import VirtualClock

DAY = 86400.0


def test_a_simulator_that_was_never_started_has_a_placeholder_for_its_url() -> None:
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


def test_latency_passes_on_the_clock_for_all_requests_at_once() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        await asyncio.gather(*(ask(http) for _ in range(20)))
        return simulator.counts.peak_in_flight

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
def test_a_wire_fault_raises_what_httpx_raises_over_a_socket(
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


def test_a_drip_that_the_client_leaves_is_not_counted_as_served() -> None:
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
def test_a_read_timeout_ends_a_longer_wait(settings: dict[str, Any]) -> None:
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


def test_oversized_and_compressed_bodies_arrive_as_such() -> None:
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


def test_the_target_extension_replaces_the_path() -> None:
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
