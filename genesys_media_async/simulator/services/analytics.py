"""
Conversation details of analytics: queried page by page, or by a job whose results are read with a cursor.

The query returns only conversations that started on a day of the interval, the job all that were active in it. Both
include those that were active at its ends, so that adjacent intervals share a few.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from ..operations import Call, Operation, Refused
from ..organization import DAY, MAX_CONVERSATION_SECONDS
from ..seeded_ids import random_uuid
from .filters import SEGMENT_DIMENSIONS, SESSION_MEDIA, compile_filters, conversation_dimensions
from .times import interval, iso

if TYPE_CHECKING:
    import random

    from ..messages import Reply
    from ..organization import Organization
    from ..settings import SimulatorSettings

PATH = "/api/v2/analytics/conversations/details"
PERMISSION = "analytics:conversationDetail:view"
JOB_LIFETIME = DAY

_ORDERS = ("asc", "desc", "unordered")
_ENDS = {"conversationEnd": True, "segmentEnd": True, "conversationStart": False, "segmentStart": False}


@dataclass(frozen=True, slots=True)
class _Job:
    """A details job: its submission by both clocks, and the positions of the conversations in its results."""

    submitted_at: float
    submitted_wall: float
    indexes: array[int] = field(repr=False)


class Analytics:
    """Answers details queries and runs details jobs; it keeps the hits of the last query for its next page."""

    def __init__(self, settings: SimulatorSettings, organization: Organization, rng: random.Random) -> None:
        self._settings = settings.analytics
        self._organization = organization
        self._rng = rng
        self._jobs: dict[str, _Job] = {}
        self._last: tuple[object, array[int]] = (None, array("q"))
        self._dimensions = conversation_dimensions(organization.division_id)

    def __repr__(self) -> str:
        return f"<Analytics: {len(self._jobs)} jobs>"

    def operations(self) -> tuple[Operation, ...]:
        """Return the family's operations."""
        jobs, job, needs = f"{PATH}/jobs", f"{PATH}/jobs/{{jobId}}", (PERMISSION,)
        return (
            Operation(
                "postAnalyticsConversationsDetailsQuery", "POST", f"{PATH}/query", "analytics", self._query, needs
            ),
            Operation("postAnalyticsConversationsDetailsJobs", "POST", jobs, "analytics", self._submit, needs),
            Operation("getAnalyticsConversationsDetailsJob", "GET", job, "analytics", self._status, needs),
            Operation(
                "getAnalyticsConversationsDetailsJobResults", "GET", f"{job}/results", "analytics", self._results, needs
            ),
            Operation(
                "getAnalyticsConversationsDetailsJobsAvailability",
                "GET",
                f"{jobs}/availability",
                "analytics",
                self._availability,
                needs,
            ),
        )

    def forget(self) -> None:
        """Forget every job, as a restart of the service would."""
        self._jobs.clear()

    def _query(self, call: Call) -> Reply:
        body = call.json_object()
        begin, end = interval(body.get("interval"))
        if end - begin > self._settings.max_interval_days * DAY:
            raise Refused("bad.request")
        size, page = _paging(body.pop("paging", None), self._settings.default_page_size)
        if size > self._settings.max_page_size:
            raise Refused("invalid.value", size, "pageSize", f"1 to {self._settings.max_page_size}")
        # A conversation of the query can have started on these days.
        first_day, last_day = begin // DAY * DAY, (end + DAY - 1) // DAY * DAY
        if self._last[0] != body:
            self._last = body, self._hits(body, begin, end, started=(first_day, last_day))
        hits = self._last[1]
        shown = [self._described(index) for index in hits[(page - 1) * size : page * size]]
        reply: dict[str, object] = {"totalHits": len(hits)}
        if shown or self._settings.empty_page == "empty":
            reply = {"conversations": shown, **reply}
        return call.reply(reply)

    def _submit(self, call: Call) -> Reply:
        body = call.json_object()
        begin, end = interval(body.get("interval"))
        for job_id, job in list(self._jobs.items()):
            if call.now >= job.submitted_at + JOB_LIFETIME:
                del self._jobs[job_id]
        known_until = call.wall - self._settings.job_data_delay
        hits = self._hits(body, begin, min(end, known_until), started=(-DAY, known_until))
        job_id = random_uuid(self._rng)
        self._jobs[job_id] = _Job(call.now, call.wall, hits)
        return call.reply({"jobId": job_id}, status=self._settings.submit_status)

    def _status(self, call: Call) -> Reply:
        job = self._job(call)
        state = self._state(job, call.now)
        body = {
            "state": state,
            "submissionDate": iso(job.submitted_wall),
            "expirationDate": iso(job.submitted_wall + JOB_LIFETIME),
        }
        if state == "FAILED":
            body["errorMessage"] = "The query could not be run"
        if state not in ("QUEUED", "PENDING"):
            body["completionDate"] = iso(job.submitted_wall + self._settings.job_seconds)
        return call.reply(body)

    def _results(self, call: Call) -> Reply:
        job = self._job(call)
        size = min(call.positive("pageSize", self._settings.max_job_page_size), self._settings.max_job_page_size)
        if self._state(job, call.now) != "FULFILLED":
            raise Refused("bad.request")
        start = _start(call.text("cursor", ""), call.ids[0], len(job.indexes))
        shown = [self._described(index) for index in job.indexes[start : start + size]]
        body: dict[str, object] = {"conversations": shown} if shown or self._settings.empty_page == "empty" else {}
        body["dataAvailabilityDate"] = iso(job.submitted_wall - self._settings.job_data_delay)
        if start + size < len(job.indexes):
            body["cursor"] = f"{call.ids[0]}.{start + size}"
        return call.reply(body)

    def _availability(self, call: Call) -> Reply:
        return call.reply({"dataAvailabilityDate": iso(call.wall - self._settings.job_data_delay)})

    def _job(self, call: Call) -> _Job:
        job = self._jobs.get(call.ids[0])
        if job is None:
            raise Refused("not.found")
        return job

    def _state(self, job: _Job, now: float) -> str:
        elapsed, duration = now - job.submitted_at, self._settings.job_seconds
        if elapsed >= duration:
            return self._settings.job_end
        return "QUEUED" if elapsed < duration / 4 else "PENDING"

    def _hits(self, body: dict[str, object], begin: float, end: float, *, started: tuple[float, float]) -> array[int]:
        """Return the positions of the conversations that were active in an interval, filtered and in order."""
        by_conversation = compile_filters(body.get("conversationFilters"), self._dimensions)
        by_segment = compile_filters(body.get("segmentFilters"), SEGMENT_DIMENSIONS)
        order = body.get("order") or "asc"
        by_end = _ENDS.get(str(body.get("orderBy") or "conversationStart"))
        if by_end is None or order not in _ORDERS:
            raise Refused("bad.request")
        candidates = map(
            self._organization.conversation_at,
            self._organization.indexes_started_between(begin - MAX_CONVERSATION_SECONDS, end),
        )
        hits = [
            conversation
            for conversation in candidates
            if conversation.started_at < end
            and conversation.ended_at >= begin
            and started[0] <= conversation.started_at < started[1]
            and by_conversation(conversation)
            and by_segment(conversation)
        ]
        if by_end:
            hits.sort(key=lambda conversation: conversation.ended_at)
        if order == "desc":
            hits.reverse()
        return array("q", (conversation.index for conversation in hits))

    def _described(self, index: int) -> dict[str, object]:
        conversation = self._organization.conversation_at(index)
        begin, end = iso(conversation.started_at), iso(conversation.ended_at)
        segment = {
            "segmentStart": begin,
            "segmentEnd": end,
            "segmentType": "interact",
            "queueId": conversation.queue_id,
            "conference": False,
        }
        session = {
            "sessionId": conversation.communication_id,
            "mediaType": SESSION_MEDIA[conversation.media],
            "direction": conversation.direction,
            "recording": conversation.recording_count > 0,
            "segments": [segment],
        }
        participant = {
            "participantId": self._organization.participant_id(conversation),
            "purpose": "agent",
            "sessions": [session],
        }
        return {
            "conversationId": conversation.id,
            "conversationStart": begin,
            "conversationEnd": end,
            "originatingDirection": conversation.direction,
            "divisionIds": [self._organization.division_id],
            "participants": [participant],
        }


def _paging(value: object, default: int) -> tuple[int, int]:
    if value is None:
        return default, 1
    if not isinstance(value, dict):
        raise Refused("bad.request")
    fields = cast("dict[str, object]", value)
    return _whole(fields.get("pageSize"), "pageSize", default), _whole(fields.get("pageNumber"), "pageNumber", 1)


def _whole(value: object, name: str, default: int) -> int:
    if value is None:
        return default
    # A bool is an int to Python and not to JSON.
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Refused("invalid.value", value, name, "1 and more")
    return value


def _start(cursor: str, job_id: str, hits: int) -> int:
    """Return the position of a cursor, which is valid for its own job only."""
    if not cursor:
        return 0
    owner, _, position = cursor.rpartition(".")
    # More digits than any position has; int() refuses very many.
    readable = position.isascii() and position.isdigit() and len(position) < 20
    if owner != job_id or not readable or int(position) >= hits:
        raise Refused("bad.request")
    return int(position)
