"""
The conversations of an interval: an interval and filters in, conversation ids out, one page at a time.

    query   POST /api/v2/analytics/conversations/details/query, page by page: immediate, and up to now
    job     POST /api/v2/analytics/conversations/details/jobs, results by a cursor: for many conversations

Genesys makes the latest hours available to jobs only later; the query covers those.
The OAuth client needs the permission `analytics:conversationDetail:view`.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import chain, count, repeat
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

from ..api.calls import Call
from ..api.retry import RetryBudget, curve
from ..errors import (
    DeadlineExceededError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    sanitized,
)
from .filters import interval_text
from .pages import read_availability, read_page, read_status, read_submitted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from datetime import datetime

    from ..api.client import ApiClient
    from ..clock import Clock
    from ..counters import Counters
    from ..settings.settings import Settings
    from ..transports.base import HttpReply
    from .filters import Wanted
    from .pages import Page

T = TypeVar("T")

PATH: Final = "/api/v2/analytics/conversations/details"
PERMISSION: Final = "the permission analytics:conversationDetail:view"

MAX_QUERY: Final = timedelta(days=31)
"""With a filter, as there always is: https://developer.genesys.cloud/analyticsdatamanagement/analytics/detail/ ."""

QUERY_PAGE: Final = 100
JOB_PAGE: Final = 500
MAX_PAGE_SIZE: Final = 64 * 1024 * 1024
"""Bytes; a conversation comes with all its participants, sessions and segments, and only some of it is kept."""

MAX_QUERIED: Final = 2_000
"""For more conversations than that, a job takes fewer requests than the query's pages."""

MAX_REMEMBERED: Final = 100_000
"""Conversations that go on after a part of the interval, and will be found again; a bound for the memory."""

JOB_PAUSES: Final = curve(1.0, 15.0)
JOB_TIMEOUT: Final = 1_800.0


class Discovery:
    """One search for the conversations of an interval."""

    def __init__(
        self,
        api: ApiClient,
        first_token: Callable[[], Awaitable[None]],
        wanted: Wanted,
        *,
        settings: Settings,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._api = api
        self._first_token = first_token
        self._wanted = wanted
        self._deadline = settings.deadline
        self._budget = RetryBudget(settings.retry.budget)
        self._clock = clock
        self._counters = counters
        self._unfinished: dict[str, None] = {}

    async def ids(self) -> AsyncGenerator[str]:
        """
        Yield the id of each conversation once.

        Raises `CredentialsRejectedError` or `TokenUnavailableError` without a token, and the error that remained of a
        request that failed.
        """
        await self._first_token()
        async for page, begin, end in self._pages():
            for conversation_id in self._new_in(page, begin, end):
                yield conversation_id

    async def _pages(self) -> AsyncGenerator[tuple[Page, datetime, datetime]]:
        """Yield pages, each with the part of the interval that it belongs to."""
        wanted, begin = self._wanted, self._wanted.begin
        first = await self._first_page_of_few()
        if first is None and wanted.by != "query":
            available = await self._call("GET", f"{PATH}/jobs/availability", read_availability, "availability")
            known_until = min(wanted.end, available)
            if known_until > begin:
                async for page in self._job_pages(begin, known_until):
                    yield page, begin, known_until
                begin = known_until
        while begin < wanted.end:
            end = wanted.end
            if end - begin > MAX_QUERY:
                # The next part begins with a day, since a query finds all that began on a day that it touches.
                end = _midnight(begin + MAX_QUERY)
            async for page in self._query_pages(begin, end, first):
                yield page, begin, end
            begin = end

    async def _first_page_of_few(self) -> Page | None:
        """Return the query's first page if the query is the better way; None if not, or if a way was chosen."""
        wanted = self._wanted
        if wanted.by != "auto" or wanted.end - wanted.begin > MAX_QUERY:
            return None
        page = await self._query(wanted.begin, wanted.end, 1)
        return page if page.totalHits <= MAX_QUERIED else None

    async def _query_pages(self, begin: datetime, end: datetime, first: Page | None) -> AsyncGenerator[Page]:
        for number in count(1):
            page = first if number == 1 and first is not None else await self._query(begin, end, number)
            yield page
            if not page.conversations or number * QUERY_PAGE >= page.totalHits:
                return

    async def _query(self, begin: datetime, end: datetime, number: int) -> Page:
        body = self._wanted.body(begin, end, paging={"pageSize": QUERY_PAGE, "pageNumber": number})
        return await self._call("POST", f"{PATH}/query", read_page, interval_text(begin, end), body=body)

    async def _job_pages(self, begin: datetime, end: datetime) -> AsyncGenerator[Page]:
        body, subject = self._wanted.body(begin, end), interval_text(begin, end)
        # A lost reply may leave an unused job behind, which does no harm.
        job_id = (await self._call("POST", f"{PATH}/jobs", read_submitted, subject, body=body)).jobId
        await self._job_done(job_id)
        cursor = ""
        while True:
            query = f"?pageSize={JOB_PAGE}" + (f"&cursor={quote(cursor, safe='')}" if cursor else "")
            page = await self._call("GET", f"{PATH}/jobs/{job_id}/results{query}", read_page, job_id)
            yield page
            if not page.cursor:
                return
            if page.cursor == cursor:
                raise InvalidResponseError(
                    "The results of the job lead in a circle.", code="cursor_repeats", retryable=False
                )
            cursor = page.cursor

    async def _job_done(self, job_id: str) -> None:
        waited = 0.0
        for pause in chain(JOB_PAUSES, repeat(JOB_PAUSES[-1])):
            await self._clock.sleep(pause)
            waited += pause
            status = await self._call("GET", f"{PATH}/jobs/{job_id}", read_status, job_id)
            if status.state == "FULFILLED":
                return
            if status.state in {"FAILED", "CANCELLED", "EXPIRED"}:
                reason = sanitized(status.errorMessage or "no reason given")
                error = InternalServerError(
                    f"The analytics job {job_id} is {status.state}: {reason}.",
                    code="discovery_job_failed",
                    advice='Run it again; if it persists, use the query, with by="query", or a shorter interval.',
                )
                raise self._api.mask.error(error)
            if waited >= JOB_TIMEOUT:
                raise DeadlineExceededError(
                    f"The analytics job {job_id} was {sanitized(status.state, 40)} after {waited:.0f} s.",
                    code="discovery_job_never_completed",
                    advice='Run it again later, with by="query", or for a shorter interval.',
                )

    async def _call(
        self, method: str, path: str, read: Callable[[HttpReply, float], T], subject: str, *, body: bytes = b""
    ) -> T:
        call = Call(method, path, body, subject, "discovery", read, max_reply_size=MAX_PAGE_SIZE)
        result = await self._api.call(call, deadline=self._deadline, budget=self._budget, counters=self._counters)
        if result.value is not None:
            return result.value
        error = result.error or RuntimeError(f"{call!r} had neither a value nor an error")
        if isinstance(error, PermissionDeniedError):
            error.advice = f"Give the OAuth client a role with {PERMISSION}; a new token is not needed."
        elif isinstance(error, NotFoundError) and "/jobs/" in path:
            error.retryable = True
            error.advice = "The job is lost, as after a restart of the service; run it again."
        raise error

    def _new_in(self, page: Page, begin: datetime, end: datetime) -> list[str]:
        """Return the new ids in a page of a part of the interval; remember those that the next part will repeat."""
        new: list[str] = []
        for conversation in page.conversations or ():
            if not conversation.was_active(begin, end) or (
                self._wanted.recorded_only and conversation.was_not_recorded
            ):
                continue
            conversation_id = conversation.conversationId
            if conversation_id not in self._unfinished:
                new.append(conversation_id)
            ends = conversation.conversationEnd
            if end < self._wanted.end and (ends is None or ends >= end):
                self._unfinished[conversation_id] = None
                if len(self._unfinished) > MAX_REMEMBERED:
                    del self._unfinished[next(iter(self._unfinished))]
        return new


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
