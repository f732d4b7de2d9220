"""
`MediaRetriever`: ids in, validated pre-signed URLs out.

    async with MediaRetriever.from_env() as retriever:
        async for result in retriever.retrieve_many(ids):
            print(result.file_id, result.url if result.ok else result.error)
"""

from __future__ import annotations

import random
import warnings
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..clock import SystemClock
from ..discovery.filters import wanted
from ..endpoints.media_storage import MediaStorage
from ..errors import InvalidRequestError, SettingsError, sanitized
from ..ids import display_id
from ..settings.settings import Settings
from ..sinks.base import as_sinks
from ..sinks.metrics import MetricsSink
from .context import OneId
from .options import resolve
from .run import Run
from .session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self, Unpack

    from ..api.base import TokenSource
    from ..clock import Clock
    from ..counters import Statistics
    from ..discovery.discovery import Discovery
    from ..discovery.filters import DiscoveryOptions, Interval
    from ..endpoints.base import Endpoint
    from ..limiter.base import Limiter
    from ..models import MediaResult, Retrieved
    from ..quota.permit import QuotaState
    from ..settings.settings import SettingsOptions
    from ..sinks.base import SinkLike
    from ..sinks.metrics import MetricsSnapshot
    from ..transports.choice import TransportChoice
    from .options import RunOptions
    from .run import Ids


class MediaRetriever:
    """
    Turns media ids into validated download URLs, within the quota of one token.

    Use it as an async context manager, or call `open` and `aclose`, in the same task or in different ones. `aclose`
    ends the runs in progress, delivers what is queued for webhooks and sinks within bounds, and closes the sinks.

    `transport` carries the requests: an `httpx.AsyncClient`, an httpx transport or a `Transport` of your own, which
    stays open; or "direct" for the fast one of this package, "httpx" for a client made from the settings, or "auto" for
    the fast one unless a proxy of the settings or the environment applies to a host. `limiter` gives out the permits of
    the token in place of a `LocalLimiter` made from `settings.quota`, and `tokens` the token in place of a
    `TokenManager` made from the credentials; one of each may serve several retrievers that share a token.

    `audit` sinks are awaited for each record, and a run ends if one fails; `sinks` see every event and never hold
    anything up. Many tasks may use one retriever at once.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        endpoint: Endpoint | None = None,
        transport: TransportChoice = "auto",
        limiter: Limiter | None = None,
        tokens: TokenSource | None = None,
        audit: SinkLike | Iterable[SinkLike] = (),
        sinks: SinkLike | Iterable[SinkLike] = (),
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self._endpoint = endpoint or MediaStorage()
        self._transport: TransportChoice = transport
        self._limiter = limiter
        self._tokens = tokens
        self._audit = as_sinks(audit, "audit")
        self._sinks = as_sinks(sinks, "sinks")
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - jitter is no secret
        self._metrics = MetricsSink()
        self._session: Session | None = None

    @classmethod
    def from_env(
        cls,
        *,
        endpoint: Endpoint | None = None,
        transport: TransportChoice = "auto",
        limiter: Limiter | None = None,
        tokens: TokenSource | None = None,
        audit: SinkLike | Iterable[SinkLike] = (),
        sinks: SinkLike | Iterable[SinkLike] = (),
        clock: Clock | None = None,
        rng: random.Random | None = None,
        **settings: Unpack[SettingsOptions],
    ) -> Self:
        """
        Make a retriever from the environment variables in `settings.ENVIRONMENT`; settings given here win over them.

        Raises `SettingsError`.
        """
        return cls(
            Settings.from_env(**settings),
            endpoint=endpoint,
            transport=transport,
            limiter=limiter,
            tokens=tokens,
            audit=audit,
            sinks=sinks,
            clock=clock,
            rng=rng,
        )

    def __repr__(self) -> str:
        session = self._session
        state = "closed" if session is None else f"{session.tokens!r}, {session.limiter!r}, {session.transports.api!r}"
        return f"<MediaRetriever of {self.settings.api_url}: {state}>"

    def __del__(self) -> None:
        # Not there if the constructor raised.
        if getattr(self, "_session", None) is not None:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    async def open(self) -> Self:
        """Start the background work; for use with `aclose` where `async with` does not fit."""
        if self._session is not None:
            raise RuntimeError("This MediaRetriever is open already: share it, or make another one.")
        session = self._session = Session(
            self.settings,
            self._endpoint,
            self._transport,
            limiter=self._limiter,
            tokens=self._tokens,
            audit=self._audit,
            sinks=self._sinks,
            own_metrics=self._metrics,
            clock=self._clock,
            rng=self._rng,
        )
        try:
            await session.open()
        except BaseException:
            self._session = None
            raise
        return self

    async def aclose(self) -> None:
        """
        End the runs in progress, deliver what is queued within its bounds, and close the sinks.

        May be called in any task outside of a run; nothing happens if it is not open. Raises `AuditWriteError` if an
        audit sink lost a record, or could not be closed.
        """
        session = self._session
        if session is not None:
            try:
                await session.aclose()
            finally:
                if session.is_closed:
                    self._session = None

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def retrieve(self, file_id: str, **options: Unpack[RunOptions]) -> Retrieved:
        """
        Return the URL of one medium.

        Raises the error that `retrieve_many` would put into the result, `SettingsError` for an option that cannot work,
        and `CredentialsRejectedError` or `TokenUnavailableError` without a token.
        """
        session = self._open_session()
        resolved = resolve(self.settings, options)
        await session.first_token()
        results = await OneId(session, resolved, session.counters, session.budget).retrieve(file_id)
        session.counters.done += 1
        is_ok = all(result.ok for result in results)
        session.counters.succeeded += is_ok
        session.counters.failed += not is_ok
        if len(results) > 1:
            raise InvalidRequestError(
                f"{sanitized(file_id, 128)} has {len(results)} media.",
                code="several_media",
                advice="Retrieve one of them by its own id, or all of them by retrieve_all.",
            )
        return results[0].unwrap()

    def retrieve_many(self, ids: Ids, **options: Unpack[RunOptions]) -> Run:
        """
        Return the run over all `ids`: iterate over it directly, or use it as `async with … as run` for control.

        Each id has exactly one result (or each of its media has, where an id can have several), in the order in which
        they are done. `ids` is read lazily, as far as there are workers. Raises `SettingsError` for an option that
        cannot work, and for a single string in place of many.
        """
        return Run(self._open_session(), _many(ids), resolve(self.settings, options))

    async def retrieve_all(self, ids: Ids, **options: Unpack[RunOptions]) -> list[MediaResult]:
        """
        Return the results of `retrieve_many` in the order of `ids`; keeps them all in memory.

        Ids that failed for now are requested once more at the end, unless `second_pass` is False.
        """
        options.setdefault("second_pass", True)
        order: list[str] = []
        found: defaultdict[str, deque[MediaResult]] = defaultdict(deque)
        async with self.retrieve_many(_noting(_many(ids), order), **options) as run:
            async for result in run:
                found[result.file_id].append(result)
        # An id given twice has all its results twice, or what it came to each time it was requested.
        times = Counter(order)
        ordered: list[MediaResult] = []
        for file_id in order:
            share = len(found[file_id]) // times[file_id]
            times[file_id] -= 1
            ordered += [found[file_id].popleft() for _ in range(share)]
        return ordered

    def discover(self, interval: Interval, **options: Unpack[DiscoveryOptions]) -> Discovery:
        """
        Return the ids of the conversations that were active in an interval, which `retrieve_many` can read lazily.

        `interval` is two datetimes with zones. Memory is bounded by a page and the conversations in progress, whatever
        the number of conversations. What the search cannot see depends on `by`: see `DiscoveryOptions`. Raises
        `SettingsError` for an interval or a filter that cannot work; iterating raises `CredentialsRejectedError` or
        `TokenUnavailableError` without a token, and the error that remained of a request that failed; `left` of the
        result is then what another search has to cover.
        """
        # Imported here: the shapes of its replies cost a tenth of the import, and few programs discover.
        from ..discovery.details_api import DetailsApi
        from ..discovery.discovery import Discovery

        session, now = self._open_session(), datetime.fromtimestamp(self._clock.wall(), UTC)
        checked = wanted(interval, options, now=now)
        api = DetailsApi(session.api, settings=self.settings, clock=self._clock, counters=session.counters)
        return Discovery(api, session.first_token, checked)

    def statistics(self) -> Statistics:
        """Return the counts since the retriever was opened, over all its runs."""
        return self._open_session().statistics()

    @property
    def quota(self) -> QuotaState:
        """The state of the token's quota: used, allowed, used by others, the end of the window, who waits."""
        return self._open_session().limiter.state()

    def metrics(self) -> MetricsSnapshot:
        """Return counts by outcome, latency percentiles and the like, as they are now."""
        return self._metrics.snapshot()

    def _open_session(self) -> Session:
        if self._session is None or not self._session.is_open:
            raise RuntimeError(
                "The MediaRetriever is not open: use it inside `async with MediaRetriever(…) as retriever`, or "
                "`await retriever.open()` first."
            )
        return self._session


def _many(ids: Ids) -> Ids:
    if isinstance(ids, str | bytes):
        raise SettingsError("ids is a single string.", advice='Pass a list, such as ["…"], also for one id.')
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
