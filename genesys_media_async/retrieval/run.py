"""One run over many ids: who is answered with what, and never with a URL that has died meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING

from ..api.retry import RetryBudget
from ..counters import Counters
from ..errors import AuditWriteError, InvalidRequestError
from ..ids import exact_str
from ..models import Failed, MediaRequest, MediaResult
from .pool import Pool
from .session import Errand, Run

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ..counters import Statistics
    from ..settings.settings import Settings
    from .session import Engine, Options

Ids = Iterable[str] | AsyncIterable[str]

FRESH_SHARE = 0.1
"""A URL with less than this share of its life left when it is handed over is asked for again."""

MAX_REMEMBERED = 4_096
"""Ids whose outcome is kept to answer duplicates; a bound, so that memory does not grow with the input."""


class Retrieval:
    """
    One run over many ids; made by `MediaRetriever.retrieve_many`.

    Entering it gets the first token, so that wrong credentials end the run before anything is read: it raises
    `CredentialsRejectedError`, or `TokenUnavailableError` after the settings' `start_timeout`. From then on every id has its
    result, and what the iteration raises is an exception of `ids` itself or `AuditWriteError`, after everything that was
    done is handed over.
    """

    def __init__(self, engine: Engine, ids: Ids, options: Options, settings: Settings) -> None:
        self._engine = engine
        self._start_patience = settings.start_timeout
        self._pool = Pool[str, MediaResult](
            ids, self._work, concurrency=options.concurrency, batch_size=engine.endpoint.batch_size
        )
        self._tally = Counters()
        self._run = Run(engine, options, self._tally, RetryBudget(settings.retry.budget), rest=self._pool.resting)
        self._errand = Errand(self._run, self._put)
        # What the ids that are being asked for have come to so far, and what those wait for that are given once more.
        self._under_way: dict[str, list[MediaResult]] = {}
        self._ends: dict[str, asyncio.Event] = {}
        # Two halves, the older of which is forgotten whole: a dict is slow to give up its first entry.
        self._recent: dict[str, Sequence[MediaResult]] = {}
        self._earlier: dict[str, Sequence[MediaResult]] = {}
        self._started_at = engine.clock.monotonic()
        self._entered = False

    def __repr__(self) -> str:
        counters = self._tally
        return f"<Retrieval: {counters.succeeded} retrieved, {counters.failed} failed, {counters.in_flight} in flight>"

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("This run was entered before: begin another one by retrieve_many.")
        self._entered = True
        await self._engine.first_token(self._start_patience)
        self._started_at = self._engine.clock.monotonic()
        await self._pool.__aenter__()
        self._engine.running.append(self._tally)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return await self._pool.__aexit__(kind, error, traceback)
        finally:
            self._engine.running.remove(self._tally)
            self._engine.counters.add(self._tally)

    def __aiter__(self) -> AsyncIterator[MediaResult]:
        return self

    async def __anext__(self) -> MediaResult:
        result = self._pool.take() if self._pool.ready else await anext(self._pool)
        if not self._is_stale(result):
            return result
        # The consumer was slower than the URL lives: what it gets must not be dead on arrival.
        try:
            fresh = await self._run.retrieve_one(result.file_id)
        except AuditWriteError as error:
            self._pool.fail(error)
            fresh = [Failed(result.file_id, error, media_id=result.media_id)]
        except BaseException:
            self._pool.take_back(result)
            raise
        newest = next((each for each in fresh if each.media_id == result.media_id), fresh[0])
        if not newest.ok:
            self._tally.succeeded -= 1
            self._tally.failed += 1
        return newest

    def stop(self) -> None:
        """Read no more ids; those under way are finished, then the iteration ends."""
        self._pool.stop()

    def statistics(self) -> Statistics:
        """Return how far the run is."""
        return self._engine.statistics(self._tally, since=self._started_at)

    async def _work(self, file_ids: tuple[str, ...]) -> None:
        new: list[MediaRequest] = []
        others: list[tuple[str, InvalidRequestError | list[MediaResult]]] = []
        for file_id in file_ids:
            begun = self._begin(file_id)
            if isinstance(begun, MediaRequest):
                new.append(begun)
            elif begun is not None:
                others.append((file_id, begun))
        if new:
            await self._ask(new)
        # Only now: others may wait for what is new here, and these for others.
        for file_id, begun in others:
            if isinstance(begun, InvalidRequestError):
                self._hand_over(await self._run.refuse(file_id, begun))
                self._tally.done += 1
            else:
                await self._share(exact_str(file_id), begun)

    def _begin(self, given: str) -> MediaRequest | InvalidRequestError | list[MediaResult] | None:
        """
        Return the request to make, or why there can be none.

        For an id that is under way it is what that has come to so far; for one that is known there is nothing to do.
        """
        file_id = given if type(given) is str else exact_str(given)
        # What is not text may not even have a hash.
        if type(file_id) is str:
            under_way = self._under_way.get(file_id)
            if under_way is not None:
                return under_way
            known = self._recent.get(file_id) or self._earlier.get(file_id)
            if known and not any(map(self._is_stale, known)):
                self._repeat(known)
                return None
        try:
            request = self._run.request(file_id)
        except InvalidRequestError as error:
            return error
        self._under_way[file_id] = []
        return request

    async def _ask(self, requests: list[MediaRequest]) -> None:
        try:
            await self._engine.endpoint.retrieve(tuple(requests), self._errand)
            for request in requests:
                self._end(request.file_id)
        except BaseException:
            for request in requests:
                self._let_go(request.file_id)
            raise

    def _put(self, result: MediaResult) -> None:
        self._under_way[result.file_id].append(result)
        self._hand_over(result)

    def _end(self, file_id: str) -> None:
        results = self._under_way[file_id]
        self._run.require_answer(file_id, results)
        self._tally.done += 1
        if len(self._recent) >= MAX_REMEMBERED // 2:
            self._recent, self._earlier = {}, self._recent
        self._recent[file_id] = results
        self._let_go(file_id)

    def _let_go(self, file_id: str) -> None:
        """Let those go on that wait for an id's end."""
        self._under_way.pop(file_id, None)
        if self._ends and file_id in self._ends:
            self._ends.pop(file_id).set()

    async def _share(self, file_id: str, results: list[MediaResult]) -> None:
        """Wait for the end of an id that was under way, and hand over once more what it has come to."""
        if self._under_way.get(file_id) is results:
            async with self._pool.resting():
                await self._ends.setdefault(file_id, asyncio.Event()).wait()
        if results:
            self._repeat(results)

    def _repeat(self, results: Sequence[MediaResult]) -> None:
        self._tally.done += 1
        for result in results:
            self._hand_over(result)

    def _hand_over(self, result: MediaResult) -> None:
        if result.url is not None:
            self._tally.succeeded += 1
        else:
            self._tally.failed += 1
        self._pool.tell(result)

    def _is_stale(self, result: MediaResult) -> bool:
        return result.ok and result.ends_at - self._engine.clock.wall() < FRESH_SHARE * result.expires_in
