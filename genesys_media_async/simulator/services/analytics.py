"""
Conversation details of analytics: queried page by page, or by a job whose results are read with a cursor.

A query finds the conversations that started on a day (in UTC) that its interval touches, whether or not they were
active in it; a job finds those that were active in its interval, whenever they started, and with
`startOfDayIntervalMatching` only those of them that started on its first day or later. So say the fields `interval` and
`startOfDayIntervalMatching` of `ConversationQuery` and `AsyncConversationQuery` in the official SDK, and
https://developer.genesys.cloud/analyticsdatamanagement/analytics/detail/ : conversations are kept in one index for each
day on which they start. Adjacent intervals share what was active at both. Neither knows what happens later: a
conversation in progress has no end, and a job sees it as it was when the data lake got its last data.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from ..operations import Call, Operation, Refused
from ..organization import DAY
from ..seeded_ids import random_uuid
from .filters import SESSION_MEDIA, Known, compile_filters, conversation_vocabulary, segment_vocabulary
from .permissions import CONVERSATION_DETAIL_PERMISSION, DETAIL_PERMISSIONS
from .times import interval, iso

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from ..messages import Reply
    from ..organization import Organization
    from ..settings import SimulatorSettings

PATH = "/api/v2/analytics/conversations/details"
JOB_LIFETIME = DAY

_ORDERS = ("asc", "desc", "unordered")
_ENDS = {"conversationEnd": True, "segmentEnd": True, "conversationStart": False, "segmentStart": False}


@dataclass(frozen=True, slots=True)
class _Job:
    """A details job: its submission by both clocks, until when it has data, and the conversations in its results."""

    submitted_at: float
    submitted_wall: float
    known_until: float
    indexes: array[int] = field(repr=False)


class Analytics:
    """Answers details queries and runs details jobs; it keeps the hits of the last query for its next page."""

    def __init__(self, settings: SimulatorSettings, organization: Organization, rng: random.Random) -> None:
        self._settings = settings.analytics
        self._organization = organization
        self._rng = rng
        self._jobs: dict[str, _Job] = {}
        self._last: tuple[object, array[int]] = (None, array("q"))
        self._conversations = conversation_vocabulary(organization)
        self._segments = segment_vocabulary(organization)

    def __repr__(self) -> str:
        return f"<Analytics: {len(self._jobs)} jobs>"

    def operations(self) -> tuple[Operation, ...]:
        """Return the family's operations."""
        jobs, job, needs = f"{PATH}/jobs", f"{PATH}/jobs/{{jobId}}", DETAIL_PERMISSIONS
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
                all_of=(CONVERSATION_DETAIL_PERMISSION,),
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
        started = begin // DAY * DAY, min(math.ceil(end / DAY) * DAY, call.wall)
        active = (begin, end) if self._settings.query_finds == "start-day-and-activity" else started
        # The pages of one query are of one moment.
        if self._last[0] != body or page == 1:
            self._last = body, self._hits(body, active, started=started, as_of=call.wall)
        hits = self._last[1]
        shown = [self._described(index, call.wall) for index in hits[(page - 1) * size : page * size]]
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
        narrowed = body.get("startOfDayIntervalMatching") or False
        if not isinstance(narrowed, bool):
            raise Refused("bad.request")
        started = begin // DAY * DAY if narrowed else -math.inf, known_until
        hits = self._hits(body, (begin, min(end, known_until)), started=started, as_of=known_until)
        job_id = random_uuid(self._rng)
        if not self._settings.jobs_are_ordered:
            # By the checksum of an id, which has nothing to do with time.
            hits = array("q", sorted(hits, key=lambda index: self._organization.conversation_at(index).id[-8:]))
        self._jobs[job_id] = _Job(call.now, call.wall, known_until, hits)
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
        shown = [self._described(index, job.known_until) for index in job.indexes[start : start + size]]
        body: dict[str, object] = {"conversations": shown} if shown or self._settings.empty_page == "empty" else {}
        body["dataAvailabilityDate"] = iso(job.known_until)
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

    def _hits(
        self, body: dict[str, object], active: tuple[float, float], *, started: tuple[float, float], as_of: float
    ) -> array[int]:
        """Return the positions of the conversations, filtered and in order, as they were known at a time."""
        by_conversation = compile_filters(body.get("conversationFilters"), self._conversations)
        by_segment = compile_filters(body.get("segmentFilters"), self._segments)
        order = body.get("order") or "asc"
        by_end = _ENDS.get(str(body.get("orderBy") or "conversationStart"))
        if by_end is None or order not in _ORDERS:
            raise Refused("bad.request")
        (begin, end), (first, last) = active, started
        earliest = max(first, begin - self._organization.longest_seconds)
        candidates = self._organization.indexes_started_between(earliest, min(end, last))
        hits = [
            known
            for known in (self._known(index, as_of) for index in candidates)
            if first <= known.conversation.started_at < min(end, last)
            and known.conversation.ended_at >= begin
            and by_conversation(known)
            and by_segment(known)
        ]
        if by_end:
            hits.sort(key=lambda known: known.conversation.ended_at)
        if order == "desc":
            hits.reverse()
        return array("q", (known.conversation.index for known in hits))

    def _known(self, index: int, as_of: float) -> Known:
        conversation = self._organization.conversation_at(index)
        return Known(conversation, conversation.ended_at if conversation.ended_at <= as_of else None)

    def _described(self, index: int, as_of: float) -> dict[str, object]:
        known = self._known(index, as_of)
        conversation, handling = known.conversation, self._organization.handling_of(known.conversation)
        begin, end = iso(conversation.started_at), None if known.ended_at is None else iso(known.ended_at)
        segment = {
            "segmentStart": begin,
            "segmentEnd": end,
            "segmentType": "interact",
            "queueId": conversation.queue_id,
            "requestedLanguageId": handling.language_id,
            "wrapUpCode": handling.wrap_up_code,
            "conference": False,
        }
        session = {
            "sessionId": conversation.communication_id,
            "mediaType": SESSION_MEDIA[conversation.media],
            "direction": conversation.direction,
            "ani": handling.ani,
            "dnis": handling.dnis,
            "recording": conversation.recording_count > 0,
            "flow": None if handling.flow_id is None else {"flowId": handling.flow_id},
            "segments": [_present(segment)],
        }
        participant = {
            "participantId": self._organization.participant_id(conversation),
            "purpose": "agent",
            "userId": handling.user_id,
            "sessions": [_present(session)],
        }
        described = {
            "conversationId": conversation.id,
            "conversationStart": begin,
            "conversationEnd": end,
            "originatingDirection": conversation.direction,
            "divisionIds": [self._organization.division_id],
            "participants": [participant],
        }
        return _present(described)


def _present(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


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
