"""Waiting for a task that is told at once when nobody wants its result any more."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from genesys_media_async.retrieval.background import ended
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
