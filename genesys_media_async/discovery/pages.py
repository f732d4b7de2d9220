"""The replies of the analytics API: pages of conversations, jobs, and what is known of each conversation. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from ..endpoints.base import read_json

if TYPE_CHECKING:
    from ..transports.base import HttpReply

_Id = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Session(_Shape):
    """One participant's session; `recording` is None if the reply does not say."""

    recording: bool | None = None


class Participant(_Shape):
    """One participant of a conversation."""

    sessions: list[Session] | None = None


class Conversation(_Shape):
    """One conversation, as far as discovery uses it."""

    conversationId: _Id  # noqa: N815
    conversationStart: AwareDatetime | None = None  # noqa: N815
    conversationEnd: AwareDatetime | None = None  # noqa: N815
    participants: list[Participant] | None = None

    def was_active(self, begin: datetime, end: datetime) -> bool:
        """Return whether it overlaps an interval; a query also finds those that ended before, on its first day."""
        starts, ends = self.conversationStart, self.conversationEnd
        return (starts is None or starts < end) and (ends is None or ends >= begin)

    @property
    def was_not_recorded(self) -> bool:
        """True if its sessions have flags for recordings, and none of them is set."""
        sessions = (session for each in self.participants or () for session in each.sessions or ())
        flags = [session.recording for session in sessions if session.recording is not None]
        return bool(flags) and not any(flags)


class Page(_Shape):
    """One page of conversations, of a query or of a job's results."""

    conversations: list[Conversation] | None = None
    totalHits: int = 0  # noqa: N815
    cursor: str | None = None


class SubmittedJob(_Shape):
    """The reply to the submission of a job."""

    jobId: _Id  # noqa: N815


class JobStatus(_Shape):
    """The state of a job."""

    state: str
    errorMessage: str | None = None  # noqa: N815


class _Availability(_Shape):
    dataAvailabilityDate: AwareDatetime | None = None  # noqa: N815


_PAGE, _SUBMITTED = TypeAdapter(Page), TypeAdapter(SubmittedJob)
_STATUS, _AVAILABILITY = TypeAdapter(JobStatus), TypeAdapter(_Availability)


def read_page(reply: HttpReply, _: float) -> Page:
    """Read a page. Raises `InvalidResponseError`, as do the others."""
    return read_json(_PAGE, reply)


def read_submitted(reply: HttpReply, _: float) -> SubmittedJob:
    """Read the reply to the submission of a job."""
    return read_json(_SUBMITTED, reply)


def read_status(reply: HttpReply, _: float) -> JobStatus:
    """Read the state of a job."""
    return read_json(_STATUS, reply)


def read_availability(reply: HttpReply, sent_at: float) -> datetime:
    """Read until when jobs have conversations, in UTC; until `sent_at` if the reply does not say."""
    available = read_json(_AVAILABILITY, reply).dataAvailabilityDate
    return (available or datetime.fromtimestamp(sent_at, UTC)).astimezone(UTC)
