"""What a lost audit record takes with it, and what it leaves alone."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from genesys_media_async import MediaRetriever, VirtualClock
from genesys_media_async.api.calls import Call
from genesys_media_async.endpoints import Endpoint
from genesys_media_async.errors import AuditWriteError
from genesys_media_async.models import DownloadUrl, MediaRequest, Retrieved
from genesys_media_async.settings.policies import RetryPolicy
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from genesys_media_async.transports import HttpxTransport
from genesys_media_async.transports.base import MAX_REPLY_SIZE
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from genesys_media_async.endpoints import EndpointContext
    from genesys_media_async.events import Event
    from genesys_media_async.transports import HttpReply, HttpRequest, Transport


class Fails:
    """An audit sink that fails at the writes with these numbers."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self.writes = 0

    async def write(self, events: Sequence[Event]) -> None:
        self.writes += 1
        if self.writes in self.numbers:
            raise OSError("disk full")

    async def aclose(self) -> None: ...


class Takes:
    """A transport that takes a tenth of a second for each request."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        await anyio.sleep(0.1)
        return await self.transport.exchange(request, timeout=timeout, max_reply_size=max_reply_size)

    async def aclose(self) -> None: ...


class AsksAgain(Endpoint):
    """Reports a URL, and makes another call a second later."""

    action = "asks_again"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        (request,) = requests
        call = Call("GET", "/api/v2/tokens/me", b"", request.file_id, self.action, self._read)
        await context.report(request, await context.call(call))
        await context.sleep(1.0)
        await context.call(call)

    def _read(self, reply: HttpReply, sent_at: float) -> DownloadUrl:
        return DownloadUrl("https://media.example.com/a", sent_at + 600, 600)


def scene(
    main: Callable[[MediaRetriever, Simulator], Coroutine[Any, Any, None]], sink: object, **options: Any
) -> Simulator:
    """Run with a retriever in virtual time; a second error of the sink at the end is none of the test's."""
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    chosen = {name: options.pop(name) for name in ("endpoint",) if name in options}

    async def run() -> None:
        transport = Takes(HttpxTransport(simulator.transport()))
        settings = settings_for(simulator, **options)
        retriever = MediaRetriever(settings, transport=transport, audit=[sink], clock=clock, **chosen)  # type: ignore[list-item]
        await retriever.open()
        try:
            await main(retriever, simulator)
        finally:
            with suppress(AuditWriteError):
                await retriever.aclose()

    clock.run(run())
    return simulator


def test_a_result_whose_record_is_lost_is_not_told_although_a_later_one_is_written():
    async def main(retriever: MediaRetriever, _: Simulator) -> None:
        with pytest.raises(AuditWriteError):
            await retriever.retrieve("a")

    scene(main, Fails(1), endpoint=AsksAgain())


def test_a_run_does_not_tell_it_either():
    async def main(retriever: MediaRetriever, _: Simulator) -> None:
        told = []
        with pytest.raises(AuditWriteError, match="disk full"):
            async for result in retriever.retrieve_many(["a"]):
                told.append(result)
        assert told == []

    scene(main, Fails(1), endpoint=AsksAgain())


def test_a_call_whose_attempt_is_not_recorded_is_not_repeated():
    async def main(retriever: MediaRetriever, simulator: Simulator) -> None:
        simulator.script(Fault.SERVER_ERROR_500, Fault.SERVER_ERROR_500)
        with pytest.raises(AuditWriteError):
            await retriever.retrieve("a")

    assert scene(main, Fails(1)).counts.api_requests == 1


def test_what_waits_for_the_second_pass_with_its_record_is_told_before_the_error():
    async def main(retriever: MediaRetriever, simulator: Simulator) -> None:
        simulator.script(*[Fault.SERVER_ERROR_500] * 4)
        told = []
        with pytest.raises(AuditWriteError):
            async for result in retriever.retrieve_many(["a", "b", "c"], concurrency=1, second_pass=True):
                told.append(result.file_id)
        # The record of "b" is lost; "c" was in progress by then.
        assert told == ["a", "c"]

    scene(main, Fails(2), retry=RetryPolicy(max_attempts=1))


def test_a_repetition_of_what_may_not_be_recorded_is_not_told():
    async def main(retriever: MediaRetriever, _: Simulator) -> None:
        async with retriever.retrieve_many([]) as run:
            outcomes = run._outcomes
            outcomes.fail(AuditWriteError("The audit trail is broken."))
            outcomes._repeat([Retrieved("a", "https://a.test/", 2e9, 60)])
            with pytest.raises(AuditWriteError):
                await anext(run)

    scene(main, Fails())


def test_a_slow_sink_makes_the_next_callers_wait():
    class Slow(Fails):
        async def write(self, events: Sequence[Event]) -> None:
            await anyio.sleep(3)
            self.writes += len(events)

    slow = Slow()

    async def main(retriever: MediaRetriever, simulator: Simulator) -> None:
        async for _ in retriever.retrieve_many([f"a-{n}" for n in range(40)], concurrency=4):
            # Each worker has sent no more than the request that is being recorded, and the next one.
            assert simulator.counts.api_requests - slow.writes <= 2 * 4

    scene(main, slow)
    assert slow.writes == 40
