"""The time of a call: what each attempt may take of it, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from genesys_media_async import (
    APIConnectionError,
    APITimeoutError,
    CredentialsRejectedError,
    DeadlineExceededError,
    GenesysMediaError,
    MediaRetriever,
    MemorySink,
    QuotaLimit,
    VirtualClock,
)
from genesys_media_async.api.base import NO_TOKEN, Token
from genesys_media_async.events import AttemptAudited
from genesys_media_async.limiter.local import LocalLimiter
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpReply, HttpRequest
from tests.support.login_host import configured
from tests.support.scripted_context import json_reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genesys_media_async.quota.permit import Permit

URL = json_reply({"url": "https://media.example.com/a", "expiresIn": 60, "contentType": "audio/wav"})


class Genesys:
    """A transport with an outcome for each request and a time that it takes; a URL at once from then on."""

    def __init__(self, clock: VirtualClock, *script: tuple[float, HttpReply | GenesysMediaError]) -> None:
        self.clock = clock
        self.script = list(script)
        self.timeouts: list[float] = []

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        self.timeouts.append(timeout)
        seconds, outcome = self.script.pop(0) if self.script else (0.0, URL)
        await self.clock.sleep(seconds)
        if isinstance(outcome, GenesysMediaError):
            raise outcome
        return outcome

    async def aclose(self) -> None: ...


def retriever_for(genesys: Genesys, **options) -> MediaRetriever:
    settings = {"client_id": None, "client_secret": None, "access_token": "token", "timeout": 30.0}
    settings |= options.pop("settings", {})
    return MediaRetriever(configured(**settings), transport=genesys, clock=genesys.clock, **options)


def test_an_attempt_may_take_its_timeout_or_what_is_left_of_the_deadline():
    clock = VirtualClock()
    genesys = Genesys(clock, (0.0, URL), (0.0, URL))

    async def main() -> None:
        async with retriever_for(genesys) as retriever:
            await retriever.retrieve("a", deadline=100.0)
            await retriever.retrieve("b", deadline=5.0)

    clock.run(main())
    assert genesys.timeouts == [30.0, pytest.approx(5.0, abs=0.01)]


def test_a_deadline_that_passes_in_the_queue_for_a_permit_ends_the_call_then():
    clock = VirtualClock()

    async def main() -> None:
        quota = QuotaLimit(limit=1, seconds=1_000)
        async with retriever_for(Genesys(clock), settings={"quota": quota}) as retriever:
            await retriever.retrieve("a")
            with pytest.raises(DeadlineExceededError):
                await retriever.retrieve("b", deadline=10.0)
            assert clock.monotonic() == pytest.approx(10.0, abs=0.1)

    clock.run(main())


def test_a_timeout_at_the_end_of_the_deadline_is_the_end_of_the_call_though_a_clock_may_be_a_little_late():
    clock = VirtualClock()
    genesys = Genesys(clock, (4.95, APITimeoutError("No reply.")))

    async def main() -> None:
        async with retriever_for(genesys) as retriever:
            with pytest.raises(DeadlineExceededError, match="after 1 requests"):
                await retriever.retrieve("a", deadline=5.0)

    clock.run(main())


def test_a_request_without_a_reply_uses_its_permit_for_one_window():
    clock = VirtualClock()
    genesys = Genesys(clock, (0.0, APIConnectionError("Reset.")))

    async def main() -> None:
        quota = QuotaLimit(limit=1, seconds=100)
        async with retriever_for(genesys, settings={"quota": quota}) as retriever:
            assert (await retriever.retrieve("a", deadline=1_000.0)).attempts == 2
            assert clock.monotonic() == pytest.approx(100.0, abs=2)

    clock.run(main())


def test_an_attempt_that_was_not_sent_is_number_0_in_the_audit_trail():
    clock = VirtualClock()
    audit = MemorySink()

    class Tokens:
        """A source that has one token, and no second one."""

        current = Token("token", float("inf"), float("inf"))
        unaccepted = 0

        async def get(self) -> str:
            raise CredentialsRejectedError("No.")

        async def first(self, timeout: float) -> None: ...

        def invalidate(self, rejected: str) -> None:
            self.current = NO_TOKEN

        def accepted(self) -> None: ...

    async def main() -> None:
        genesys = Genesys(clock, (0.0, HttpReply(401, {}, b"")))
        async with retriever_for(genesys, tokens=Tokens(), audit=[audit]) as retriever:
            with pytest.raises(CredentialsRejectedError):
                await retriever.retrieve("a")

    clock.run(main())
    records = [each for each in audit.events if isinstance(each, AttemptAudited)]
    assert [(each.attempt, each.status) for each in records] == [(1, 401), (0, None)]


@pytest.mark.parametrize(("headers", "has_retry_after"), [({"retry-after": "5"}, True), ({}, False)])
def test_the_limiter_learns_whether_genesys_named_the_time_of_a_429(headers: Mapping[str, str], has_retry_after: bool):
    clock = VirtualClock()
    rejected: list[bool] = []

    class Limiter(LocalLimiter):
        def reject(self, permit: Permit, pause: float, *, has_retry_after: bool = True) -> None:
            rejected.append(has_retry_after)
            super().reject(permit, pause, has_retry_after=has_retry_after)

    async def main() -> None:
        genesys = Genesys(clock, (0.0, HttpReply(429, headers, b"")))
        async with retriever_for(genesys, limiter=Limiter(None, clock)) as retriever:
            await retriever.retrieve("a")

    clock.run(main())
    assert rejected == [has_retry_after]
