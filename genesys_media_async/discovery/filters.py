"""Which conversations are wanted: an interval and filters, checked, and the body that asks for them. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypedDict, cast, get_args

from ..errors import SettingsError, sanitized

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DAY: Final = timedelta(days=1)

Interval: TypeAlias = tuple[datetime, datetime]
"""Begin and end, both with zones."""

Direction = Literal["inbound", "outbound"]
Way = Literal["auto", "query", "job"]


class DiscoveryOptions(TypedDict, total=False):
    """
    Filters of a search, and the way to make it.

    `queues` and `divisions` are ids, `media` Genesys's media types (voice, chat, email, message, callback, …): one of
    each must match. Without `media`, and for voice alone, only recorded calls are found; for other media Genesys does
    not say beforehand whether they were recorded. `direction` is that of the conversation. `segment_filters` and
    `conversation_filters` are further filters as in Genesys's API (`type`, `predicates`, `clauses`), all of which must
    match. `by` decides between the query and a job; "auto" uses the query for up to 31 days with few conversations,
    and a job otherwise.
    """

    queues: Sequence[str]
    media: Sequence[str]
    direction: Direction | None
    divisions: Sequence[str]
    segment_filters: Sequence[Mapping[str, object]]
    conversation_filters: Sequence[Mapping[str, object]]
    by: Way


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    A checked interval with checked filters, and the request bodies for it.

    With `recorded_only`, conversations whose reply says that they were not recorded are left out.
    """

    begin: datetime
    end: datetime
    filters: Mapping[str, Sequence[Mapping[str, object]]]
    recorded_only: bool
    by: Way

    def body(self, begin: datetime, end: datetime, **more: object) -> bytes:
        """Return the JSON body of a request for a part of the interval."""
        order = {"order": "asc", "orderBy": "conversationStart"}
        return json.dumps({"interval": interval_text(begin, end), **order, **self.filters, **more}).encode()


def wanted(interval: Interval, options: DiscoveryOptions, *, now: datetime) -> Wanted:
    """Check an interval and filters. Raises `SettingsError` for one that cannot work."""
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
        raise SettingsError(f"The filters are not JSON: {error}.", advice="Write them as in Genesys's API.") from None
    filters = {name: listed for name, listed in filters.items() if listed}
    return Wanted(begin, end, filters, recorded_only=recorded_only, by=by)


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
    return {"type": "or", "predicates": [{"type": "dimension", "dimension": dimension, "operator": "exists"}]}


def interval_text(begin: datetime, end: datetime) -> str:
    """Return an interval as in Genesys's API."""
    texts = (moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") for moment in (begin, end))
    return "/".join(texts)
