"""Which conversations are wanted: an interval and filters, checked, and the body that asks for them. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypedDict, cast, get_args

from ..errors import SettingsError, sanitized
from .raw_filters import first_fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .parts import Part

DAY: Final = timedelta(days=1)
DEFAULT_LOOK_BACK_DAYS: Final = 7
MAX_LOOK_BACK_DAYS: Final = 3_660
MAX_DURATION: Final = MAX_LOOK_BACK_DAYS * 86_400.0

SEGMENT_DIMENSIONS: Final = {
    "queues": "queueId",
    "media": "mediaType",
    "users": "userId",
    "ani": "ani",
    "dnis": "dnis",
    "wrap_up_codes": "wrapUpCode",
    "flows": "flowId",
    "languages": "requestedLanguageId",
}
"""The lists that are filters of segments, with their dimensions in Genesys's API."""

Interval: TypeAlias = tuple[datetime, datetime]
"""Begin and end, both with zones."""

Direction = Literal["inbound", "outbound"]
Way = Literal["auto", "query", "job"]


class DiscoveryOptions(TypedDict, total=False):
    """
    Filters of a search, and the way to make it.

    Filters by id, as Genesys has them: `queues`, `divisions`, `users` (agents), `wrap_up_codes`, `flows`, `languages`
    (those requested of the routing). Names are not resolved, and an id that does not exist matches nothing. `ani` and
    `dnis` are the numbers of a call as analytics writes them, such as tel:+493012345, and must be whole. `media` are
    Genesys's media types (voice, chat, email, message, callback, …). One value of each list must match. Without
    `media`, and for voice alone, only recorded calls are found; for other media Genesys does not say beforehand whether
    they were recorded. `direction` is that of the conversation. `min_duration` and `max_duration` are seconds from its
    start to its end, both inclusive; a conversation in progress has no duration yet and is not found by them.
    `segment_filters` and `conversation_filters` are further filters as in Genesys's API (`type`, `predicates`,
    `clauses`). A conversation must match everything.

    `by` decides between query and job. A "query" is immediate, but sees only what started on the days of the interval
    and on `look_back_days` days before it: a conversation that is older, and was still active in the interval, is not
    found. A "job" sees everything that was active, as far as the data lake of jobs has data; the rest of the interval
    is queried, and where jobs have no data of the interval at all, the query is all there is. "auto" makes a job, too,
    unless the query sees everything, because `max_duration` is within the look-back, and finds few. The look-back is 7
    days if it is not given: hardly a message, e-mail or callback lasts longer, and each day more costs few requests,
    since only what was still active is asked for.
    """

    queues: Sequence[str]
    media: Sequence[str]
    direction: Direction | None
    divisions: Sequence[str]
    users: Sequence[str]
    ani: Sequence[str]
    dnis: Sequence[str]
    wrap_up_codes: Sequence[str]
    flows: Sequence[str]
    languages: Sequence[str]
    min_duration: float | None
    max_duration: float | None
    segment_filters: Sequence[Mapping[str, object]]
    conversation_filters: Sequence[Mapping[str, object]]
    look_back_days: int
    by: Way


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    A checked interval with checked filters, and the request bodies for it.

    With `recorded_only`, conversations whose reply says that they were not recorded are left out. `horizon` is after
    all that can be known now. With `is_within_look_back`, no wanted conversation began before the look-back.
    """

    begin: datetime
    end: datetime
    filters: Mapping[str, Sequence[Mapping[str, object]]]
    recorded_only: bool
    by: Way
    look_back: timedelta
    horizon: datetime
    is_within_look_back: bool = False

    def job_body(self, begin: datetime, end: datetime) -> bytes:
        """Return the JSON body of a job for a part of the interval."""
        return self._body(interval_text(begin, end), self.filters)

    def query_body(self, part: Part, *, page_size: int, page_number: int) -> bytes:
        """Return the JSON body of a query for one page of a part."""
        filters = self.filters
        if part.active_since is not None:
            still_active = _ends_in(part.active_since, self.horizon)
            filters = {**filters, "segmentFilters": [*filters.get("segmentFilters", ()), still_active]}
        paging = {"pageSize": page_size, "pageNumber": page_number}
        return self._body(interval_text(part.begin, part.end), filters, paging=paging)

    def _body(self, interval: str, filters: Mapping[str, object], **more: object) -> bytes:
        order = {"order": "asc", "orderBy": "conversationStart"}
        return json.dumps({"interval": interval, **order, **filters, **more}).encode()


def wanted(interval: Interval, options: DiscoveryOptions, *, now: datetime) -> Wanted:
    """Check an interval and filters. Raises `SettingsError` for one that cannot work."""
    begin, end = _ends(interval, now)
    by: Way = options.get("by", "auto")
    _check_choice("by", by, get_args(Way))
    direction = options.get("direction")
    if direction is not None:
        _check_choice("direction", direction, get_args(Direction))
    media = _texts("media", options.get("media", ()))
    recorded_only = set(media) <= {"voice"}
    shortest, longest = _durations(options.get("min_duration"), options.get("max_duration"))
    look_back = _look_back(options.get("look_back_days", DEFAULT_LOOK_BACK_DAYS))
    segments: list[Mapping[str, object]] = [
        *(_any_of(dimension, _texts(name, options.get(name, ()))) for name, dimension in SEGMENT_DIMENSIONS.items()),
        _exists("recording") if recorded_only else {},
        *_raw("segment_filters", options.get("segment_filters", ())),
    ]
    conversations: list[Mapping[str, object]] = [
        _any_of("divisionId", _texts("divisions", options.get("divisions", ()))),
        _any_of("originatingDirection", () if direction is None else (direction,)),
        _lasts(shortest, longest),
        *_raw("conversation_filters", options.get("conversation_filters", ())),
    ]
    listed = {
        "segmentFilters": [each for each in segments if each],
        "conversationFilters": [each for each in conversations if each],
    }
    return Wanted(
        begin,
        end,
        {name: filters for name, filters in listed.items() if filters},
        recorded_only=recorded_only,
        by=by,
        look_back=look_back,
        horizon=max(now, end) + DAY,
        is_within_look_back=longest is not None and timedelta(seconds=longest) <= look_back,
    )


def _check_choice(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise SettingsError(f"{name} is {sanitized(repr(given), 80)}.", advice=f"It is one of {', '.join(known)}.")


def _durations(shortest: object, longest: object) -> tuple[float | None, float | None]:
    for name, given in (("min_duration", shortest), ("max_duration", longest)):
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        if given is not None and not (is_number and 0 <= cast("float", given) <= MAX_DURATION):
            raise SettingsError(
                f"{name} is {sanitized(repr(given), 80)}.", advice=f"It must be seconds, from 0 to {MAX_DURATION:.0f}."
            )
    ends = cast("tuple[float | None, float | None]", (shortest, longest))
    if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
        raise SettingsError(
            f"min_duration is {ends[0]:g} and max_duration {ends[1]:g}.", advice="The minimum must be the smaller one."
        )
    return ends


def _look_back(days: object) -> timedelta:
    if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= MAX_LOOK_BACK_DAYS:
        raise SettingsError(
            f"look_back_days is {sanitized(repr(days), 80)}.",
            advice=f"It must be a whole number from 0 to {MAX_LOOK_BACK_DAYS}.",
        )
    return timedelta(days=days)


def _raw(name: str, filters: object) -> Sequence[Mapping[str, object]]:
    fault = first_fault(filters, name)
    if fault is not None:
        raise SettingsError(str(fault), advice="Write the filters as in Genesys's API.")
    return cast("Sequence[Mapping[str, object]]", filters)


def _ends(interval: object, now: datetime) -> tuple[datetime, datetime]:
    match interval:
        case (datetime() as begin, datetime() as end) if begin.utcoffset() is not None and end.utcoffset() is not None:
            begin, end = begin.astimezone(UTC), end.astimezone(UTC)
        case _:
            raise SettingsError(
                f"The interval is {sanitized(repr(interval), 160)}.",
                advice="It must be two datetimes with zones, as in datetime(2026, 1, 2, tzinfo=UTC).",
            )
    if begin >= now:
        raise SettingsError(
            f"The interval begins at {begin}, which is in the future.", advice="Name one that has already begun."
        )
    if begin >= end:
        raise SettingsError(
            f"The interval begins at {begin} and ends at {end}.", advice="Its end must be after its beginning."
        )
    # Not exactly now, since this machine's clock may be behind.
    return begin, min(end, now + DAY)


def _texts(name: str, given: object) -> tuple[str, ...]:
    shown = sanitized(repr(given), 160)
    texts = tuple(cast("Collection[object]", given)) if isinstance(given, Collection) else (None,)
    # A string is a collection of strings, too, which nobody means.
    if isinstance(given, str) or not all(isinstance(each, str) and each.strip() for each in texts):
        raise SettingsError(f"{name} is {shown}.", advice="It must be a list of strings, none of them empty.")
    return cast("tuple[str, ...]", texts)


def _any_of(dimension: str, values: Sequence[str]) -> Mapping[str, object]:
    """Return a filter that matches any of the values; empty without values."""
    predicates = [
        {"type": "dimension", "dimension": dimension, "operator": "matches", "value": each} for each in values
    ]
    return {"type": "or", "predicates": predicates} if predicates else {}


def _exists(dimension: str) -> Mapping[str, object]:
    """Return a filter of conversations that have a dimension."""
    return {"type": "or", "predicates": [{"type": "dimension", "dimension": dimension, "operator": "exists"}]}


def _ends_in(begin: datetime, end: datetime) -> Mapping[str, object]:
    """
    Return a filter of conversations that were active between two times, or still are.

    The value of `segmentEnd` is an interval, and a segment in progress has none: so field exporters find conversations
    of earlier days.
    """
    segment_end = {"type": "dimension", "dimension": "segmentEnd"}
    ended = {**segment_end, "operator": "matches", "value": interval_text(begin, end)}
    return {"type": "or", "predicates": [ended, {**segment_end, "operator": "notExists"}]}


def _lasts(shortest: float | None, longest: float | None) -> Mapping[str, object]:
    """Return a filter by duration in seconds; empty without one. Genesys has milliseconds."""
    bounds = {
        name: round(seconds * 1000) for name, seconds in (("gte", shortest), ("lte", longest)) if seconds is not None
    }
    predicate = {"type": "metric", "metric": "tConversationDuration", "range": bounds}
    return {"type": "and", "predicates": [predicate]} if bounds else {}


def interval_text(begin: datetime, end: datetime) -> str:
    """Return an interval as in Genesys's API."""
    texts = (moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") for moment in (begin, end))
    return "/".join(texts)
