"""The pool: a lazy, bounded input through N workers, and nothing left running however it ends."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections import Counter
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pools import Source, double, pool_of, run, taking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class TestResults:
    @given(
        delays=st.lists(st.integers(0, 5), max_size=40),
        concurrency=st.integers(1, 8),
        is_async=st.booleans(),
        slow_consumer=st.booleans(),
    )
    @settings(deadline=None, max_examples=60)
    def test_each_item_has_one_result_whatever_the_timing(
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

    def test_all_workers_work_at_once(self) -> None:
        async def main() -> None:
            began = asyncio.get_running_loop().time()
            async with pool_of(range(30), double, concurrency=10) as results:
                assert sorted([result async for result in results]) == list(range(0, 60, 2))
            assert asyncio.get_running_loop().time() - began == pytest.approx(3, abs=0.001)

        run(main)

    def test_results_come_in_the_order_in_which_they_are_ready(self) -> None:
        async def work(seconds: int) -> int:
            await anyio.sleep(seconds)
            return seconds

        async def main() -> None:
            async with pool_of([3, 1, 2], work, concurrency=3) as results:
                assert [result async for result in results] == [1, 2, 3]

        run(main)

    def test_an_empty_input_has_no_results(self) -> None:
        async def main() -> None:
            nothing: list[int] = []
            async with pool_of(nothing, double, concurrency=3) as results:
                assert [result async for result in results] == []
                with pytest.raises(StopAsyncIteration):
                    await anext(results)

        run(main)

    def test_results_may_be_none_or_false(self) -> None:
        async def work(item: object) -> object:
            return item

        async def main() -> None:
            items: list[object] = [None, False, 0, ""]
            async with pool_of(items, work, concurrency=1) as results:
                assert [result async for result in results] == items

        run(main)


class TestTheInput:
    @pytest.mark.parametrize("is_async", [False, True])
    def test_the_input_is_read_only_as_far_as_workers_and_room_for_results_allow(self, is_async: bool) -> None:
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
                    # One item for each worker, and one more for each result that waits to be taken.
                    assert read <= taken + 2 * 4

        run(main)

    def test_the_input_may_be_an_async_iterator_that_is_not_a_generator(self) -> None:
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

    def test_a_slow_input_does_not_delay_workers_that_have_an_item(self) -> None:
        async def main() -> None:
            source = Source(range(3), gap=5)
            loop = asyncio.get_running_loop()
            times: list[float] = []
            async with pool_of(source(), double, concurrency=2) as results:
                async for _ in results:
                    times.append(round(loop.time()))
            assert times == [6, 11, 16]

        run(main)

    def test_an_input_that_cannot_be_iterated_raises_on_entering(self) -> None:
        async def main() -> None:
            pool = pool_of(7, double, concurrency=2)  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                await pool.__aenter__()

        run(main)


class TestLeaving:
    def test_leaving_early_leaves_nothing_running_and_closes_the_source(self) -> None:
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

    def test_leaving_without_an_iteration_closes_the_source(self) -> None:
        async def main() -> None:
            source = Source(range(100), then_waits=True)
            async with pool_of(source(), double, concurrency=4):
                pass
            async with pool_of(source(), double, concurrency=4):
                await anyio.sleep(100)
            assert source.closed

        run(main)

    def test_a_pool_that_was_never_entered_does_not_warn(self) -> None:
        async def main() -> None:
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                pool_of([], double, concurrency=2)
                gc.collect()
            assert [str(each.message) for each in seen] == []

        run(main)


class TestOuterCancellation:
    @pytest.mark.parametrize("where", ["receiving", "consuming"])
    def test_a_cancelled_task_ends_as_cancelled(self, where: str) -> None:
        async def main() -> None:
            source = Source(range(100))
            after: list[str] = []

            async def consume() -> None:
                async with pool_of(source(), taking(3), concurrency=4) as results:
                    async for _ in results:
                        if where == "consuming":
                            await anyio.sleep(100)
                after.append("went on")

            task = asyncio.create_task(consume())
            await anyio.sleep(1 if where == "receiving" else 4)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()
            assert after == []
            assert source.closed

        run(main)

    def test_a_deadline_around_the_pool_ends_it_at_once(self) -> None:
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

    def test_asyncio_timeout_around_the_pool_raises_timeout_error(self) -> None:
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
    def test_stop_hands_over_what_is_in_progress_and_reads_no_more(self, is_async: bool) -> None:
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

    def test_stop_while_the_source_waits_ends_the_iteration(self) -> None:
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

    def test_stop_while_the_source_waits_hands_over_what_is_in_progress(self) -> None:
        async def main() -> None:
            source = Source([1, 2], then_waits=True)
            async with pool_of(source(), taking(10), concurrency=4) as results:
                await anyio.sleep(1)
                results.stop()
                assert sorted([result async for result in results]) == [1, 2]

        run(main)

    def test_stop_before_the_first_item_ends_the_iteration_and_closes_the_source(self) -> None:
        async def main() -> None:
            source = Source(range(5))
            async with pool_of(source(), double, concurrency=4) as results:
                results.stop()
                assert [result async for result in results] == []
                assert source.taken == 0
            # A generator that never began has nothing to clean up; it is closed all the same.
            async with pool_of(source(), double, concurrency=4) as results:
                results.stop()
                results.stop()

        run(main)

    def test_stop_by_another_task_ends_the_wait_of_the_consumer(self) -> None:
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


def test_the_repr_has_the_concurrency_and_whether_the_pool_was_stopped() -> None:
    async def main() -> None:
        async with pool_of([1], double, concurrency=3) as results:
            assert repr(results) == "<Pool of 3>"
            results.stop()
            assert repr(results) == "<Pool of 3, stopped>"

    run(main)
