"""The policies in settings: quota, retries, validation of URLs, webhooks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from ..errors import SettingsError
from ..models import DownloadUrl, MediaRequest
from .checked import CheckedModel, Secret
from .urls import check_url

Check = Callable[[DownloadUrl, MediaRequest], str | None]
"""A user's own validation rule: returns the reason to reject the URL, or None."""

Pace = Literal["burst", "even"]
"""How the quota is spent: as fast as replies come, or spread evenly over the window."""


class QuotaLimit(CheckedModel):
    """
    The number of requests that one token may make in a number of seconds.

    Genesys's usual limit is 300 in 60 s for each token, and undocumented lower ones exist:
    https://developer.genesys.cloud/organization/organization/limits .
    """

    limit: int = Field(default=300, ge=1, le=10_000_000)
    seconds: float = Field(default=60.0, gt=0, le=86_400, allow_inf_nan=False)

    @classmethod
    def parse(cls, text: str) -> QuotaLimit | None:
        """Read `300/60` (requests/seconds), or `none` for no limit. Raises `SettingsError`."""
        if text.strip().lower() == "none":
            return None
        match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,6}(?:\.\d{1,9})?)\s*", text, re.ASCII)
        if not match:
            raise SettingsError(
                f"{text[:40]!r} is not a quota.",
                advice="Write REQUESTS/SECONDS, as in 300/60, or none.",
            )
        return cls(limit=int(match[1]), seconds=float(match[2]))

    def __str__(self) -> str:
        return f"{self.limit}/{self.seconds:g}"


class RetryPolicy(CheckedModel):
    """
    When a failed attempt is repeated.

    `max_attempts` bounds the requests of one id that end in a transient failure (408, 500, 502, 503, 504, no complete
    reply, a reply that breaks the contract). The delays between them are drawn evenly from 0 to a curve that starts at
    `base_delay` seconds and doubles up to `max_delay`; this is the full jitter of
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/ .
    `max_rate_limited` bounds the 429s of one id, which do not count as transient. `budget` bounds, for the whole run,
    the retries that did not help; every ten ids that succeed at once earn one back.
    """

    max_attempts: int = Field(default=5, ge=1, le=100)
    base_delay: float = Field(default=0.5, ge=0, le=3_600, allow_inf_nan=False)
    max_delay: float = Field(default=30.0, ge=0, le=3_600, allow_inf_nan=False)
    max_rate_limited: int = Field(default=20, ge=1, le=1_000)
    budget: int = Field(default=200, ge=0)


class ValidationRule(CheckedModel):
    """
    What a URL must be to become a result.

    `content_types` are compared without case and parameters; `*/*` and `audio/*` match many. None means audio, video
    and images for media storage, and anything for the other sources, since not every reply names one there.
    `max_lifetime` is in seconds; None means no longer than requested, where a lifetime can be requested.
    `required_access` must be the access level in the reply or, if the reply has none, the requested one.
    `allowed_hosts` are host names, `*.example.com` for every name below it; None allows all. URLs are https;
    `loopback_http` also allows plain http to this machine, which the simulator needs. `checks` are further rules,
    called in order.
    """

    content_types: tuple[str, ...] | None = None
    max_lifetime: Annotated[int, Field(ge=1)] | None = None
    required_access: str | None = None
    allowed_hosts: tuple[str, ...] | None = None
    max_url_length: int = Field(default=8_192, ge=1)
    loopback_http: bool = False
    checks: tuple[Check, ...] = ()

    @field_validator("content_types")
    @classmethod
    def _content_types(cls, patterns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for pattern in patterns or ():
            if not re.fullmatch(r"[\w!#$&^.+*-]+/[\w!#$&^.+*-]+", pattern, re.ASCII):
                raise ValueError(f"{pattern!r} is not a content type; write type/subtype, as in audio/*")
        return patterns and tuple(pattern.lower() for pattern in patterns)

    @field_validator("allowed_hosts")
    @classmethod
    def _allowed_hosts(cls, hosts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for host in hosts or ():
            if not re.fullmatch(r"(\*\.)?[\w.:-]+", host, re.ASCII):
                raise ValueError(f"{host!r} is not a host name; write it bare, as in media.example.com")
        return hosts and tuple(host.lower() for host in hosts)


class WebhookTarget(CheckedModel):
    """
    The receiver of `media.url.generated`, and the effort to reach it.

    The pre-signed URL itself is sent only with `include_url`. At most `queue_size` events wait; `concurrency` of them
    are in flight at once, each with up to `max_attempts` attempts of `timeout` seconds. On exit the queue is drained
    for at most `drain_timeout` seconds. An event that is not delivered is counted, emitted as `WebhookFailed` and, with
    `undelivered_file`, appended there as a JSON line (never with the URL); a new file is its owner's alone.
    """

    url: Secret
    include_url: bool = False
    timeout: float = Field(default=10.0, gt=0, le=600)
    max_attempts: int = Field(default=6, ge=1, le=100)
    concurrency: int = Field(default=4, ge=1, le=1_000)
    queue_size: int = Field(default=10_000, ge=1)
    drain_timeout: float = Field(default=30.0, ge=0, le=3_600)
    undelivered_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _url(cls, url: SecretStr) -> SecretStr:
        check_url(url.get_secret_value(), example="https://hooks.example.com/media", query_allowed=True)
        return url
