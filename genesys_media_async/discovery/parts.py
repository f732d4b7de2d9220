"""
The queries that cover an interval: what a query of conversation details finds depends on the day of the start. Pure.

A query finds only conversations that started on a day (in UTC) that its interval touches. So the days are divided among
the queries, each day to one of them, and no conversation is found twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_QUERY: Final = timedelta(days=31)
"""With a filter, as there always is: https://developer.genesys.cloud/analyticsdatamanagement/analytics/detail/ ."""


@dataclass(frozen=True, slots=True)
class Part:
    """
    One query: the conversations that started from `starts_from` up to `end`, by an interval that begins at `begin`.

    A part before the searched interval has `active_since`, the beginning of that interval: only what was still active
    then is wanted.
    """

    starts_from: datetime
    begin: datetime
    end: datetime
    active_since: datetime | None = None

    def has(self, started: datetime) -> bool:
        """Return whether a conversation with this start belongs to the part."""
        return self.starts_from <= started < self.end


def parts_of(begin: datetime, end: datetime, look_back: timedelta) -> Iterator[Part]:
    """Yield the queries for an interval (in UTC), oldest first; the first ones cover whole days of `look_back`."""
    midnight = _midnight(begin)
    at = midnight - min(look_back, midnight - datetime.min.replace(tzinfo=midnight.tzinfo))
    while at < midnight:
        until = min(at + MAX_QUERY, midnight)
        yield Part(at, at, until, begin)
        at = until
    at = begin
    while at < end:
        # The next part begins with a day.
        until = end if end - at <= MAX_QUERY else _midnight(at + MAX_QUERY)
        yield Part(_midnight(at), at, until)
        at = until


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
