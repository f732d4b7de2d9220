"""Clocks: the machine's, and the virtual one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest
from aiolimiter import AsyncLimiter
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.clock import Clock, SystemClock, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable


def both(clock: Clock) -> Clock:
    """Return the clock; type checkers see that it is one."""
    return clock


@pytest.mark.anyio
async def test_the_system_clock_is_the_time_of_the_machine() -> None:
    clock = both(SystemClock())
    assert clock.wall() == pytest.approx(time.time(), abs=1)
    assert clock.monotonic() == pytest.approx(time.monotonic(), abs=1)
    before = clock.monotonic()
    await clock.sleep(0.02)
    assert 0.015 < clock.monotonic() - before < 0.3


def test_hours_of_virtual_time_take_no_real_time() -> None:
    clock = VirtualClock()
    before = time.monotonic()

    async def main() -> float:
        for _ in range(24 * 7):
            await both(clock).sleep(3_600)
        return clock.monotonic()

    assert clock.run(main()) == pytest.approx(7 * 86_400, abs=0.01)
    assert time.monotonic() - before < 1


def test_both_readings_move_together_and_only_the_wall_can_be_stepped() -> None:
    clock = VirtualClock(wall=1_000.0)
    assert (clock.monotonic(), clock.wall()) == (0.0, 1_000.0)
    clock.advance(5)
    assert (clock.monotonic(), clock.wall()) == (5.0, 1_005.0)
    clock.step_wall(-500)
    assert (clock.monotonic(), clock.wall()) == (5.0, 505.0)
    clock.advance(1)
    assert (clock.monotonic(), clock.wall()) == (6.0, 506.0)


@given(st.lists(st.floats(-10, 1e6, allow_nan=False), max_size=30))
@settings(deadline=None, max_examples=60)
def test_the_monotonic_reading_never_goes_back(steps: list[float]) -> None:
    clock = VirtualClock()
    for step in steps:
        before = clock.monotonic()
        clock.step_wall(-step)
        assert clock.monotonic() == before
        clock.advance(step)
        assert clock.monotonic() >= before


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_sleep_of_zero_is_a_checkpoint(seconds: float) -> None:
    async def main(clock: Clock) -> list[str]:
        order: list[str] = []

        async def other() -> None:
            order.append("other")

        task = asyncio.create_task(other())
        await clock.sleep(seconds)
        order.append("sleeper")
        await task
        return order

    virtual = VirtualClock()
    assert virtual.run(main(virtual)) == ["other", "sleeper"]
    assert virtual.monotonic() < 0.001
    assert asyncio.run(main(SystemClock())) == ["other", "sleeper"]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=20))
@settings(deadline=None, max_examples=40)
def test_sleepers_wake_in_the_order_of_their_times_and_never_early(delays: list[int]) -> None:
    clock = VirtualClock()

    async def main() -> list[tuple[int, float]]:
        woken: list[tuple[int, float]] = []

        async def sleeper(delay: int) -> None:
            await clock.sleep(delay)
            woken.append((delay, clock.monotonic()))

        async with anyio.create_task_group() as task_group:
            for delay in delays:
                task_group.start_soon(sleeper, delay)
        return woken

    woken = clock.run(main())
    assert [delay for delay, _ in woken] == sorted(delays)
    for delay, at in woken:
        assert delay <= at + 1e-6
        assert at == pytest.approx(delay, abs=0.001)


def test_deadlines_of_the_loop_follow_virtual_time() -> None:
    clock = VirtualClock()

    async def main() -> None:
        assert asyncio.get_running_loop().time() == clock.monotonic()
        with anyio.move_on_after(1_000) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert clock.monotonic() == pytest.approx(1_000, abs=0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1_000):
                await asyncio.sleep(5_000)
        assert clock.monotonic() == pytest.approx(2_000, abs=0.01)

    clock.run(main())


def test_aiolimiter_follows_virtual_time() -> None:
    clock = VirtualClock()

    async def main() -> None:
        limiter = AsyncLimiter(1, 60)
        for _ in range(4):
            async with limiter:
                pass

    clock.run(main())
    assert clock.monotonic() == pytest.approx(180, abs=0.1)


def test_work_that_is_ready_is_done_before_time_moves() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async def busy() -> float:
            for _ in range(1_000):
                await clock.sleep(0)
            return clock.monotonic()

        task = asyncio.create_task(busy())
        await clock.sleep(60)
        assert task.result() < 0.001

    clock.run(main())


def test_advance_runs_nothing_that_was_due() -> None:
    clock = VirtualClock()

    async def main() -> None:
        woken: list[float] = []
        asyncio.get_running_loop().call_later(10, lambda: woken.append(clock.monotonic()))
        clock.advance(25)
        assert woken == []
        await clock.sleep(0)
        await clock.sleep(0)
        assert woken == [pytest.approx(25, abs=0.001)]

    clock.run(main())


def test_a_result_from_a_thread_arrives_without_a_timer() -> None:
    clock = VirtualClock()

    async def main() -> str:
        return await anyio.to_thread.run_sync(lambda: "from a thread")

    assert clock.run(main()) == "from a thread"


def test_run_returns_or_raises_what_the_coroutine_does() -> None:
    async def fine() -> int:
        return 7

    async def broken() -> None:
        raise ZeroDivisionError

    assert VirtualClock().run(fine()) == 7
    with pytest.raises(ZeroDivisionError):
        VirtualClock().run(broken())


def test_a_clock_continues_in_its_next_run() -> None:
    clock = VirtualClock()
    for number in range(1, 4):
        clock.run(clock.sleep(100))
        assert clock.monotonic() == pytest.approx(100 * number, abs=0.001)


def test_the_repr_shows_the_time() -> None:
    clock = VirtualClock()
    clock.advance(1.5)
    assert repr(clock) == "<VirtualClock at 1.500 s>"


@pytest.mark.parametrize("make", [SystemClock, VirtualClock])
def test_readings_never_decrease(make: Callable[[], Clock]) -> None:
    clock = make()
    readings = [clock.monotonic() for _ in range(1_000)]
    assert readings == sorted(readings)


def test_tasks_that_all_wait_for_ever_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genesys_media_async.clock.GRACE_BEFORE_DEADLOCK", 0.01)
    with pytest.raises(RuntimeError, match="every task waits"):
        VirtualClock().run(asyncio.Event().wait())
