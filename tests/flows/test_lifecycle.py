"""Where a retriever and a run can be held: opened here, closed there, iterated with and without a block."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async import MediaRetriever, MemorySink, QuotaLimit, Settings, SystemClock
from genesys_media_async.api.base import Token
from genesys_media_async.limiter.local import LocalLimiter
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import other_tasks, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

IDS = [f"recording-{number}" for number in range(30)]


@asynccontextmanager
async def retriever_and_simulator() -> AsyncIterator[tuple[MediaRetriever, Simulator]]:
    async with (
        Simulator(SimulatorSettings(quota=None)) as simulator,
        MediaRetriever(settings_for(simulator)) as retriever,
    ):
        yield retriever, simulator


async def only_tasks(names: set[str]) -> None:
    """Wait until no other tasks are left than these."""
    with anyio.fail_after(20):
        while other_tasks() != names:  # noqa: ASYNC110 - a task of asyncio's own ends at no event of ours
            await anyio.sleep(0.01)


@pytest.mark.anyio
class TestABareLoop:
    async def test_retrieves_every_id(self) -> None:
        async with retriever_and_simulator() as (retriever, _):
            found = [result.file_id async for result in retriever.retrieve_many(IDS) if result.ok]
        assert sorted(found) == sorted(IDS)

    async def test_that_is_left_early_ends_the_run_soon(self) -> None:
        async with retriever_and_simulator() as (retriever, simulator):
            before = other_tasks()
            async for result in retriever.retrieve_many((f"recording-{n}" for n in range(100_000)), concurrency=2):
                assert result.ok
                break
            await only_tasks(before)
            requests = simulator.counts.api_requests
            await anyio.sleep(0.05)
            assert simulator.counts.api_requests == requests < 1_000

    async def test_that_raises_ends_the_run_soon(self) -> None:
        async with retriever_and_simulator() as (retriever, _):
            before = other_tasks()
            with pytest.raises(ValueError, match="mine"):
                async for _result in retriever.retrieve_many(IDS, concurrency=2):
                    raise ValueError("mine")
            gc.collect()
            await only_tasks(before)

    async def test_that_is_cancelled_ends_the_run_before_the_cancellation_passes(self) -> None:
        async with retriever_and_simulator() as (retriever, _):
            before = other_tasks()

            async def forever() -> AsyncIterator[str]:
                yield "recording-1"
                await anyio.sleep_forever()

            with anyio.move_on_after(0.2) as scope:
                async for result in retriever.retrieve_many(forever()):
                    assert result.ok
            assert scope.cancelled_caught
            assert other_tasks() == before

    async def test_that_is_left_early_does_not_keep_the_retriever_from_closing(self) -> None:
        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            before = other_tasks()
            async with MediaRetriever(settings_for(simulator)) as retriever:
                async for _ in retriever.retrieve_many(IDS, concurrency=2):
                    break
            await only_tasks(before)

    async def test_may_run_twice_only_over_two_runs(self) -> None:
        async with retriever_and_simulator() as (retriever, _):
            run = retriever.retrieve_many(IDS)
            assert len([result async for result in run]) == len(IDS)
            with pytest.raises(RuntimeError, match="closed"):
                [result async for result in run]


@pytest.mark.anyio
class TestARun:
    async def test_that_has_not_begun_names_both_ways_to_begin_it(self) -> None:
        async with retriever_and_simulator() as (retriever, _):
            with pytest.raises(RuntimeError) as raised:
                await anext(retriever.retrieve_many(IDS))
            assert "async for result in retriever.retrieve_many(ids)" in str(raised.value)
            assert "async with retriever.retrieve_many(ids) as run" in str(raised.value)

    async def test_does_not_end_silently_after_its_block(self) -> None:
        async with retriever_and_simulator() as (retriever, _):
            async with retriever.retrieve_many(IDS) as run:
                await anext(run)
            with pytest.raises(RuntimeError, match="closed before its last result"):
                [result async for result in run]

    async def test_does_not_end_silently_when_its_retriever_is_closed(self) -> None:
        async def slow() -> AsyncIterator[str]:
            for file_id in IDS:
                yield file_id
                await anyio.sleep(0.01)

        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            retriever = await MediaRetriever(settings_for(simulator)).open()
            run = retriever.retrieve_many(slow())
            await run.__aenter__()
            await anext(run)
            await retriever.aclose()
            with pytest.raises(RuntimeError, match="closed before its last result"):
                [result async for result in run]
            await run.__aexit__(None, None, None)

    async def test_may_be_entered_in_one_task_and_left_in_another(self) -> None:
        async with retriever_and_simulator() as (retriever, _):
            before = other_tasks()
            run = await asyncio.create_task(retriever.retrieve_many(IDS).__aenter__())
            results = [result async for result in run]
            await asyncio.create_task(run.__aexit__(None, None, None))
            assert len(results) == len(IDS)
            assert other_tasks() == before

    async def test_sees_the_context_variables_of_the_task_that_began_it(self) -> None:
        import contextvars

        tenant = contextvars.ContextVar("tenant", default="nobody")
        seen = []

        async def ids() -> AsyncIterator[str]:
            seen.append(tenant.get())
            yield "recording-1"

        async with retriever_and_simulator() as (retriever, _):
            tenant.set("acme")
            assert [result.ok async for result in retriever.retrieve_many(ids())] == [True]
        assert seen == ["acme"]


class SlowToClose(MemorySink):
    closed = False

    async def aclose(self) -> None:
        await anyio.sleep(0.05)
        self.closed = True


@pytest.mark.anyio
class TestARetriever:
    async def test_may_be_opened_in_one_task_used_in_a_second_and_closed_in_a_third(self) -> None:
        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            before = other_tasks()
            retriever = await asyncio.create_task(MediaRetriever(settings_for(simulator)).open())
            result = await asyncio.create_task(retriever.retrieve("recording-1"))
            await asyncio.create_task(retriever.aclose())
            assert result.url.startswith(simulator.base_url)
            assert other_tasks() == before

    async def test_is_held_by_a_service_with_start_and_stop(self) -> None:
        class Service:
            def __init__(self, settings: Settings) -> None:
                self.retriever = MediaRetriever(settings)

            async def start(self) -> None:
                await self.retriever.open()

            async def stop(self) -> None:
                await self.retriever.aclose()

        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            service = Service(settings_for(simulator))
            await asyncio.create_task(service.start())
            assert (await service.retriever.retrieve("recording-1")).ok
            await asyncio.create_task(service.stop())
            await service.stop()

    async def test_can_be_opened_again_after_it_was_closed(self) -> None:
        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            retriever = MediaRetriever(settings_for(simulator))
            for _ in range(2):
                async with retriever:
                    assert (await retriever.retrieve("recording-1")).ok

    async def test_in_the_exit_stack_of_a_lifespan_serves_requests_of_other_tasks(self) -> None:
        """As web frameworks do it: a task of its own enters and leaves the lifespan; each request is another task."""
        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            started, stop = asyncio.Event(), asyncio.Event()
            held: list[MediaRetriever] = []

            async def lifespan() -> None:
                async with AsyncExitStack() as stack:
                    held.append(await stack.enter_async_context(MediaRetriever(settings_for(simulator))))
                    started.set()
                    await stop.wait()

            server = asyncio.create_task(lifespan())
            await started.wait()
            answers = await asyncio.gather(*(held[0].retrieve(file_id) for file_id in IDS))
            stop.set()
            await server
            assert all(answer.ok for answer in answers)

    async def test_is_opened_once_however_many_open_it_at_once(self) -> None:
        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            before = other_tasks()
            retriever = MediaRetriever(settings_for(simulator))
            opened = await asyncio.gather(*(retriever.open() for _ in range(3)), return_exceptions=True)
            assert [type(each) for each in opened] == [MediaRetriever, RuntimeError, RuntimeError]
            await retriever.aclose()
            assert other_tasks() == before

    async def test_that_is_closed_while_it_opens_is_closed(self) -> None:
        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            before = other_tasks()
            retriever = MediaRetriever(settings_for(simulator))
            opened, closed = await asyncio.gather(retriever.open(), retriever.aclose(), return_exceptions=True)
            assert isinstance(opened, RuntimeError)
            assert closed is None
            assert other_tasks() == before
            with pytest.raises(RuntimeError, match="not open"):
                retriever.statistics()

    async def test_lets_each_of_two_closers_wait_for_the_end(self) -> None:
        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            sink = SlowToClose()
            retriever = await MediaRetriever(settings_for(simulator), sinks=sink).open()

            async def close() -> bool:
                await retriever.aclose()
                return sink.closed

            assert all(await asyncio.gather(close(), close()))

    async def test_closes_its_sinks_to_the_end_though_the_closing_task_is_cancelled(self) -> None:
        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            metrics, audit = SlowToClose(), SlowToClose()
            retriever = await MediaRetriever(settings_for(simulator), sinks=metrics, audit=audit).open()
            closing = asyncio.create_task(retriever.aclose())
            for _ in range(3):
                await asyncio.sleep(0)
                closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert metrics.closed
            assert audit.closed

    async def test_begins_no_run_after_it_was_closed(self) -> None:
        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            retriever = await MediaRetriever(settings_for(simulator)).open()
            run = retriever.retrieve_many(IDS)
            await retriever.aclose()
            with pytest.raises(RuntimeError, match="was closed before this could begin"):
                [result async for result in run]

    async def test_cannot_be_closed_from_inside_its_own_run(self) -> None:
        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            async with MediaRetriever(settings_for(simulator)) as retriever:

                async def ids() -> AsyncIterator[str]:
                    yield "recording-1"
                    await retriever.aclose()

                with pytest.raises(RuntimeError, match="from inside a run of its own"):
                    [result async for result in retriever.retrieve_many(ids())]
                assert (await retriever.retrieve("recording-2")).ok

    async def test_that_nobody_closes_is_reported(self) -> None:
        async with Simulator(SimulatorSettings(quota=None)) as simulator:
            retriever = await MediaRetriever(settings_for(simulator)).open()
            with pytest.warns(ResourceWarning, match="unclosed <MediaRetriever"):
                retriever.__del__()
            await retriever.aclose()


def test_a_retriever_works_over_the_cells_of_a_notebook() -> None:
    """Each cell with an `await` is a task of its own on the notebook's loop."""
    with asyncio.Runner() as notebook:
        simulator = notebook.run(Simulator(SimulatorSettings(quota=None)).__aenter__())
        retriever = notebook.run(MediaRetriever(settings_for(simulator)).open())
        results = notebook.run(retriever.retrieve_all(IDS))
        notebook.run(retriever.aclose())
        notebook.run(simulator.aclose())
    assert all(result.ok for result in results)


def test_a_retriever_outside_asyncio_names_asyncio(tmp_path: Path) -> None:
    """Without a running asyncio loop, as under trio."""
    coroutine = MediaRetriever(Settings(access_token="t")).open()
    with pytest.raises(RuntimeError, match="runs on asyncio only"):
        coroutine.send(None)


def test_a_retriever_is_a_fixture_of_pytest_asyncio_of_any_scope(tmp_path: Path) -> None:
    for scope in ("function", "module", "session"):
        (tmp_path / f"test_{scope}.py").write_text(
            textwrap.dedent(f"""
            import pytest, pytest_asyncio
            from genesys_media_async import MediaRetriever, Settings
            from genesys_media_async.simulator import Simulator, SimulatorSettings

            @pytest_asyncio.fixture(scope="{scope}", loop_scope="{scope}")
            async def retriever():
                async with Simulator(SimulatorSettings(quota=None)) as simulator:
                    settings = Settings(
                        client_id="demo-client", client_secret="demo-secret",
                        base_url=simulator.base_url, login_url=simulator.login_url, quota=None,
                    )
                    async with MediaRetriever(settings) as retriever:
                        yield retriever

            @pytest.mark.asyncio(loop_scope="{scope}")
            @pytest.mark.parametrize("number", [1, 2])
            async def test_one(retriever, number):
                assert (await retriever.retrieve("recording-1")).url
            """)
        )
    options = ["-p", "no:randomly", "-p", "no:cacheprovider", "-W", "error"]
    loop_scope = ["-o", "asyncio_default_fixture_loop_scope=function"]
    arguments = [sys.executable, "-m", "pytest", "-q", *options, *loop_scope]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "6 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.anyio
async def test_retrievers_that_share_a_limiter_share_the_quota() -> None:
    async with Simulator(SimulatorSettings(quota=None)) as simulator:
        settings = settings_for(simulator)
        limiter = LocalLimiter(QuotaLimit(limit=3, seconds=3_600), SystemClock())
        async with (
            MediaRetriever(settings, limiter=limiter) as one,
            MediaRetriever(settings, limiter=limiter) as other,
        ):
            assert all(result.ok for result in await one.retrieve_all(IDS[:2]))
            assert (await other.retrieve(IDS[2])).ok
            assert one.quota == other.quota
            with anyio.move_on_after(0.1) as scope:
                await other.retrieve(IDS[3])
            assert scope.cancelled_caught
        assert simulator.counts.api_ok == 3


class BorrowedToken:
    """A token source of a user's own."""

    unaccepted = 0

    def __init__(self, token: str) -> None:
        self.current = Token(token, refresh_at=float("inf"), hard_end=float("inf"))

    async def get(self) -> str:
        return self.current.value

    async def first(self, timeout: float) -> None: ...

    def invalidate(self, rejected: str) -> None: ...

    def accepted(self) -> None: ...


@pytest.mark.anyio
async def test_a_token_source_of_ones_own_replaces_the_credentials() -> None:
    async with Simulator(SimulatorSettings(quota=None)) as simulator:
        async with MediaRetriever(settings_for(simulator)) as lender:
            await lender.retrieve("recording-1")
            token = BorrowedToken(await lender._open_session().tokens.get())
            async with MediaRetriever(settings_for(simulator, client_secret="wrong"), tokens=token) as borrower:
                assert (await borrower.retrieve("recording-2")).ok
        assert simulator.counts.token_requests == 1
