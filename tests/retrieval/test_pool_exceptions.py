"""Exceptions of a pool's input, work and consumer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from tests.support.pools import Source, double, pool_of, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class TestAnException:
    @pytest.mark.parametrize("is_async", [False, True])
    def test_of_the_source_is_raised_after_the_results_of_all_items_before_it(self, is_async: bool) -> None:
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

    def test_of_the_closing_source_loses_nothing_that_is_in_progress(self) -> None:
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
    def test_is_raised_for_a_cancellation_that_is_not_of_the_run(self, where: str) -> None:
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

    def test_of_work_ends_the_intake_and_is_raised_after_what_is_in_progress(self) -> None:
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
                raise ValueError("broken")  # noqa: B904 - the implicit context is tested

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

    def test_of_the_consumer_is_raised_as_itself(self) -> None:
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

    def test_group_of_the_consumer_is_raised_as_itself(self) -> None:
        async def main() -> None:
            group = ExceptionGroup("mine", [ValueError("one")])
            with pytest.raises(ExceptionGroup) as caught:
                async with pool_of(range(3), double, concurrency=2) as results:
                    async for _ in results:
                        raise group
            assert caught.value is group

        run(main)
