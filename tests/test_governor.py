"""Where workers wait for a permit: in order, exact under cancellation, and paused for everybody at once."""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import RateLimitError
from genesys_media_async.events import Event, QuotaLimitChanged, QuotaPaused, QuotaResumed
from genesys_media_async.governor import LocalLimiter
from genesys_media_async.settings.settings import QuotaLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

FOREVER = float("inf")


class Caller:
    """Takes permits one after another, and notes when."""

    def __init__(self, governor: LocalLimiter, clock: VirtualClock) -> None:
        self.governor = governor
        self.clock = clock
        self.sent: list[float] = []
        self.names: list[object] = []

    async def send(
        self, name: object = None, *, lasts: float = 0.0, deadline: float = FOREVER, pause: float | None = None
    ) -> None:
        """Send a request whose reply comes after `lasts` seconds: a 429 if it is to cause a pause."""
        permit = await self.governor.acquire(deadline=deadline)
        self.sent.append(self.clock.monotonic())
        self.names.append(name)
        try:
            await anyio.sleep(lasts)
        except BaseException:
            self.governor.spend(permit)
            raise
        if pause is None:
            self.governor.spend(permit)
        else:
            self.governor.refuse(permit, pause)


def run(
    limit: QuotaLimit | None,
    main: Callable[[LocalLimiter, VirtualClock, Caller], Coroutine[Any, Any, None]],
    *,
    happened: list[Event] | None = None,
) -> Caller:
    clock = VirtualClock()
    governor = LocalLimiter(limit, clock, happened.append if happened is not None else lambda _: None)
    caller = Caller(governor, clock)
    clock.run(main(governor, clock, caller))
    return caller


async def free_permits(governor: LocalLimiter, limit: int) -> int:
    """Count the permits there are once a window has passed, by taking them."""
    free = 0
    with anyio.move_on_after(1_000):
        for _ in range(limit):
            await governor.acquire(deadline=FOREVER)
            free += 1
    return free


def most_within(times: list[float], window: float) -> int:
    return max(sum(start <= each < start + window for each in times) for start in times)


def test_the_first_minute_is_not_a_double_one() -> None:
    async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        async with anyio.create_task_group() as task_group:
            for _ in range(900):
                task_group.start_soon(caller.send)

    sent = run(QuotaLimit(limit=300, seconds=60), main).sent
    assert [len([each for each in sent if each // 60 == minute]) for minute in range(3)] == [300, 300, 300]
    assert most_within(sent, 59.999) == 300


def test_permits_go_to_callers_in_the_order_in_which_they_came() -> None:
    async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        async with anyio.create_task_group() as task_group:
            for name in range(50):
                task_group.start_soon(caller.send, name)
                await anyio.sleep(0.3)

    assert run(QuotaLimit(limit=3, seconds=10), main).names == list(range(50))


def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        async with anyio.create_task_group() as task_group:
            for name in range(4):
                task_group.start_soon(caller.send, name)
            await anyio.sleep(9)
            # Time passes without the loop: the permit is free, but the one who waits for it has not run yet.
            clock.advance(1.5)
            await caller.send("newcomer")

    assert run(QuotaLimit(limit=2, seconds=10), main).names == [0, 1, 2, 3, "newcomer"]


def test_a_permit_comes_back_a_window_after_the_reply() -> None:
    async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(lambda: caller.send(lasts=25))
            task_group.start_soon(caller.send)

    assert run(QuotaLimit(limit=1, seconds=10), main).sent == pytest.approx([0, 35], abs=0.001)


def test_a_permit_of_a_request_that_was_not_sent_is_free_at_once() -> None:
    async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        permit = await governor.acquire(deadline=FOREVER)
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(caller.send)
            await anyio.sleep(3)
            assert governor.waiting == 1
            governor.give_back(permit)
            await anyio.lowlevel.checkpoint()
            assert governor.waiting == 0

    assert run(QuotaLimit(limit=1, seconds=10), main).sent == pytest.approx([3], abs=0.001)


class TestAPause:
    def test_holds_for_everybody_and_then_lets_all_go(self) -> None:
        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            await caller.send(pause=30)
            async with anyio.create_task_group() as task_group:
                for _ in range(5):
                    task_group.start_soon(caller.send)

        assert run(QuotaLimit(limit=10, seconds=60), main).sent == pytest.approx([0] + [30] * 5, abs=0.001)

    def test_holds_where_there_is_no_limit_too(self) -> None:
        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            for _ in range(10_000):
                await caller.send()
            assert clock.monotonic() < 0.1
            await caller.send(pause=30)
            await caller.send()

        assert run(None, main).sent[-1] == pytest.approx(30, abs=0.1)

    def test_is_never_shortened_and_is_told_of_only_when_it_is_news(self) -> None:
        happened: list[Event] = []

        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            first, second, third = [await governor.acquire(deadline=FOREVER) for _ in range(3)]
            governor.refuse(first, 30)
            governor.refuse(second, 10)
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(caller.send)
                await anyio.sleep(20)
                governor.refuse(third, 30)

        caller = run(QuotaLimit(limit=10, seconds=60), main, happened=happened)
        assert caller.sent == pytest.approx([50], abs=0.001)
        assert [event.seconds for event in happened if isinstance(event, QuotaPaused)] == [30, 30]

    @pytest.mark.parametrize("limit", [QuotaLimit(limit=10, seconds=60), None])
    def test_is_told_of_once_when_it_begins_and_once_when_the_first_is_sent_again(
        self, limit: QuotaLimit | None
    ) -> None:
        happened: list[Event] = []

        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            await caller.send()
            assert governor.state().paused_for is None
            for pause in (30, 5):
                await caller.send(pause=pause)
                assert governor.state().paused_for == pytest.approx(pause, abs=0.001)
                async with anyio.create_task_group() as task_group:
                    for _ in range(3):
                        task_group.start_soon(caller.send)
                    await anyio.sleep(1)
                    assert governor.state().waiting == 3
            # Nobody wants to send when the next pause ends: it is over when somebody does.
            await caller.send(pause=7)
            await anyio.sleep(20)
            assert governor.state().paused_for is None
            await caller.send()

        run(limit, main, happened=happened)
        told = [(type(event), event.seconds) for event in happened if isinstance(event, QuotaPaused | QuotaResumed)]
        assert [kind for kind, _ in told] == [QuotaPaused, QuotaResumed] * 3
        assert [seconds for _, seconds in told] == pytest.approx([30, 30, 5, 5, 7, 20], abs=0.001)

    def test_that_outlasts_a_deadline_is_said_at_once_to_those_who_come(self) -> None:
        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            await caller.send(pause=100)
            with pytest.raises(RateLimitError) as caught:
                await governor.acquire(deadline=99)
            assert clock.monotonic() < 0.001
            assert caught.value.code == "paused_too_long"
            assert caught.value.status_code == 429
            assert caught.value.retry_after == pytest.approx(100, abs=0.001)
            await governor.acquire(deadline=101)
            assert clock.monotonic() == pytest.approx(100, abs=0.001)

        run(QuotaLimit(), main)

    def test_that_outlasts_a_deadline_is_said_at_once_to_those_who_wait_and_to_no_others(self) -> None:
        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            told: dict[str, float] = {}

            async def wait(name: str, deadline: float) -> None:
                try:
                    await caller.send(name, deadline=deadline)
                except RateLimitError:
                    told[name] = clock.monotonic()

            async with anyio.create_task_group() as task_group:
                task_group.start_soon(lambda: caller.send(lasts=5, pause=100))
                for name, deadline in (("patient", FOREVER), ("hurried", 50.0), ("just so", 105.1)):
                    task_group.start_soon(wait, name, deadline)
                await anyio.sleep(6)
                assert list(told) == ["hurried"]
                assert told["hurried"] == pytest.approx(5, abs=0.001)
                assert governor.waiting == 2

        caller = run(QuotaLimit(limit=1, seconds=10), main)
        assert caller.names == [None, "patient", "just so"]
        assert caller.sent == pytest.approx([0, 105, 115], abs=0.001)

    def test_that_ends_before_a_permit_comes_back_by_itself_lets_one_go_that_was_given_back(self) -> None:
        """The timer is set for the permit, 60 s away; the one given back within the pause is free when that ends."""

        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            governor.spend(await governor.acquire(deadline=FOREVER))
            to_be_refused = await governor.acquire(deadline=FOREVER)
            to_be_given_back = await governor.acquire(deadline=FOREVER)
            async with anyio.create_task_group() as task_group:
                for _ in range(2):
                    task_group.start_soon(caller.send)
                await anyio.sleep(1)
                assert governor.waiting == 2
                governor.refuse(to_be_refused, 9, told=False)
                await anyio.sleep(1)
                governor.give_back(to_be_given_back)

        assert run(QuotaLimit(limit=3, seconds=60), main).sent == pytest.approx([10, 10], abs=0.001)


class TestCancellation:
    def test_of_one_who_waits_takes_nothing_and_leaves_nothing(self) -> None:
        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            await caller.send("first")
            async with anyio.create_task_group() as task_group:
                tasks = [asyncio.create_task(caller.send(name)) for name in range(5)]
                await anyio.sleep(1)
                assert governor.waiting == 5
                for number in (0, 2, 4):
                    tasks[number].cancel()
                await anyio.sleep(1)
                assert governor.waiting == 2
                task_group.start_soon(caller.send, "last")

            await asyncio.wait(tasks)

        caller = run(QuotaLimit(limit=1, seconds=10), main)
        assert caller.names == ["first", 1, 3, "last"]
        assert caller.sent == pytest.approx([0, 10, 20, 30], abs=0.001)

    def test_in_the_same_turn_in_which_the_permit_comes_gives_it_to_the_next(self) -> None:
        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            permit = await governor.acquire(deadline=FOREVER)
            first = asyncio.create_task(caller.send("first"))
            second = asyncio.create_task(caller.send("second"))
            await anyio.sleep(1)
            governor.give_back(permit)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            with anyio.fail_after(1):
                await second

        assert run(QuotaLimit(limit=1, seconds=10), main).names == ["second"]

    def test_in_the_same_turn_in_which_a_pause_refuses_it_leaves_no_exception_behind(self) -> None:
        said: list[dict[str, Any]] = []

        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
            permit = await governor.acquire(deadline=FOREVER)
            waiter = asyncio.create_task(caller.send(deadline=50))
            await anyio.sleep(1)
            governor.refuse(permit, 100, told=False)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            del waiter
            gc.collect()
            # Nor did it give back a permit that it never had.
            await anyio.sleep(101)
            await governor.acquire(deadline=FOREVER)
            with anyio.move_on_after(1_000) as scope:
                await governor.acquire(deadline=FOREVER)
            assert scope.cancelled_caught

        run(QuotaLimit(limit=1, seconds=10), main)
        assert said == []

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
        governor = LocalLimiter(QuotaLimit(limit=limit, seconds=10, pace=pace), clock)
        caller = Caller(governor, clock)
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
            assert governor.waiting == 0
            # After a 429 the account keeps to the server's windows, and permits of two may be charged at once.
            assert refused or governor.state().used <= limit
            assert await free_permits(governor, limit) == limit

        clock.run(main())
        must_be_sent = sum(cancelled_after is None for _, _, cancelled_after in callers)
        assert len(caller.sent) >= must_be_sent + len(refused)
        if caller.sent and not refused:
            # A microsecond less than the window: the virtual clock's steps add up. A 429 moves the windows.
            assert most_within(caller.sent, 10 - 1e-6) <= limit
        for at, seconds in pauses:
            assert not [each for each in caller.sent if at + 1e-6 < each < at + seconds - 1e-6]


class TestAnEvenPace:
    def test_spreads_the_limit_over_the_window(self) -> None:
        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            async with anyio.create_task_group() as task_group:
                for name in range(20):
                    task_group.start_soon(caller.send, name)

        caller = run(QuotaLimit(limit=10, seconds=60, pace="even"), main)
        assert caller.sent == pytest.approx([6.0 * number for number in range(20)], abs=0.01)
        assert caller.names == list(range(20))

    def test_stops_for_a_pause_like_any_other(self) -> None:
        async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(lambda: caller.send(0, lasts=7, pause=100))
                await anyio.lowlevel.checkpoint()
                for name in range(1, 8):
                    task_group.start_soon(caller.send, name)

        caller = run(QuotaLimit(limit=10, seconds=60, pace="even"), main)
        assert caller.names == list(range(8))
        sent = caller.sent
        assert [each for each in sent if 7 < each < 106.9] == []
        # And the pause is not followed by a burst of those who waited it out.
        by_second: dict[float, int] = defaultdict(int)
        for each in sent:
            by_second[round(each)] += 1
        assert max(by_second.values()) == 1

    def test_loses_no_permit_to_one_that_is_cancelled_while_it_is_held_back(self) -> None:
        clock = VirtualClock()
        governor = LocalLimiter(QuotaLimit(limit=2, seconds=60, pace="even"), clock)

        async def main() -> None:
            await governor.acquire(deadline=FOREVER)
            for _ in range(5):
                with anyio.move_on_after(1) as scope:
                    await governor.acquire(deadline=FOREVER)
                assert scope.cancelled_caught
            with anyio.fail_after(40):
                await governor.acquire(deadline=FOREVER)

        clock.run(main())


def test_a_limit_that_a_429_lowered_is_told_again_whenever_it_is_raised() -> None:
    happened: list[Event] = []

    async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        for number in range(40):
            await caller.send(pause=10 if number == 20 else None)
        for _ in range(100):
            await caller.send()
            await anyio.sleep(5)

    run(QuotaLimit(limit=30, seconds=10), main, happened=happened)
    told = [event.allowed for event in happened if isinstance(event, QuotaLimitChanged)]
    assert 0 < told[0] < 30
    assert told == list(range(told[0], 31))


def test_the_repr_says_who_waits_and_what_is_used() -> None:
    async def main(governor: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        permit = await governor.acquire(deadline=FOREVER)
        waiter = asyncio.create_task(caller.send())
        await anyio.sleep(1)
        assert repr(governor) == "<LocalLimiter of <QuotaAccount 1 in flight, 0 spent, of 1>, 1 waiting>"
        governor.give_back(permit)
        await waiter

    run(QuotaLimit(limit=1, seconds=10), main)
