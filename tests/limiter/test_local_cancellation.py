"""A caller that is cancelled holds no permit and loses none."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.clock import VirtualClock
from genesys_media_async.limiter.local import LocalLimiter
from genesys_media_async.settings.policies import QuotaLimit
from tests.limiter.callers import FOREVER, Caller, free_permits, most_within, run


class TestCancellation:
    def test_of_one_who_waits_takes_nothing_and_leaves_nothing(self) -> None:
        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            await caller.send("first")
            async with anyio.create_task_group() as task_group:
                tasks = [asyncio.create_task(caller.send(name)) for name in range(5)]
                await anyio.sleep(1)
                assert limiter.waiting == 5
                for number in (0, 2, 4):
                    tasks[number].cancel()
                await anyio.sleep(1)
                assert limiter.waiting == 2
                task_group.start_soon(caller.send, "last")

            await asyncio.wait(tasks)

        caller = run(QuotaLimit(limit=1, seconds=10), main)
        assert caller.names == ["first", 1, 3, "last"]
        assert caller.sent == pytest.approx([0, 10, 20, 30], abs=0.001)

    def test_in_the_same_turn_in_which_the_permit_comes_gives_it_to_the_next(self) -> None:
        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            permit = await limiter.acquire(deadline=FOREVER)
            first = asyncio.create_task(caller.send("first"))
            second = asyncio.create_task(caller.send("second"))
            await anyio.sleep(1)
            limiter.cancel(permit)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            with anyio.fail_after(1):
                await second

        assert run(QuotaLimit(limit=1, seconds=10), main).names == ["second"]

    def test_in_the_same_turn_in_which_a_pause_refuses_it_leaves_no_exception_behind(self) -> None:
        reported: list[dict[str, Any]] = []

        async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
            permit = await limiter.acquire(deadline=FOREVER)
            waiter = asyncio.create_task(caller.send(deadline=50))
            await anyio.sleep(1)
            limiter.reject(permit, 100, has_retry_after=False)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            del waiter
            gc.collect()
            # Nor did it return a permit that it never had.
            await anyio.sleep(101)
            await limiter.acquire(deadline=FOREVER)
            with anyio.move_on_after(1_000) as scope:
                await limiter.acquire(deadline=FOREVER)
            assert scope.cancelled_caught

        run(QuotaLimit(limit=1, seconds=10), main)
        assert reported == []

    @given(
        limit=st.integers(1, 4),
        callers=st.lists(
            st.tuples(
                st.integers(0, 30),
                st.integers(0, 15),
                st.one_of(st.none(), st.integers(0, 40)),
            ),
            max_size=25,
        ),
        refused=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 15), st.integers(1, 20)), max_size=3),
        pace=st.sampled_from(["burst", "even"]),
    )
    @settings(deadline=None, max_examples=80)
    def test_whenever_it_strikes_no_permit_is_lost_and_no_window_is_overdrawn(
        self,
        limit: int,
        callers: list[tuple[int, int, int | None]],
        refused: list[tuple[int, int, int]],
        pace: Any,
    ) -> None:
        clock = VirtualClock()
        limiter = LocalLimiter(QuotaLimit(limit=limit, seconds=10), clock, pace=pace)
        caller = Caller(limiter, clock)
        pauses: list[tuple[float, float]] = []

        async def come(at: int, lasts: int, cancelled_after: int | None) -> None:
            await anyio.sleep(at)
            with anyio.move_on_after(FOREVER if cancelled_after is None else cancelled_after):
                await caller.send(lasts=lasts)

        async def be_refused(at: int, lasts: int, pause: int) -> None:
            await anyio.sleep(at)
            await caller.send("refused", lasts=lasts, pause=pause)
            pauses.append((clock.monotonic(), pause))

        async def main() -> None:
            async with anyio.create_task_group() as task_group:
                for each in callers:
                    task_group.start_soon(come, *each)
                for each_refused in refused:
                    task_group.start_soon(be_refused, *each_refused)
            assert limiter.waiting == 0
            # After a 429 the account keeps to the server's windows, and permits of two may be charged at once.
            assert refused or limiter.state().used <= limit
            assert await free_permits(limiter, limit) == limit

        clock.run(main())
        must_be_sent = sum(cancelled_after is None for _, _, cancelled_after in callers)
        assert len(caller.sent) >= must_be_sent + len(refused)
        if caller.sent and not refused:
            # A microsecond less than the window: the virtual clock's steps add up. A 429 moves the windows.
            assert most_within(caller.sent, 10 - 1e-6) <= limit
        for at, seconds in pauses:
            assert not [each for each in caller.sent if at + 1e-6 < each < at + seconds - 1e-6]


def test_an_even_pace_loses_no_permit_to_a_caller_that_is_cancelled_meanwhile() -> None:
    clock = VirtualClock()
    limiter = LocalLimiter(QuotaLimit(limit=2, seconds=60), clock, pace="even")

    async def main() -> None:
        await limiter.acquire(deadline=FOREVER)
        for _ in range(5):
            with anyio.move_on_after(1) as scope:
                await limiter.acquire(deadline=FOREVER)
            assert scope.cancelled_caught
        with anyio.fail_after(40):
            await limiter.acquire(deadline=FOREVER)

    clock.run(main())
