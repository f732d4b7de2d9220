"""However a run ends, nothing is left running, no permit is lost and no request goes without its audit record."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable, Coroutine

import anyio
import pytest

from genesys_media_async import MediaRetriever, MemorySink, QuotaLimit, VirtualClock, WebhookTarget
from genesys_media_async.events import AttemptAudited
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from tests.support.retrievers import collect, other_tasks, settings_for


class Stepping(Coroutine):
    """A coroutine that tells before each of its steps."""

    def __init__(self, coroutine: Coroutine, before_step: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._before_step = before_step

    def send(self, value):
        self._before_step()
        return self._coroutine.send(value)

    def throw(self, *error):
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self):
        return self._coroutine.__await__()

    def __getattr__(self, name: str):
        return getattr(self._coroutine, name)


class Stop:
    """Cancels a task before the n-th step that any task of the loop takes."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0
        self.victim: asyncio.Task | None = None

    def step(self) -> None:
        if self.victim is None or self.victim.done():
            return
        self.steps += 1
        if self.steps == self.at:
            self.victim.cancel()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        def stepping(loop, coroutine, **options):
            return asyncio.Task(Stepping(coroutine, self.step), loop=loop, **options)

        loop.set_task_factory(stepping)


def run_stepping(stop: Stop, clock: VirtualClock, main: Callable[[], Coroutine]):
    loop_errors: list = []
    with asyncio.Runner(loop_factory=clock.event_loop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: loop_errors.append(context))
        stop.watch(loop)
        outcome = runner.run(main())
    assert loop_errors == []
    return outcome


def end_of(
    retrieve: Callable[[], Coroutine], stop: Stop, clock: VirtualClock, simulator: Simulator, *, finds: int
) -> str:
    """Let a run be stopped, or find so many; return how it ended, with nothing left behind."""

    async def main() -> str:
        stop.victim = asyncio.create_task(retrieve())
        try:
            done = await stop.victim
        except asyncio.CancelledError:
            ended = "cancelled"
        else:
            assert done == finds
            ended = "finished"
        assert other_tasks() == set()
        return ended

    ended: str = run_stepping(stop, clock, main)
    assert simulator.counts.in_flight == 0
    return ended


def eventful(clock: VirtualClock) -> Simulator:
    simulator = Simulator(SimulatorSettings(quota=None, latency=0.05, fault_seconds=1.0), clock=clock)
    simulator.script(
        None,
        Fault.SERVER_ERROR_503_RETRY_AFTER,
        Fault.TOKEN_EXPIRED,
        Fault.HANG,
        Fault.TOO_MANY_REQUESTS,
        Fault.SLOW_DRIP,
        Fault.RESET_DURING_REPLY,
    )
    return simulator


def run_and_cancel(at: int) -> tuple[int, str]:
    """Cancel an eventful run before its `at`-th step; return the steps it took and how it ended."""
    clock = VirtualClock()
    simulator = eventful(clock)
    audit = MemorySink()
    target = WebhookTarget(url=simulator.webhook_url, drain_timeout=5.0)
    settings = settings_for(simulator, webhook=target, quota=QuotaLimit(limit=3, seconds=1.0))
    stop = Stop(at)

    async def retrieve_six() -> int:
        retriever = MediaRetriever(
            settings, transport=simulator.transport(), audit=[audit], clock=clock, rng=random.Random(1)
        )
        async with retriever:
            return len(await collect(retriever, (f"id-{n}" for n in range(6)), concurrency=3))

    ended = end_of(retrieve_six, stop, clock, simulator, finds=6)
    records = [record for record in audit.events if isinstance(record, AttemptAudited) and record.attempt]
    assert len(records) == simulator.counts.api_requests, f"a request without its audit record at step {at}"
    return stop.steps, ended


def test_a_run_that_is_cancelled_at_any_step_leaves_nothing_behind():
    steps, ended = run_and_cancel(at=0)
    assert ended == "finished"
    endings = set()
    for at in range(1, steps + 1):
        _, ended = run_and_cancel(at)
        endings.add(ended)
    assert steps > 100
    # A cancellation may arrive when everything is done already; it must have struck most of the time.
    assert "cancelled" in endings
    gc.collect()


def run_beside_a_victim(at: int) -> int:
    """Cancel one of five retrievals that share a cold retriever; return the steps the victim's loop took."""
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=0.2), clock=clock)
    settings = settings_for(simulator, quota=QuotaLimit(limit=2, seconds=1.0))
    stop = Stop(at)

    async def main() -> None:
        retriever = MediaRetriever(settings, transport=simulator.transport(), clock=clock)
        async with retriever:
            others = [asyncio.create_task(retriever.retrieve(f"other-{n}")) for n in range(3)]
            stop.victim = asyncio.create_task(retriever.retrieve("victim"))
            others += [asyncio.create_task(retriever.retrieve(f"other-{n}")) for n in range(3, 4)]
            urls = await asyncio.gather(*others)
            assert len(urls) == 4
            await asyncio.wait([stop.victim])
            # Both permits are back, or on their way back: another two go through side by side within a window.
            started = clock.monotonic()
            await asyncio.gather(retriever.retrieve("later-1"), retriever.retrieve("later-2"))
            assert clock.monotonic() - started < 1.5

    run_stepping(stop, clock, main)
    assert simulator.counts.token_requests == 1
    assert simulator.counts.peak_in_flight <= 2
    return stop.steps


def test_a_cancelled_caller_takes_nothing_from_the_others():
    steps = run_beside_a_victim(at=0)
    assert steps > 15
    for at in range(1, steps + 1):
        run_beside_a_victim(at)


async def no_connection_is_open(simulator: Simulator) -> bool:
    with anyio.move_on_after(2):
        while simulator.counts.connections_open:  # noqa: ASYNC110 - counts cannot be waited for
            await anyio.sleep(0.005)
    return simulator.counts.connections_open == 0


ENDLESS = (f"id-{number}" for number in range(10**9))


@pytest.mark.anyio
async def test_leaving_the_loop_early_leaves_nothing_running():
    before = other_tasks()
    async with Simulator(SimulatorSettings(quota=None, latency=0.01)) as simulator:
        async with MediaRetriever(settings_for(simulator)) as retriever:
            async with retriever.retrieve_many(ENDLESS, concurrency=8) as results:
                async for result in results:
                    assert result.ok
                    break
            asked = simulator.counts.api_requests
            await anyio.sleep(0.05)
            assert simulator.counts.api_requests == asked
            assert simulator.counts.in_flight == 0
        assert await no_connection_is_open(simulator)
    assert other_tasks() == before


@pytest.mark.anyio
async def test_an_exception_in_the_consumer_comes_out_as_itself():
    before = other_tasks()
    async with Simulator(SimulatorSettings(quota=None, latency=0.01)) as simulator:
        cause = OSError("the disk is full")
        with pytest.raises(ValueError, match="of the consumer's own") as raised:
            async with (
                MediaRetriever(settings_for(simulator)) as retriever,
                retriever.retrieve_many(ENDLESS, concurrency=8) as results,
            ):
                async for _ in results:
                    raise ValueError("of the consumer's own") from cause
        assert raised.value.__cause__ is cause
        assert await no_connection_is_open(simulator)
    assert other_tasks() == before


@pytest.mark.anyio
async def test_an_exception_in_the_input_comes_out_after_what_was_done():
    def breaking():
        yield from ("id-1", "id-2", "id-3")
        raise OSError("the list cannot be read any further")

    async def breaking_too():
        for file_id in breaking():
            yield file_id

    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        for source in (breaking(), breaking_too()):
            done = []
            with pytest.raises(OSError, match="any further"):
                async with retriever.retrieve_many(source, concurrency=2) as results:
                    async for result in results:
                        done.append(result.file_id)
            assert sorted(done) == ["id-1", "id-2", "id-3"]


@pytest.mark.anyio
async def test_an_outer_time_out_ends_everything():
    before = other_tasks()
    async with Simulator(SimulatorSettings(quota=None, latency=0.02)) as simulator:
        with anyio.move_on_after(0.15) as scope:
            async with MediaRetriever(settings_for(simulator)) as retriever:
                async with retriever.retrieve_many(ENDLESS, concurrency=8) as results:
                    async for _ in results:
                        pass
        assert scope.cancelled_caught
        assert await no_connection_is_open(simulator)
    assert other_tasks() == before


@pytest.mark.anyio
async def test_stop_finishes_what_is_under_way_and_reads_no_more():
    read = 0

    async def reading():
        nonlocal read
        while True:
            read += 1
            yield f"id-{read}"

    async with Simulator(SimulatorSettings(quota=None, latency=0.01)) as simulator:
        async with MediaRetriever(settings_for(simulator)) as retriever:
            async with retriever.retrieve_many(reading(), concurrency=4) as results:
                done = 0
                async for result in results:
                    assert result.ok
                    done += 1
                    if done == 10:
                        results.stop()
        assert done == read == simulator.counts.api_ok


@pytest.mark.anyio
async def test_stop_does_not_wait_for_an_input_that_says_nothing():
    async def silent():
        yield "id-1"
        await anyio.sleep_forever()

    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        async with retriever.retrieve_many(silent(), concurrency=4) as results:
            with anyio.fail_after(2):
                assert (await anext(results)).ok
                results.stop()
                assert [result async for result in results] == []


@pytest.mark.anyio
async def test_ten_thousand_cold_callers_make_one_token_request_and_none_is_lost():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    async with MediaRetriever(settings_for(simulator), transport=simulator.transport()) as retriever:
        urls = await asyncio.gather(*(retriever.retrieve(f"id-{number}") for number in range(10_000)))
    assert len({url.url for url in urls}) == 10_000
    assert simulator.counts.token_requests == 1
