"""Outages in the middle of a run, on the virtual clock: nothing is lost, and hardly anything is sent."""

from __future__ import annotations

import asyncio
import random
from itertools import count, pairwise
from typing import TYPE_CHECKING, NamedTuple

import anyio
import pytest

from genesys_media_async import MediaResult, MediaRetriever, MemorySink, QuotaLimit, VirtualClock
from genesys_media_async.endpoints.recordings.recording_batch import RecordingBatch
from genesys_media_async.errors import OutageError
from genesys_media_async.events import AttemptAudited, OutageBegan, OutageEnded
from genesys_media_async.simulator import OrganizationSettings, OutageKind, Quota, Simulator, SimulatorSettings
from tests.support.cancellation import Stop, run_stepping
from tests.support.retrievers import other_tasks, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genesys_media_async.simulator.outages import Part

WORKERS = 16
CURVE_STEP = 30.0
TIMEOUT = 30.0
BEGINS = 4.0

CASES = [
    *((kind, "all") for kind in OutageKind),
    (OutageKind.REFUSED, "login"),
    (OutageKind.UNAVAILABLE, "login"),
]


class Outcome(NamedTuple):
    clock: VirtualClock
    simulator: Simulator
    results: list[MediaResult]
    times: list[float]
    events: MemorySink
    taken: list[float]
    retriever: MediaRetriever


def run_through(
    kind: OutageKind,
    seconds: float,
    *,
    part: Part = "all",
    is_batch: bool = False,
    quota: Quota | None = None,
    after: float = BEGINS,
    **settings: object,
) -> Outcome:
    """Retrieve ids through an outage; the source notes when each id is taken, and each result's time is kept."""
    clock = VirtualClock()
    ours = None if quota is None else QuotaLimit(limit=quota.limit, seconds=quota.seconds)
    simulated = SimulatorSettings(
        quota=quota,
        # Tokens end all the time, so that the login host is needed in its outage.
        token_lifetime=8.0 if part == "login" else 86_400.0,
        live_tokens=1_000,
        latency=0.5,
        organization=OrganizationSettings(conversations=240),
    )
    simulator = Simulator(simulated, clock=clock)
    events, taken, times = MemorySink(), list[float](), list[float]()
    if is_batch:
        wanted = [conversation.id for conversation in simulator.organization.conversations()]
    else:
        wanted = [f"recording-{number}" for number in range(400)]

    def ids() -> Iterator[str]:
        for each in wanted:
            taken.append(clock.monotonic())
            yield each

    retriever = MediaRetriever(
        settings_for(simulator, quota=ours, timeout=TIMEOUT, concurrency=4 if is_batch else WORKERS, **settings),
        transport=simulator.transport(),
        endpoint=RecordingBatch(batch_size=10) if is_batch else None,
        sinks=[events],
        clock=clock,
        rng=random.Random(7),
    )

    async def main() -> list[MediaResult]:
        simulator.schedule_outage(kind, seconds, after=after, part=part)
        results: list[MediaResult] = []
        async with retriever:
            async for result in retriever.retrieve_many(ids()):
                times.append(clock.monotonic())
                results.append(result)
        return results

    return Outcome(clock, simulator, clock.run(main()), times, events, taken, retriever)


def met_after_it_was_noticed(outcome: Outcome) -> list[float]:
    began = [event.at - outcome.clock.wall() + outcome.clock.monotonic() for event in began_events(outcome)]
    return [met for met in outcome.simulator.outages_met if began and met > began[0] + 0.5]


def began_events(outcome: Outcome) -> list[OutageBegan]:
    return [event for event in outcome.events.events if isinstance(event, OutageBegan)]


def ended_events(outcome: Outcome) -> list[OutageEnded]:
    return [event for event in outcome.events.events if isinstance(event, OutageEnded)]


@pytest.mark.parametrize("quota", [None, Quota(limit=60, seconds=6.0)], ids=["no quota", "quota"])
@pytest.mark.parametrize("is_batch", [False, True], ids=["media storage", "batch"])
@pytest.mark.parametrize("seconds", [1.0, 10.0, 60.0])
@pytest.mark.parametrize(("kind", "part"), CASES, ids=lambda case: getattr(case, "value", case))
def test_no_id_is_lost(kind: OutageKind, part: Part, seconds: float, is_batch: bool, quota: Quota | None) -> None:
    outcome = run_through(kind, seconds, part=part, is_batch=is_batch, quota=quota)
    failed = [result.error.code for result in outcome.results if not result.ok]
    assert failed == []
    if seconds >= 10.0:
        # One probe at a time, on a curve.
        probes = met_after_it_was_noticed(outcome)
        assert len(probes) <= 40
        assert all(later - earlier > 0.0 for earlier, later in pairwise(probes))
        over = BEGINS + seconds
        resumed = min((time for time in outcome.times if time > over), default=over)
        assert resumed - over <= CURVE_STEP + TIMEOUT + 1.0


@pytest.mark.parametrize("kind", OutageKind)
def test_nothing_is_taken_from_the_input_meanwhile(kind: OutageKind) -> None:
    outcome = run_through(kind, 60.0)
    first = min(began_events(outcome), key=lambda event: event.at)
    at = first.at - outcome.clock.wall() + outcome.clock.monotonic()
    assert [time for time in outcome.taken if at < time < BEGINS + 60.0] == []


def test_what_was_not_sent_costs_neither_a_permit_nor_a_retry():
    quota = Quota(limit=40, seconds=1_000.0)
    outcome = run_through(OutageKind.REFUSED, 60.0, quota=quota, after=0.2, deadline=100_000.0)
    assert len(outcome.results) == 400
    assert all(result.ok for result in outcome.results)
    # Ten windows, as without an outage.
    assert outcome.clock.monotonic() < 9_200.0


def test_an_outage_that_lasts_too_long_ends_the_run_with_a_sentence_and_loses_no_result():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=0.5), clock=clock)
    audit, results = MemorySink(), list[MediaResult]()

    async def main() -> None:
        simulator.schedule_outage(OutageKind.REFUSED, 10_000.0, after=5.0)
        settings = settings_for(simulator, outage_timeout=120.0, concurrency=WORKERS)
        async with MediaRetriever(settings, transport=simulator.transport(), audit=audit, clock=clock) as retriever:
            ids = (f"recording-{number}" for number in range(100_000))
            async for result in retriever.retrieve_many(ids, second_pass=True):
                results.append(result)

    with pytest.raises(OutageError, match=r"has not been reachable for 1\d\d s.*No connection.*run it again") as raised:
        clock.run(main())
    assert raised.value.retryable
    assert 120.0 <= clock.monotonic() <= 135.0
    failed = [result for result in results if not result.ok]
    assert len(failed) <= WORKERS
    assert {(result.error.code, result.error.retryable) for result in failed} == {("outage", True)}
    assert len(results) == len(failed) + simulator.counts.api_ok
    attempts = [event for event in audit.events if isinstance(event, AttemptAudited) and event.attempt]
    assert len(attempts) == simulator.counts.api_requests + len(simulator.outages_met)


def test_after_an_outage_was_given_up_the_next_call_tries_again():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)

    async def main() -> None:
        settings = settings_for(simulator, outage_timeout=60.0)
        async with MediaRetriever(settings, transport=simulator.transport(), clock=clock) as retriever:
            await retriever.retrieve("recording-1")
            simulator.schedule_outage(OutageKind.REFUSED, 100.0)
            with pytest.raises(OutageError):
                await retriever.retrieve("recording-2")
            assert (await retriever.retrieve("recording-2")).ok
            assert [result.ok async for result in retriever.retrieve_many(["recording-3"])] == [True]

    clock.run(main())
    assert clock.monotonic() <= 100.0 + CURVE_STEP


def test_an_id_waits_within_its_own_deadline():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)

    async def main() -> MediaResult:
        settings = settings_for(simulator)
        async with MediaRetriever(settings, transport=simulator.transport(), clock=clock) as retriever:
            await retriever.retrieve("recording-1")
            simulator.schedule_outage(OutageKind.REFUSED, 600.0)
            (result,) = await retriever.retrieve_all(["recording-2"], deadline=45.0)
            return result

    result = clock.run(main())
    assert not result.ok
    assert result.error.code == "deadline_exceeded"
    assert "No connection" in result.error.message
    assert 45.0 <= clock.monotonic() <= 45.0 + CURVE_STEP


def test_without_an_outage_timeout_each_id_fails_by_itself():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)

    async def main() -> list[MediaResult]:
        settings = settings_for(simulator, outage_timeout=0.0)
        async with MediaRetriever(settings, transport=simulator.transport(), clock=clock) as retriever:
            await retriever.retrieve("recording-0")
            simulator.schedule_outage(OutageKind.REFUSED, 600.0)
            return await retriever.retrieve_all([f"recording-{number}" for number in range(20)], second_pass=False)

    results = clock.run(main())
    assert {result.error.code for result in results if not result.ok} == {"connect_error"}
    assert len(results) == 20
    assert clock.monotonic() < 60.0


def test_the_events_and_the_statistics_describe_it():
    outcome = run_through(OutageKind.REFUSED, 60.0)
    (began,), (ended,) = began_events(outcome), ended_events(outcome)
    assert began.host == ended.host == "127.0.0.1:1"
    assert (began.code, began.reason) == ("connect_error", "No connection: Connection refused.")
    assert 59.0 <= ended.seconds <= 60.0 + CURVE_STEP
    assert not ended.given_up


def test_a_run_that_is_stopped_in_an_outage_takes_nothing_more():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=0.5), clock=clock)
    taken: list[str] = []

    def ids() -> Iterator[str]:
        for number in range(10_000):
            taken.append(f"recording-{number}")
            yield taken[-1]

    async def main() -> list[MediaResult]:
        simulator.schedule_outage(OutageKind.REFUSED, 60.0, after=5.2)
        settings = settings_for(simulator, concurrency=WORKERS)
        results: list[MediaResult] = []
        async with (
            MediaRetriever(settings, transport=simulator.transport(), clock=clock) as retriever,
            retriever.retrieve_many(ids()) as run,
        ):
            async for result in run:
                results.append(result)
                if run.statistics().host_down is not None:
                    run.stop()
        return results

    results = clock.run(main())
    assert all(result.ok for result in results)
    assert len(results) == len(taken)


@pytest.mark.parametrize("by_scope", [False, True], ids=["task", "scope"])
def test_a_run_that_is_cancelled_at_any_step_of_an_outage_leaves_nothing_and_lets_the_others_go_on(
    by_scope: bool,
) -> None:
    for at in count(1, 7):
        clock = VirtualClock()
        simulator = Simulator(SimulatorSettings(quota=None, latency=0.5), clock=clock)
        stop = Stop(at, by_scope=by_scope)

        async def main(clock: VirtualClock = clock, simulator: Simulator = simulator, stop: Stop = stop) -> bool:
            settings = settings_for(simulator, concurrency=3)
            async with MediaRetriever(settings, transport=simulator.transport(), clock=clock) as retriever:
                await retriever.retrieve("recording-0")
                simulator.schedule_outage(OutageKind.REFUSED, 10.0, after=0.7)

                async def victim() -> None:
                    with anyio.CancelScope() as stop.scope:
                        async for _ in retriever.retrieve_many([f"recording-{number}" for number in range(9)]):
                            pass

                stop.victim = asyncio.create_task(victim())
                others = retriever.retrieve_all([f"other-{number}" for number in range(9)])
                results, _ = await asyncio.gather(others, asyncio.wait({stop.victim}))
                assert all(result.ok for result in results)
                assert retriever.statistics().host_down is None
            assert other_tasks() == set()
            return stop.stopped_at is not None

        if not run_stepping(stop, clock, main):
            break
    assert at > 50
