"""
`MediaRetriever`: ids in, validated pre-signed URLs out.

    async with MediaRetriever.from_env() as retriever:
        async with retriever.retrieve_many(ids) as results:
            async for result in results:
                print(result.file_id, result.url or result.error)
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypedDict

import anyio
import httpx

from .api import Answer, Api, outcome_of
from .clock import Clock, SystemClock
from .endpoints import Ask, Endpoint, MediaStorage
from .errors import InvalidRequest, SettingsError, TokenUnavailable
from .events import RetrievalFinished
from .governor import Governor
from .models import DownloadUrl, MediaRequest, MediaResult, check_access_level, check_life
from .pool import Pool, leave
from .retry import RetryBudget
from .settings import Settings, ValidationRule
from .sinks import Lanes, MetricsSink, MetricsSnapshot, Sink
from .tally import Statistics, Tally
from .tokens import TokenManager
from .transports import HttpxTransport, Transport
from .webhooks import Webhooks

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, Unpack

    from anyio.abc import TaskGroup

    from .quota import QuotaState

Ids = Iterable[str] | AsyncIterable[str]

FRESH_SHARE = 0.1
"""A URL with less than this share of its life left when it is handed over is asked for again."""

MOST_REMEMBERED = 4_096
"""Ids whose outcome is kept to answer duplicates; a bound, so that memory does not grow with the input."""


class RunOptions(TypedDict, total=False):
    """
    What may be said for one run; what is left out is taken from the settings.

    `expires_in` and `deadline` are seconds: the life of each URL, and the time each id may take with all its attempts
    and waits. `concurrency` is the number of workers.
    """

    expires_in: int
    access_level: str | None
    rule: ValidationRule
    concurrency: int
    deadline: float


@dataclass(frozen=True, slots=True)
class _Options:
    expires_in: int
    access_level: str | None
    rule: ValidationRule
    concurrency: int
    deadline: float


class MediaRetriever:
    """
    Turns media ids into validated download URLs, within the quota of one token.

    Use it as an async context manager; everything it runs in the background ends with the block, after what is queued
    for webhooks and sinks has had its bounded time. The sinks are closed then. `transport` is an `httpx.AsyncClient`,
    an httpx transport or a `Transport` of your own, and stays open; without it, a client is made from the settings.

    `audit` sinks are awaited for each record, and the run ends if one fails; `sinks` see every event and never hold
    anything up. Many tasks may use one retriever at once.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        endpoint: Endpoint | None = None,
        transport: httpx.AsyncClient | httpx.AsyncBaseTransport | Transport | None = None,
        audit: Sequence[Sink] = (),
        sinks: Sequence[Sink] = (),
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self._endpoint = endpoint or MediaStorage()
        self._transport = transport
        self._audit = tuple(audit)
        self._sinks = tuple(sinks)
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - jitter is no secret
        self._metrics = MetricsSink()
        self._budget = RetryBudget(settings.retry.budget)
        self._stack = AsyncExitStack()
        self._engine: _Engine | None = None

    @classmethod
    def from_env(cls, **overrides: object) -> Self:
        """
        Make a retriever from the environment variables in `settings.ENVIRONMENT`.

        `overrides` are settings that win over them. Raises `SettingsError`.
        """
        return cls(Settings.from_env(**overrides))

    def __repr__(self) -> str:
        state = "closed" if self._engine is None else f"{self._engine.tokens!r}, {self._engine.governor!r}"
        return f"<MediaRetriever of {self.settings.api_url}: {state}>"

    async def __aenter__(self) -> Self:
        if self._engine is not None:
            raise RuntimeError("This MediaRetriever is open already: share it, or make another one.")
        async with AsyncExitStack() as stack:
            self._engine = await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._engine = None
        return await self._stack.__aexit__(kind, error, traceback)

    async def retrieve(self, file_id: str, **options: Unpack[RunOptions]) -> DownloadUrl:
        """
        Return the URL of one medium.

        Raises the error that `retrieve_many` would put into the result, `SettingsError` for an option that cannot work,
        and `CredentialsRejected` or `TokenUnavailable` if there is no token.
        """
        engine = self._running()
        run = engine.run(_resolve(self.settings, options), engine.tally, self._budget)
        await engine.first_token(self.settings.start_patience)
        result = await engine.retrieve(file_id, run)
        return result.unwrap()

    def retrieve_many(self, ids: Ids, **options: Unpack[RunOptions]) -> Retrieval:
        """
        Return the run that retrieves all `ids`, for use as `async with … as results: async for result in results`.

        There is exactly one result for each id, in the order in which they are done. `ids` is read lazily, as far as
        there are workers. Raises `SettingsError` for an option that cannot work.
        """
        return Retrieval(self._running(), ids, _resolve(self.settings, options), self.settings)

    async def retrieve_all(self, ids: Ids, **options: Unpack[RunOptions]) -> list[MediaResult]:
        """Return one result for each id, in the order of `ids`; keeps them all in memory."""
        order: list[str] = []
        found: defaultdict[str, deque[MediaResult]] = defaultdict(deque)
        async with self.retrieve_many(_noting(ids, order), **options) as results:
            async for result in results:
                found[result.file_id].append(result)
        return [found[file_id].popleft() for file_id in order]

    def statistics(self) -> Statistics:
        """Return the counts since the retriever was opened, over all its runs."""
        return self._running().statistics()

    @property
    def quota(self) -> QuotaState:
        """What is known of the token's quota at the moment: used, allowed, foreign, until when, who waits."""
        return self._running().governor.state()

    def metrics(self) -> MetricsSnapshot:
        """Return counts by outcome, latency percentiles and the like; events reach them within a moment."""
        return self._metrics.snapshot()

    def _running(self) -> _Engine:
        if self._engine is None:
            raise RuntimeError(
                "The MediaRetriever is not open: use it inside `async with MediaRetriever(…) as retriever`."
            )
        return self._engine

    async def _start(self, stack: AsyncExitStack) -> _Engine:
        settings, clock, rng = self.settings, self._clock, self._rng
        transport = _as_transport(self._transport, settings)
        if transport is not self._transport:
            stack.push_async_callback(transport.aclose)
        lanes = Lanes(audit=self._audit, metrics=(self._metrics, *self._sinks))
        stack.push_async_callback(lanes.aclose)
        task_group = await _enter_task_group(stack)
        lanes.start(task_group)
        webhooks = None
        if settings.webhook is not None:
            webhooks = Webhooks(
                settings.webhook, transport, user_agent=settings.user_agent, clock=clock, rng=rng, emit=lanes.emit
            )
            webhooks.start(task_group)
            stack.push_async_callback(webhooks.aclose)
        tokens = TokenManager(settings, transport, clock=clock, rng=rng, spawn=task_group.start_soon, emit=lanes.emit)
        governor = Governor(settings.quota, clock, lanes.emit)
        api = Api(settings, transport, tokens, governor, clock=clock, rng=rng, emit=lanes.emit, audit=lanes.audit)
        return _Engine(api, tokens, governor, lanes, webhooks, self._endpoint, clock)


class Retrieval:
    """
    One run over many ids; made by `MediaRetriever.retrieve_many`.

    Entering it gets the first token, so that wrong credentials end the run before anything is read: it raises
    `CredentialsRejected`, or `TokenUnavailable` after the settings' `start_patience`. From then on every id has its
    result, and what the iteration raises is an exception of `ids` itself or `EvidenceLost`, after everything that was
    done is handed over.
    """

    def __init__(self, engine: _Engine, ids: Ids, options: _Options, settings: Settings) -> None:
        self._engine = engine
        self._start_patience = settings.start_patience
        self._pool = Pool(ids, self._work, concurrency=options.concurrency)
        # Two halves, the older of which is forgotten whole: a dict is slow to give up its first entry.
        self._recent: dict[object, _Once] = {}
        self._earlier: dict[object, _Once] = {}
        self._tally = Tally()
        self._run = engine.run(options, self._tally, RetryBudget(settings.retry.budget))
        self._started_at = engine.clock.monotonic()

    def __repr__(self) -> str:
        tally = self._tally
        return f"<Retrieval: {tally.succeeded} retrieved, {tally.failed} failed, {tally.in_flight} in flight>"

    async def __aenter__(self) -> Self:
        await self._engine.first_token(self._start_patience)
        self._started_at = self._engine.clock.monotonic()
        self._engine.running.append(self._tally)
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return await self._pool.__aexit__(kind, error, traceback)
        finally:
            self._engine.running.remove(self._tally)
            self._engine.tally.add(self._tally)

    def __aiter__(self) -> AsyncIterator[MediaResult]:
        return self

    async def __anext__(self) -> MediaResult:
        result = await anext(self._pool)
        if not self._is_stale(result):
            return result
        # The consumer was slower than the URL lives: what it gets must not be dead on arrival.
        self._tally.succeeded -= 1
        return await self._engine.retrieve(result.file_id, self._run)

    def stop(self) -> None:
        """Read no more ids; those under way are finished, then the iteration ends."""
        self._pool.stop()

    def statistics(self) -> Statistics:
        """Return how far the run is."""
        elapsed = self._engine.clock.monotonic() - self._started_at
        return Statistics.of(self._tally, waiting_for_quota=self._engine.governor.waiting, elapsed=elapsed)

    async def _work(self, file_id: str, tell: Callable[[MediaResult], None]) -> None:
        # What is not text is answered too, with an error, even if it cannot be hashed.
        key = file_id if type(file_id) is str else (type(file_id), str(file_id))
        once = self._recent.get(key) or self._earlier.get(key)
        if once is not None:
            if once.result is None:
                once.others += 1
                return
            if not self._is_stale(once.result):
                self._engine.count(once.result, self._tally)
                tell(once.result)
                return
        if len(self._recent) >= MOST_REMEMBERED // 2:
            self._recent, self._earlier = {}, self._recent
        once = self._recent[key] = _Once()
        result = once.result = await self._engine.retrieve(file_id, self._run)
        tell(result)
        for _ in range(once.others):
            self._engine.count(result, self._tally)
            tell(result)

    def _is_stale(self, result: MediaResult) -> bool:
        url = result.url
        return url is not None and url.remaining(self._engine.clock.wall()) < FRESH_SHARE * url.expires_in


@dataclass(slots=True)
class _Once:
    """What an id that was asked for has come to, None while it is under way; `others` wait for the same answer."""

    result: MediaResult | None = None
    others: int = 0


@dataclass(frozen=True, slots=True)
class _Run:
    """What is the same for every id of a run."""

    options: _Options
    tally: Tally
    ask: Ask


class _Engine:
    """What exists while a retriever is open, and takes one id all the way."""

    def __init__(
        self,
        api: Api,
        tokens: TokenManager,
        governor: Governor,
        lanes: Lanes,
        webhooks: Webhooks | None,
        endpoint: Endpoint,
        clock: Clock,
    ) -> None:
        self.tokens = tokens
        self.governor = governor
        self.clock = clock
        self.tally = Tally()
        self.running: list[Tally] = []
        self._api = api
        self._lanes = lanes
        self._webhooks = webhooks
        self._endpoint = endpoint
        self._opened_at = clock.monotonic()

    async def first_token(self, patience: float) -> None:
        """Wait until there is a token; give up on a login host that has none to give for `patience` seconds."""
        gives_up_at = self.clock.monotonic() + patience
        while True:
            try:
                await self.tokens.bearer()
            except TokenUnavailable as error:
                pause = error.retry_after or 0.0
                if not error.retryable or self.clock.monotonic() + pause >= gives_up_at:
                    raise
                await self.clock.sleep(pause)
            else:
                return

    def run(self, options: _Options, tally: Tally, budget: RetryBudget) -> _Run:
        """Prepare what the ids of one run have in common."""
        ask = partial(self._api.call, deadline=options.deadline, budget=budget, tally=tally)
        return _Run(options, tally, ask)

    async def retrieve(self, file_id: str, run: _Run) -> MediaResult:
        """Ask, check, record, tell: everything about one id but the caller."""
        options = run.options
        try:
            request = MediaRequest(file_id, options.expires_in, options.access_level)
        except InvalidRequest as error:
            await self._api.record_unsent(str(file_id), self._endpoint.action, error)
            answer: Answer[DownloadUrl] = Answer(None, error, 0, 0.0, None)
        else:
            answer = await self._endpoint.retrieve(request, options.rule, run.ask)
        result = MediaResult(
            str(file_id), answer.value, answer.error, answer.attempts, answer.latency, answer.correlation_id
        )
        self.count(result, run.tally)
        if self._webhooks is not None and result.url is not None:
            self._webhooks.post(result.file_id, result.url)
        self._lanes.emit(_finished(result, at=self.clock.wall()))
        return result

    def count(self, result: MediaResult, tally: Tally) -> None:
        """Count one id as done."""
        if result.ok:
            tally.succeeded += 1
        else:
            tally.failed += 1

    def statistics(self) -> Statistics:
        """Return the counts since the start, over all runs."""
        total = Tally()
        for tally in (self.tally, *self.running):
            total.add(tally)
        elapsed = self.clock.monotonic() - self._opened_at
        return Statistics.of(total, waiting_for_quota=self.governor.waiting, elapsed=elapsed)


def _resolve(settings: Settings, options: RunOptions) -> _Options:
    chosen = _Options(
        expires_in=options.get("expires_in", settings.expires_in),
        access_level=options.get("access_level", settings.access_level),
        rule=_rule(settings, options.get("rule", settings.rule)),
        concurrency=options.get("concurrency", settings.workers),
        deadline=options.get("deadline", settings.deadline),
    )
    try:
        check_life(chosen.expires_in)
        if chosen.access_level is not None:
            check_access_level(chosen.access_level)
    except InvalidRequest as error:
        raise SettingsError(error.message, code=error.code, advice=error.advice) from None
    if type(chosen.concurrency) is not int or chosen.concurrency < 1:
        raise SettingsError(f"concurrency is {chosen.concurrency!r}.", advice="It has to be a whole number from 1.")
    if not chosen.deadline > 0:
        raise SettingsError(f"deadline is {chosen.deadline!r}.", advice="It has to be a positive number of seconds.")
    return chosen


def _rule(settings: Settings, rule: ValidationRule) -> ValidationRule:
    # Settings let plain http through to this machine only: it is the simulator, or a tunnel, that hands out the URLs.
    local = settings.api_url.startswith("http:") and not rule.loopback_http
    return rule.model_copy(update={"loopback_http": True}) if local else rule


def _as_transport(
    given: httpx.AsyncClient | httpx.AsyncBaseTransport | Transport | None, settings: Settings
) -> Transport:
    if given is None:
        return HttpxTransport.from_settings(settings)
    if isinstance(given, httpx.AsyncClient | httpx.AsyncBaseTransport):
        return HttpxTransport(given)
    return given


async def _enter_task_group(stack: AsyncExitStack) -> TaskGroup:
    task_group = await anyio.create_task_group().__aenter__()

    async def end(_: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool | None:
        task_group.cancel_scope.cancel()
        return await leave(task_group, error)

    stack.push_async_exit(end)
    return task_group


async def _noting(ids: Ids, order: list[str]) -> AsyncIterator[str]:
    if isinstance(ids, AsyncIterable):
        async for file_id in ids:
            order.append(str(file_id))
            yield file_id
    else:
        for file_id in ids:
            order.append(str(file_id))
            yield file_id


def _finished(result: MediaResult, *, at: float) -> RetrievalFinished:
    url, error = result.url, result.error
    return RetrievalFinished(
        at=at,
        file_id=result.file_id,
        outcome=outcome_of(error),
        latency=result.latency,
        attempts=result.attempts,
        valid=url is not None,
        content_type=url.content_type if url is not None else None,
        expires_in=url.expires_in if url is not None else None,
        code=error.code if error is not None else None,
    )
