"""
The settings of the families of operations: frozen, one class for each family that has any.

The defaults are what Genesys documents; what is only inferred is a switch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from .fault_kinds import check_chances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fault_kinds import JobFault

Family = Literal[
    "media-storage",
    "batch",
    "recording",
    "orphan-recording",
    "document",
    "platform-download",
    "transcript",
    "message-media",
    "analytics",
    "organization",
]
"""A family: the operations of one resource, with one limit and one style of URL."""

FAMILIES: frozenset[str] = frozenset(get_args(Family))

UrlStyle = Literal["cloudfront", "cloudfront-policy", "s3"]
"""
How a pre-signed URL states its expiry.

`cloudfront` in `Expires` (epoch seconds), `s3` in `X-Amz-Date` and `X-Amz-Expires`, `cloudfront-policy` inside the
encoded `Policy`, without a parameter for it.
"""

DEFAULT_URL_STYLE: UrlStyle = "cloudfront"
URL_STYLES: frozenset[str] = frozenset(get_args(UrlStyle))

Media = Literal["audio", "screen", "chat", "messaging", "email"]

DEFAULT_MEDIA: tuple[Media, ...] = ("audio", "audio", "audio", "audio", "audio", "screen", "chat", "messaging", "email")
BATCH_CONTENT_TYPES: Mapping[Media, str] = {
    "audio": "audio/ogg",
    "screen": "video/mp4",
    "chat": "application/json; charset=utf-8",
    "messaging": "application/json; charset=utf-8",
    "email": "application/json; charset=utf-8",
}
MAX_RECORDINGS = 1000
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationSettings:
    """
    The settings of the simulated organization.

    `conversations` is their number, spread evenly over the `days` before `until` (epoch seconds; None: when the
    simulator is made). Each has between the two numbers of `recordings` and belongs to one of the `queues`. The medium
    of a conversation is drawn from `media`, where a repeated one is more likely. The shares are of recordings:
    `two_part_share` of the audio has its channels in two parts, `archived_share` is archived, `sensitive_share`
    contains sensitive data, `failing_share` fails in a batch job. `documents`, `platform_downloads` and `orphans` are
    numbers of these.
    """

    conversations: int = 400
    recordings: tuple[int, int] = (1, 3)
    queues: int = 4
    days: float = 7.0
    until: float | None = None
    media: tuple[Media, ...] = DEFAULT_MEDIA
    two_part_share: float = 0.25
    archived_share: float = 0.0
    sensitive_share: float = 0.0
    failing_share: float = 0.0
    documents: int = 20
    platform_downloads: int = 20
    orphans: int = 20

    def __post_init__(self) -> None:
        fewest, most = self.recordings
        if not 0 <= fewest <= most <= MAX_RECORDINGS:
            raise ValueError(f"recordings must be two numbers from 0 to {MAX_RECORDINGS}, the smaller first")
        if min(self.conversations, self.documents, self.platform_downloads, self.orphans) < 0:
            raise ValueError("conversations, documents, platform_downloads and orphans must not be negative")
        if self.queues < 1 or self.days <= 0 or not self.media:
            raise ValueError("an organization needs a queue, more than 0 days and a medium")
        if not set(self.media) <= set(get_args(Media)):
            raise ValueError(f"each medium must be one of {', '.join(get_args(Media))}")
        shares = (self.two_part_share, self.archived_share, self.sensitive_share, self.failing_share)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("a share must be from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """
    The settings of batch download jobs.

    A job prepares its recordings one after the other, each in `seconds_per_recording`, plus or minus up to the share
    `spread`. It discovers the recordings of its items one item after the other, each in `discovery_seconds`, and can
    prepare a recording only then. At most `concurrent_jobs` run at once and the others wait (None: all run). A job is
    unknown after `job_lifetime` seconds, and with the fault not-there-yet for its first `unseen_seconds`. With
    `partial_results` results are visible before the job is completed. Archived recordings, and unknown conversations or
    recordings, have a result with an `error` or no result (`silent`). `url_minutes` is the organization's
    recordingBatchDownloadUrlTtl, counted from each `poll` or from the time at which the recording was `ready`.
    `content_types` are those of the results by medium, audio/ogg for any other. `faults` are the probabilities for a
    job.
    """

    seconds_per_recording: float = 0.1
    spread: float = 0.5
    discovery_seconds: float = 0.0
    concurrent_jobs: int | None = None
    job_lifetime: float = 86400.0
    unseen_seconds: float = 6.0
    partial_results: bool = True
    archived: Literal["error", "silent"] = "error"
    unknown: Literal["error", "silent"] = "error"
    url_minutes: int = 60
    url_signed_at: Literal["poll", "ready"] = "poll"
    content_types: Mapping[Media, str] = field(default_factory=lambda: dict(BATCH_CONTENT_TYPES))
    faults: Mapping[JobFault, float] = field(default_factory=dict["JobFault", float])

    def __post_init__(self) -> None:
        _check_times(self.seconds_per_recording, self.discovery_seconds, self.job_lifetime, self.unseen_seconds)
        _check_spread(self.spread)
        if self.concurrent_jobs is not None and self.concurrent_jobs < 1:
            raise ValueError("concurrent_jobs must be at least 1")
        _check_url_minutes(self.url_minutes)
        check_chances(self.faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """
    The settings of single recordings, lists of recordings and orphan recordings.

    The first request for a format starts its transcoding, which takes `transcode_seconds`, plus or minus up to the
    share `spread`; infinity means it never ends. Until then the reply is a 202 with the estimated remaining time,
    multiplied by `estimate_factor` (None: no estimate), and with a Retry-After only if `retry_after_on_202`. With
    `long_poll` the list waits up to its maxWaitMs. `url_minutes` is the organization's recordingPlaybackUrlTtl. With
    `text_needs_download` the media of chats, messages and e-mails is null unless the request is for a download.
    `list_refusal` is the code of the list's 403.
    """

    transcode_seconds: float = 2.0
    spread: float = 0.5
    estimate_factor: float | None = 1.0
    retry_after_on_202: bool = False
    long_poll: bool = True
    url_minutes: int = 60
    text_needs_download: bool = False
    list_refusal: Literal["missing.any.permissions", "recording.recording.view.permission.check.failed"] = (
        "missing.any.permissions"
    )

    def __post_init__(self) -> None:
        _check_times(self.transcode_seconds, self.estimate_factor or 0.0)
        _check_spread(self.spread)
        _check_url_minutes(self.url_minutes)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSettings:
    """
    The settings of documents.

    The content is ready `preparing_seconds` after the first request; until then the reply is an empty 202 (`accepted`)
    or a 200 with the state Running and without a location (`running`).
    """

    preparing_seconds: float = 1.0
    preparing_reply: Literal["accepted", "running"] = "accepted"

    def __post_init__(self) -> None:
        _check_times(self.preparing_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformDownloadSettings:
    """
    The settings of platform downloads.

    `redirect_status` is not documented. The redirect leads to the signed URL, to `itself` without end, or, without a
    Location, `nowhere`. With `login_redirect` a request without a valid token gets a redirect to the login service
    instead of a 401, unless its redirectToAuth is false.
    """

    redirect_status: Literal[301, 302, 303, 307, 308] = 307
    redirect_to: Literal["signed", "itself", "nowhere"] = "signed"
    login_redirect: bool = False

    def __post_init__(self) -> None:
        if self.redirect_status not in REDIRECTS:
            raise ValueError(f"redirect_status must be one of {REDIRECTS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyticsSettings:
    """
    The settings of conversation details queries and jobs.

    A query has pages of `default_page_size`, at most `max_page_size`, and an interval of at most `max_interval_days`. A
    page without conversations omits the field (`absent`) or has it `empty`. The reply to a details job is
    `submit_status`; the job takes `job_seconds` (infinity: it never ends) and ends in the state `job_end`. Its results
    have pages of at most `max_job_page_size` and do not contain the last `job_data_delay` seconds.
    """

    default_page_size: int = 25
    max_page_size: int = 100
    max_interval_days: float = 31.0
    empty_page: Literal["absent", "empty"] = "absent"
    submit_status: Literal[200, 202] = 202
    job_seconds: float = 2.0
    job_end: Literal["FULFILLED", "FAILED", "CANCELLED", "EXPIRED"] = "FULFILLED"
    max_job_page_size: int = 1000
    job_data_delay: float = 0.0

    def __post_init__(self) -> None:
        if min(self.default_page_size, self.max_page_size, self.max_job_page_size) < 1 or self.max_interval_days <= 0:
            raise ValueError("pages must hold at least 1 conversation, and intervals more than 0 days")
        _check_times(self.job_seconds, self.job_data_delay)


def _check_times(*seconds: float) -> None:
    if any(math.isnan(each) or each < 0 for each in seconds):
        raise ValueError("times and factors must not be negative")


def _check_spread(spread: float) -> None:
    if not 0 <= spread <= 1:
        raise ValueError("spread must be from 0 to 1")


def _check_url_minutes(minutes: int) -> None:
    # The range that Genesys's recording settings allow.
    if not 2 <= minutes <= 60:
        raise ValueError("url_minutes must be from 2 to 60")
