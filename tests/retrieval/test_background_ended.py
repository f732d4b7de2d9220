"""Waiting for a task that is told at once when nobody wants its result any more."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from genesys_media_async.retrieval.background import BackgroundTasks, ended
from tests.support.pools import run


@pytest.mark.parametrize("how", ["scope", "task"])
def test_the_first_cancellation_is_passed_on_at_once_and_raised_at_the_end(how: str):
    async def main() -> None:
        shortened = asyncio.Event()
        calls: list[float] = []

        async def work() -> None:
            await shortened.wait()
            await anyio.sleep(2)

        def shorten() -> None:
            calls.append(anyio.current_time())
            shortened.set()

        async def wait() -> None:
            with scope:
                await ended(task, on_cancel=shorten)

        scope = anyio.CancelScope()
        task = asyncio.create_task(work())
        waiter = asyncio.create_task(wait())
        began = anyio.current_time()
        for _ in range(2):
            await anyio.sleep(1)
            if how == "scope":
                scope.cancel()
            else:
                waiter.cancel()
        with anyio.fail_after(10):
            await asyncio.wait({waiter})
        assert calls == [pytest.approx(began + 1, abs=0.1)]
        assert task.done()
        assert waiter.cancelled() is (how == "task")
        assert scope.cancelled_caught is (how == "scope")
        assert anyio.current_time() - began == pytest.approx(3, abs=0.1)

    run(main)


def test_waiting_in_a_cancelled_scope_takes_no_processor_time(monkeypatch: pytest.MonkeyPatch):
    """Without a shield, anyio would cancel each wait anew, at once, until the task ends."""
    waits: list[int] = []
    really_wait = asyncio.wait

    async def counted_wait(tasks):
        waits.append(1)
        return await really_wait(tasks)

    monkeypatch.setattr(asyncio, "wait", counted_wait)

    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(0.05))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ended(task)
        assert task.done()

    asyncio.run(main())
    assert len(waits) <= 3


def test_an_opening_that_is_cancelled_leaves_nothing_running():
    async def main() -> None:
        tasks = BackgroundTasks()
        opening = asyncio.create_task(tasks.open())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main)


def test_an_opening_that_is_closed_meanwhile_raises_when_nothing_runs_any_more():
    async def main() -> None:
        tasks = BackgroundTasks()
        opening = asyncio.create_task(tasks.open())
        await asyncio.sleep(0)
        closing = asyncio.create_task(tasks.aclose())
        with pytest.raises(RuntimeError, match="closed while"):
            await opening
        assert asyncio.all_tasks() <= {asyncio.current_task(), closing}
        await closing

    run(main)
