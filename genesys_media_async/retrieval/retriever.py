"""
`MediaRetriever`: ids in, validated pre-signed URLs out.

    async with MediaRetriever.from_env() as retriever:
        async with retriever.retrieve_many(ids) as results:
            async for result in results:
                print(result.file_id, result.url or result.error)
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypedDict
from urllib.request import getproxies

import anyio
import httpx

from ..api.client import ApiClient
from ..api.retry import RetryBudget
from ..api.tokens import TokenManager
from ..audit.recorder import AuditRecorder
from ..clock import Clock, SystemClock
from ..discovery.discovery import Discovery, DiscoveryOptions, Interval, wanted
from ..endpoints.base import Endpoint
from ..endpoints.media_storage import MediaStorage
from ..errors import InvalidRequestError, SettingsError, sanitized
from ..governor import LocalLimiter
from ..ids import display_id
from ..models import MediaResult, Retrieved, check_access_level, check_lifetime
from ..settings.policies import ValidationRule
from ..settings.settings import Settings, SettingsOptions
from ..sinks.base import Sink
from ..sinks.dispatch import Dispatcher
from ..sinks.metrics import MetricsSink, MetricsSnapshot
from ..transports.base import Transport
from ..transports.direct import DirectTransport
from ..transports.httpx import HttpxTransport
from ..webhooks.delivery import Webhooks
from .pool import leave
from .run import Ids, Retrieval
from .session import Engine, Options, Run

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, Unpack

    from anyio.abc import TaskGroup

    from ..counters import Statistics
    from ..quota import QuotaState

TransportChoice = httpx.AsyncClient | httpx.AsyncBaseTransport | Transport | Literal["auto", "direct", "httpx"]
"""What may be said of how requests travel; see `MediaRetriever`."""


KEEP_IDLE = 30.0
"""Seconds for which a connection may rest: longer than the gaps of a paced run."""


class RunOptions(TypedDict, total=False):
    """
    What may be said for one run; what is left out is taken from the settings.

    `expires_in` and `deadline` are seconds: the life of each URL, and the time that each call may take with all its
    attempts and waits. Media storage makes one call for each id; how long a source is polled is its own `patience`.
    `concurrency` is the number of workers.
    """

    expires_in: int
    access_level: str | None
    rule: ValidationRule
    concurrency: int
    deadline: float


class MediaRetriever:
    """
    Turns media ids into validated download URLs, within the quota of one token.

    Use it as an async context manager; everything it runs in the background ends with the block, after what is queued
    for webhooks and sinks has had its bounded time. The sinks are closed then.

    `transport` is what carries the requests: an `httpx.AsyncClient`, an httpx transport or a `Transport` of your own,
    which stays open; or "direct" for the fast one of this package, "httpx" for a client made from the settings, or
    "auto" for the fast one unless the settings or the environment name a proxy.

    `audit` sinks are awaited for each record, and the run ends if one fails; `sinks` see every event and never hold
    anything up. Many tasks may use one retriever at once.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        endpoint: Endpoint | None = None,
        transport: TransportChoice = "auto",
        audit: Sequence[Sink] = (),
        sinks: Sequence[Sink] = (),
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self._endpoint = endpoint or MediaStorage()
        self._transport: TransportChoice = transport
        self._audit = tuple(audit)
        self._sinks = tuple(sinks)
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - jitter is no secret
        self._metrics = MetricsSink()
        self._budget = RetryBudget(settings.retry.budget)
        self._stack = AsyncExitStack()
        self._engine: Engine | None = None

    @classmethod
    def from_env(cls, **overrides: Unpack[SettingsOptions]) -> Self:
        """
        Make a retriever from the environment variables in `settings.ENVIRONMENT`.

        `overrides` are settings that win over them. Raises `SettingsError`.
        """
        return cls(Settings.from_env(**overrides))

    def __repr__(self) -> str:
        engine = self._engine
        state = "closed" if engine is None else f"{engine.tokens!r}, {engine.governor!r}, {engine.transport!r}"
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

    async def retrieve(self, file_id: str, **options: Unpack[RunOptions]) -> Retrieved:
        """
        Return the URL of one medium.

        Raises the error that `retrieve_many` would put into the result, `SettingsError` for an option that cannot work,
        and `CredentialsRejectedError` or `TokenUnavailableError` if there is no token.
        """
        engine = self._running()
        run = Run(engine, _resolve(self.settings, options), engine.counters, self._budget)
        await engine.first_token(self.settings.start_timeout)
        results = await run.retrieve_one(file_id)
        engine.counters.done += 1
        engine.counters.succeeded += all(result.ok for result in results)
        engine.counters.failed += not all(result.ok for result in results)
        if len(results) > 1:
            raise InvalidRequestError(
                f"{sanitized(file_id, 128)} has {len(results)} media.",
                code="several_media",
                advice="Ask for one of them by its own id, or for all of them by retrieve_all.",
            )
        return results[0].unwrap()

    def retrieve_many(self, ids: Ids, **options: Unpack[RunOptions]) -> Retrieval:
        """
        Return the run that retrieves all `ids`, for use as `async with … as results: async for result in results`.

        There is exactly one result for each id (or for each of its media, where an id can stand for several), in the
        order in which they are done. `ids` is read lazily, as far as there are workers. Raises `SettingsError` for an
        option that cannot work, and for one text in place of many.
        """
        return Retrieval(self._running(), _several(ids), _resolve(self.settings, options), self.settings)

    async def retrieve_all(self, ids: Ids, **options: Unpack[RunOptions]) -> list[MediaResult]:
        """Return the results that `retrieve_many` has, in the order of `ids`; keeps them all in memory."""
        order: list[str] = []
        found: defaultdict[str, deque[MediaResult]] = defaultdict(deque)
        async with self.retrieve_many(_noting(_several(ids), order), **options) as results:
            async for result in results:
                found[result.file_id].append(result)
        # An id that was given twice has all its results twice, or what it had come to each time it was asked for.
        times = Counter(order)
        ordered: list[MediaResult] = []
        for file_id in order:
            share = len(found[file_id]) // times[file_id]
            times[file_id] -= 1
            ordered += [found[file_id].popleft() for _ in range(share)]
        return ordered

    def discover(self, interval: Interval, **options: Unpack[DiscoveryOptions]) -> AsyncGenerator[str]:
        """
        Return the ids of the conversations that were active in an interval, which `retrieve_many` can read lazily.

        `interval` is two datetimes with zones. Memory is bounded by a page, whatever the number of conversations.
        Raises `SettingsError` for an interval or a filter that cannot be; iterating raises `CredentialsRejectedError` or
        `TokenUnavailableError` without a token, and the error that remained of a request that failed.
        """
        now = datetime.fromtimestamp(self._clock.wall(), UTC)
        return Discovery(self._running(), self.settings, wanted(interval, options, now=now)).ids()

    def statistics(self) -> Statistics:
        """Return the counts since the retriever was opened, over all its runs."""
        engine = self._running()
        return engine.statistics(engine.total(), since=engine.opened_at)

    @property
    def quota(self) -> QuotaState:
        """What is known of the token's quota at the moment: used, allowed, foreign, until when, who waits."""
        return self._running().governor.state()

    def metrics(self) -> MetricsSnapshot:
        """Return counts by outcome, latency percentiles and the like, as they are now."""
        return self._metrics.snapshot()

    def _running(self) -> Engine:
        if self._engine is None:
            raise RuntimeError(
                "The MediaRetriever is not open: use it inside `async with MediaRetriever(…) as retriever`."
            )
        return self._engine

    async def _start(self, stack: AsyncExitStack) -> Engine:
        settings, clock, rng = self.settings, self._clock, self._rng
        transport, transport_name = _as_transport(self._transport, settings)
        if transport is not self._transport:
            stack.push_async_callback(transport.aclose)
        dispatcher = Dispatcher(metrics=self._sinks, count=self._metrics.count)
        stack.push_async_callback(dispatcher.aclose)
        recorder = AuditRecorder(self._audit, clock=clock, user_agent=settings.user_agent, then=dispatcher.emit_all)
        stack.push_async_callback(recorder.aclose)
        task_group = await _enter_task_group(stack)
        dispatcher.start(task_group)
        recorder.start(task_group)
        webhooks = None
        if settings.webhook is not None:
            webhooks = Webhooks(
                settings.webhook, transport, user_agent=settings.user_agent, clock=clock, rng=rng, emit=dispatcher.emit
            )
            webhooks.start(task_group)
            stack.push_async_callback(webhooks.aclose)
        tokens = TokenManager(
            settings, transport, clock=clock, rng=rng, spawn=task_group.start_soon, emit=dispatcher.emit
        )
        governor = LocalLimiter(settings.quota, clock, dispatcher.emit, pace=settings.pace)
        api = ApiClient(settings, transport, tokens, governor, recorder, clock=clock, rng=rng, emit=dispatcher.emit)
        return Engine(
            api=api,
            tokens=tokens,
            governor=governor,
            transport=transport,
            transport_name=transport_name,
            dispatcher=dispatcher,
            recorder=recorder,
            webhooks=webhooks,
            endpoint=self._endpoint,
            clock=clock,
            user_agent=settings.user_agent,
            opened_at=clock.monotonic(),
        )


def _resolve(settings: Settings, options: RunOptions) -> Options:
    known = RunOptions.__annotations__
    if unknown := options.keys() - known.keys():
        raise SettingsError(f"There is no option {min(unknown)!r}.", advice=f"There are {', '.join(known)}.")
    chosen = Options(
        expires_in=options.get("expires_in", settings.expires_in),
        access_level=options.get("access_level", settings.access_level),
        rule=_rule(settings, options.get("rule", settings.rule)),
        concurrency=options.get("concurrency", settings.workers),
        deadline=options.get("deadline", settings.deadline),
    )
    try:
        check_lifetime(chosen.expires_in)
        if chosen.access_level is not None:
            check_access_level(chosen.access_level)
    except InvalidRequestError as error:
        raise SettingsError(error.message, code=error.code, advice=error.advice) from None
    if type(chosen.concurrency) is not int or chosen.concurrency < 1:
        raise SettingsError(f"concurrency is {chosen.concurrency!r}.", advice="It has to be a whole number from 1.")
    if not _is_positive(chosen.deadline):
        raise SettingsError(f"deadline is {chosen.deadline!r}.", advice="It has to be a positive number of seconds.")
    return chosen


def _is_positive(number: object) -> bool:
    return isinstance(number, int | float) and number > 0


def _rule(settings: Settings, rule: object) -> ValidationRule:
    if not isinstance(rule, ValidationRule):
        raise SettingsError(f"rule is {sanitized(repr(rule), 80)}.", advice="It has to be a ValidationRule.")
    # Settings let plain http through to this machine only: it is the simulator, or a tunnel, that hands out the URLs.
    local = settings.api_url.startswith("http:") and not rule.loopback_http
    return rule.model_copy(update={"loopback_http": True}) if local else rule


def _as_transport(given: TransportChoice, settings: Settings) -> tuple[Transport, str]:
    if isinstance(given, str) and given not in {"auto", "direct", "httpx"}:
        raise SettingsError(
            f"transport is {sanitized(repr(given), 80)}.", advice='It is "auto", "direct", "httpx", or one of yours.'
        )
    if given == "auto":
        # Where there is a proxy for anything, httpx knows for what; the fast one knows none.
        given = "httpx" if settings.proxy is not None or getproxies() else "direct"
    match given:
        case "direct":
            # The governor and the workers bound what is in flight, so the connections need no bound of their own.
            return DirectTransport(limits=httpx.Limits(keepalive_expiry=KEEP_IDLE)), "direct"
        case "httpx":
            return HttpxTransport.from_settings(settings), "httpx"
        case DirectTransport():
            return given, "direct"
        case httpx.AsyncClient():
            return HttpxTransport(given), "httpx"
        case httpx.AsyncBaseTransport():
            return HttpxTransport(given), type(given).__name__
        case _:
            return given, type(given).__name__


async def _enter_task_group(stack: AsyncExitStack) -> TaskGroup:
    task_group = await anyio.create_task_group().__aenter__()

    async def end(_: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool | None:
        task_group.cancel_scope.cancel()
        return await leave(task_group, error)

    stack.push_async_exit(end)
    return task_group


def _several(ids: Ids) -> Ids:
    if isinstance(ids, str | bytes):
        raise SettingsError("ids is one text, whose characters are no ids.", advice="Pass a list, even of one id.")
    return ids


async def _noting(ids: Ids, order: list[str]) -> AsyncIterator[str]:
    if isinstance(ids, AsyncIterable):
        source = aiter(ids)
        try:
            async for file_id in source:
                order.append(display_id(file_id))
                yield file_id
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()
    else:
        for file_id in ids:
            order.append(display_id(file_id))
            yield file_id
