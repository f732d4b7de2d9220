"""Callers wait for permits in order, are paused all at once, and may be spaced out."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from genesys_media_async.errors import RateLimitError
from genesys_media_async.events import Event, QuotaLimitChanged, QuotaPaused, QuotaResumed
from genesys_media_async.settings.policies import QuotaLimit
from tests.limiter.callers import FOREVER, Caller, most_within, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from genesys_media_async.clock import VirtualClock
    from genesys_media_async.limiter.local import LocalLimiter


def test_the_first_minute_is_not_a_double_one() -> None:
    async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        async with anyio.create_task_group() as task_group:
            for _ in range(900):
                task_group.start_soon(caller.send)

    sent = run(QuotaLimit(limit=300, seconds=60), main).sent
    assert [len([each for each in sent if each // 60 == minute]) for minute in range(3)] == [300, 300, 300]
    assert most_within(sent, 59.999) == 300


def test_permits_go_to_callers_in_the_order_in_which_they_came() -> None:
    async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        async with anyio.create_task_group() as task_group:
            for name in range(50):
                task_group.start_soon(caller.send, name)
                await anyio.sleep(0.3)

    assert run(QuotaLimit(limit=3, seconds=10), main).names == list(range(50))


def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        async with anyio.create_task_group() as task_group:
            for name in range(4):
                task_group.start_soon(caller.send, name)
            await anyio.sleep(9)
            # Time passes without the loop: the permit is free, but the one who waits for it has not run yet.
            clock.advance(1.5)
            await caller.send("newcomer")

    assert run(QuotaLimit(limit=2, seconds=10), main).names == [0, 1, 2, 3, "newcomer"]


def test_a_permit_returns_a_window_after_the_reply() -> None:
    async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(lambda: caller.send(lasts=25))
            task_group.start_soon(caller.send)

    assert run(QuotaLimit(limit=1, seconds=10), main).sent == pytest.approx([0, 35], abs=0.001)


def test_a_permit_of_a_request_that_was_not_sent_is_free_at_once() -> None:
    async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        permit = await limiter.acquire(deadline=FOREVER)
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(caller.send)
            await anyio.sleep(3)
            assert limiter.waiting == 1
            limiter.cancel(permit)
            await anyio.lowlevel.checkpoint()
            assert limiter.waiting == 0

    assert run(QuotaLimit(limit=1, seconds=10), main).sent == pytest.approx([3], abs=0.001)


class TestAPause:
    def test_holds_for_all_and_then_lets_all_go(self) -> None:
        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            await caller.send(pause=30)
            async with anyio.create_task_group() as task_group:
                for _ in range(5):
                    task_group.start_soon(caller.send)

        assert run(QuotaLimit(limit=10, seconds=60), main).sent == pytest.approx([0] + [30] * 5, abs=0.001)

    def test_holds_where_there_is_no_limit_too(self) -> None:
        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            for _ in range(10_000):
                await caller.send()
            assert clock.monotonic() < 0.1
            await caller.send(pause=30)
            await caller.send()

        assert run(None, main).sent[-1] == pytest.approx(30, abs=0.1)

    def test_is_never_shortened_and_reported_only_if_it_is_longer_than_before(self) -> None:
        happened: list[Event] = []

        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            first, second, third = [await limiter.acquire(deadline=FOREVER) for _ in range(3)]
            limiter.reject(first, 30)
            limiter.reject(second, 10)
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(caller.send)
                await anyio.sleep(20)
                limiter.reject(third, 30)

        caller = run(QuotaLimit(limit=10, seconds=60), main, happened=happened)
        assert caller.sent == pytest.approx([50], abs=0.001)
        assert [event.seconds for event in happened if isinstance(event, QuotaPaused)] == [30, 30]

    @pytest.mark.parametrize("limit", [QuotaLimit(limit=10, seconds=60), None])
    def test_is_reported_once_when_it_begins_and_once_when_the_first_is_sent_again(
        self, limit: QuotaLimit | None
    ) -> None:
        happened: list[Event] = []

        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            await caller.send()
            assert limiter.state().paused_for is None
            for pause in (30, 5):
                await caller.send(pause=pause)
                assert limiter.state().paused_for == pytest.approx(pause, abs=0.001)
                async with anyio.create_task_group() as task_group:
                    for _ in range(3):
                        task_group.start_soon(caller.send)
                    await anyio.sleep(1)
                    assert limiter.state().waiting == 3
            # Nobody wants to send when the next pause ends: it is over when somebody does.
            await caller.send(pause=7)
            await anyio.sleep(20)
            assert limiter.state().paused_for is None
            await caller.send()

        run(limit, main, happened=happened)
        reported = [(type(event), event.seconds) for event in happened if isinstance(event, QuotaPaused | QuotaResumed)]
        assert [kind for kind, _ in reported] == [QuotaPaused, QuotaResumed] * 3
        assert [seconds for _, seconds in reported] == pytest.approx([30, 30, 5, 5, 7, 20], abs=0.001)

    def test_that_outlasts_a_deadline_fails_a_newcomer_at_once(self) -> None:
        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            await caller.send(pause=100)
            with pytest.raises(RateLimitError) as caught:
                await limiter.acquire(deadline=99)
            assert clock.monotonic() < 0.001
            assert caught.value.code == "paused_too_long"
            assert caught.value.status_code == 429
            assert caught.value.retry_after == pytest.approx(100, abs=0.001)
            await limiter.acquire(deadline=101)
            assert clock.monotonic() == pytest.approx(100, abs=0.001)

        run(QuotaLimit(), main)

    def test_that_outlasts_a_deadline_fails_those_who_wait_at_once_and_no_others(self) -> None:
        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            failed_at: dict[str, float] = {}

            async def wait(name: str, deadline: float) -> None:
                try:
                    await caller.send(name, deadline=deadline)
                except RateLimitError:
                    failed_at[name] = clock.monotonic()

            async with anyio.create_task_group() as task_group:
                task_group.start_soon(lambda: caller.send(lasts=5, pause=100))
                for name, deadline in (("patient", FOREVER), ("hurried", 50.0), ("just so", 105.1)):
                    task_group.start_soon(wait, name, deadline)
                await anyio.sleep(6)
                assert list(failed_at) == ["hurried"]
                assert failed_at["hurried"] == pytest.approx(5, abs=0.001)
                assert limiter.waiting == 2

        caller = run(QuotaLimit(limit=1, seconds=10), main)
        assert caller.names == [None, "patient", "just so"]
        assert caller.sent == pytest.approx([0, 105, 115], abs=0.001)

    def test_that_ends_before_a_permit_returns_lets_a_cancelled_one_go(self) -> None:
        """The timer is set for the permit, 60 s away; the one cancelled within the pause is free when that ends."""

        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            limiter.complete(await limiter.acquire(deadline=FOREVER))
            to_be_refused = await limiter.acquire(deadline=FOREVER)
            to_be_cancelled = await limiter.acquire(deadline=FOREVER)
            async with anyio.create_task_group() as task_group:
                for _ in range(2):
                    task_group.start_soon(caller.send)
                await anyio.sleep(1)
                assert limiter.waiting == 2
                limiter.reject(to_be_refused, 9, has_retry_after=False)
                await anyio.sleep(1)
                limiter.cancel(to_be_cancelled)

        assert run(QuotaLimit(limit=3, seconds=60), main).sent == pytest.approx([10, 10], abs=0.001)


class TestAnEvenPace:
    def test_spreads_the_limit_over_the_window(self) -> None:
        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            async with anyio.create_task_group() as task_group:
                for name in range(20):
                    task_group.start_soon(caller.send, name)

        caller = run(QuotaLimit(limit=10, seconds=60), main, pace="even")
        assert caller.sent == pytest.approx([6.0 * number for number in range(20)], abs=0.01)
        assert caller.names == list(range(20))

    def test_stops_for_a_pause_like_any_other(self) -> None:
        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(lambda: caller.send(0, lasts=7, pause=100))
                await anyio.lowlevel.checkpoint()
                for name in range(1, 8):
                    task_group.start_soon(caller.send, name)

        caller = run(QuotaLimit(limit=10, seconds=60), main, pace="even")
        assert caller.names == list(range(8))
        sent = caller.sent
        assert [each for each in sent if 7 < each < 106.9] == []
        # And the pause is not followed by a burst of those who waited it out.
        by_second: dict[float, int] = defaultdict(int)
        for each in sent:
            by_second[round(each)] += 1
        assert max(by_second.values()) == 1


def test_a_limit_that_a_429_lowered_is_reported_each_time_it_is_raised() -> None:
    happened: list[Event] = []

    async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        for number in range(40):
            await caller.send(pause=10 if number == 20 else None)
        for _ in range(100):
            await caller.send()
            await anyio.sleep(5)

    run(QuotaLimit(limit=30, seconds=10), main, happened=happened)
    allowed = [event.allowed for event in happened if isinstance(event, QuotaLimitChanged)]
    assert 0 < allowed[0] < 30
    assert allowed == list(range(allowed[0], 31))


def test_the_repr_shows_who_waits_and_what_is_used() -> None:
    async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        permit = await limiter.acquire(deadline=FOREVER)
        waiter = asyncio.create_task(caller.send())
        await anyio.sleep(1)
        assert repr(limiter) == "<LocalLimiter of <QuotaAccount 1 in flight, 0 spent, of 1>, 1 waiting>"
        limiter.cancel(permit)
        await waiter

    run(QuotaLimit(limit=1, seconds=10), main)


def quota_headers(count: int, allowed: int) -> dict[str, str]:
    return {
        "inin-ratelimit-count": str(count),
        "inin-ratelimit-allowed": str(allowed),
        "inin-ratelimit-reset": "60",
    }


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        (lambda count: quota_headers(count, 20), [20]),
        (lambda count: {"content-type": "application/json"}, []),
        (lambda count: {"inin-ratelimit-count": str(count)}, []),
        (lambda count: None, []),
    ],
    ids=["quota headers", "other headers", "one quota header", "no reply"],
)
def test_a_limit_in_the_headers_of_replies_is_learnt_and_reported(
    headers: Callable[[int], dict[str, str] | None], allowed: list[int]
) -> None:
    happened: list[Event] = []

    async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        for count in range(1, 15):
            permit = await limiter.acquire(deadline=FOREVER)
            clock.advance(0.1)
            limiter.complete(permit, headers(count))
        assert limiter.state().allowed == (allowed or [30])[-1]

    run(QuotaLimit(limit=30, seconds=60), main, happened=happened)
    assert [event.allowed for event in happened if isinstance(event, QuotaLimitChanged)] == allowed
