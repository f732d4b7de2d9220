"""Recordings by the hundred: one job for up to 100 of them, and a few questions how far it is."""

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
from ..polling import Polling, check_patience
from ..validation import check
from .batch_job import BatchJob, BatchResult, BatchStatus, Progress
from .failures import (
    VIEW_PERMISSION,
    failed_in_batch,
    never_completed,
    not_in_batch,
    not_submitted,
    not_to_be_asked,
    without_url,
)
from .url_lifetime import UrlLife

if TYPE_CHECKING:
    from ...models import DownloadUrl, MediaRequest
    from ...transports.base import HttpReply
    from ..base import EndpointContext

LOGGER = logging.getLogger("genesys_media_async.endpoints")

PATH = "/api/v2/recording/batchrequests"
MAX_REQUESTS = 100
MAX_REPLY_SIZE = 16 * 1024 * 1024
"""Bytes; a hundred conversations may have many recordings each, and a signed URL has a kilobyte or two."""

MIN_PAUSE, MAX_PAUSE = 1.0, 60.0
MAX_FAILED_POLLS = 10
"""So many questions in a row may fail with what may pass; with the pauses between them, that is some minutes."""

OVERHEAD, FIRST_PACE = 1.0, 0.04
"""Seconds that a job is taken to need, and that each of its requests adds until jobs have shown their pace."""

_JOB_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class _Submitted(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    id: str


class _Seen(NamedTuple):
    """What a question for a job brought, with when it was sent (seconds since 1970)."""

    status: BatchStatus
    sent_at: float


class RecordingBatch(Endpoint):
    """
    Submits `POST /api/v2/recording/batchrequests` and asks `GET /api/v2/recording/batchrequests/{jobId}` for results.

    Ids are a `conversationId`, which stands for all recordings of the conversation, or `conversationId/recordingId`.
    Up to `batch_size` of them are one job, and at most `jobs` jobs are under way at once, whatever the number of runs.
    A job that is not completed within `patience` seconds is given up; a run's `deadline` bounds each call alone. The
    media come in the format in which they were recorded.

    Needs one of the permissions recording:recording:view, recording:recordingSegment:view,
    recording:snippetRecording:view and recording:screenRecording:view; without recording:recording:viewSensitiveData
    sensitive recordings are left out. A submission is not repeated if it may have been or_raise: its requests fail
    with `batch_submission_unknown`.
    """

    action = "recording_batch"
    id_formats = ("conversationId", "conversationId/recordingId")
    permission = VIEW_PERMISSION
    # Without an item no job is made.
    probe = Probe("POST", PATH, body=b'{"batchDownloadRequestList":[]}')

    def __init__(self, batch_size: int = MAX_REQUESTS, *, jobs: int = 8, patience: float = 1_800.0) -> None:
        if type(batch_size) is not int or not 1 <= batch_size <= MAX_REQUESTS:
            raise SettingsError(
                f"batch_size is {batch_size!r}.",
                advice=f"It has to be a whole number from 1 to {MAX_REQUESTS}, the most that Genesys takes.",
            )
        if type(jobs) is not int or jobs < 1:
            raise SettingsError(f"jobs is {jobs!r}.", advice="It has to be a whole number from 1.")
        self.batch_size = batch_size
        self._patience = check_patience(patience)
        self._jobs = anyio.CapacityLimiter(jobs)
        self._life = UrlLife("recordingBatchDownloadUrlTtl")
        self._pace = FIRST_PACE

    def __repr__(self) -> str:
        return f"<RecordingBatch of {self.batch_size}: {self._jobs.borrowed_tokens} jobs under way>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Let a job find the recordings, and tell of each as soon as it is seen."""
        async with self._jobs:
            await self._submit(requests, context)

    async def _submit(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        subject = requests[0].file_id + (f" +{len(requests) - 1}" if len(requests) > 1 else "")
        answer = await context.call(
            Call("POST", PATH, _body(requests), subject, f"{self.action}.submit", _read_job_id, repeatable=False)
        )
        if answer.value is not None:
            await self._follow(BatchJob(answer.value, requests), answer, context)
        elif len(requests) > 1 and _may_be_the_fault_of_one(answer.error):
            middle = len(requests) // 2
            await self._submit(requests[:middle], context)
            await self._submit(requests[middle:], context)
        else:
            error = not_submitted(answer)
            for request in requests:
                await context.report(request, answer.with_outcome(error), media_id=request.file_id)

    async def _follow(self, job: BatchJob, submitted: CallResult[str], context: EndpointContext) -> None:
        context.emit(BatchSubmitted(at=context.clock.wall(), job_id=job.id, requests=len(job.requests)))
        call = Call("GET", f"{PATH}/{job.id}", b"", job.id, f"{self.action}.poll", _read, max_reply_size=MAX_REPLY_SIZE)
        polling = Polling(context, key=job.id, patience=self._patience, shortest=MIN_PAUSE, longest=MAX_PAUSE)
        progress = Progress(OVERHEAD + self._pace * len(job.requests))
        expected: float | None = progress.left
        answer: CallResult[_Seen] = CallResult(
            None, None, submitted.attempts, submitted.latency, submitted.correlation_id
        )
        status: str | None = None
        failed_polls = 0
        while await polling.pause(expected):
            answer = await context.call(call)
            if answer.value is None:
                error, failed_polls = answer.error, failed_polls + 1
                if error is None or not error.retryable or failed_polls == MAX_FAILED_POLLS:
                    await self._end(job, answer, not_to_be_asked(error), context)
                    return
                expected = error.retry_after
                continue
            failed_polls = 0
            await self._tell_news(job, answer.value, answer, context)
            if answer.value.status.is_completed:
                self._learn(min(polling.elapsed, progress.ends_at), len(job.requests))
                await self._end(job, answer, not_in_batch(job.id), context, completed_after=polling.elapsed)
                return
            status = answer.value.status.status
            progress.note(polling.elapsed, answer.value.status)
            expected = progress.left
        await self._end(job, answer, never_completed(job.id, status, self._patience), context)

    def _learn(self, seconds: float, count: int) -> None:
        # What a small job lasted says little of how long a full one will.
        weight = 0.5 * (count / self.batch_size) ** 2
        self._pace += weight * (max(0.0, seconds - OVERHEAD) / count - self._pace)

    async def _tell_news(self, job: BatchJob, seen: _Seen, answer: CallResult[_Seen], context: EndpointContext) -> None:
        for result, requests, media_id in job.news(seen.status):
            for request in requests:
                came = await self._judged(result, request, seen.sent_at, context)
                job.results += 1
                job.errors += isinstance(came, GenesysMediaError)
                await context.report(request, answer.with_outcome(came), media_id=media_id or request.file_id)

    async def _judged(
        self, result: BatchResult, request: MediaRequest, sent_at: float, context: EndpointContext
    ) -> DownloadUrl | GenesysMediaError:
        if result.errorMsg is not None:
            return failed_in_batch(result.errorMsg)
        if result.resultUrl is None:
            return without_url("A result of the batch job")
        url = await self._life.signed_url(result.resultUrl, context, sent_at=sent_at, content_type=result.contentType)
        return check(url, request, context.rule) or url

    async def _end(
        self,
        job: BatchJob,
        answer: CallResult[_Seen],
        error: GenesysMediaError,
        context: EndpointContext,
        *,
        completed_after: float | None = None,
    ) -> None:
        at = context.clock.wall()
        if completed_after is not None:
            counts = {"results": job.results, "errors": job.errors}
            context.emit(BatchCompleted(at=at, job_id=job.id, seconds=completed_after, **counts))
        if job.unasked:
            context.emit(UnrequestedBatchResults(at=at, job_id=job.id, results=job.unasked))
            LOGGER.warning("The batch job %s has %d results that nobody asked for", job.id, job.unasked)
        for request in job.unanswered():
            await context.report(request, answer.with_outcome(error), media_id=request.file_id)


def _body(requests: tuple[MediaRequest, ...]) -> bytes:
    items = [dict(zip(("conversationId", "recordingId"), request.parts, strict=False)) for request in requests]
    return json.dumps({"batchDownloadRequestList": items}).encode()


_SUBMITTED = TypeAdapter(_Submitted)
_STATUS = TypeAdapter(BatchStatus)


def _read_job_id(reply: HttpReply, _: float) -> str:
    job_id = read_json(_SUBMITTED, reply).id
    # It becomes part of a path.
    if not _JOB_ID.fullmatch(job_id):
        raise InvalidResponseError("The id of the batch job is no id.", code="reply_shape")
    return job_id


def _read(reply: HttpReply, sent_at: float) -> _Seen:
    return _Seen(read_json(_STATUS, reply), sent_at)


def _may_be_the_fault_of_one(error: GenesysMediaError | None) -> bool:
    return isinstance(error, APIStatusError) and error.status_code in {400, 404}
