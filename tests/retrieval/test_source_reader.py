"""The reader of an async source: one task from its first item to its end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from genesys_media_async.retrieval.source_reader import LINGER, SourceReader
from tests.support.pools import Source, double, pool_of, run, taking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TestASourceThatHoldsAScopeOpenOverItsYields:
    @pytest.mark.parametrize("end", ["to the end", "stop", "break", "timeout", "exception"])
    def test_its_scopes_are_left_in_the_reverse_order_of_entering(self, end: str) -> None:
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
            with anyio.move_on_after(5.5 if end == "timeout" else 1_000), suppress(LookupError):
                async with pool_of(scoped(), double, concurrency=2) as results:
                    async for result in results:
                        got.append(result)
                        if len(got) == 4:
                            await anyio.sleep(0.5)
                            if end == "stop":
                                results.stop()
                            elif end == "break":
                                break
                            elif end == "timeout":
                                await anyio.sleep_forever()
                            elif end == "exception":
                                raise LookupError
            assert left == [True]
            assert len(got) == {"to the end": 20, "stop": 6}.get(end, 4)

        run(main)


class TestClosing:
    def test_closing_cancels_and_closes_a_source_that_waits(self) -> None:
        async def main() -> None:
            source = Source([1], then_waits=True)
            async with pool_of(source(), double, concurrency=4) as results:
                assert await anext(results) == 2
            assert source.cancelled
            assert source.closed

        run(main)

    def test_closing_waits_a_bounded_time_for_a_source_that_does_not_close(self) -> None:
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

    def test_a_source_has_time_to_close_although_the_run_is_cancelled(self) -> None:
        closed: list[bool] = []

        async def slow_to_close() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                await anyio.sleep(1)
                closed.append(True)

        async def main() -> None:
            with anyio.move_on_after(1):
                async with pool_of(slow_to_close(), taking(100), concurrency=2) as results:
                    await anext(results)
            assert closed == [True]

        run(main)


class TestStop:
    def test_stop_ends_the_iteration_while_a_source_that_is_not_a_generator_waits(self) -> None:
        class Mailbox:
            """A source that, unlike a generator, survives the cancellation of a wait."""

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

    def test_stop_loses_no_item_that_the_source_has_yielded(self) -> None:
        """What was taken out of a queue is worked on, whenever the pool is stopped."""

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


class TestTaking:
    def test_reads_nothing_before_it_is_demanded(self) -> None:
        async def main() -> None:
            source = Source(range(10))
            async with reading(source) as reader:
                await anyio.sleep(5)
                assert source.taken == 0
                assert await reader.take(1) == (0,)
                await anyio.sleep(5)
                assert source.taken == 1

        run(main)

    def test_returns_a_full_batch_of_a_fast_source(self) -> None:
        async def main() -> None:
            async with reading(Source(range(5))) as reader:
                assert [await reader.take(2) for _ in range(4)] == [(0, 1), (2, 3), (4,), ()]

        run(main)

    def test_waits_only_a_little_for_the_rest_of_a_batch_and_loses_no_item(self) -> None:
        async def main() -> None:
            async with reading(Source(range(3), gap=1.0)) as reader:
                assert await reader.take(10) == (0,)
                assert asyncio.get_running_loop().time() == pytest.approx(1 + LINGER)
                assert [await reader.take(10) for _ in range(3)] == [(1,), (2,), ()]

        run(main)

    def test_by_several_workers_gives_each_item_to_one_of_them(self) -> None:
        async def main() -> None:
            taken: list[int] = []

            async def work(reader: SourceReader[int]) -> None:
                while batch := await reader.take(3):
                    taken.extend(batch)

            async with reading(Source(range(100))) as reader, anyio.create_task_group() as workers:
                for _ in range(4):
                    workers.start_soon(work, reader)
            assert taken == list(range(100))

        run(main)

    def test_after_the_source_failed_returns_nothing(self) -> None:
        async def broken() -> AsyncIterator[int]:
            yield 1
            raise ConnectionError("the list of ids broke off")

        async def main() -> None:
            reader = SourceReader(broken())
            ended: list[BaseException] = []

            async def read() -> None:
                try:
                    await reader.run()
                except ConnectionError as error:
                    ended.append(error)

            async with anyio.create_task_group() as task_group:
                task_group.start_soon(read)
                assert [await reader.take(1) for _ in range(3)] == [(1,), (), ()]
            assert len(ended) == 1

        run(main)

    def test_ends_for_a_waiting_worker_when_the_reader_is_stopped(self) -> None:
        async def main() -> None:
            source = Source([1], then_waits=True)
            async with reading(source) as reader, anyio.create_task_group() as task_group:
                assert await reader.take(2) == (1,)
                task_group.start_soon(stop_after, 5.0, reader)
                assert await reader.take(1) == ()
            assert source.closed

        run(main)


@asynccontextmanager
async def reading(source: Source) -> AsyncIterator[SourceReader[int]]:
    """Run a reader beside the block, and stop it at its end."""
    reader = SourceReader(source())
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(reader.run)
        yield reader
        reader.stop()


async def stop_after(seconds: float, reader: SourceReader[int]) -> None:
    await anyio.sleep(seconds)
    reader.stop()
