"""
Batch download jobs: submitted with up to 100 items, then polled for their results.

The results of a job and their times are determined at its submission; a poll only compares them with the clock.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from ..fault_kinds import JobFault
from ..faults.job_faults import reply_to_submission, spoil_status
from ..faults.reply_faults import PUBLIC_HTTP_ORIGIN, PUBLIC_HTTPS_ORIGIN
from ..operations import Call, Operation, Refused
from ..seeded_ids import random_uuid
from .permissions import SENSITIVE_PERMISSION, VIEW_PERMISSIONS

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from ..faults.plan import FaultPlan
    from ..messages import Reply
    from ..organization import Organization, Recording
    from ..seeded_ids import SeededIds
    from ..settings import SimulatorSettings
    from .storage import MediaUrls

MAX_ITEMS = 100
PATH = "/api/v2/recording/batchrequests"

# Genesys does not document the texts of these errors.
ARCHIVED = "Recording is archived"
UNKNOWN_CONVERSATION = "Conversation not found"
UNKNOWN_RECORDING = "Recording not found"
NOT_PLAYABLE = "Recording has no playable media"


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One item of a batch: a recording, or with None all recordings of the conversation."""

    conversation_id: str
    recording_id: str | None


@dataclass(frozen=True, slots=True)
class BatchJob:
    """
    A submitted job: its client, its items, and its beginning and end in monotonic seconds.

    `results` is the number of results at its end, if it has no fault.
    """

    id: str
    client_id: str
    items: tuple[BatchItem, ...]
    submitted_at: float
    begins_at: float
    ends_at: float
    results: int
    fault: JobFault | None


@dataclass(frozen=True, slots=True)
class _Result:
    """One result: a part of a recording's media, or an error; `ready_at` is seconds after the job's beginning."""

    ready_at: float
    conversation_id: str
    recording_id: str | None
    content_type: str | None = None
    part: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Running:
    """A job with its results, and the expected number of results from each second on."""

    job: BatchJob
    wall_at_beginning: float
    results: list[_Result] = field(repr=False)
    discoveries: list[tuple[float, int]] = field(repr=False)


class BatchJobs:
    """Accepts jobs and reports their progress; a job is kept until its lifetime ends or it is forgotten."""

    def __init__(
        self,
        settings: SimulatorSettings,
        organization: Organization,
        seeded_ids: SeededIds,
        urls: MediaUrls,
        faults: FaultPlan[JobFault],
        rng: random.Random,
    ) -> None:
        self._settings = settings.batch
        self._organization = organization
        self._seeded_ids = seeded_ids
        self._urls = urls
        self._faults = faults
        self._rng = rng
        self._running: dict[str, _Running] = {}
        self._free_at = [0.0] * (settings.batch.concurrent_jobs or 0)

    def __repr__(self) -> str:
        return f"<BatchJobs: {len(self._running)}>"

    def operations(self) -> tuple[Operation, ...]:
        """Return the family's operations."""
        return (
            Operation("postRecordingBatchrequests", "POST", PATH, "batch", self._submit, any_of=VIEW_PERMISSIONS),
            Operation("getRecordingBatchrequest", "GET", f"{PATH}/{{jobId}}", "batch", self._status),
        )

    def jobs(self) -> list[BatchJob]:
        """Return every known job, in the order of their submission."""
        return [running.job for running in self._running.values()]

    def forget(self) -> None:
        """Forget every job, as a restart of the service would."""
        self._running.clear()
        self._free_at = [0.0] * len(self._free_at)

    def _submit(self, call: Call) -> Reply:
        items = _items(call.json_object())
        self._drop_old(call.now)
        fault = self._faults.draw()
        job_id = random_uuid(self._rng)
        results, discoveries = self._plan(items, sensitive=call.has_permission(SENSITIVE_PERMISSION))
        duration = max(results[-1].ready_at if results else 0.0, discoveries[-1][0])
        begins_at = self._beginning(call.now, duration)
        job = BatchJob(job_id, call.client_id, items, call.now, begins_at, begins_at + duration, len(results), fault)
        self._running[job_id] = _Running(job, call.wall + begins_at - call.now, results, discoveries)
        reply = call.reply({"id": job_id, "selfUri": f"{PATH}/{job_id}"})
        return reply_to_submission(reply, fault, call.headers, call.correlation_id)

    def _status(self, call: Call) -> Reply:
        (job_id,) = call.ids
        self._drop_old(call.now)
        running = self._running.get(job_id)
        if running is None or self._is_unknown(running.job, call.now):
            raise Refused("batch.download.job.not.found")
        job = running.job
        if job.client_id != call.client_id:
            raise Refused("batch.download.permission.denied")
        elapsed = call.now - job.begins_at
        completed = call.now >= job.ends_at and job.fault is not JobFault.NEVER_COMPLETES
        ready = self._ready(running, elapsed, completed=completed)
        results = [self._result(result, running, call) for result in ready]
        if job.fault is JobFault.UNREQUESTED_RESULTS:
            results += self._unrequested(running, call)
        if job.fault is JobFault.DUPLICATE_RESULTS:
            results *= 2
        known = bisect_right(running.discoveries, elapsed, key=lambda discovery: discovery[0])
        visible = results if completed or self._settings.partial_results else []
        body: dict[str, object] = {
            "id": job_id,
            "jobId": job_id,
            "expectedResultCount": running.discoveries[known - 1][1] if known else 0,
            "resultCount": len(results),
            "errorCount": sum(1 for result in results if result["errorMsg"] is not None),
            "status": "Completed" if completed else "InProgress",
            "results": visible,
            "selfUri": f"{PATH}/{job_id}",
        }
        return call.reply(spoil_status(body, visible, job.fault))

    def _ready(self, running: _Running, elapsed: float, *, completed: bool) -> list[_Result]:
        results, fault = running.results, running.job.fault
        if fault in (JobFault.NEVER_COMPLETES, JobFault.MISSING_RESULTS):
            results = results[: len(results) // 2]
        if completed:
            return results
        return results[: bisect_right(results, elapsed, key=lambda result: result.ready_at)]

    def _result(self, result: _Result, running: _Running, call: Call) -> dict[str, str | None]:
        url = None
        if result.content_type is not None:
            url = self._spoiled(self._url(result, running, call), running.job.fault, call.origin)
        return {
            "conversationId": result.conversation_id,
            "recordingId": result.recording_id,
            "resultUrl": url,
            "contentType": result.content_type,
            "errorMsg": result.error,
        }

    def _url(self, result: _Result, running: _Running, call: Call) -> str:
        at_ready = self._settings.url_signed_at == "ready"
        return self._urls.url(
            "batch",
            call.origin,
            f"{result.recording_id}-{result.part}",
            result.content_type or "",
            signed_at=running.wall_at_beginning + result.ready_at if at_ready else call.wall,
            minutes=self._settings.url_minutes,
        )

    def _spoiled(self, url: str, fault: JobFault | None, origin: str) -> str | None:
        if fault is JobFault.NULL_URLS:
            return None
        if fault is JobFault.HTTP_URLS:
            return PUBLIC_HTTP_ORIGIN + url.removeprefix(origin)
        if fault is JobFault.FOREIGN_URLS:
            return PUBLIC_HTTPS_ORIGIN + url.removeprefix(origin)
        return url

    def _unrequested(self, running: _Running, call: Call) -> list[dict[str, str | None]]:
        """Return a result for a recording that does not exist."""
        number = 2**32 + self._rng.getrandbits(20)
        unknown = _Result(
            0.0,
            self._seeded_ids.id("conversation", number),
            self._seeded_ids.id("recording", number),
            self._settings.content_types.get("audio", "audio/ogg"),
        )
        return [self._result(unknown, running, call)]

    def _plan(self, items: tuple[BatchItem, ...], *, sensitive: bool) -> tuple[list[_Result], list[tuple[float, int]]]:
        """Return the results and the discoveries of a job, which handles its items and recordings one by one."""
        settings = self._settings
        results: list[_Result] = []
        discoveries: list[tuple[float, int]] = []
        now = 0.0
        for place, item in enumerate(items, 1):
            discovered_at = place * settings.discovery_seconds
            now = max(now, discovered_at)
            for found in self._found(item, sensitive=sensitive):
                now += settings.seconds_per_recording * (1 + settings.spread * self._rng.uniform(-1, 1))
                results += self._results_of(item, found, now)
            discoveries.append((discovered_at, len(results)))
        return results, discoveries

    def _found(self, item: BatchItem, *, sensitive: bool) -> Iterator[Recording | str]:
        """Yield the recordings of an item, or the error of the item."""
        conversation = self._organization.conversation(item.conversation_id)
        if conversation is None:
            if self._settings.unknown == "error":
                yield UNKNOWN_CONVERSATION
            return
        if item.recording_id is None:
            found = self._organization.recordings_of(conversation)
        else:
            recording = self._organization.recording(item.conversation_id, item.recording_id)
            found = [recording] if recording is not None else []
            if recording is None and self._settings.unknown == "error":
                yield UNKNOWN_RECORDING
        for each in found:
            omitted = each.sensitive and not sensitive
            if not omitted and not (each.file_state == "ARCHIVED" and self._settings.archived == "silent"):
                yield each

    def _results_of(self, item: BatchItem, found: Recording | str, ready_at: float) -> list[_Result]:
        if isinstance(found, str):
            return [_Result(ready_at, item.conversation_id, item.recording_id, error=found)]
        error = found.batch_error
        if found.file_state == "ARCHIVED":
            error = ARCHIVED
        elif not found.playable:
            error = NOT_PLAYABLE
        if error is not None:
            return [_Result(ready_at, found.conversation_id, found.id, error=error)]
        content_type = self._settings.content_types.get(found.media, "audio/ogg")
        return [_Result(ready_at, found.conversation_id, found.id, content_type, part) for part in range(found.parts)]

    def _beginning(self, now: float, duration: float) -> float:
        """Return the beginning of a job: now, or when one of the concurrent jobs ends."""
        if not self._free_at:
            return now
        begins_at = max(now, heapq.heappop(self._free_at))
        heapq.heappush(self._free_at, begins_at + duration)
        return begins_at

    def _is_unknown(self, job: BatchJob, now: float) -> bool:
        """Return whether a job cannot be found, or not yet."""
        if job.fault is JobFault.NOT_THERE_YET:
            return now < job.submitted_at + self._settings.unseen_seconds
        return job.fault is JobFault.LOST and now >= (job.begins_at + job.ends_at) / 2

    def _drop_old(self, now: float) -> None:
        while self._running:
            oldest = next(iter(self._running.values())).job
            if now < oldest.submitted_at + self._settings.job_lifetime:
                return
            del self._running[oldest.id]


def _items(body: dict[str, object]) -> tuple[BatchItem, ...]:
    listed = body.get("batchDownloadRequestList")
    if listed is None or listed == []:
        raise Refused("batch.download.bad.request")
    if not isinstance(listed, list):
        raise Refused("bad.request")
    items = cast("list[object]", listed)
    if len(items) > MAX_ITEMS:
        raise Refused("batch.download.too.many.items")
    return tuple(_item(item) for item in items)


def _item(item: object) -> BatchItem:
    if not isinstance(item, dict):
        raise Refused("bad.request")
    fields = cast("dict[str, object]", item)
    conversation_id, recording_id = fields.get("conversationId"), fields.get("recordingId")
    if not isinstance(conversation_id, str) or not isinstance(recording_id, str | None):
        raise Refused("bad.request")
    return BatchItem(conversation_id, recording_id)
