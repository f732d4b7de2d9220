"""One run over many ids: its beginning, its iteration, which never yields an expired URL, and its end."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING

from ..api.retry import RetryBudget
from ..counters import Counters
from ..errors import AuditWriteError
from ..models import Failed
from .context import OneId
from .outcomes import FRESH_SHARE, Outcomes
from .pool import Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Self

    from ..counters import Statistics
    from ..errors import GenesysMediaError
    from ..models import MediaRequest, MediaResult
    from .options import Options
    from .session import Session

Ids = Iterable[str] | AsyncIterable[str]


class _State(Enum):
    NEW = auto()
    RUNNING = auto()
    CLOSED = auto()


class Run:
    """
    One run over many ids; made by `MediaRetriever.retrieve_many`.

        async for result in retriever.retrieve_many(ids): ...         # from the first id to the last

        async with retriever.retrieve_many(ids) as run:               # with control: `stop`, `statistics`
            async for result in run: ...

    Its beginning gets the first token, so that wrong credentials end the run before anything is read: it raises
    `CredentialsRejectedError`, or `TokenUnavailableError` after the settings' `start_timeout`. From then on every id
    that is requested has its result. The iteration itself raises only what leaves no way to go on, and only after all
    finished results were handed over: an exception of `ids`, `AuditWriteError`, `CredentialsRejectedError` or
    `TokenRejectedError` once there is no accepted token, `ConnectionSetupError`, `AllRefusedError` (see `RunOptions`),
    and `OutageError` if a host was not reachable for the settings' `outage_timeout`. Leaving the block, or a bare loop,
    ends the run.
    """

    def __init__(self, session: Session, ids: Ids, options: Options) -> None:
        self._session = session
        self._options = options
        self._endpoint = session.endpoint
        self._is_stopped = False
        self.counters = Counters()
        self._budget = RetryBudget(session.settings.retry.budget)
        self._outcomes = Outcomes(session, options, self.counters, self._budget)
        self._second_pass = self._outcomes.second_pass
        self._wall = session.clock.wall
        self._pool = self._pool_of(ids)
        self._started_at = session.clock.monotonic()
        self._state = _State.NEW

    def _pool_of(self, ids: Ids) -> Pool[str, MediaResult, MediaRequest]:
        self._outcomes.pool = pool = Pool[str, "MediaResult", "MediaRequest"](
            ids,
            self._outcomes,
            concurrency=self._options.concurrency,
            batch_size=self._endpoint.batch_size,
            intake=self._session.gate,
        )
        return pool

    def __repr__(self) -> str:
        counters = self.counters
        return f"<Run: {counters.succeeded} retrieved, {counters.failed} failed, {counters.in_flight} in flight>"

    async def __aenter__(self) -> Self:
        if self._state is not _State.NEW:
            raise RuntimeError("This run has begun before: begin another one by retrieve_many.")
        self._state = _State.RUNNING
        self._session.runs.append(self)
        try:
            await self._session.first_token()
            self._require_running()
            self._started_at = self._session.clock.monotonic()
            await self._pool.__aenter__()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def is_own_task(self) -> bool:
        """True inside the ids and the endpoint of this run, which it waits for when it ends."""
        return self._pool.is_own_task

    async def aclose(self) -> None:
        """End the run: cancel what is in progress, and wait until it has ended. May be called in any other task."""
        if self._state is _State.RUNNING:
            self._state = _State.CLOSED
            self._session.runs.remove(self)
            self._session.counters.add(self.counters)
        await self._pool.aclose()

    def __aiter__(self) -> AsyncIterator[MediaResult]:
        if self._state is _State.NEW:
            return self._whole_run()
        if self._state is _State.RUNNING:
            self._session.require_own_loop()
        return self

    async def _whole_run(self) -> AsyncIterator[MediaResult]:
        # A loop that is left early drops this generator, and asyncio closes it soon, in a task of its own.
        async with self:
            async for result in self:
                yield result

    async def __anext__(self) -> MediaResult:
        pool = self._pool
        if pool.ready:
            result = pool.ready.popleft()
            if pool.waiting_for_room:
                pool.make_room()
        else:
            result = await self._next()
        # As `Outcomes.is_stale` says; its call would be one more for each id.
        if result.ok and result.ends_at - self._wall() < FRESH_SHARE * result.expires_in:
            # The consumer was slower than the URL lives: it must not get an expired one.
            return await self._renewed(result)
        return result

    async def _renewed(self, result: MediaResult) -> MediaResult:
        """Request an id again whose URL has next to no lifetime left."""
        pool = self._pool
        try:
            one = OneId(self._session, self._options, self.counters, self._budget)
            fresh = await one.retrieve(result.file_id)
        except AuditWriteError as error:
            self._outcomes.fail(error)
            fresh = [Failed(result.file_id, error.without_frames(), media_id=result.media_id)]
        except BaseException:
            pool.take_back(result)
            raise
        newest = next((each for each in fresh if each.media_id == result.media_id), fresh[0])
        if not newest.ok:
            self.counters.succeeded -= 1
            self.counters.failed += 1
            self._outcomes.judge(newest.error)
        return newest

    async def _next(self) -> MediaResult:
        self._require_running()
        while True:
            try:
                return await anext(self._pool)
            except StopAsyncIteration:
                self._require_running()
                if not self._second_pass.deferred:
                    raise
                if self._is_stopped or self._second_pass.is_over:
                    self._outcomes.hand_over_deferred()
                else:
                    await self._begin_second_pass()
            except Exception as error:
                if not self._second_pass.deferred:
                    raise
                self._outcomes.hand_over_deferred()
                self._pool.fail(error)

    async def _begin_second_pass(self) -> None:
        await self._pool.aclose()
        self._require_running()
        self._budget.renew()
        self._pool = self._pool_of(self._second_pass.begin())
        await self._pool.__aenter__()

    def _require_running(self) -> None:
        if self._state is _State.NEW:
            raise RuntimeError(
                "This run has not begun. Write `async for result in retriever.retrieve_many(ids)`, or "
                "`async with retriever.retrieve_many(ids) as run` and in it `async for result in run`."
            )
        if self._state is _State.CLOSED:
            raise RuntimeError(
                "This run was closed before its last result: its block, or its MediaRetriever, was left."
            )

    def fail(self, error: GenesysMediaError) -> None:
        """Read no more ids; those in progress are finished, then the iteration raises a copy of `error`."""
        self._is_stopped = True
        self._outcomes.fail(error.twin())

    def stop(self) -> None:
        """Read no more ids; those in progress are finished, then the iteration ends."""
        self._is_stopped = True
        self._pool.stop()

    def statistics(self) -> Statistics:
        """Return a snapshot of the run."""
        return self._session.statistics(self.counters, since=self._started_at)
