"""Background tasks: opened and closed in any task, with nothing left running and no exception lost."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async.retrieval.background import BackgroundTasks
from tests.support.pools import run
from tests.support.retrievers import other_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def in_a_task_of_its_own(work: Callable[[], Coroutine[object, object, None]]) -> None:
    await asyncio.create_task(work())


class Worker:
    """Work until it is cancelled, and a second of clean-up after that."""

    def __init__(self) -> None:
        self.state = "not started"

    async def __call__(self) -> None:
        self.state = "working"
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            self.state = "cleaned up"


def failing(error: BaseException, *, after: float = 0.0) -> Callable[[], Coroutine[object, object, None]]:
    async def fail() -> None:
        await anyio.sleep(after)
        raise error

    return fail


async def opened(*work: Callable[[], Coroutine[object, object, None]]) -> BackgroundTasks:
    tasks = BackgroundTasks()
    await tasks.open()
    for each in work:
        tasks.start_soon(each)
    return tasks


def now() -> float:
    return asyncio.get_running_loop().time()


class TestOpening:
    def test_and_closing_may_happen_in_different_tasks(self) -> None:
        async def main() -> None:
            tasks, worker = BackgroundTasks(), Worker()
            await in_a_task_of_its_own(tasks.open)
            tasks.start_soon(worker)
            await anyio.sleep(5)
            assert worker.state == "working"
            await in_a_task_of_its_own(tasks.aclose)
            assert worker.state == "cleaned up"

        run(main)

    def test_in_a_scope_that_is_cancelled_later_does_not_cancel_the_tasks(self) -> None:
        async def main() -> None:
            worker = Worker()
            with anyio.CancelScope() as scope:
                tasks = await opened(worker)
                await anyio.sleep(1)
                scope.cancel()
                await anyio.sleep_forever()
            await anyio.sleep(5)
            assert worker.state == "working"
            await tasks.aclose()

        run(main)

    @pytest.mark.parametrize("steps", range(5))
    @pytest.mark.parametrize("times", [1, 2])
    def test_that_is_cancelled_leaves_nothing_running_and_raises(self, steps: int, times: int) -> None:
        async def main() -> None:
            tasks = BackgroundTasks()
            opening = asyncio.create_task(tasks.open())
            for _ in range(steps):
                await asyncio.sleep(0)
            for _ in range(times):
                opening.cancel()
                await asyncio.sleep(0)
            await asyncio.wait({opening})
            if opening.cancelled():
                assert other_tasks() == set()
            await tasks.aclose()
            assert other_tasks() == set()
            assert opening.cancelled() is (steps < 3)

        run(main)


class TestClosing:
    def test_without_opening_does_nothing(self) -> None:
        run(BackgroundTasks().aclose)

    def test_twice_is_harmless(self) -> None:
        async def main() -> None:
            tasks = await opened(Worker())
            await tasks.aclose()
            await tasks.aclose()
            assert other_tasks() == set()

        run(main)

    def test_at_once_by_two_tasks_waits_in_both(self) -> None:
        async def main() -> None:
            worker = Worker()
            tasks = await opened(worker)
            await anyio.sleep(1)
            async with anyio.create_task_group() as closers:
                for _ in range(2):
                    closers.start_soon(tasks.aclose)
            assert worker.state == "cleaned up"
            assert now() == pytest.approx(2)

        run(main)

    @pytest.mark.parametrize("times", [1, 2, 5])
    def test_that_is_cancelled_still_waits_for_the_tasks_and_raises_at_the_end(self, times: int) -> None:
        async def main() -> None:
            worker = Worker()
            tasks = await opened(worker)
            await anyio.sleep(1)
            closing = asyncio.create_task(tasks.aclose())
            for _ in range(times):
                await anyio.sleep(0.1)
                closing.cancel()
            await asyncio.wait({closing})
            assert closing.cancelled()
            assert worker.state == "cleaned up"
            assert now() == pytest.approx(2)

        run(main)

    def test_in_a_cancelled_scope_still_waits_for_the_tasks(self) -> None:
        async def main() -> None:
            worker = Worker()
            tasks = await opened(worker)
            await anyio.sleep(1)
            with anyio.move_on_after(0.1) as scope:
                await tasks.aclose()
                await anyio.lowlevel.checkpoint()
            assert scope.cancelled_caught
            assert worker.state == "cleaned up"

        run(main)

    def test_by_a_cancelled_closer_and_then_by_another_one_is_complete(self) -> None:
        async def main() -> None:
            tasks = await opened(Worker())
            closing = asyncio.create_task(tasks.aclose())
            await anyio.sleep(0.1)
            closing.cancel()
            await tasks.aclose()
            assert other_tasks() <= {closing.get_name()}
            await asyncio.wait({closing})
            assert closing.cancelled()

        run(main)


class TestAnExceptionOfATask:
    def test_cancels_the_other_tasks(self) -> None:
        async def main() -> None:
            worker = Worker()
            tasks = await opened(worker, failing(ValueError("one"), after=1))
            await anyio.sleep(5)
            assert worker.state == "cleaned up"
            with pytest.raises(ValueError, match="one"):
                await tasks.aclose()

        run(main)

    def test_is_raised_as_itself_if_it_is_the_only_one(self) -> None:
        async def main() -> None:
            error = ValueError("one")
            tasks = await opened(failing(error))
            await anyio.sleep(1)
            with pytest.raises(ValueError, match="one") as raised:
                await tasks.aclose()
            assert raised.value is error

        run(main)

    def test_is_raised_in_a_group_together_with_others(self) -> None:
        async def main() -> None:
            tasks = await opened(failing(ValueError("one")), failing(OSError("two")))
            await anyio.sleep(1)
            with pytest.raises(ExceptionGroup) as raised:
                await tasks.aclose()
            assert {type(each) for each in raised.value.exceptions} == {ValueError, OSError}

        run(main)

    def test_of_the_only_task_that_is_a_group_of_several_stays_a_group(self) -> None:
        async def main() -> None:
            group = ExceptionGroup("mine", [ValueError("one"), OSError("two")])
            tasks = await opened(failing(group))
            await anyio.sleep(1)
            with pytest.raises(ExceptionGroup) as raised:
                await tasks.aclose()
            assert raised.value is group

        run(main)

    def test_can_be_raised_before_the_closing_once_the_tasks_have_ended(self) -> None:
        async def main() -> None:
            tasks = await opened(failing(ValueError("one"), after=1))
            tasks.raise_failure()
            await anyio.sleep(2)
            with pytest.raises(ValueError, match="one"):
                tasks.raise_failure()
            with pytest.raises(ValueError, match="one"):
                await tasks.aclose()

        run(main)

    def test_does_not_collect_the_tracebacks_of_all_that_raised_it(self) -> None:
        async def main() -> None:
            tasks = await opened(failing(ValueError("one")))
            await anyio.sleep(1)
            lengths = []
            for _ in range(3):
                with pytest.raises(ValueError, match="one") as raised:
                    await tasks.aclose()
                lengths.append(len(traceback.extract_tb(raised.value.__traceback__)))
            assert len(set(lengths)) == 1

        run(main)

    def test_gives_way_to_the_cancellation_of_the_closer(self) -> None:
        async def main() -> None:
            async def breaks_while_it_ends() -> None:
                try:
                    await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True):
                        await anyio.sleep(1)
                    raise ValueError("late")

            tasks = await opened(breaks_while_it_ends)
            await anyio.sleep(1)
            closing = asyncio.create_task(tasks.aclose())
            await anyio.sleep(0.1)
            closing.cancel()
            await asyncio.wait({closing})
            assert closing.cancelled()
            with pytest.raises(ValueError, match="late"):
                await tasks.aclose()

        run(main)
