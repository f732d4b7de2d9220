"""Recordings by the hundred: one job for up to 100 of them, and a few polls of its results."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, NamedTuple

import anyio
from pydantic import BaseModel, ConfigDict, TypeAdapter

from ...api.calls import Call, CallResult
from ...errors import APIStatusError, GenesysMediaError, InvalidResponseError, SettingsError
from ...events import BatchCompleted, BatchSubmitted, UnrequestedBatchResults
from ..base import Endpoint, Probe, read_json
from ..polling import Poller, check_timeout
from ..validation import check
from .batch_job import BatchJob, BatchResult, BatchStatus, Progress
from .failures import (
    failed_in_batch,
    never_completed,
    not_in_batch,
    not_submitted,
    poll_failed,
    without_url,
)
from .recording import VIEW_PERMISSIONS
from .url_lifetime import UrlLifetime

if TYPE_CHECKING:
    from ...models import DownloadUrl, MediaRequest
    from ...transports.base import HttpReply
    from ..base import EndpointContext

LOGGER = logging.getLogger("genesys_media_async.endpoints")

PATH = "/api/v2/recording/batchrequests"
MAX_REQUESTS = 100
MAX_REPLY_SIZE = 16 * 1024 * 1024
"""Bytes; a hundred conversations may have many recordings each, and a signed URL has 1 or 2 KB."""

MIN_PAUSE, MAX_PAUSE = 1.0, 60.0
MAX_FAILED_POLLS = 10
"""How many polls in a row may fail with a retryable error; with the pauses between them, that is some minutes."""

OVERHEAD, FIRST_PACE = 1.0, 0.04
"""Assumed seconds for a job and, until completed jobs have shown their pace, for each of its requests."""

_JOB_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class _Submitted(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    id: str


class _Polled(NamedTuple):
    """The status of a job, in the reply to a poll that was sent at `sent_at` (seconds since 1970)."""

    status: BatchStatus
    sent_at: float


class RecordingBatch(Endpoint):
    """
    The URLs of recordings by batch jobs: `POST` and `GET /api/v2/recording/batchrequests`.

    Ids are a `conversationId` for all recordings of the conversation, or `conversationId/recordingId`. Up to
    `batch_size` of them are one job, and at most `jobs` jobs are in progress at once, over all runs. A job that is not
    completed within `timeout` seconds is given up; a run's `deadline` bounds each call alone. The media have the format
    in which they were recorded.

    Without the permission recording:recording:viewSensitiveData, sensitive recordings are left out. A submission is not
    repeated if Genesys may have accepted it: its requests fail with `batch_submission_unknown`. Raises `SettingsError`
    for an argument that is not valid.
    """

    action = "recording_batch"
    id_formats = ("conversationId", "conversationId/recordingId")
    permission = VIEW_PERMISSIONS
    # A submission without an item makes no job.
    probe = Probe("POST", PATH, b'{"batchDownloadRequestList":[]}')

    def __init__(self, batch_size: int = MAX_REQUESTS, *, jobs: int = 8, timeout: float = 1_800.0) -> None:
        if type(batch_size) is not int or not 1 <= batch_size <= MAX_REQUESTS:
            raise SettingsError(
                f"batch_size is {batch_size!r}.",
                advice=f"It has to be a whole number from 1 to {MAX_REQUESTS}, Genesys's maximum.",
            )
        if type(jobs) is not int or jobs < 1:
            raise SettingsError(f"jobs is {jobs!r}.", advice="It has to be a whole number from 1.")
        self.batch_size = batch_size
        self._timeout = check_timeout(timeout)
        self._jobs = anyio.CapacityLimiter(jobs)
        self._lifetime = UrlLifetime("recordingBatchDownloadUrlTtl")
        self._pace = FIRST_PACE

    def __repr__(self) -> str:
        return f"<RecordingBatch of {self.batch_size}: {self._jobs.borrowed_tokens} jobs in progress>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Submit a job for the recordings, and report each result as soon as a poll shows it."""
        async with self._jobs:
            await self._submit(requests, context)

    async def _submit(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        subject = requests[0].file_id + (f" +{len(requests) - 1}" if len(requests) > 1 else "")
        submitted = await context.call(
            Call("POST", PATH, _body(requests), subject, f"{self.action}.submit", _read_job_id, repeatable=False)
        )
        if submitted.value is not None:
            await self._follow(BatchJob(submitted.value, requests), submitted, context)
        elif len(requests) > 1 and _may_be_the_fault_of_one(submitted.error):
            middle = len(requests) // 2
            await self._submit(requests[:middle], context)
            await self._submit(requests[middle:], context)
        else:
            error = not_submitted(submitted)
            for request in requests:
                await context.report(request, submitted.with_outcome(error), media_id=request.file_id)

    async def _follow(self, job: BatchJob, submitted: CallResult[str], context: EndpointContext) -> None:
        context.emit(BatchSubmitted(at=context.clock.wall(), job_id=job.id, requests=len(job.requests)))
        call = Call("GET", f"{PATH}/{job.id}", b"", job.id, f"{self.action}.poll", _read, max_reply_size=MAX_REPLY_SIZE)
        poller = Poller(context, key=job.id, timeout=self._timeout, min_pause=MIN_PAUSE, max_pause=MAX_PAUSE)
        progress = Progress(OVERHEAD + self._pace * len(job.requests))
        expected: float | None = progress.remaining
        result: CallResult[_Polled] = CallResult(
            None, None, submitted.attempts, submitted.latency, submitted.correlation_id
        )
        status: str | None = None
        failed_polls = 0
        while await poller.wait_for_next(expected):
            result = await context.call(call)
            if result.value is None:
                error, failed_polls = result.error, failed_polls + 1
                if error is None or not error.retryable or failed_polls == MAX_FAILED_POLLS:
                    await self._end(job, result, poll_failed(error), context)
                    return
                expected = error.retry_after
                continue
            failed_polls = 0
            await self._report_new(job, result.value, result, context)
            if result.value.status.is_completed:
                self._learn(min(poller.elapsed, progress.ends_at), len(job.requests))
                await self._end(job, result, not_in_batch(job.id), context, completed_after=poller.elapsed)
                return
            status = result.value.status.status
            progress.note(poller.elapsed, result.value.status)
            expected = progress.remaining
        await self._end(job, result, never_completed(job.id, status, self._timeout), context)

    def _learn(self, seconds: float, count: int) -> None:
        # The duration of a small job shows little about that of a full one.
        weight = 0.5 * (count / self.batch_size) ** 2
        self._pace += weight * (max(0.0, seconds - OVERHEAD) / count - self._pace)

    async def _report_new(
        self, job: BatchJob, polled: _Polled, result: CallResult[_Polled], context: EndpointContext
    ) -> None:
        for found, requests, media_id in job.new_results(polled.status):
            for request in requests:
                outcome = await self._validated(found, request, polled.sent_at, context)
                job.results += 1
                job.errors += isinstance(outcome, GenesysMediaError)
                await context.report(request, result.with_outcome(outcome), media_id=media_id or request.file_id)

    async def _validated(
        self, found: BatchResult, request: MediaRequest, sent_at: float, context: EndpointContext
    ) -> DownloadUrl | GenesysMediaError:
        if found.errorMsg is not None:
            return failed_in_batch(found.errorMsg)
        if found.resultUrl is None:
            return without_url("A result of the batch job")
        url = await self._lifetime.signed_url(found.resultUrl, context, sent_at=sent_at, content_type=found.contentType)
        return check(url, request, context.rule) or url

    async def _end(
        self,
        job: BatchJob,
        result: CallResult[_Polled],
        error: GenesysMediaError,
        context: EndpointContext,
        *,
        completed_after: float | None = None,
    ) -> None:
        at = context.clock.wall()
        if completed_after is not None:
            counts = {"results": job.results, "errors": job.errors}
            context.emit(BatchCompleted(at=at, job_id=job.id, seconds=completed_after, **counts))
        if job.unrequested:
            context.emit(UnrequestedBatchResults(at=at, job_id=job.id, results=job.unrequested))
            LOGGER.warning("The batch job %s has %d results that were not requested", job.id, job.unrequested)
        for request in job.unanswered():
            await context.report(request, result.with_outcome(error), media_id=request.file_id)


def _body(requests: tuple[MediaRequest, ...]) -> bytes:
    items = [dict(zip(("conversationId", "recordingId"), request.parts, strict=False)) for request in requests]
    return json.dumps({"batchDownloadRequestList": items}).encode()


_SUBMITTED = TypeAdapter(_Submitted)
_STATUS = TypeAdapter(BatchStatus)


def _read_job_id(reply: HttpReply, _: float) -> str:
    job_id = read_json(_SUBMITTED, reply).id
    # It becomes part of a path.
    if not _JOB_ID.fullmatch(job_id):
        raise InvalidResponseError("The id of the batch job is not valid.", code="reply_shape")
    return job_id


def _read(reply: HttpReply, sent_at: float) -> _Polled:
    return _Polled(read_json(_STATUS, reply), sent_at)


def _may_be_the_fault_of_one(error: GenesysMediaError | None) -> bool:
    return isinstance(error, APIStatusError) and error.status_code in {400, 404}
