"""A run within its quota: no refusals where the limit is known, and none lost where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async import MediaRetriever, QuotaLimit, RateLimitError, RetryPolicy, VirtualClock
from genesys_media_async.events import QuotaLimitChanged, QuotaPaused, QuotaResumed
from genesys_media_async.simulator import Fault, Quota, Simulator, SimulatorSettings
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpReply, HttpxTransport
from tests.support.retrievers import settings_for
from tests.support.virtual_runs import ids, run_virtual

if TYPE_CHECKING:
    from genesys_media_async.quota.permit import QuotaState
    from genesys_media_async.transports import HttpRequest, Transport


def test_a_429_pauses_all_ids_and_uses_up_no_attempt_of_the_retries():
    clock, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=None),
        100,
        script=(*(Fault.TOO_MANY_REQUESTS,) * 3, None, *(Fault.TOO_MANY_REQUESTS_NO_HEADER,) * 3),
        retry=RetryPolicy(max_attempts=1),
        concurrency=8,
    )
    assert all(result.ok for result in results)
    assert simulator.counts.api_requests == 106
    assert clock.monotonic() >= 2.0


def test_without_a_configured_quota_the_server_refuses_and_no_id_is_lost():
    clock, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=Quota(100, 60.0), latency=0.05), 450, concurrency=20
    )
    assert all(result.ok for result in results)
    assert simulator.counts.refused_429 > 0
    assert simulator.counts.api_ok == 450
    assert 240 <= clock.monotonic() <= 300


@pytest.mark.parametrize("kind", ["fixed", "aligned", "sliding"])
def test_within_the_configured_quota_there_is_no_429_for_any_kind_of_window(kind: str):
    clock, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=Quota(300, 60.0, kind=kind), latency=(0.1, 0.5)),  # type: ignore[arg-type]
        1_500,
        quota=QuotaLimit(),
        concurrency=50,
    )
    assert all(result.ok for result in results)
    assert simulator.counts.refused_429 == 0
    # The last window's permits are spent within a tenth of it, and not at once.
    assert 240 <= clock.monotonic() < 240 + 6 + 2


def test_a_lower_limit_in_the_headers_is_learnt_without_a_429():
    clock, simulator, results, _, events = run_virtual(
        SimulatorSettings(quota=Quota(120, 60.0), quota_headers=True, latency=(0.1, 0.5)),
        600,
        quota=QuotaLimit(),
        concurrency=50,
    )
    assert sorted(result.file_id for result in results) == ids(600)
    assert all(result.ok for result in results)
    assert simulator.counts.refused_429 == 0
    assert [event.allowed for event in events.events if isinstance(event, QuotaLimitChanged)] == [120]
    assert 240 <= clock.monotonic() < 240 + 6 + 2


def test_the_state_of_the_quota_can_be_read_at_any_time():
    clock = VirtualClock()
    simulator = Simulator(
        SimulatorSettings(quota=Quota(120, 60.0), quota_headers=True, latency=(0.1, 0.5)), clock=clock
    )
    states: list[tuple[float, QuotaState]] = []

    async def run():
        settings = settings_for(simulator, quota=QuotaLimit(limit=120, seconds=60), concurrency=20)
        async with MediaRetriever(settings, transport=simulator.transport(), clock=clock) as retriever:
            states.append((clock.monotonic(), retriever.quota))
            async with retriever.retrieve_many(ids(300)) as results:
                async for _ in results:
                    states.append((clock.monotonic(), retriever.quota))
                    if len(states) == 151:
                        simulator.script(Fault.TOO_MANY_REQUESTS)

    clock.run(run())
    first = states[0][1]
    assert (first.used, first.allowed, first.used_by_others) == (0, 120, 0)
    assert (first.resets_in, first.paused_for, first.waiting) == (None, None, 0)
    known = [(at, state) for at, state in states if state.resets_in is not None]
    assert len(known) > 100
    assert all(0 < state.resets_in <= 62 for _, state in known if state.resets_in is not None)
    before_the_pause = [state for _, state in states[:151]]
    # In the first window our count is the server's; later permits stay charged a little longer than the server's.
    assert max(state.used for at, state in states if at < 59) == 120
    assert all(state.used_by_others == 0 and state.paused_for is None for state in before_the_pause)
    # Of twenty workers, those wait that have neither a permit nor a result to hand over.
    assert 0 < max(state.waiting for state in before_the_pause) <= 20
    assert [state.paused_for for _, state in states if state.paused_for is not None]
    assert all(state.allowed is not None and state.allowed <= 120 for _, state in states)


def test_a_429_is_reported_as_the_begin_and_the_end_of_a_pause():
    _, simulator, results, _, events = run_virtual(
        SimulatorSettings(quota=Quota(300, 60.0), quota_headers=True),
        50,
        script=(None, None, Fault.TOO_MANY_REQUESTS),
        quota=QuotaLimit(),
        concurrency=4,
    )
    assert all(result.ok for result in results)
    assert simulator.counts.api_requests == 51
    paused, resumed = [event for event in events.events if isinstance(event, QuotaPaused | QuotaResumed)]
    assert isinstance(paused, QuotaPaused)
    assert isinstance(resumed, QuotaResumed)
    assert paused.seconds >= 2.0
    # A virtual second is a sum of floats.
    assert resumed.seconds >= paused.seconds - 1e-6
    assert resumed.at - paused.at == pytest.approx(resumed.seconds, abs=0.01)


@pytest.mark.parametrize("quota_headers", [True, False])
def test_a_single_429_early_in_a_run_costs_hardly_more_than_its_pause(quota_headers: bool):
    clock, _, results, _, _ = run_virtual(
        SimulatorSettings(quota=Quota(300, 60.0), quota_headers=quota_headers),
        200,
        script=(None, None, Fault.TOO_MANY_REQUESTS),
        quota=QuotaLimit(),
        concurrency=4,
    )
    assert all(result.ok for result in results)
    assert clock.monotonic() < 10


def test_an_even_pace_spreads_the_quota_over_the_window():
    clock, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=Quota(300, 60.0), latency=0.1), 600, quota=QuotaLimit(), pace="even", concurrency=20
    )
    assert all(result.ok for result in results)
    assert simulator.counts.refused_429 == 0
    assert 119 <= clock.monotonic() <= 125


def test_ids_fail_at_once_if_a_pause_is_longer_than_their_deadline():
    clock, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=Quota(10, 3_600.0)), 50, quota=None, deadline=60.0, concurrency=4
    )
    assert sum(result.ok for result in results) == 10
    failed = [result.error for result in results if not result.ok]
    assert all(isinstance(error, RateLimitError) and error.retryable for error in failed)
    assert all(error is not None and (error.retry_after or 0) > 3_000 for error in failed)
    assert simulator.counts.api_requests < 20
    assert clock.monotonic() < 5


class OddReplies:
    """A transport whose replies have a header that is not text."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        reply = await self._transport.exchange(request, timeout=timeout, max_reply_size=max_reply_size)
        if "/oauth/" in request.url:
            return reply
        headers: Any = {**reply.headers, "inin-correlation-id": b"bytes"}
        return HttpReply(reply.status, headers, reply.body)

    async def aclose(self) -> None:
        await self._transport.aclose()


def test_an_unreadable_reply_keeps_its_permit_for_one_window_only():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)

    async def run():
        transport = OddReplies(HttpxTransport(simulator.transport()))
        async with MediaRetriever(settings_for(simulator, quota="2/60"), transport=transport, clock=clock) as retriever:
            for file_id in ids(2):
                with pytest.raises(AttributeError):
                    await retriever.retrieve(file_id)
            assert retriever.quota.used == 2
            await clock.sleep(61)
            assert retriever.quota.used == 0

    clock.run(run())


def test_the_quota_is_kept_on_uvloop():
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")

    async def main() -> None:
        async with Simulator(SimulatorSettings(quota=Quota(limit=20, seconds=0.3))) as simulator:
            settings = settings_for(simulator, quota=QuotaLimit(limit=20, seconds=0.3))
            async with MediaRetriever(settings) as retriever:
                results = await retriever.retrieve_all(ids(60))
            assert all(result.ok for result in results)
            assert simulator.counts.refused_429 == 0

    uvloop.run(main())
