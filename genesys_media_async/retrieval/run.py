"""One run over many ids: what an endpoint works with, and which result each id gets, never with an expired URL."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from copy import copy
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeVar

from ..api.retry import RetryBudget
from ..audit.recorder import outcome_of
from ..counters import Counters
from ..errors import AuditWriteError, GenesysMediaError, InvalidRequestError
from ..events import Outcome, RetrievalFinished
from ..ids import display_id, exact_str, is_file_id
from ..models import Failed, MediaRequest, Retrieved
from .pool import Pool
from .refusals import Refusals
from .second_pass import SecondPass
from .single_flight import MAX_REMEMBERED, SingleFlight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from types import TracebackType
    from typing import Self

    from ..api.calls import Call, CallResult
    from ..clock import Clock
    from ..counters import Statistics
    from ..events import Event
    from ..models import DownloadUrl, MediaResult
    from ..settings.policies import ValidationRule
    from .options import Options
    from .session import Session

T = TypeVar("T")

Ids = Iterable[str] | AsyncIterable[str]

FRESH_SHARE = 0.1
"""A URL with less than this share of its lifetime left when it is handed over is requested again."""

_SUCCESS = Outcome.SUCCESS


class RunContext:
    """
    The `EndpointContext` of one run: its options, its counters, its budget of retries.

    `put` gets each result once it is recorded, unless `hold` keeps it back. `slot_released` is a block in which another
    worker uses the slot.
    """

    def __init__(
        self,
        session: Session,
        options: Options,
        counters: Counters,
        budget: RetryBudget,
        put: Callable[[MediaResult], None],
        hold: Callable[[Failed], bool] | None = None,
        slot_released: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self.rule: ValidationRule = options.rule
        self.clock: Clock = session.clock
        self.counters = counters
        self._session = session
        self._options = options
        self._budget = budget
        self._put = put
        self._hold = hold
        self._slot_released = slot_released
        self._api = session.api
        self._emit = session.dispatcher.emit
        formats = session.endpoint.id_formats
        self._formats = {id_format.count("/"): id_format for id_format in formats}
        self._is_one_part = len(formats) == 1 and "/" not in formats[0]

    def request(self, file_id: str) -> MediaRequest:
        """Return the request for an id. Raises `InvalidRequestError`."""
        options, formats = self._options, self._session.endpoint.id_formats
        if self._is_one_part and type(file_id) is str and is_file_id(file_id):
            return MediaRequest(file_id, options.expires_in, options.access_level, formats[0])
        id_format = formats[0]
        if len(formats) > 1 and type(file_id) is str:
            id_format = self._formats.get(file_id.count("/"), id_format)
        try:
            return MediaRequest.checked(file_id, options.expires_in, options.access_level, id_format)
        except InvalidRequestError as error:
            if error.code == "invalid_file_id" and not self._is_one_part:
                error.advice = f"Write it as {' or '.join(formats)}, each part of A-Z a-z 0-9 . _ - and no dot first."
            raise

    def call(self, call: Call[T], /) -> Awaitable[CallResult[T]]:
        """Make a call to its end."""
        return self._api.call(call, deadline=self._options.deadline, budget=self._budget, counters=self.counters)

    async def sleep(self, seconds: float, /) -> None:
        """Wait, while another id uses the worker's slot."""
        async with self._slot_released():
            await self.clock.sleep(seconds)

    def emit(self, event: Event, /) -> None:
        """Send an event to the sinks."""
        self._emit(event)

    async def report(
        self, request: MediaRequest, result: CallResult[DownloadUrl], /, *, media_id: str | None = None
    ) -> None:
        """Report what a request came to."""
        if media_id is not None:
            await self._record(media_id, result)
        url = result.value
        outcome: MediaResult
        if url is not None:
            outcome = Retrieved(
                # By position: that is three times faster than by name, and done for every id.
                request.file_id,
                url.url,
                url.ends_at,
                url.expires_in,
                url.file_name,
                url.content_type,
                url.access_level,
                url.expiry_source,
                result.attempts,
                result.latency,
                result.correlation_id,
                media_id,
            )
        else:
            error = result.error or GenesysMediaError("The endpoint reported neither a URL nor an error.")
            outcome = Failed(
                request.file_id,
                self._session.api.mask.error(error).without_frames(),
                result.attempts,
                result.latency,
                result.correlation_id,
                media_id,
            )
            if self._hold is not None and self._hold(outcome):
                return
        self.announce(outcome)
        self._put(outcome)

    async def refuse(self, file_id: str, error: InvalidRequestError) -> Failed:
        """Record that an id cannot be sent, and return its result."""
        refused = Failed(display_id(file_id), error.without_frames())
        written = self._session.recorder.unsent(self._session.endpoint.action, refused.file_id, error)
        if written is not None:
            await written
        self.announce(refused)
        return refused

    def announce(self, result: MediaResult) -> None:
        """Send a recorded result to webhooks and sinks."""
        if self._session.webhooks is not None and isinstance(result, Retrieved):
            self._session.webhooks.post(result)
        self._emit(
            RetrievalFinished(
                # By position, as above.
                self.clock.wall(),
                result.file_id,
                _SUCCESS if result.ok else outcome_of(result.error),
                result.latency,
                result.attempts,
                result.ok,
                result.media_id,
                result.content_type if result.ok else None,
                result.expires_in if result.ok else None,
                None if result.ok else result.error.code,
            )
        )

    async def _record(self, media_id: str, result: CallResult[DownloadUrl]) -> None:
        written = self._session.recorder.result(
            self._session.endpoint.action,
            media_id,
            result.error,
            result.latency,
            result.attempts,
            result.correlation_id,
        )
        if written is not None:
            await written


async def retrieve_one(
    session: Session, options: Options, counters: Counters, budget: RetryBudget, file_id: str
) -> list[MediaResult]:
    """Return all results of one id."""
    results: list[MediaResult] = []
    context = RunContext(session, options, counters, budget, results.append)
    try:
        request = context.request(file_id)
    except InvalidRequestError as error:
        return [await context.refuse(file_id, error)]
    await session.endpoint.retrieve((request,), context)
    require_result(session, file_id, results)
    return results


def require_result(session: Session, file_id: str, results: Sequence[MediaResult]) -> None:
    """Raise `RuntimeError` if an endpoint returned without a result for a request: no id may be lost."""
    if not results:
        raise RuntimeError(f"{session.endpoint!r} reported no result for {file_id}.")


class Outcomes:
    """
    The results of a run's ids: counted, shared with ids that repeat them, or kept back for the second pass.

    `pool` gets what is to be handed over, and is the one that works at the moment.
    """

    def __init__(self, session: Session, options: Options, counters: Counters) -> None:
        self._session = session
        self._counters = counters
        self._flights = SingleFlight()
        self._refusals = Refusals(options.max_refusals, session.endpoint)
        self.second_pass = SecondPass()
        self.context: RunContext
        self.pool: Pool[str, MediaResult]

    def begin(self, given: str) -> MediaRequest | InvalidRequestError | list[MediaResult] | None:
        """
        Return the request to make, or the reason why there can be none.

        For an id in flight it is the list of its results so far; for a known id there is nothing to do.
        """
        if self._refusals.all_refused is not None and not self._counters.succeeded:
            # Only now is it certain that ids remain; from this one on they are not requested, and have no result.
            self.pool.fail(self._refusals.all_refused)
            return None
        file_id, flights = given if type(given) is str else exact_str(given), self._flights
        # What is not text may not even have a hash.
        if type(file_id) is str:
            in_flight = flights.in_flight.get(file_id)
            if in_flight is not None:
                return in_flight
            known = flights.recent.get(file_id) or flights.earlier.get(file_id)
            if known and not any(map(self.is_stale, known)):
                self._repeat(known)
                return None
            if self.second_pass.deferred and self._is_deferred(file_id):
                return None
        try:
            request = self.context.request(file_id)
        except InvalidRequestError as error:
            return error
        flights.in_flight[file_id] = []
        return request

    def _is_deferred(self, file_id: str) -> bool:
        """Return whether an id waits for the second pass; in that one it is taken out."""
        if not self.second_pass.is_over:
            if self.second_pass.repeats(file_id):
                self._counters.deferred += 1
                return True
        else:
            self._counters.deferred -= self.second_pass.take(file_id)
        return False

    def put(self, result: MediaResult) -> None:
        """Take a result of an id in flight, and hand it over."""
        if self.second_pass.is_over:
            result = self.second_pass.whole(result)
        self._flights.in_flight[result.file_id].append(result)
        self.hand_over(result)

    def end(self, file_id: str) -> None:
        """End an id in flight. Raises `RuntimeError` if it has no result."""
        flights, results = self._flights, self._flights.in_flight[file_id]
        if self.second_pass.held:
            for result in self.second_pass.settle(file_id, has_others=bool(results)):
                self.context.announce(result)
                self.put(result)
            if file_id in self.second_pass.deferred:
                self._counters.deferred += 1
                flights.let_go(file_id)
                return
        require_result(self._session, file_id, results)
        self._counters.done += 1
        if flights.waiting or len(flights.recent) >= MAX_REMEMBERED // 2:
            flights.end(file_id)
        else:
            flights.recent[file_id] = flights.in_flight.pop(file_id)

    def let_go(self, file_id: str) -> None:
        """Forget an id in flight whose call raised."""
        self._flights.let_go(file_id)

    async def share(self, file_id: str, results: list[MediaResult]) -> None:
        """Wait for the end of an id that was in flight, and hand its results over once more."""
        if self._flights.in_flight.get(file_id) is results:
            async with self.pool.slot_released():
                await self._flights.wait(file_id)
        if results:
            self._repeat(results)
        elif self.second_pass.repeats(file_id):
            self._counters.deferred += 1

    def _repeat(self, results: Sequence[MediaResult]) -> None:
        self._counters.done += 1
        for result in results:
            self.hand_over(result, is_repeated=True)

    def hand_over(self, result: MediaResult, *, is_repeated: bool = False) -> None:
        """Count a result and give it to the iteration; one that `is_repeated` shows nothing new."""
        if result.ok:
            self._counters.succeeded += 1
        else:
            self._counters.failed += 1
            if not is_repeated:
                self.judge(result.error)
        self.pool.hand_over(result)

    def judge(self, error: GenesysMediaError) -> None:
        """End the run after a failure that leaves no way to go on."""
        end = self._refusals.add(error, has_success=self._counters.succeeded > 0)
        if end is not None:
            self.pool.fail(end)

    def is_stale(self, result: MediaResult) -> bool:
        """Return whether the URL of a result has next to no lifetime left."""
        return result.ok and result.ends_at - self._session.clock.wall() < FRESH_SHARE * result.expires_in

    def hand_over_deferred(self) -> None:
        """Hand over what was kept back and is not requested again."""
        for results in self.second_pass.drop():
            self._counters.deferred -= 1
            self._counters.done += 1
            for result in results:
                self.context.announce(result)
                self.hand_over(result)


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
        self._outcomes = outcomes = Outcomes(session, options, self.counters)
        self._second_pass = outcomes.second_pass
        self._context = outcomes.context = RunContext(
            session,
            options,
            self.counters,
            self._budget,
            outcomes.put,
            hold=self._second_pass.hold if options.second_pass else None,
            slot_released=self._slot_released,
        )
        self._pool = self._pool_of(ids)
        self._started_at = session.clock.monotonic()
        self._state = _State.NEW

    def _pool_of(self, ids: Ids) -> Pool[str, MediaResult]:
        self._outcomes.pool = pool = Pool[str, "MediaResult"](
            ids,
            self._work,
            concurrency=self._options.concurrency,
            batch_size=self._endpoint.batch_size,
            intake=self._session.gate,
        )
        return pool

    def _slot_released(self) -> AbstractAsyncContextManager[None]:
        return self._pool.slot_released()

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
        result = pool.take() if pool.ready else await self._next()
        if not self._outcomes.is_stale(result):
            return result
        # The consumer was slower than the URL lives: it must not get an expired one.
        try:
            fresh = await retrieve_one(self._session, self._options, self.counters, self._budget, result.file_id)
        except AuditWriteError as error:
            pool.fail(error)
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
        self._pool.fail(copy(error))

    def stop(self) -> None:
        """Read no more ids; those in progress are finished, then the iteration ends."""
        self._is_stopped = True
        self._pool.stop()

    def statistics(self) -> Statistics:
        """Return a snapshot of the run."""
        return self._session.statistics(self.counters, since=self._started_at)

    async def _work(self, file_ids: tuple[str, ...]) -> None:
        new: list[MediaRequest] = []
        others: list[tuple[str, InvalidRequestError | list[MediaResult]]] = []
        for file_id in file_ids:
            begun = self._outcomes.begin(file_id)
            if isinstance(begun, MediaRequest):
                new.append(begun)
            elif begun is not None:
                others.append((file_id, begun))
        if new:
            try:
                await self._endpoint.retrieve(tuple(new), self._context)
                for request in new:
                    self._outcomes.end(request.file_id)
            except BaseException:
                for request in new:
                    self._outcomes.let_go(request.file_id)
                raise
        # Only now: others may wait for the new ones here, and these for others.
        for file_id, begun in others:
            if isinstance(begun, InvalidRequestError):
                self._outcomes.hand_over(await self._context.refuse(file_id, begun))
                self.counters.done += 1
            else:
                await self._outcomes.share(exact_str(file_id), begun)
