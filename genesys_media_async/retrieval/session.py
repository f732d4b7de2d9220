"""The parts of an open retriever: opened together, shared by all its runs, closed in order."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

import anyio

from ..api.client import ApiClient
from ..api.host_gate import HostGate
from ..api.retry import RetryBudget
from ..api.tokens import TokenManager
from ..audit.recorder import AuditRecorder
from ..counters import Counters, Statistics
from ..limiter.local import LocalLimiter
from ..sinks.dispatch import Dispatcher
from ..transports.choice import Transports
from ..webhooks.delivery import Webhooks
from .background import BackgroundTasks, ended

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from ..api.base import TokenSource
    from ..clock import Clock
    from ..endpoints.base import Endpoint
    from ..errors import GenesysMediaError
    from ..limiter.base import Limiter
    from ..settings.settings import Settings
    from ..sinks.base import SinkLike
    from ..sinks.metrics import MetricsSink
    from ..transports.choice import TransportChoice

LOGGER = logging.getLogger("genesys_media_async.retrieval")


class OpenRun(Protocol):
    """A run in progress, as far as its session knows it."""

    counters: Counters

    @property
    def is_own_task(self) -> bool:
        """True inside the ids and the endpoint of the run."""
        ...

    def fail(self, error: GenesysMediaError) -> None:
        """Take no more ids, and raise `error` after the last result."""
        ...

    async def aclose(self) -> None:
        """End the run."""
        ...


class Session:
    """
    The open parts of a retriever, which all its runs share.

    `open` and `aclose` may be called in different tasks; what runs in between belongs to tasks of the session.
    """

    def __init__(
        self,
        settings: Settings,
        endpoint: Endpoint,
        transport: TransportChoice,
        *,
        limiter: Limiter | None,
        tokens: TokenSource | None,
        audit: Sequence[SinkLike],
        sinks: Sequence[SinkLike],
        own_metrics: MetricsSink,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.settings = settings
        self.endpoint = endpoint
        self.clock = clock
        self._rng = rng
        self.transports = Transports(transport, settings)
        self._background = BackgroundTasks()
        self.dispatcher = Dispatcher(metrics=sinks, own=own_metrics, clock=clock)
        then = self.dispatcher.emit_all if sinks else None
        agent = settings.user_agent
        self.recorder = AuditRecorder(audit, clock=clock, user_agent=agent, then=then, on_lost=self._end_runs)
        emit = self.dispatcher.emit
        self.webhooks: Webhooks | None = None
        self.tokens = tokens or TokenManager(
            settings, self.transports.login, clock=clock, rng=rng, spawn=self._background.start_soon, emit=emit
        )
        self.limiter = limiter or LocalLimiter(settings.quota, clock, emit, pace=settings.pace)
        self.gate = HostGate(settings, clock, rng, emit, self._end_runs)
        self.api = ApiClient(
            settings,
            self.transports.api,
            self.tokens,
            self.limiter,
            self.recorder,
            self.gate,
            clock=clock,
            rng=rng,
            emit=emit,
        )
        self.budget = RetryBudget(settings.retry.budget)
        self.counters = Counters()
        self.runs: list[OpenRun] = []
        self.opened_at = clock.monotonic()
        self.is_open = False
        self._loop: asyncio.AbstractEventLoop
        self._delivery: anyio.CancelScope
        self._closer: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the background work. Raises `RuntimeError` outside asyncio."""
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "genesys_media_async runs on asyncio only: start your program by asyncio.run, or by anyio.run with "
                'backend="asyncio".'
            ) from None
        try:
            await self._background.open()
            self.dispatcher.start(self._background.task_group)
            self.recorder.start(self._background.task_group)
            self._start_webhooks()
        except BaseException:
            await self.aclose()
            raise
        self.is_open = True

    def _start_webhooks(self) -> None:
        settings = self.settings
        if settings.webhook is not None:
            self.webhooks = Webhooks(
                settings.webhook,
                self.transports.webhook,
                user_agent=settings.user_agent,
                clock=self.clock,
                rng=self._rng,
                emit=self.dispatcher.emit,
            )
            self.webhooks.start(self._background.task_group)

    def _end_runs(self, error: GenesysMediaError) -> bool:
        """End every run with an error; return whether there is any."""
        for run in self.runs:
            run.fail(error)
        return bool(self.runs)

    @property
    def is_closed(self) -> bool:
        """True once `aclose` has come to its end, or can no more."""
        return self._loop.is_closed() or (self._closer is not None and self._closer.done())

    def require_own_loop(self) -> None:
        """Raise `RuntimeError` in another event loop than the one in which the session was opened."""
        if self._loop.is_closed():
            raise RuntimeError(
                "The event loop of this MediaRetriever ended before the retriever was closed, so its runs and what "
                "waited for webhooks and sinks are lost: close it inside the loop in which you open it."
            )
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "This MediaRetriever was opened in another event loop: use it and close it there, or open one for "
                "each loop."
            )

    async def aclose(self) -> None:
        """
        End the runs, deliver what is queued within its bounds, and close the sinks.

        Each part is closed whatever happens to those before it; a second caller waits for the same end. A cancellation
        cuts the delivery of webhooks short and nothing else, and is raised afterwards. Raises `RuntimeError` in another
        event loop.
        """
        self.require_own_loop()
        if any(run.is_own_task for run in self.runs):
            raise RuntimeError("A MediaRetriever cannot be closed from inside a run of its own, which it waits for.")
        self.is_open = False
        if self._closer is None:
            self._delivery = anyio.CancelScope()
            self._closer = asyncio.create_task(self._close(self._delivery), name="genesys_media_async closing")
        try:
            await ended(self._closer, on_cancel=self._delivery.cancel)
        except asyncio.CancelledError:
            if not self._closer.cancelled() and (error := self._closer.exception()) is not None:
                LOGGER.error("%s", error)  # noqa: TRY400 - the cancellation goes on, and the error has no other way out
            raise
        self._closer.result()

    async def _close(self, delivery: anyio.CancelScope) -> None:
        # In a task of its own: `Task.cancel` of a caller would get through any shield.
        try:
            while self.runs:
                await self._close_run(self.runs[0])
        finally:
            try:
                if self.webhooks is not None:
                    with delivery:
                        await self.webhooks.aclose()
            finally:
                await self._close_parts()

    async def _close_run(self, run: OpenRun) -> None:
        try:
            await run.aclose()
        except Exception:
            LOGGER.exception("%r could not be closed", run)

    async def _close_parts(self) -> None:
        try:
            await self._background.aclose()
        finally:
            try:
                # Before the dispatcher, which gets its last records.
                await self.recorder.aclose()
            finally:
                await self._close_dispatcher()

    async def _close_dispatcher(self) -> None:
        try:
            await self.dispatcher.aclose()
        finally:
            await self.transports.aclose()

    async def first_token(self) -> None:
        """
        Wait until there is a token; give up after `start_timeout` seconds if the login host has none.

        Raises `RuntimeError` if the retriever was closed meanwhile, or belongs to another event loop.
        """
        if not self.is_open:
            raise RuntimeError("The MediaRetriever was closed before this could begin.")
        self.require_own_loop()
        self._background.raise_failure()
        await self.tokens.first(self.settings.start_timeout)

    def statistics(self, counters: Counters | None = None, *, since: float | None = None) -> Statistics:
        """Return a snapshot of these counters, counting since then (monotonic seconds); of all runs if None."""
        if counters is None:
            counters = Counters()
            for each in (self.counters, *(run.counters for run in self.runs)):
                counters.add(each)
        return Statistics.of(
            counters,
            waiting_for_quota=self.limiter.waiting,
            outages=self.gate.outages(),
            elapsed=self.clock.monotonic() - (self.opened_at if since is None else since),
            transport=self.transports.name,
        )
