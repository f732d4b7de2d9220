"""
Events for sinks: one value class per thing that can happen.

No event carries a token, a secret or a pre-signed URL. An event may carry a file id; a metric's label may not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import ClassVar

from msgspec import Struct

from .errors import AuthenticationError, GenesysMediaError, InvalidRequestError, UrlRejectedError

JsonScalar = str | int | float | bool | None


class Outcome(StrEnum):
    """How an attempt, or a whole retrieval, ended; the words of the audit trail."""

    SUCCESS = "success"
    AUTH_FAILURE = "auth_failure"
    PAYLOAD_INVALID = "payload_invalid"
    GENERATION_FAILED = "generation_failed"
    VALIDATION_FAILED = "validation_failed"


def outcome_of(error: GenesysMediaError | None) -> Outcome:
    """Return the audit trail's word for a result."""
    match error:
        case None:
            return Outcome.SUCCESS
        case InvalidRequestError():
            return Outcome.PAYLOAD_INVALID
        case AuthenticationError():
            return Outcome.AUTH_FAILURE
        case UrlRejectedError():
            return Outcome.VALIDATION_FAILED
        case _:
            return Outcome.GENERATION_FAILED


class Event(Struct, frozen=True, gc=False):
    """
    Something that happened at the time `at`, in seconds since 1970 UTC.

    An event of your own, which an endpoint may `emit`, is a subclass (`frozen=True`) with a `name` and annotated
    members.
    """

    name: ClassVar[str] = "event"

    at: float

    def as_dict(self) -> dict[str, JsonScalar]:
        """Return the event as a flat JSON object: name, time in ISO 8601, then the other members."""
        flat: dict[str, JsonScalar] = {"event": self.name, "time": iso(self.at)}
        for name in self.__struct_fields__[1:]:
            flat[name] = getattr(self, name)
        return flat


def iso(at: float) -> str:
    """Return seconds since 1970 as an ISO 8601 time in UTC, to the millisecond."""
    return _to_the_millisecond(int(at * 1_000))


@lru_cache(maxsize=4)
def _to_the_millisecond(milliseconds: int) -> str:
    return (_1970 + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds")


_1970 = datetime.fromtimestamp(0, UTC)


class AttemptAudited(Event, frozen=True, gc=False):
    """
    The audit record of one attempt, or of a request that was refused before it was sent.

    `latency` is in seconds, and `attempt` counts from 1; both are 0 if nothing was sent. `status` is the HTTP status of
    the reply, if there was one; `code` is that of the error.
    """

    name: ClassVar[str] = "attempt_audited"

    action: str
    file_id: str
    outcome: Outcome
    status: int | None
    latency: float
    user_agent: str
    attempt: int
    code: str | None = None
    correlation_id: str | None = None


class RetrievalFinished(Event, frozen=True, gc=False):
    """
    One medium is done; metrics are made of these events. `latency` and `expires_in` are in seconds.

    `media_id` identifies the medium where an id can have several.
    """

    name: ClassVar[str] = "retrieval_finished"

    file_id: str
    outcome: Outcome
    latency: float
    attempts: int
    valid: bool
    media_id: str | None = None
    content_type: str | None = None
    expires_in: int | None = None
    code: str | None = None


class RetryScheduled(Event, frozen=True, gc=False):
    """An attempt failed, and its retry follows in `delay` seconds; emitted when the delay begins."""

    name: ClassVar[str] = "retry_scheduled"

    file_id: str
    attempt: int
    delay: float
    code: str
    status: int | None = None


class BatchSubmitted(Event, frozen=True, gc=False):
    """Genesys accepted a batch job of so many `requests`; its results are found by `job_id`."""

    name: ClassVar[str] = "batch_submitted"

    job_id: str
    requests: int


class BatchSubmissionOrphaned(Event, frozen=True, gc=False):
    """
    Genesys may have accepted a batch job of so many `requests`, but its id never arrived, so nobody polls it.

    `file_id` is that of the submission's audit record, `code` and `status` are those of its failure.
    """

    name: ClassVar[str] = "batch_submission_orphaned"

    file_id: str
    requests: int
    code: str
    status: int | None = None


class BatchAbandoned(Event, frozen=True, gc=False):
    """
    A batch job is polled no more before its end; so many of its requests are `unanswered`.

    `reason` is "cancelled" or the code of an error. Unless Genesys has lost the job, its results are still there.
    """

    name: ClassVar[str] = "batch_abandoned"

    job_id: str
    unanswered: int
    reason: str


class BatchCompleted(Event, frozen=True, gc=False):
    """
    A batch job is completed: so many `results` for its requests, of which so many `errors` have no usable URL.

    `seconds` is the time from its submission to the reply that showed it.
    """

    name: ClassVar[str] = "batch_completed"

    job_id: str
    results: int
    errors: int
    seconds: float


class UnrequestedBatchResults(Event, frozen=True, gc=False):
    """A batch job had so many `results` for recordings that were not requested; they were dropped."""

    name: ClassVar[str] = "unrequested_batch_results"

    job_id: str
    results: int


class OutageBegan(Event, frozen=True, gc=False):
    """
    `host` is not reachable: one call probes, all others wait, and no more ids are taken.

    `code` and `reason` are those of the failure that showed it.
    """

    name: ClassVar[str] = "outage_began"

    host: str
    code: str
    reason: str


class OutageEnded(Event, frozen=True, gc=False):
    """The outage of `host` is over after `seconds`, by a reply, or `given_up` after the settings' `outage_timeout`."""

    name: ClassVar[str] = "outage_ended"

    host: str
    seconds: float
    given_up: bool


class TokenRefreshed(Event, frozen=True, gc=False):
    """A token was granted for `lifetime` seconds; the request took `latency` seconds."""

    name: ClassVar[str] = "token_refreshed"

    lifetime: float
    latency: float


class TokenRefreshFailed(Event, frozen=True, gc=False):
    """No token was granted; the next request for one follows after `pause` seconds."""

    name: ClassVar[str] = "token_refresh_failed"

    code: str
    pause: float


class QuotaPaused(Event, frozen=True, gc=False):
    """A 429 arrived: nothing is sent with this token for `seconds`."""

    name: ClassVar[str] = "quota_paused"

    seconds: float


class QuotaResumed(Event, frozen=True, gc=False):
    """The pause is over after `seconds`; the first request is sent again."""

    name: ClassVar[str] = "quota_resumed"

    seconds: float


class QuotaLimitChanged(Event, frozen=True, gc=False):
    """
    The limit in force changed: `allowed` requests in each window from now on.

    Headers or a 429 showed it, or several windows passed without a 429, after which a little more is tried.
    """

    name: ClassVar[str] = "quota_limit_changed"

    allowed: int


class WebhookDelivered(Event, frozen=True, gc=False):
    """The receiver accepted the event about `file_id`."""

    name: ClassVar[str] = "webhook_delivered"

    file_id: str
    webhook_id: str
    attempts: int


class WebhookFailed(Event, frozen=True, gc=False):
    """The event about `file_id` was not delivered; `reason` is the last failure."""

    name: ClassVar[str] = "webhook_failed"

    file_id: str
    webhook_id: str
    attempts: int
    reason: str
