"""Recordings by the hundred: one job for up to 100 of them, and a few polls of its results."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, NamedTuple

import anyio
from pydantic import BaseModel, ConfigDict, TypeAdapter

from ...api.calls import Call, CallResult
from ...api.retry import may_have_been_carried_out
from ...errors import APIStatusError, GenesysMediaError, InvalidResponseError, NotFoundError, SettingsError
from ...events import (
    BatchAbandoned,
    BatchCompleted,
    BatchSubmissionOrphaned,
    BatchSubmitted,
    UnrequestedBatchResults,
)
from ..base import Endpoint, Probe, read_json
from ..polling import Poller, check_timeout
from ..validation import check
from .batch_job import BatchJob, BatchResult, BatchStatus, Progress
from .failures import (
    failed_in_batch,
    never_completed,
    not_in_batch,
    poll_failed,
    submission_unknown,
    unknown_state,
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

YOUNG = 15.0
"""
Seconds from its submission for which a job that is not found may only not be there yet.

Stores of jobs that are spread over machines are often consistent a little later; a poll may come before that.
"""

MAX_ODD_TIME = 60.0
"""Seconds for which a job in an undocumented state is polled since its last new result."""

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


class _End(NamedTuple):
    """The last poll of a job, the error for requests without a result, and the seconds until it was completed."""

    result: CallResult[_Polled]
    error: GenesysMediaError
    completed_after: float | None = None


class RecordingBatch(Endpoint):
    """
    The URLs of recordings by batch jobs: `POST` and `GET /api/v2/recording/batchrequests`.

    Ids are a `conversationId` for all recordings of the conversation, or `conversationId/recordingId`. Up to
    `batch_size` of them are one job, and at most `jobs` jobs are in progress at once, over all runs. A job that is not
    completed within `timeout` seconds is given up; a run's `deadline` bounds each call alone. The media have the format
    in which they were recorded.

    Without the permission recording:recording:viewSensitiveData, sensitive recordings are left out.

    A submission is retried like any other call, even if Genesys may have accepted it: a second job costs one request,
    and only results of the job whose id arrived are reported. Each such submission is a `BatchSubmissionOrphaned`, with
    the code `batch_submission_unknown` in the audit trail (`cut_off` if it was cancelled in flight). With
    `resubmit=False` it is not retried: its requests fail with that code, and are not retryable. A job that is left
    before its end is a `BatchAbandoned`.

    Raises `SettingsError` for an argument that is not valid.
    """

    action = "recording_batch"
    id_formats = ("conversationId", "conversationId/recordingId")
    permission = VIEW_PERMISSIONS
    # A submission without an item makes no job.
    probe = Probe("POST", PATH, b'{"batchDownloadRequestList":[]}')

    def __init__(
        self, batch_size: int = MAX_REQUESTS, *, jobs: int = 8, timeout: float = 1_800.0, resubmit: bool = True
    ) -> None:
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
        self._resubmit = resubmit
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

        def on_failure(error: GenesysMediaError) -> GenesysMediaError:
            if not may_have_been_carried_out(error):
                return error
            context.counters.orphaned_submissions += 1
            context.emit(
                BatchSubmissionOrphaned(context.clock.wall(), subject, len(requests), error.code, error.status_code)
            )
            return submission_unknown(error, resubmit=self._resubmit)

        submitted = await context.call(
            Call("POST", PATH, _body(requests), subject, f"{self.action}.submit", _read_job_id, on_failure=on_failure)
        )
        if submitted.value is not None:
            await self._follow(BatchJob(submitted.value, requests), submitted, context)
        elif len(requests) > 1 and _may_be_the_fault_of_one(submitted.error):
            middle = len(requests) // 2
            await self._submit(requests[:middle], context)
            await self._submit(requests[middle:], context)
        else:
            error = submitted.error or InvalidResponseError("There was no reply.")
            for request in requests:
                await context.report(request, submitted.with_outcome(error), media_id=request.file_id)

    async def _follow(self, job: BatchJob, submitted: CallResult[str], context: EndpointContext) -> None:
        context.emit(BatchSubmitted(at=context.clock.wall(), job_id=job.id, requests=len(job.requests)))
        try:
            with Poller(context, key=job.id, timeout=self._timeout, min_pause=MIN_PAUSE, max_pause=MAX_PAUSE) as poller:
                end = await self._poll(job, submitted, poller, context)
            await self._end(job, end, context)
        except BaseException as error:
            _abandon(job, error.code if isinstance(error, GenesysMediaError) else "cancelled", context)
            raise

    async def _poll(self, job: BatchJob, submitted: CallResult[str], poller: Poller, context: EndpointContext) -> _End:
        """Poll a job and report its results, until it is completed or has to be given up."""
        call = Call("GET", f"{PATH}/{job.id}", b"", job.id, f"{self.action}.poll", _read, max_reply_size=MAX_REPLY_SIZE)
        progress = Progress(OVERHEAD + self._pace * len(job.requests))
        expected: float | None = progress.remaining
        result: CallResult[_Polled] = CallResult(
            None, None, submitted.attempts, submitted.latency, submitted.correlation_id
        )
        status: str | None = None
        failed_polls = 0
        odd_since: float | None = None
        while await poller.wait_for_next(expected):
            polled_at = poller.elapsed
            result = await context.call(call)
            if result.value is None:
                error, failed_polls = result.error, failed_polls + 1
                if failed_polls == MAX_FAILED_POLLS or not _may_be_polled_again(error, polled_at):
                    return _End(result, poll_failed(error))
                expected = error.retry_after if error is not None else None
                continue
            failed_polls = 0
            state = result.value.status
            is_news = await self._report_new(job, result.value, result, context)
            if state.is_completed:
                self._learn(min(poller.elapsed, progress.ends_at), len(job.requests))
                return _End(result, not_in_batch(job.id), poller.elapsed)
            if state.is_in_progress:
                odd_since = None
            elif is_news or odd_since is None:
                odd_since = polled_at
            elif polled_at - odd_since >= MAX_ODD_TIME:
                return _End(result, unknown_state(job.id, state.status))
            status = state.status
            progress.note(poller.elapsed, state)
            expected = progress.remaining if state.is_in_progress else None
        return _End(result, never_completed(job.id, status, self._timeout))

    def _learn(self, seconds: float, count: int) -> None:
        # The duration of a small job shows little about that of a full one.
        weight = 0.5 * (count / self.batch_size) ** 2
        self._pace += weight * (max(0.0, seconds - OVERHEAD) / count - self._pace)

    async def _report_new(
        self, job: BatchJob, polled: _Polled, result: CallResult[_Polled], context: EndpointContext
    ) -> bool:
        """Report the results that are new; return whether there were any."""
        before = job.results
        for found, requests, media_id in job.new_results(polled.status):
            for request in requests:
                outcome = await self._validated(found, request, polled.sent_at, context)
                job.results += 1
                job.errors += isinstance(outcome, GenesysMediaError)
                await context.report(request, result.with_outcome(outcome), media_id=media_id or request.file_id)
        return job.results > before

    async def _validated(
        self, found: BatchResult, request: MediaRequest, sent_at: float, context: EndpointContext
    ) -> DownloadUrl | GenesysMediaError:
        if found.errorMsg is not None:
            return failed_in_batch(found.errorMsg)
        if found.resultUrl is None:
            return without_url("A result of the batch job")
        url = await self._lifetime.signed_url(found.resultUrl, context, sent_at=sent_at, content_type=found.contentType)
        return check(url, request, context.rule) or url

    async def _end(self, job: BatchJob, end: _End, context: EndpointContext) -> None:
        for request in job.unanswered():
            await context.report(request, end.result.with_outcome(end.error), media_id=request.file_id)
        at = context.clock.wall()
        if end.completed_after is None:
            _abandon(job, end.error.code, context, is_lost=isinstance(end.error, NotFoundError))
        else:
            counts = {"results": job.results, "errors": job.errors}
            context.emit(BatchCompleted(at=at, job_id=job.id, seconds=end.completed_after, **counts))
        if job.unrequested:
            context.emit(UnrequestedBatchResults(at=at, job_id=job.id, results=job.unrequested))
            LOGGER.warning("The batch job %s has %d results that were not requested", job.id, job.unrequested)


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


def _may_be_polled_again(error: GenesysMediaError | None, polled_at: float) -> bool:
    """Return whether a failed poll may pass, by the seconds from the job's submission to the poll."""
    return error is not None and (error.retryable or (isinstance(error, NotFoundError) and polled_at < YOUNG))


def _abandon(job: BatchJob, reason: str, context: EndpointContext, *, is_lost: bool = False) -> None:
    """Note that a job is left before its end; one that is lost cannot be polled by anybody."""
    if not is_lost:
        context.counters.abandoned_jobs.append(job.id)
    unanswered = len(job.unanswered())
    context.emit(BatchAbandoned(at=context.clock.wall(), job_id=job.id, unanswered=unanswered, reason=reason))
