"""The pool: a lazy, bounded input through N workers, and nothing left running however it ends."""

from __future__ import annotations

import asyncio
import gc
import random
import warnings
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.clock import VirtualClock
from genesys_media_async.retrieval.pool import Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")


def run(main: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run in virtual time, and look whether any task is left afterwards."""

    async def watched() -> None:
        await main()
        await anyio.lowlevel.checkpoint()
        assert asyncio.all_tasks() == {asyncio.current_task()}, "something is left running"

    VirtualClock().run(watched())


def pool_of(
    items: Iterable[Item] | AsyncIterable[Item], work: Callable[[Item], Awaitable[Result]], *, concurrency: int
) -> Pool[Item, Result]:
    """A pool whose work tells one result for each item."""

    async def telling(batch: tuple[Item, ...]) -> None:
        (item,) = batch
        pool.hand_over(await work(item))

    pool = Pool[Item, Result](items, telling, concurrency=concurrency)
    return pool


async def double(item: int) -> int:
    await anyio.sleep(1)
    return 2 * item


def taking(seconds: float) -> Callable[[int], Awaitable[int]]:
    async def work(item: int) -> int:
        await anyio.sleep(seconds)
        return item

    return work


class Source:
    """An async source that knows how it was left."""

    def __init__(self, items: Iterable[int], *, gap: float = 0.0, then_waits: bool = False) -> None:
        self.items = items
        self.gap = gap
        self.then_waits = then_waits
        self.taken = 0
        self.closed = False
        self.cancelled = False

    async def __call__(self) -> AsyncIterator[int]:
        try:
            for item in self.items:
                await anyio.sleep(self.gap)
                self.taken += 1
                yield item
            if self.then_waits:
                await anyio.sleep_forever()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            # A clean-up may itself have to wait, as one that returns a connection does.
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)
            self.closed = True


class TestResults:
    @given(
        delays=st.lists(st.integers(0, 5), max_size=40),
        concurrency=st.integers(1, 8),
        is_async=st.booleans(),
        slow_consumer=st.booleans(),
    )
    @settings(deadline=None, max_examples=60)
    def test_are_exactly_one_per_item_whatever_the_timing(
        self, delays: list[int], concurrency: int, is_async: bool, slow_consumer: bool
    ) -> None:
        at_once = most_at_once = 0

        async def work(item: tuple[int, int]) -> int:
            nonlocal at_once, most_at_once
            at_once += 1
            most_at_once = max(at_once, most_at_once)
            await anyio.sleep(item[1])
            at_once -= 1
            return item[0]

        async def source() -> AsyncIterator[tuple[int, int]]:
            for item in enumerate(delays):
                await anyio.sleep(item[1] % 2)
                yield item

        async def main() -> None:
            got: Counter[int] = Counter()
            async with pool_of(source() if is_async else enumerate(delays), work, concurrency=concurrency) as results:
                async for result in results:
                    got[result] += 1
                    if slow_consumer:
                        await anyio.sleep(3)
            assert got == Counter(range(len(delays)))
            assert most_at_once <= concurrency

        run(main)

    def test_are_made_by_as_many_workers_as_allowed_at_once(self) -> None:
        async def main() -> None:
            began = asyncio.get_running_loop().time()
            async with pool_of(range(30), double, concurrency=10) as results:
                assert sorted([result async for result in results]) == list(range(0, 60, 2))
            assert asyncio.get_running_loop().time() - began == pytest.approx(3, abs=0.001)

        run(main)

    def test_come_as_they_are_ready(self) -> None:
        async def work(seconds: int) -> int:
            await anyio.sleep(seconds)
            return seconds

        async def main() -> None:
            async with pool_of([3, 1, 2], work, concurrency=3) as results:
                assert [result async for result in results] == [1, 2, 3]

        run(main)

    def test_of_nothing_are_none(self) -> None:
        async def main() -> None:
            nothing: list[int] = []
            async with pool_of(nothing, double, concurrency=3) as results:
                assert [result async for result in results] == []
                with pytest.raises(StopAsyncIteration):
                    await anext(results)

        run(main)

    def test_may_be_none_or_false(self) -> None:
        async def work(item: object) -> object:
            return item

        async def main() -> None:
            items: list[object] = [None, False, 0, ""]
            async with pool_of(items, work, concurrency=1) as results:
                assert [result async for result in results] == items

        run(main)


class TestTheInput:
    @pytest.mark.parametrize("is_async", [False, True])
    def test_is_read_no_further_than_there_are_workers_and_room_for_results(self, is_async: bool) -> None:
        async def main() -> None:
            read = 0

            def endless() -> Iterator[int]:
                nonlocal read
                while True:
                    read += 1
                    yield read

            async def endless_async() -> AsyncIterator[int]:
                for item in endless():
                    yield item

            async with pool_of(endless_async() if is_async else endless(), taking(0.1), concurrency=4) as results:
                for taken in range(1, 20):
                    await anext(results)
                    await anyio.sleep(10)
                    # One in each worker's hands, one more for each waiting to be taken.
                    assert read <= taken + 2 * 4

        run(main)

    def test_may_be_an_async_iterator_that_is_no_generator(self) -> None:
        class Countdown:
            def __init__(self) -> None:
                self.left = 5

            def __aiter__(self) -> Countdown:
                return self

            async def __anext__(self) -> int:
                if self.left == 0:
                    raise StopAsyncIteration
                self.left -= 1
                return self.left

        async def main() -> None:
            async with pool_of(Countdown(), double, concurrency=2) as results:
                assert sorted([result async for result in results]) == [0, 2, 4, 6, 8]

        run(main)

    def test_that_is_slow_does_not_hold_up_the_workers_that_have_something(self) -> None:
        async def main() -> None:
            source = Source(range(3), gap=5)
            loop = asyncio.get_running_loop()
            times: list[float] = []
            async with pool_of(source(), double, concurrency=2) as results:
                async for _ in results:
                    times.append(round(loop.time()))
            assert times == [6, 11, 16]

        run(main)

    def test_that_is_none_says_so_on_entering(self) -> None:
        async def main() -> None:
            pool = pool_of(7, double, concurrency=2)  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                await pool.__aenter__()

        run(main)


class TestWorkThatRests:
    @given(
        seed=st.integers(0, 10_000),
        total=st.integers(1, 40),
        concurrency=st.integers(1, 6),
        batch_size=st.sampled_from([1, 3]),
        is_async=st.booleans(),
    )
    @settings(deadline=None, max_examples=60)
    def test_is_waited_for_by_a_consumer_however_slow(
        self, seed: int, total: int, concurrency: int, batch_size: int, is_async: bool
    ) -> None:
        rng = random.Random(seed)
        told: list[int] = []

        async def work(batch: tuple[int, ...]) -> None:
            for item in batch:
                if rng.random() < 0.7:
                    async with pool.slot_released():
                        await anyio.sleep(rng.choice([1, 1, 5]))
                for _ in range(rng.choice([0, 1, 1, 3])):
                    told.append(item)
                    pool.hand_over(item)

        source = Source(range(total))
        pool = Pool[int, int](
            source() if is_async else range(total), work, concurrency=concurrency, batch_size=batch_size
        )

        async def main() -> None:
            got: list[int] = []
            async with pool as results:
                async for result in results:
                    got.append(result)
                    await anyio.sleep(rng.choice([0, 0, 0.3, 10]))
            assert sorted(got) == sorted(told)

        run(main)


class TestASourceWithAScopeOpenOverItsYields:
    @pytest.mark.parametrize("end", ["to the end", "stop", "break", "time-out", "exception"])
    def test_is_left_in_the_order_in_which_it_was_entered(self, end: str) -> None:
        left: list[bool] = []

        async def scoped() -> AsyncIterator[int]:
            async with anyio.create_task_group() as task_group:
                with anyio.fail_after(600):
                    try:
                        for item in range(20):
                            yield item
                    finally:
                        await anyio.sleep(0.1)
                        left.append(True)
                task_group.cancel_scope.cancel()

        async def main() -> None:
            got: list[int] = []
            with anyio.move_on_after(5.5 if end == "time-out" else 1_000), suppress(LookupError):
                async with pool_of(scoped(), double, concurrency=2) as results:
                    async for result in results:
                        got.append(result)
                        if len(got) == 4:
                            await anyio.sleep(0.5)
                            if end == "stop":
                                results.stop()
                            elif end == "break":
                                break
                            elif end == "time-out":
                                await anyio.sleep_forever()
                            elif end == "exception":
                                raise LookupError
            assert left == [True]
            assert len(got) == {"to the end": 20, "stop": 6}.get(end, 4)

        run(main)


class TestAnException:
    @pytest.mark.parametrize("is_async", [False, True])
    def test_of_the_source_comes_after_everything_that_was_read_before_it(self, is_async: bool) -> None:
        def broken() -> Iterator[int]:
            yield from range(5)
            raise ConnectionError("the list of ids broke off")

        async def broken_async() -> AsyncIterator[int]:
            for item in broken():
                yield item

        async def main() -> None:
            got: list[int] = []
            with pytest.raises(ConnectionError, match="broke off"):
                async with pool_of(broken_async() if is_async else broken(), double, concurrency=4) as results:
                    async for result in results:
                        got.append(result)
            assert sorted(got) == [0, 2, 4, 6, 8]

        run(main)

    def test_of_a_source_that_is_no_async_one_comes_after_the_batch_it_broke_off(self) -> None:
        def broken() -> Iterator[int]:
            yield from range(5)
            raise ConnectionError("the list of ids broke off")

        async def main() -> None:
            got: list[int] = []

            async def work(batch: tuple[int, ...]) -> None:
                for item in batch:
                    pool.hand_over(item)

            pool = Pool[int, int](broken(), work, concurrency=1, batch_size=3)
            with pytest.raises(ConnectionError, match="broke off"):
                async with pool as results:
                    async for result in results:
                        got.append(result)
            assert got == [0, 1, 2, 3, 4]

        run(main)

    def test_of_the_sources_own_end_costs_nothing_that_is_under_way(self) -> None:
        async def unclosable() -> AsyncIterator[int]:
            try:
                for item in range(20):
                    yield item
            finally:
                raise OSError("the connection could not be given back")

        async def main() -> None:
            got: list[int] = []
            with pytest.raises(OSError, match="given back"):
                async with pool_of(unclosable(), double, concurrency=3) as results:
                    async for result in results:
                        got.append(result)
                        results.stop()
            assert got == [0, 2, 4]

        run(main)

    @pytest.mark.parametrize("where", ["source", "work"])
    def test_is_what_a_cancellation_comes_to_that_nobody_asked_for(self, where: str) -> None:
        async def dead() -> None:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

        async def items() -> AsyncIterator[int]:
            yield 1
            yield 2
            if where == "source":
                await dead()

        async def work(item: int) -> int:
            await anyio.sleep(item)
            if where == "work" and item == 1:
                await dead()
            return item

        async def main() -> None:
            got: list[int] = []
            with pytest.raises(RuntimeError, match=f"The {where} was cancelled from within"):
                async with pool_of(items(), work, concurrency=2) as results:
                    async for result in results:
                        got.append(result)
            assert got == ([1, 2] if where == "source" else [2])

        run(main)

    def test_of_work_comes_after_what_is_under_way_and_ends_the_intake(self) -> None:
        begun: list[int] = []

        async def work(item: int) -> int:
            begun.append(item)
            await anyio.sleep(1 if item == 3 else 2)
            if item == 3:
                raise ValueError("three")
            return item

        async def main() -> None:
            got: list[int] = []
            with pytest.raises(ValueError, match="three"):
                async with pool_of(range(100), work, concurrency=5) as results:
                    async for result in results:
                        got.append(result)
            assert sorted(got) == [0, 1, 2, 4]
            assert begun == [0, 1, 2, 3, 4]

        run(main)

    def test_of_work_ends_a_source_that_is_waiting(self) -> None:
        async def work(item: int) -> int:
            await anyio.sleep(1)
            raise ValueError(item)

        async def main() -> None:
            source = Source([7], then_waits=True)
            with pytest.raises(ValueError, match="7"), anyio.fail_after(10):
                async with pool_of(source(), work, concurrency=2) as results:
                    await anext(results)
            assert source.closed

        run(main)

    @pytest.mark.parametrize("where", ["source", "work"])
    def test_keeps_its_cause_and_its_context(self, where: str) -> None:
        cause, context = KeyError("cause"), IndexError("context")

        def fail(*, with_cause: bool) -> None:
            try:
                raise context
            except IndexError:
                if with_cause:
                    raise ValueError("broken") from cause
                raise ValueError("broken")  # noqa: B904 - the implicit context is what is looked at

        async def main(*, with_cause: bool) -> None:
            def source() -> Iterator[int]:
                if where == "source":
                    fail(with_cause=with_cause)
                yield 1

            async def work(item: int) -> int:
                fail(with_cause=with_cause)
                return item

            with pytest.raises(ValueError, match="broken") as caught:
                async with pool_of(source(), work, concurrency=1) as results:
                    await anext(results)
            assert caught.value.__cause__ is (cause if with_cause else None)
            assert caught.value.__suppress_context__ is with_cause
            assert caught.value.__context__ is context

        run(lambda: main(with_cause=True))
        run(lambda: main(with_cause=False))

    def test_of_several_workers_is_the_first_one_and_is_raised_once(self) -> None:
        async def work(item: int) -> int:
            await anyio.sleep(item)
            raise ValueError(f"number {item}")

        async def main() -> None:
            async with pool_of([1, 2, 3], work, concurrency=3) as results:
                with pytest.raises(ValueError, match="number 1"):
                    await anext(results)
                with pytest.raises(StopAsyncIteration):
                    await anext(results)

        run(main)

    def test_of_the_consumer_comes_out_as_itself(self) -> None:
        async def main() -> None:
            source = Source(range(100))
            error, cause, context = ConnectionError("the vendor is down"), OSError("cause"), KeyError("context")

            def consume() -> None:
                try:
                    raise context
                except KeyError:
                    raise error from cause

            with pytest.raises(ConnectionError) as caught:
                async with pool_of(source(), double, concurrency=4) as results:
                    async for _ in results:
                        consume()
            assert caught.value is error
            assert error.__cause__ is cause
            assert error.__context__ is context
            assert source.closed

        run(main)

    def test_of_the_consumer_is_not_confused_with_one_of_work(self) -> None:
        async def work(item: int) -> int:
            await anyio.sleep(item)
            if item == 2:
                raise ValueError("of work")
            return item

        async def main() -> None:
            with pytest.raises(ConnectionError) as caught:
                async with pool_of([1, 2], work, concurrency=2) as results:
                    async for _ in results:
                        await anyio.sleep(5)
                        raise ConnectionError
            assert caught.value.__cause__ is None

        run(main)

    def test_group_of_the_consumer_stays_the_group_it_was(self) -> None:
        async def main() -> None:
            group = ExceptionGroup("mine", [ValueError("one")])
            with pytest.raises(ExceptionGroup) as caught:
                async with pool_of(range(3), double, concurrency=2) as results:
                    async for _ in results:
                        raise group
            assert caught.value is group

        run(main)


class TestLeaving:
    def test_early_leaves_nothing_running_and_closes_the_source(self) -> None:
        async def main() -> None:
            source = Source(range(100))
            finished: list[int] = []

            async def work(item: int) -> int:
                await anyio.sleep(item)
                finished.append(item)
                return item

            async with pool_of(source(), work, concurrency=4) as results:
                async for result in results:
                    if result == 2:
                        break
            assert source.closed
            assert finished == [0, 1, 2]

        run(main)

    def test_without_having_iterated_at_all_is_fine(self) -> None:
        async def main() -> None:
            source = Source(range(100), then_waits=True)
            async with pool_of(source(), double, concurrency=4):
                pass
            async with pool_of(source(), double, concurrency=4):
                await anyio.sleep(100)
            assert source.closed

        run(main)

    def test_while_the_source_waits_cancels_and_closes_it(self) -> None:
        async def main() -> None:
            source = Source([1], then_waits=True)
            async with pool_of(source(), double, concurrency=4) as results:
                assert await anext(results) == 2
            assert source.cancelled
            assert source.closed

        run(main)

    def test_waits_no_longer_than_a_bound_for_a_source_that_does_not_close(self) -> None:
        async def stubborn() -> AsyncIterator[int]:
            try:
                for item in range(100):
                    yield item
            finally:
                await anyio.sleep(1_000)

        async def main() -> None:
            async with pool_of(stubborn(), double, concurrency=1) as results:
                await anext(results)
            assert asyncio.get_running_loop().time() < 10

        run(main)

    def test_gives_the_source_time_to_close_although_everything_around_is_cancelled(self) -> None:
        closed: list[bool] = []

        async def lent() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                await anyio.sleep(1)
                closed.append(True)

        async def main() -> None:
            with anyio.move_on_after(1):
                async with pool_of(lent(), taking(100), concurrency=2) as results:
                    await anext(results)
            assert closed == [True]

        run(main)

    def test_a_pool_that_was_never_entered_warns_of_nothing(self) -> None:
        async def main() -> None:
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                pool_of([], double, concurrency=2)
                gc.collect()
            assert [str(each.message) for each in seen] == []

        run(main)


class TestOuterCancellation:
    @pytest.mark.parametrize("where", ["receiving", "consuming"])
    def test_of_the_task_is_still_a_cancellation_afterwards(self, where: str) -> None:
        async def main() -> None:
            source = Source(range(100))
            after: list[str] = []

            async def consume() -> None:
                async with pool_of(source(), taking(3), concurrency=4) as results:
                    async for _ in results:
                        if where == "consuming":
                            await anyio.sleep(100)
                after.append("went on as if nothing had happened")

            task = asyncio.create_task(consume())
            await anyio.sleep(1 if where == "receiving" else 4)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()
            assert after == []
            assert source.closed

        run(main)

    def test_by_a_deadline_around_it_is_met_at_once(self) -> None:
        async def main() -> None:
            source = Source(range(100))
            with anyio.move_on_after(2) as scope:
                async with pool_of(source(), taking(3), concurrency=4) as results:
                    async for _ in results:
                        pass
            assert scope.cancelled_caught
            assert source.closed
            # The clean-up of the source takes half a second of its own.
            assert asyncio.get_running_loop().time() == pytest.approx(2.5, abs=0.01)

        run(main)

    def test_by_asyncios_timeout_is_a_timeout(self) -> None:
        async def main() -> None:
            task = asyncio.current_task()
            assert task is not None
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2), pool_of(range(100), taking(3), concurrency=4) as results:
                    async for _ in results:
                        pass
            assert task.cancelling() == 0
            await anyio.sleep(1)

        run(main)


class TestStop:
    @pytest.mark.parametrize("is_async", [False, True])
    def test_hands_over_what_is_under_way_and_reads_no_more(self, is_async: bool) -> None:
        async def main() -> None:
            source = Source(range(100))
            async with pool_of(source() if is_async else range(100), double, concurrency=4) as results:
                got = [await anext(results)]
                results.stop()
                got += [result async for result in results]
            assert len(got) == len(set(got))
            assert set(got) >= {0, 2, 4, 6}
            assert len(got) <= 8
            if is_async:
                assert len(got) == source.taken

        run(main)

    def test_while_the_source_waits_ends_the_iteration(self) -> None:
        async def main() -> None:
            source = Source([1, 2], then_waits=True)
            async with pool_of(source(), double, concurrency=4) as results:
                got = [await anext(results), await anext(results)]
                await anyio.sleep(1)
                results.stop()
                with anyio.fail_after(1):
                    got += [result async for result in results]
            assert sorted(got) == [2, 4]
            assert source.cancelled

        run(main)

    def test_while_a_source_that_is_no_generator_waits_ends_the_iteration_too(self) -> None:
        class Mailbox:
            """Unlike a generator, it is not over when one who waits for it is cancelled."""

            def __aiter__(self) -> Mailbox:
                return self

            async def __anext__(self) -> int:
                await anyio.sleep_forever()
                return 1

        async def main() -> None:
            async with pool_of(Mailbox(), double, concurrency=4) as results:
                await anyio.sleep(1)
                results.stop()
                with anyio.fail_after(1):
                    assert [result async for result in results] == []

        run(main)

    def test_while_work_is_under_way_and_the_source_waits_still_hands_it_over(self) -> None:
        async def main() -> None:
            source = Source([1, 2], then_waits=True)
            async with pool_of(source(), taking(10), concurrency=4) as results:
                await anyio.sleep(1)
                results.stop()
                assert sorted([result async for result in results]) == [1, 2]

        run(main)

    def test_before_anything_was_read_ends_it_and_closes_the_source(self) -> None:
        async def main() -> None:
            source = Source(range(5))
            async with pool_of(source(), double, concurrency=4) as results:
                results.stop()
                assert [result async for result in results] == []
                assert source.taken == 0
            # A generator that never began has nothing to clean up, and is closed all the same.
            async with pool_of(source(), double, concurrency=4) as results:
                results.stop()
                results.stop()

        run(main)

    def test_from_another_task_reaches_a_consumer_that_waits(self) -> None:
        async def main() -> None:
            source = Source([1], then_waits=True)
            async with pool_of(source(), double, concurrency=1) as results, anyio.create_task_group() as task_group:

                async def stop_later() -> None:
                    await anyio.sleep(50)
                    results.stop()

                task_group.start_soon(stop_later)
                with anyio.fail_after(60):
                    assert [result async for result in results] == [2]

        run(main)

    def test_loses_no_item_that_the_source_had_already_handed_over(self) -> None:
        """Whatever the moment: what was taken out of a queue was worked on."""

        async def main(moment: float) -> None:
            send, receive = anyio.create_memory_object_stream[int](100)
            handed_over: list[int] = []

            async def source() -> AsyncIterator[int]:
                async for item in receive:
                    handed_over.append(item)
                    yield item

            async def feed() -> None:
                async with send:
                    for item in range(5):
                        await anyio.sleep(1)
                        await send.send(item)
                    await anyio.sleep(10)

            with receive:
                async with anyio.create_task_group() as task_group:
                    task_group.start_soon(feed)
                    async with pool_of(source(), double, concurrency=2) as results:
                        await anyio.sleep(moment)
                        results.stop()
                        got = [result async for result in results]
                    task_group.cancel_scope.cancel()
            assert sorted(got) == [2 * item for item in handed_over]

        for moment in (0.5, 1.0, 2.0, 2.5, 3.0, 5.5):
            run(lambda moment=moment: main(moment))  # type: ignore[misc]


def test_the_repr_says_how_wide_it_is_and_whether_it_was_stopped() -> None:
    async def main() -> None:
        async with pool_of([1], double, concurrency=3) as results:
            assert repr(results) == "<Pool of 3>"
            results.stop()
            assert repr(results) == "<Pool of 3, stopped>"

    run(main)
