"""What an attempt that does not come to its end gives back and leaves behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async import CredentialsRejectedError, MediaRetriever, MemorySink, QuotaLimit, VirtualClock
from genesys_media_async.api.base import Token
from genesys_media_async.events import AttemptAudited, QuotaPaused
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpReply, HttpRequest
from tests.support.login_host import configured
from tests.support.retrievers import settings_for
from tests.support.scripted_context import json_reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FOREVER = float("inf")


class Genesys:
    """A transport that answers with the next of its statuses, and with a URL from then on."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        status = self.statuses.pop(0) if self.statuses else 200
        if status != 200:
            return HttpReply(status, {}, b"")
        return json_reply({"url": "https://media.example.com/a", "expiresIn": 60, "contentType": "audio/wav"})

    async def aclose(self) -> None: ...


class Tokens:
    """A token source that does something before its first token."""

    def __init__(self, first_does: Callable[[], Awaitable[None]]) -> None:
        self.first_does: list[Callable[[], Awaitable[None]]] = [first_does]
        self.unaccepted = 0
        self.current = Token("", -FOREVER, -FOREVER)

    async def get(self) -> str:
        if self.first_does:
            await self.first_does.pop()()
        return "token"

    async def first(self, timeout: float) -> None: ...

    def invalidate(self, rejected: str) -> None: ...

    def accepted(self) -> None: ...


async def refuse() -> None:
    raise CredentialsRejectedError("No.")


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_a_permit_is_given_back_when_the_wait_for_the_token(how: str):
    clock = VirtualClock()

    async def main() -> None:
        retriever = MediaRetriever(
            configured(quota=QuotaLimit(limit=1, seconds=1_000)),
            transport=Genesys(),
            tokens=Tokens(refuse if how == "fails" else anyio.sleep_forever),
            clock=clock,
        )
        async with retriever:
            with anyio.move_on_after(5), pytest.raises(CredentialsRejectedError):
                await retriever.retrieve("a")
            # The one permit of these thousand seconds was not used.
            assert (await retriever.retrieve("b", deadline=10.0)).file_id == "b"

    clock.run(main())


def test_the_record_of_an_attempt_that_was_cut_off_has_the_time_it_was_in_flight():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, fault_seconds=100.0), clock=clock)
    simulator.script(Fault.HANG)
    audit = MemorySink()

    async def main() -> None:
        retriever = MediaRetriever(settings_for(simulator), transport=simulator.transport(), audit=[audit], clock=clock)
        async with retriever:
            await clock.sleep(50)
            call = asyncio.create_task(retriever.retrieve("a"))
            await clock.sleep(7)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    clock.run(main())
    (record,) = [each for each in audit.events if isinstance(each, AttemptAudited)]
    assert (record.code, record.attempt) == ("cut_off", 1)
    assert record.latency == pytest.approx(7, abs=0.1)


def test_pauses_grow_with_each_429_in_a_row_and_begin_anew_after_another_reply():
    clock = VirtualClock()
    events = MemorySink()

    async def main() -> None:
        settings = configured(access_token="token", client_id=None, client_secret=None)
        genesys = Genesys(429, 429, 200, 429)
        async with MediaRetriever(settings, transport=genesys, sinks=[events], clock=clock) as retriever:
            for file_id in ("a", "b"):
                await retriever.retrieve(file_id)

    clock.run(main())
    assert [event.seconds for event in events.events if isinstance(event, QuotaPaused)] == [1.0, 2.0, 1.0]
