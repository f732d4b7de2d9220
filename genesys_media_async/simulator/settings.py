"""
The settings of a simulator: frozen, and checked when they are made.

The defaults are what Genesys documents. What is only inferred is a switch here, so that a client can be tested against
each interpretation.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .family_settings import (
    FAMILIES,
    URL_STYLES,
    AnalyticsSettings,
    BatchSettings,
    DocumentSettings,
    OrganizationSettings,
    PlatformDownloadSettings,
    RecordingSettings,
)
from .fault_kinds import check_chances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .family_settings import Family, UrlStyle
    from .fault_kinds import Fault

FILE_ID_FIELD = "{file_id}"
MAX_URL_LIFETIME = 86400


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """
    A client that may request tokens with the client credentials grant.

    `permissions` are those of its roles, such as `recording:recording:view`; None means all.
    """

    client_id: str
    client_secret: str = field(repr=False)
    permissions: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if not self.client_id or ":" in self.client_id:
            # HTTP Basic joins the two with a colon.
            raise ValueError("an OAuth client id must not be empty or contain a colon")


@dataclass(frozen=True, slots=True)
class Quota:
    """
    The number of API requests that one token may make: `limit` in each window of `seconds`.

    A `fixed` window opens with the first request, and the next window with the first request after its end. An
    `aligned` window begins at whole multiples of its length on the wall clock. A `sliding` window looks back from each
    request. Genesys documents 300 a minute for each token and not the kind of window; a trace with 61 seconds to the
    reset at the first request suggests `fixed`.
    """

    limit: int = 300
    seconds: float = 60.0
    kind: Literal["fixed", "aligned", "sliding"] = "fixed"

    def __post_init__(self) -> None:
        if self.limit < 1 or self.seconds <= 0:
            raise ValueError("a quota needs a limit of at least 1 and a window longer than 0 seconds")
        if self.kind not in ("fixed", "aligned", "sliding"):
            raise ValueError(f"a quota is fixed, aligned or sliding, not {self.kind!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """
    The settings of the simulated Genesys Cloud; all times are in seconds.

    * OAuth: `clients`; `token_lifetime` (Genesys: 300 to 172800, by default 86400); `live_tokens` of one client, beyond
      which the oldest is revoked; `token_requests_per_minute`, the limit of the token endpoint (None: no limit);
      `accept_body_credentials`, beside HTTP Basic; `expired_token_code`, the error code of an expired token.
    * Quota: `quota` of each token (None: no limit); `quota_headers` adds `inin-ratelimit-*`, whose removal Genesys has
      announced; `retry_after_rounding`, where "down" can make a client that waits exactly this long a fraction early.
      `resource_quotas` are charged as well, for each token and family of operations; Genesys has such limits and does
      not document them (a user measured 120 a minute for recordings). `old_resource_429` words their 429s as before
      2021-11-10, since when all are worded alike.
    * Families: `organization`, `batch`, `recording`, `document`, `platform_download` and `analytics`, each with a class
      of its own; `message_media_status` of all media in messages; `url_styles` by family, by default the object store's
      for batch jobs and the distribution's for all others. `operation_permissions` replaces the documented permissions
      of an operation, by its name; a client needs one of them.
    * Latency: `latency` of every API reply, a number or a log-normal distribution (median, sigma).
    * Faults: `faults`, the probability of each for an API request; `fault_seconds`, the duration of a hang and the
      minimum of a slow drip; `drip_gap` between the bytes of a drip; `late_seconds` of a late reply.
    * Files: `default_url_lifetime` when a request names none, and `max_url_lifetime`; `media_bytes` of each file;
      `content_types`, of which the file's id selects one; `unknown_file_ids`, which get a 404. Ids that begin with
      `missing-` get a 404, with `forbidden-` a 403, and with `document-` a PDF file.
    * Webhooks: `webhook_secret` ("whsec_" and base64) requires Standard Webhooks signatures; `keep_deliveries`.
    * Counts: `count_file_ids` counts by file id; turn it off for runs of millions.
    * Randomness: `seed` of all of it; `signing_key` of the URLs, random when None.
    * `path_template` of the download-url endpoint, with `{file_id}` in it.
    """

    clients: tuple[OAuthClient, ...] = (OAuthClient("demo-client", "demo-secret"),)
    token_lifetime: float = 86400.0
    live_tokens: int = 10
    token_requests_per_minute: int | None = None
    accept_body_credentials: bool = True
    expired_token_code: Literal["credentials.expired", "bad.credentials"] = "credentials.expired"  # noqa: S105 - an error code
    quota: Quota | None = field(default_factory=Quota)
    quota_headers: bool = False
    retry_after_rounding: Literal["down", "up"] = "down"
    resource_quotas: Mapping[Family, Quota] = field(default_factory=dict["Family", Quota])
    old_resource_429: bool = False
    organization: OrganizationSettings = field(default_factory=OrganizationSettings)
    batch: BatchSettings = field(default_factory=BatchSettings)
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    document: DocumentSettings = field(default_factory=DocumentSettings)
    platform_download: PlatformDownloadSettings = field(default_factory=PlatformDownloadSettings)
    analytics: AnalyticsSettings = field(default_factory=AnalyticsSettings)
    message_media_status: Literal["valid", "uploading", "invalid"] = "valid"
    url_styles: Mapping[Family, UrlStyle] = field(default_factory=lambda: {"batch": "s3"})
    operation_permissions: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    latency: float | tuple[float, float] = 0.0
    faults: Mapping[Fault, float] = field(default_factory=dict["Fault", float])
    fault_seconds: float = 1.0
    drip_gap: float = 0.01
    late_seconds: float = 0.2
    default_url_lifetime: int = 3600
    max_url_lifetime: int = MAX_URL_LIFETIME
    media_bytes: int = 2048
    content_types: tuple[str, ...] = ("audio/wav", "audio/ogg", "audio/mpeg", "video/mp4")
    unknown_file_ids: frozenset[str] = frozenset()
    webhook_secret: str | None = field(default=None, repr=False)
    keep_deliveries: bool = True
    count_file_ids: bool = True
    seed: int = 0
    signing_key: bytes | None = field(default=None, repr=False)
    path_template: str = f"/api/v2/media/storage/files/{FILE_ID_FIELD}/download-url"

    def __post_init__(self) -> None:
        _check_numbers(self)
        check_chances(self.faults)
        _check_families(self)
        if not self.content_types:
            raise ValueError("content_types must name at least one")
        if len({client.client_id for client in self.clients}) != len(self.clients):
            raise ValueError("two clients have the same id")
        if not self.path_template.startswith("/") or self.path_template.count(FILE_ID_FIELD) != 1:
            raise ValueError(f"path_template must begin with / and contain {FILE_ID_FIELD} once")
        if self.webhook_secret is not None:
            webhook_key(self.webhook_secret)


def webhook_key(secret: str) -> bytes:
    """Return the key of a Standard Webhooks secret. Raises ValueError unless it is "whsec_" and base64."""
    prefix, _, encoded = secret.partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        key = b""
    if prefix != "whsec" or not key:
        raise ValueError("webhook_secret must be whsec_ followed by base64")
    return key


def _check_numbers(settings: SimulatorSettings) -> None:
    at_least_one = ("live_tokens", "token_requests_per_minute", "default_url_lifetime", "max_url_lifetime")
    for name in at_least_one:
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1")
    if settings.max_url_lifetime > MAX_URL_LIFETIME:
        raise ValueError(f"max_url_lifetime must be at most {MAX_URL_LIFETIME}")
    for name in ("token_lifetime", "fault_seconds", "drip_gap", "late_seconds", "media_bytes"):
        if getattr(settings, name) < 0:
            raise ValueError(f"{name} must not be negative")
    latency = settings.latency
    if isinstance(latency, tuple):
        if latency[0] <= 0 or latency[1] < 0:
            raise ValueError("a log-normal latency needs a median above 0 and a sigma of at least 0")
    elif latency < 0:
        raise ValueError("latency must not be negative")


def _check_families(settings: SimulatorSettings) -> None:
    unknown = (settings.resource_quotas.keys() | settings.url_styles.keys()) - FAMILIES
    if unknown:
        raise ValueError(
            f"unknown family: {', '.join(sorted(unknown))}; the families are {', '.join(sorted(FAMILIES))}"
        )
    styles = set(settings.url_styles.values()) - URL_STYLES
    if styles:
        known = ", ".join(sorted(URL_STYLES))
        raise ValueError(f"unknown style of URL: {', '.join(sorted(styles))}; the styles are {known}")
