"""
Which conversations there were: an interval and filters in, conversation ids out, a page at a time.

    query   POST /api/v2/analytics/conversations/details/query, page by page: quick, and right up to now
    job     POST /api/v2/analytics/conversations/details/jobs, results by a cursor: for many conversations

A job knows nothing of the latest hours, which Genesys has not made available to jobs yet; the query is asked for those.
The OAuth client needs the permission `analytics:conversationDetail:view`.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, count, repeat
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypedDict, TypeVar, cast, get_args
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from ..api.calls import Call
from ..api.retry import RetryBudget, curve
from ..endpoints.base import read_json
from ..errors import (
    DeadlineExceededError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    SettingsError,
    sanitized,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from ..retrieval.session import Engine
    from ..settings.settings import Settings
    from ..transports.base import HttpReply

T = TypeVar("T")

PATH: Final = "/api/v2/analytics/conversations/details"
PERMISSION: Final = "analytics:conversationDetail:view"
DAY: Final = timedelta(days=1)

MAX_QUERY: Final = timedelta(days=31)
"""With a filter, as there always is one: https://developer.genesys.cloud/analyticsdatamanagement/analytics/detail/ ."""

QUERY_PAGE: Final = 100
JOB_PAGE: Final = 500
MAX_PAGE: Final = 64 * 1024 * 1024
"""Bytes; a conversation comes with all its participants, sessions and segments, and only some of it is kept."""

MAX_QUERIED: Final = 2_000
"""With more conversations than that, a job takes fewer requests than the query's pages."""

MAX_REMEMBERED: Final = 100_000
"""Conversations known to go on after a part of the interval, which will be met again; a bound for the memory."""

JOB_PAUSES: Final = curve(1.0, 15.0)
JOB_TIMEOUT: Final = 1_800.0

Interval = tuple[datetime, datetime]
Direction = Literal["inbound", "outbound"]
Way = Literal["auto", "query", "job"]


class DiscoveryOptions(TypedDict, total=False):
    """
    Which conversations are wanted, and how to find them.

    `queues` and `divisions` are ids, `media` Genesys's media types (voice, chat, email, message, callback, …): one of
    each must fit. Without `media`, and of voice alone, only recorded calls are meant; of other media Genesys does not
    say beforehand whether they were recorded. `direction` is that of the conversation. `segment_filters` and
    `conversation_filters` are further filters as Genesys's API has them (`type`, `predicates`, `clauses`), all of which
    must fit. `by` decides between the query and a job; "auto" takes the query for up to 31 days with few conversations,
    and a job otherwise.
    """

    queues: Sequence[str]
    media: Sequence[str]
    direction: Direction | None
    divisions: Sequence[str]
    segment_filters: Sequence[Mapping[str, object]]
    conversation_filters: Sequence[Mapping[str, object]]
    by: Way


_Id = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class _Session(_Shape):
    recording: bool | None = None


class _Participant(_Shape):
    sessions: list[_Session] | None = None


class _Conversation(_Shape):
    conversationId: _Id  # noqa: N815
    conversationStart: AwareDatetime | None = None  # noqa: N815
    conversationEnd: AwareDatetime | None = None  # noqa: N815
    participants: list[_Participant] | None = None

    def was_active(self, begin: datetime, end: datetime) -> bool:
        """Whether it touches an interval; a query also finds what was over before, on the interval's first day."""
        starts, ends = self.conversationStart, self.conversationEnd
        return (starts is None or starts < end) and (ends is None or ends >= begin)

    def says_it_was_not_recorded(self) -> bool:
        """Whether its sessions tell of recordings, and none has one."""
        sessions = (session for each in self.participants or () for session in each.sessions or ())
        told = [session.recording for session in sessions if session.recording is not None]
        return bool(told) and not any(told)


class _Page(_Shape):
    conversations: list[_Conversation] | None = None
    totalHits: int = 0  # noqa: N815
    cursor: str | None = None


class _Submitted(_Shape):
    jobId: _Id  # noqa: N815


class _Status(_Shape):
    state: str
    errorMessage: str | None = None  # noqa: N815


class _Availability(_Shape):
    dataAvailabilityDate: AwareDatetime | None = None  # noqa: N815


_PAGE, _SUBMITTED = TypeAdapter(_Page), TypeAdapter(_Submitted)
_STATUS, _AVAILABILITY = TypeAdapter(_Status), TypeAdapter(_Availability)


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    An interval and filters that have been checked, with the body that asks for them.

    With `recorded_only`, what says that it was not recorded is left out.
    """

    begin: datetime
    end: datetime
    filters: Mapping[str, Sequence[Mapping[str, object]]]
    recorded_only: bool
    by: Way

    def body(self, begin: datetime, end: datetime, **more: object) -> bytes:
        """Return the JSON that asks for a part of the interval."""
        order = {"order": "asc", "orderBy": "conversationStart"}
        return json.dumps({"interval": _interval(begin, end), **order, **self.filters, **more}).encode()


def wanted(interval: Interval, options: DiscoveryOptions, *, now: datetime) -> Wanted:
    """Return what is wanted. Raises `SettingsError` for an interval or a filter that cannot be."""
    begin, end = _ends(interval, now)
    media, direction = _texts("media", options.get("media", ())), options.get("direction")
    if direction is not None and direction not in get_args(Direction):
        raise SettingsError(
            f"direction is {direction!r}.", advice=f"It is {' or '.join(get_args(Direction))}, or None."
        )
    by = options.get("by", "auto")
    if by not in get_args(Way):
        raise SettingsError(f"by is {by!r}.", advice=f"It is one of {', '.join(get_args(Way))}.")
    recorded_only = set(media) <= {"voice"}
    segments: list[Mapping[str, object]] = [
        _any_of("queueId", _texts("queues", options.get("queues", ()))),
        _any_of("mediaType", media),
        _exists("recording") if recorded_only else {},
        *options.get("segment_filters", ()),
    ]
    conversations: list[Mapping[str, object]] = [
        _any_of("divisionId", _texts("divisions", options.get("divisions", ()))),
        _any_of("originatingDirection", () if direction is None else (direction,)),
        *options.get("conversation_filters", ()),
    ]
    filters = {
        "segmentFilters": [each for each in segments if each],
        "conversationFilters": [each for each in conversations if each],
    }
    try:
        json.dumps(filters)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"The filters are no JSON: {error}.", advice="Write them as Genesys's API has them."
        ) from None
    filters = {name: listed for name, listed in filters.items() if listed}
    return Wanted(begin, end, filters, recorded_only=recorded_only, by=by)


class Discovery:
    """Finds the conversations of an interval, once."""

    def __init__(self, engine: Engine, settings: Settings, what: Wanted) -> None:
        self._engine = engine
        self._start_patience = settings.start_timeout
        self._deadline = settings.deadline
        self._budget = RetryBudget(settings.retry.budget)
        self._wanted = what
        self._going_on: dict[str, None] = {}

    async def ids(self) -> AsyncGenerator[str]:
        """
        Yield each conversation's id.

        Raises what `Retrieval` raises for a missing token, and the error that remained of a request.
        """
        await self._engine.first_token(self._start_patience)
        async for page, begin, end in self._pages():
            for conversation_id in self._new_in(page, begin, end):
                yield conversation_id

    async def _pages(self) -> AsyncGenerator[tuple[_Page, datetime, datetime]]:
        """Yield pages, each with the ends of the part of the interval that it is of."""
        what, begin = self._wanted, self._wanted.begin
        first = await self._first_page_of_few()
        if first is None and what.by != "query":
            known_until = min(what.end, await self._ask("GET", f"{PATH}/jobs/availability", _available, "availability"))
            if known_until > begin:
                async for page in self._job_pages(begin, known_until):
                    yield page, begin, known_until
                begin = known_until
        while begin < what.end:
            end = what.end
            if end - begin > MAX_QUERY:
                # The next part begins with a day, since a query finds all that began on a day that it touches.
                end = _midnight(begin + MAX_QUERY)
            async for page in self._query_pages(begin, end, first):
                yield page, begin, end
            begin = end

    async def _first_page_of_few(self) -> _Page | None:
        """Return the query's first page if it is the better way, and None if it is not, or if a way was named."""
        what = self._wanted
        if what.by != "auto" or what.end - what.begin > MAX_QUERY:
            return None
        page = await self._query(what.begin, what.end, 1)
        return page if page.totalHits <= MAX_QUERIED else None

    async def _query_pages(self, begin: datetime, end: datetime, first: _Page | None) -> AsyncGenerator[_Page]:
        for number in count(1):
            page = first if number == 1 and first is not None else await self._query(begin, end, number)
            yield page
            if not page.conversations or number * QUERY_PAGE >= page.totalHits:
                return

    async def _query(self, begin: datetime, end: datetime, number: int) -> _Page:
        body = self._wanted.body(begin, end, paging={"pageSize": QUERY_PAGE, "pageNumber": number})
        return await self._ask("POST", f"{PATH}/query", _read_page, _interval(begin, end), body=body)

    async def _job_pages(self, begin: datetime, end: datetime) -> AsyncGenerator[_Page]:
        body, subject = self._wanted.body(begin, end), _interval(begin, end)
        # A lost answer may leave a job behind that nobody asks for, which does no harm.
        job_id = (await self._ask("POST", f"{PATH}/jobs", _read_submitted, subject, body=body)).jobId
        await self._job_done(job_id)
        cursor = ""
        while True:
            path = f"{PATH}/jobs/{job_id}/results?pageSize={JOB_PAGE}"
            page = await self._ask(
                "GET", path + (f"&cursor={quote(cursor, safe='')}" if cursor else ""), _read_page, job_id
            )
            yield page
            if not page.cursor:
                return
            if page.cursor == cursor:
                raise InvalidResponseError(
                    "The job's results lead in a circle.", code="cursor_repeats", retryable=False
                )
            cursor = page.cursor

    async def _job_done(self, job_id: str) -> None:
        waited = 0.0
        for pause in chain(JOB_PAUSES, repeat(JOB_PAUSES[-1])):
            await self._engine.clock.sleep(pause)
            waited += pause
            status = await self._ask("GET", f"{PATH}/jobs/{job_id}", _read_status, job_id)
            if status.state == "FULFILLED":
                return
            if status.state in {"FAILED", "CANCELLED", "EXPIRED"}:
                why = sanitized(status.errorMessage or "no reason given")
                raise InternalServerError(
                    f"The analytics job {job_id} is {status.state}: {why}.",
                    code="discovery_job_failed",
                    advice='Run it again; if it stays, take the query, with by="query", or a shorter interval.',
                )
            if waited >= JOB_TIMEOUT:
                raise DeadlineExceededError(
                    f"The analytics job {job_id} was {sanitized(status.state, 40)} after {waited:.0f} s.",
                    code="discovery_job_never_completed",
                    advice='Run it again later, with by="query", or for a shorter interval.',
                )

    async def _ask(
        self, method: str, path: str, read: Callable[[HttpReply, float], T], subject: str, *, body: bytes = b""
    ) -> T:
        engine = self._engine
        call = Call(method, path, body, subject, "discovery", read, max_reply_size=MAX_PAGE)
        answer = await engine.api.call(call, deadline=self._deadline, budget=self._budget, counters=engine.counters)
        if answer.value is not None:
            return answer.value
        error = answer.error or RuntimeError(f"{call!r} came to nothing")
        if isinstance(error, PermissionDeniedError):
            error.advice = f"Give the OAuth client a role with the permission {PERMISSION}; a new token is not needed."
        elif isinstance(error, NotFoundError) and "/jobs/" in path:
            error.retryable = True
            error.advice = "The job is lost, as after a restart of the service; run it again."
        raise error

    def _new_in(self, page: _Page, begin: datetime, end: datetime) -> list[str]:
        """Return what a page of a part of the interval adds, and remember what will be met in the next part."""
        new: list[str] = []
        for conversation in page.conversations or ():
            if not conversation.was_active(begin, end) or (
                self._wanted.recorded_only and conversation.says_it_was_not_recorded()
            ):
                continue
            conversation_id = conversation.conversationId
            if conversation_id not in self._going_on:
                new.append(conversation_id)
            ends = conversation.conversationEnd
            if end < self._wanted.end and (ends is None or ends >= end):
                self._going_on[conversation_id] = None
                if len(self._going_on) > MAX_REMEMBERED:
                    del self._going_on[next(iter(self._going_on))]
        return new


def _ends(interval: object, now: datetime) -> tuple[datetime, datetime]:
    match interval:
        case (datetime() as begin, datetime() as end) if begin.utcoffset() is not None and end.utcoffset() is not None:
            begin, end = begin.astimezone(UTC), end.astimezone(UTC)
        case _:
            raise SettingsError(
                f"The interval is {sanitized(repr(interval), 160)}.",
                advice="It has to be two datetimes with zones, as in datetime(2026, 1, 2, tzinfo=UTC).",
            )
    if begin >= now:
        raise SettingsError(
            f"The interval begins at {begin}, which is in the future.", advice="Name one that has begun already."
        )
    if begin >= end:
        raise SettingsError(
            f"The interval begins at {begin} and ends at {end}.", advice="Its end has to be after its beginning."
        )
    # Not just now, since this machine's clock may be behind.
    return begin, min(end, now + DAY)


def _texts(name: str, given: object) -> tuple[str, ...]:
    shown = sanitized(repr(given), 160)
    texts = tuple(cast("Collection[object]", given)) if isinstance(given, Collection) else (None,)
    # A text is made of texts, too, which nobody means.
    if isinstance(given, str) or not all(isinstance(each, str) and each.strip() for each in texts):
        raise SettingsError(f"{name} is {shown}.", advice="It has to be a list of texts, none of them empty.")
    return cast("tuple[str, ...]", texts)


def _any_of(dimension: str, values: Sequence[str]) -> Mapping[str, object]:
    """Return the filter that one of the values fits; empty without any."""
    predicates = [
        {"type": "dimension", "dimension": dimension, "operator": "matches", "value": each} for each in values
    ]
    return {"type": "or", "predicates": predicates} if predicates else {}


def _exists(dimension: str) -> Mapping[str, object]:
    return {"type": "or", "predicates": [{"type": "dimension", "dimension": dimension, "operator": "exists"}]}


def _interval(begin: datetime, end: datetime) -> str:
    texts = (moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") for moment in (begin, end))
    return "/".join(texts)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _read_page(reply: HttpReply, _: float) -> _Page:
    return read_json(_PAGE, reply)


def _read_submitted(reply: HttpReply, _: float) -> _Submitted:
    return read_json(_SUBMITTED, reply)


def _read_status(reply: HttpReply, _: float) -> _Status:
    return read_json(_STATUS, reply)


def _available(reply: HttpReply, sent_at: float) -> datetime:
    said = read_json(_AVAILABILITY, reply).dataAvailabilityDate
    return (said or datetime.fromtimestamp(sent_at, UTC)).astimezone(UTC)
