"""
The calls for conversation details: a page of a query, and a job with its results.

    query   POST /api/v2/analytics/conversations/details/query
    job     POST /api/v2/analytics/conversations/details/jobs, then GET …/{jobId}, then GET …/{jobId}/results
"""

from __future__ import annotations

from itertools import chain, repeat
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
from .pages import read_availability, read_page, read_status, read_submitted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from datetime import datetime

    from ..api.client import ApiClient
    from ..clock import Clock
    from ..counters import Counters
    from ..settings.settings import Settings
    from ..transports.base import HttpReply
    from .pages import Page

T = TypeVar("T")

PATH: Final = "/api/v2/analytics/conversations/details"
AVAILABILITY_PATH: Final = f"{PATH}/jobs/availability"

PERMISSION: Final = "the permission analytics:conversationDetail:view"
PERMISSIONS: Final = (
    "one of the permissions analytics:conversationDetail:view and analytics:agentConversationDetail:view"
)
"""For queries and jobs; only until when jobs have data takes the first one."""

JOB_PAGE: Final = 500
MAX_PAGE_SIZE: Final = 64 * 1024 * 1024
"""Bytes; a conversation comes with all its participants, sessions and segments, and only some of it is kept."""

JOB_PAUSES: Final = curve(1.0, 15.0)
JOB_TIMEOUT: Final = 1_800.0


class DetailsApi:
    """The calls of one search; each raises the error that remained after its retries."""

    def __init__(self, api: ApiClient, *, settings: Settings, clock: Clock, counters: Counters) -> None:
        self._api = api
        self._deadline = settings.deadline
        self._budget = RetryBudget(settings.retry.budget)
        self._clock = clock
        self._counters = counters

    async def query(self, body: bytes, subject: str) -> Page:
        """Return one page of a query."""
        return await self._call("POST", f"{PATH}/query", read_page, subject, body=body)

    async def available_until(self) -> datetime:
        """Return until when jobs have data, in UTC."""
        return await self._call("GET", AVAILABILITY_PATH, read_availability, "availability")

    async def submit(self, body: bytes, subject: str) -> str:
        """Submit a job and return its id; a lost reply may leave an unused job behind, which does no harm."""
        return (await self._call("POST", f"{PATH}/jobs", read_submitted, subject, body=body)).jobId

    async def results(self, job_id: str) -> AsyncGenerator[Page]:
        """Wait for a job, and yield the pages of its results."""
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
        # Nobody is told of a page before its record is written.
        await result.group.written()
        if result.value is not None:
            return result.value
        error = result.error or RuntimeError(f"{call!r} had neither a value nor an error")
        if isinstance(error, PermissionDeniedError):
            error.advice = _permission_advice(path)
        elif isinstance(error, NotFoundError) and "/jobs/" in path:
            error.retryable = True
            error.advice = "The job is lost, as after a restart of the service; run it again."
        raise error


def _permission_advice(path: str) -> str:
    if path != AVAILABILITY_PATH:
        return f"Give the OAuth client a role with {PERMISSIONS}; a new token is not needed."
    return (
        f"Give the OAuth client a role with {PERMISSION}; a new token is not needed. With "
        'analytics:agentConversationDetail:view alone use the query, with by="query".'
    )
