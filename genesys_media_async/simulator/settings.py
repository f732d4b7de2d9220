"""
How a simulator is to behave: frozen settings, checked when they are made.

What Genesys documents is the default. What is only inferred of it is a switch here, so that a client can be tried
against each reading.
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
    DownloadSettings,
    OrganizationSettings,
    RecordingSettings,
)
from .faults import check_chances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .family_settings import Family, UrlStyle
    from .faults import Fault

FILE_ID_FIELD = "{file_id}"
MAX_URL_LIFE = 86400


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """
    The id and secret of a client that may ask for tokens with the client credentials grant.

    `permissions` are those its roles give, such as `recording:recording:view`; None is all there are.
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
    How many API requests one token may make.

    `limit` requests per window of `seconds`. A `fixed` window opens with the first request and is followed by the
    next only when another request comes; an `aligned` one begins at whole multiples of its length on the wall
    clock; a `sliding` one looks back from each request. Genesys documents 300 a minute per token and not the
    kind of window; a trace that shows 61 seconds to the reset at the first request speaks for `fixed`.
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
    What the simulated Genesys Cloud is like.

    All times are in seconds. The fields, by what they shape:

    * OAuth: `clients`; `token_life` (Genesys: 300 to 172800, by default 86400); `live_tokens` per client, the oldest
      revoked beyond; `token_requests_per_minute`, the token endpoint's own throttle (None: none);
      `accept_body_credentials` beside HTTP Basic; `expired_token_code`, the error code of an expired token.
    * Quota: `quota` per token (None: none); `quota_headers` adds `inin-ratelimit-*`, which Genesys has announced to
      remove; `retry_after_rounding`, where "down" lets a client that waits exactly so long be a fraction early.
      `resource_quotas` are charged beside it, per token and family of operations; Genesys has such and does not
      document them (a user measured 120 a minute for recordings).
    * Families: `organization`, `batch`, `recording`, `document`, `download` and `analytics`, each with a class of its
      own; `message_media_status` of all media in messages; `url_styles` by family, batch as the object store and all
      else as its distribution by default. `operation_permissions` says what an operation asks for instead of what is
      documented, any one of these, by the operation's name.
    * Pace: `latency` added to every reply of the API, a number or a log-normal (median, sigma).
    * Faults: `faults`, the probability of each per API request; `fault_seconds`, how long a hang lasts and the least
      a slow drip takes; `drip_gap` between its bytes; `late_seconds` of a late reply.
    * Files: `url_life_default` when none is asked for, `url_life_max` granted at most; `media_bytes` of each file;
      `content_types`, one by the file's id; `unknown_file_ids`, answered 404. Ids that begin with `missing-` are
      answered 404, with `forbidden-` 403, and with `document-` are PDF files.
    * Webhooks: `webhook_secret` ("whsec_" and base64) asks for Standard Webhooks signatures; `keep_deliveries`.
    * Counting: `count_file_ids` per file id; off for runs of millions.
    * Chance: `seed` of all of it; `signing_key` of the URLs, random when None.
    * `path_template` of the endpoint, with `{file_id}` in it.
    """

    clients: tuple[OAuthClient, ...] = (OAuthClient("demo-client", "demo-secret"),)
    token_life: float = 86400.0
    live_tokens: int = 10
    token_requests_per_minute: int | None = None
    accept_body_credentials: bool = True
    expired_token_code: Literal["credentials.expired", "bad.credentials"] = "credentials.expired"  # noqa: S105 - an error code
    quota: Quota | None = field(default_factory=Quota)
    quota_headers: bool = False
    retry_after_rounding: Literal["down", "up"] = "down"
    resource_quotas: Mapping[Family, Quota] = field(default_factory=dict["Family", Quota])
    organization: OrganizationSettings = field(default_factory=OrganizationSettings)
    batch: BatchSettings = field(default_factory=BatchSettings)
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    document: DocumentSettings = field(default_factory=DocumentSettings)
    download: DownloadSettings = field(default_factory=DownloadSettings)
    analytics: AnalyticsSettings = field(default_factory=AnalyticsSettings)
    message_media_status: Literal["valid", "uploading", "invalid"] = "valid"
    url_styles: Mapping[Family, UrlStyle] = field(default_factory=lambda: {"batch": "s3"})
    operation_permissions: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    latency: float | tuple[float, float] = 0.0
    faults: Mapping[Fault, float] = field(default_factory=dict["Fault", float])
    fault_seconds: float = 1.0
    drip_gap: float = 0.01
    late_seconds: float = 0.2
    url_life_default: int = 3600
    url_life_max: int = MAX_URL_LIFE
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
    """Return the bytes of a Standard Webhooks secret; ValueError when it is not "whsec_" and base64."""
    prefix, _, encoded = secret.partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        key = b""
    if prefix != "whsec" or not key:
        raise ValueError("webhook_secret must be whsec_ followed by base64")
    return key


def _check_numbers(settings: SimulatorSettings) -> None:
    at_least_one = ("live_tokens", "token_requests_per_minute", "url_life_default", "url_life_max")
    for name in at_least_one:
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1")
    if settings.url_life_max > MAX_URL_LIFE:
        raise ValueError(f"url_life_max must be at most {MAX_URL_LIFE}")
    for name in ("token_life", "fault_seconds", "drip_gap", "late_seconds", "media_bytes"):
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
        raise ValueError(f"no such family: {', '.join(sorted(unknown))}; there are {', '.join(sorted(FAMILIES))}")
    styles = set(settings.url_styles.values()) - URL_STYLES
    if styles:
        raise ValueError(
            f"no such style of URL: {', '.join(sorted(styles))}; there are {', '.join(sorted(URL_STYLES))}"
        )
