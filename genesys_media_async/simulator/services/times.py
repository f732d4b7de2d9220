"""Times and intervals in Genesys's form: ISO 8601 in UTC, with milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime

from ..operations import Refused


def iso(epoch_seconds: float) -> str:
    """Return an epoch time as text, such as 2026-01-02T03:04:05.678Z."""
    text = datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def interval(value: object) -> tuple[float, float]:
    """Return both ends of an interval such as `2026-01-01T00:00:00Z/2026-01-02T00:00:00Z` in epoch seconds."""
    begin, slash, end = value.partition("/") if isinstance(value, str) else ("", "", "")
    try:
        ends = _epoch(begin), _epoch(end)
    except ValueError:
        raise Refused("invalid.date") from None
    if not slash or ends[0] >= ends[1]:
        raise Refused("invalid.date")
    return ends


def _epoch(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
