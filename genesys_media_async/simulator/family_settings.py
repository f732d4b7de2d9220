"""
How each family of operations is to behave: frozen settings, one class per family that has any.

What Genesys documents is the default; what is only inferred of it is a switch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from .faults import check_chances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .faults import JobFault

Family = Literal[
    "media-storage",
    "batch",
    "recording",
    "orphan-recording",
    "document",
    "download",
    "transcript",
    "message-media",
    "analytics",
    "organization",
]
"""What belongs together: one resource's operations, with one limit and one style of URL."""

FAMILIES: frozenset[str] = frozenset(get_args(Family))

UrlStyle = Literal["cloudfront", "cloudfront-policy", "s3"]
"""
How a pre-signed URL carries its expiry.

`cloudfront` in `Expires` (epoch seconds), `s3` in `X-Amz-Date` and `X-Amz-Expires`, `cloudfront-policy` inside its
`Policy`, where no parameter of its own shows it.
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
    What the simulated organization has recorded.

    `conversations` of them, spread evenly over the `days` before `until` (epoch seconds; None: when the simulator is
    made), each with a number of `recordings` from least to most and in one of the `queues`. `media` is what is
    recorded, one of these for a conversation, each as likely as it is often named. The shares are of recordings:
    `two_part_share` of the audio has a channel in each of two parts, `archived_share` is archived, `sensitive_share`
    holds sensitive data, `failing_share` cannot be prepared by a batch job. `documents`, `downloads` and `orphans`
    are how many of these there are.
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
    downloads: int = 20
    orphans: int = 20

    def __post_init__(self) -> None:
        least, most = self.recordings
        if not 0 <= least <= most <= MAX_RECORDINGS:
            raise ValueError(f"recordings must be two numbers from 0 to {MAX_RECORDINGS}, the least first")
        if min(self.conversations, self.documents, self.downloads, self.orphans) < 0:
            raise ValueError("conversations, documents, downloads and orphans must not be negative")
        if self.queues < 1 or self.days <= 0 or not self.media:
            raise ValueError("an organization needs a queue, more than 0 days and a kind of media")
        if not set(self.media) <= set(get_args(Media)):
            raise ValueError(f"media must be of {', '.join(get_args(Media))}")
        shares = (self.two_part_share, self.archived_share, self.sensitive_share, self.failing_share)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("a share must be from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """
    How batch download jobs run.

    A job works off its recordings one after the other, each in `seconds_per_recording`, more or less by up to the
    share `spread`; it discovers the recordings of one item after the other, each in `discovery_seconds`, and cannot
    work on any before. `concurrent_jobs` run at a time and the rest wait (None: all run). A job is unknown after
    `job_life` seconds. `partial_results` says whether results show before the job is completed. Archived recordings,
    and conversations or recordings that are unknown, give a result with an `error` or none at all (`silent`).
    `url_minutes` is the organization's recordingBatchDownloadUrlTtl, counted from each `poll` or from when the
    recording was `ready`. `content_types` is of the results by media, audio/ogg where none is named. `faults` is the
    probability of each per job.
    """

    seconds_per_recording: float = 0.1
    spread: float = 0.5
    discovery_seconds: float = 0.0
    concurrent_jobs: int | None = None
    job_life: float = 86400.0
    partial_results: bool = True
    archived: Literal["error", "silent"] = "error"
    unknown: Literal["error", "silent"] = "error"
    url_minutes: int = 60
    url_signed_at: Literal["poll", "ready"] = "poll"
    content_types: Mapping[Media, str] = field(default_factory=lambda: dict(BATCH_CONTENT_TYPES))
    faults: Mapping[JobFault, float] = field(default_factory=dict["JobFault", float])

    def __post_init__(self) -> None:
        _check_times(self.seconds_per_recording, self.discovery_seconds, self.job_life)
        _check_spread(self.spread)
        if self.concurrent_jobs is not None and self.concurrent_jobs < 1:
            raise ValueError("concurrent_jobs must be at least 1")
        _check_url_minutes(self.url_minutes)
        check_chances(self.faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """
    How single recordings are served, and orphan recordings with them.

    A recording is transcoded when a format of it is first asked for, in `transcode_seconds`, more or less by up to
    the share `spread`; infinity is never. The 202 meanwhile estimates what is left, times `estimate_factor` (None: no
    estimate), and has a Retry-After only with `retry_after_on_202`. `long_poll` lets the list wait for up to its
    maxWaitMs. `url_minutes` is the organization's recordingPlaybackUrlTtl. With `text_needs_download` the media of
    chats, messages and e-mails is null unless a download is asked for. `list_refusal` is the code of the list's 403.
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
    How the content of documents is served.

    It is prepared in `preparing_seconds` from the first request; until then the reply is an empty 202 (`accepted`) or
    a 200 whose state is Running and which has no location (`running`).
    """

    preparing_seconds: float = 1.0
    preparing_reply: Literal["accepted", "running"] = "accepted"

    def __post_init__(self) -> None:
        _check_times(self.preparing_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadSettings:
    """
    How downloads redirect.

    `redirect_status` is not documented. The redirect is to the signed URL, to `itself` without end, or to `nowhere`,
    without a Location. With `login_redirect` whoever has no good token is redirected to the login service instead of
    answered 401, unless redirectToAuth is false.
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
    How conversation details are queried.

    The query has pages of `page_size_default`, at most `page_size_max`, and an interval of at most
    `interval_days_max`; a page without conversations leaves the field out (`absent`) or has it `empty`. A details job
    is answered `submit_status`, takes `job_seconds` (infinity: for ever) and ends in `job_end`; its results come in
    pages of `job_page_size_max` unless fewer are asked for, and know nothing of the last `job_data_delay` seconds.
    """

    page_size_default: int = 25
    page_size_max: int = 100
    interval_days_max: float = 31.0
    empty_page: Literal["absent", "empty"] = "absent"
    submit_status: Literal[200, 202] = 202
    job_seconds: float = 2.0
    job_end: Literal["FULFILLED", "FAILED", "CANCELLED", "EXPIRED"] = "FULFILLED"
    job_page_size_max: int = 1000
    job_data_delay: float = 0.0

    def __post_init__(self) -> None:
        if min(self.page_size_default, self.page_size_max, self.job_page_size_max) < 1 or self.interval_days_max <= 0:
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
