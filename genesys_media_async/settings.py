"""
Frozen settings, checked at the door: a wrong one is a `SettingsError` before anything is sent.

Also the regions of Genesys Cloud and the names of the environment variables.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from .errors import InvalidRequest, SettingsError
from .models import DEFAULT_LIFE, DownloadUrl, MediaRequest, check_access_level, check_life

if TYPE_CHECKING:
    from typing import Self

VERSION = "0.1.0"

AUTO_WORKERS = 64
"""Workers where nobody names a number; httpx's connection pool gets slower, not faster, with many more."""

REGIONS: Final = {
    "us_east_1": "mypurecloud.com",
    "us_east_2": "use2.us-gov-pure.cloud",
    "us_west_2": "usw2.pure.cloud",
    "ca_central_1": "cac1.pure.cloud",
    "mx_central_1": "mxc1.pure.cloud",
    "sa_east_1": "sae1.pure.cloud",
    "eu_west_1": "mypurecloud.ie",
    "eu_west_2": "euw2.pure.cloud",
    "eu_central_1": "mypurecloud.de",
    "eu_central_2": "euc2.pure.cloud",
    "eusc_de_east_1": "edee1.eusc-pure.cloud",
    "me_central_1": "mec1.pure.cloud",
    "ap_south_1": "aps1.pure.cloud",
    "ap_northeast_1": "mypurecloud.jp",
    "ap_northeast_2": "apne2.pure.cloud",
    "ap_northeast_3": "apne3.pure.cloud",
    "ap_southeast_1": "apse1.pure.cloud",
    "ap_southeast_2": "mypurecloud.com.au",
}
"""AWS region to domain, as the official SDKs list them: https://developer.genesys.cloud/platform/api/ ."""

ENVIRONMENT: Final[dict[str, tuple[str, ...]]] = {
    "client_id": ("GENESYSCLOUD_OAUTHCLIENT_ID", "GENESYS_CLOUD_CLIENT_ID"),
    "client_secret": ("GENESYSCLOUD_OAUTHCLIENT_SECRET", "GENESYS_CLOUD_CLIENT_SECRET"),
    "access_token": ("GENESYSCLOUD_ACCESS_TOKEN", "GENESYS_CLOUD_ACCESS_TOKEN"),
    "region": ("GENESYSCLOUD_REGION", "GENESYS_CLOUD_REGION", "GENESYS_CLOUD_ENVIRONMENT"),
    "base_url": ("GENESYS_MEDIA_BASE_URL",),
    "login_url": ("GENESYS_MEDIA_LOGIN_URL",),
    "quota": ("GENESYS_MEDIA_QUOTA",),
    "concurrency": ("GENESYS_MEDIA_CONCURRENCY",),
    "expires_in": ("GENESYS_MEDIA_EXPIRES_IN",),
    "access_level": ("GENESYS_MEDIA_ACCESS_LEVEL",),
    "timeout": ("GENESYS_MEDIA_TIMEOUT",),
    "deadline": ("GENESYS_MEDIA_DEADLINE",),
    "proxy": ("GENESYS_MEDIA_PROXY",),
}
"""Setting to the environment variables it is read from; the first that is set and not empty wins."""

_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")

if TYPE_CHECKING:
    Secret: TypeAlias = SecretStr | str
else:
    # Text is taken, too, and becomes a secret that no repr shows.
    Secret = SecretStr


def reveal(secret: Secret) -> str:
    """Return the text of a secret."""
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret


Check = Callable[[DownloadUrl, MediaRequest], str | None]
"""A validation rule of the user's own: returns why the URL is refused, or None."""


class _Checked(BaseModel):
    """A frozen value that answers wrong input with `SettingsError`, never showing the input."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_describe(error)) from None


def _describe(error: ValidationError) -> str:
    lines: list[str] = []
    for each in error.errors(include_input=False, include_url=False, include_context=False):
        setting = ".".join(str(part) for part in each["loc"])
        variables = ENVIRONMENT.get(setting, ())
        where = f"{setting} (or {variables[0]})" if variables else setting
        rule = each["msg"].removeprefix("Value error, ").rstrip(".")
        lines.append(f"{where}: {rule}." if where else f"{rule}.")
    return " ".join(lines)


class QuotaLimit(_Checked):
    """
    How many requests one token may make in how many seconds.

    Genesys's usual limit is 300 in 60 s for each token, and undocumented lower ones exist:
    https://developer.genesys.cloud/organization/organization/limits . `pace` says whether the limit is spent as
    fast as the replies come ("burst") or spread over the window ("even").
    """

    limit: int = Field(default=300, ge=1, le=10_000_000)
    seconds: float = Field(default=60.0, gt=0, le=86_400, allow_inf_nan=False)
    pace: Literal["burst", "even"] = "burst"

    @classmethod
    def parse(cls, text: str) -> QuotaLimit | None:
        """Read `300/60` (requests/seconds), or `none` for no ceiling. Raises `SettingsError`."""
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


class RetryPolicy(_Checked):
    """
    When a failed attempt is repeated.

    `tries` bounds the sends of one id that end in a transient failure (408, 500, 502, 503, 504, no complete reply, a
    reply that is not the agreed one). The waits between them are drawn evenly from 0 to a curve that starts at `base`
    seconds and doubles up to `longest`; this is the full jitter of
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/ .
    `rate_limited_tries` bounds the 429s of one id, which do not count as transient. `budget` bounds, for the whole
    run, the repetitions that led to nothing; each ten ids that succeed at once earn one back.
    """

    tries: int = Field(default=5, ge=1, le=100)
    base: float = Field(default=0.5, ge=0, le=3_600, allow_inf_nan=False)
    longest: float = Field(default=30.0, ge=0, le=3_600, allow_inf_nan=False)
    rate_limited_tries: int = Field(default=20, ge=1, le=1_000)
    budget: int = Field(default=200, ge=0)


class ValidationRule(_Checked):
    """
    What a URL must be to be handed out.

    `content_types` are compared without case and parameters; `*/*` or `audio/*` stand for many. None means audio, video
    and images of media storage, and whatever else another source serves, since not every reply names one there.
    `longest_life` is in seconds; None means no longer than was asked for, where a life can be asked for.
    `required_access` must be the access level that the reply names or, where it names none, that was asked for.
    `hosts`, if given, are the host names allowed, `*.example.com` meaning every name below it. URLs are https;
    `loopback_http` also lets plain http through to this machine, which the simulator needs. `checks` are further rules,
    called in order.
    """

    content_types: tuple[str, ...] | None = None
    longest_life: Annotated[int, Field(ge=1)] | None = None
    required_access: str | None = None
    hosts: tuple[str, ...] | None = None
    longest_url: int = Field(default=8_192, ge=1)
    loopback_http: bool = False
    checks: tuple[Check, ...] = ()

    @field_validator("content_types")
    @classmethod
    def _content_types(cls, patterns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for pattern in patterns or ():
            if not re.fullmatch(r"[\w!#$&^.+*-]+/[\w!#$&^.+*-]+", pattern, re.ASCII):
                raise ValueError(f"{pattern!r} is not a content type; write type/subtype, as in audio/*")
        return patterns and tuple(pattern.lower() for pattern in patterns)

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for host in hosts or ():
            if not re.fullmatch(r"(\*\.)?[\w.:-]+", host, re.ASCII):
                raise ValueError(f"{host!r} is not a host name; write it bare, as in media.example.com")
        return hosts and tuple(host.lower() for host in hosts)


class WebhookTarget(_Checked):
    """
    Where `media.url.generated` is posted, and how patiently.

    The pre-signed URL itself travels only with `include_url`. At most `queue` events wait; `concurrency` of them are
    on their way at once, each tried `tries` times with `timeout` seconds a try. On exit up to `drain` seconds are
    spent on what waits. What is not delivered is counted, reported as an event and, with `undelivered_file`,
    appended there as JSON lines (never with the URL).
    """

    url: Secret
    include_url: bool = False
    timeout: float = Field(default=10.0, gt=0, le=600)
    tries: int = Field(default=6, ge=1, le=100)
    concurrency: int = Field(default=4, ge=1, le=1_000)
    queue: int = Field(default=10_000, ge=1)
    drain: float = Field(default=30.0, ge=0, le=3_600)
    undelivered_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _url(cls, url: SecretStr) -> SecretStr:
        _check_url(url.get_secret_value(), query_allowed=True)
        return url


class Settings(_Checked):
    """
    Everything a retriever needs to know.

    Either `client_id` and `client_secret` of an OAuth client with the Client Credentials grant, or an `access_token`
    that was obtained elsewhere. `region` in any spelling (`us-east-1`, `us_east_1`, `mypurecloud.com`,
    `https://api.mypurecloud.com`); `base_url` and `login_url` override the hosts that follow from it, and a `base_url`
    that is a region's API finds that region's login by itself. `timeout` bounds one exchange with Genesys and
    `deadline` one id with all its attempts and waits, both in seconds. `concurrency` bounds the ids worked on at once;
    with None, or "auto", it follows from the quota.
    """

    client_id: str | None = None
    client_secret: Secret | None = None
    access_token: Secret | None = None
    credentials_in: Literal["header", "body"] = "header"
    scope: str | None = None
    region: str = "us_east_1"
    base_url: str | None = None
    login_url: str | None = None
    proxy: Secret | None = None

    expires_in: int = DEFAULT_LIFE
    access_level: str | None = None
    rule: ValidationRule = ValidationRule()

    quota: QuotaLimit | None = QuotaLimit()
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    timeout: float = Field(default=30.0, gt=0, le=3_600)
    deadline: float = Field(default=600.0, gt=0)
    start_patience: float = Field(default=15.0, ge=0)
    """Seconds for which a run tries to get its first token before it gives up."""
    retry: RetryPolicy = RetryPolicy()
    webhook: WebhookTarget | None = None
    user_agent: str = f"genesys-media-async/{VERSION}"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, /, **overrides: object) -> Self:
        """
        Read the variables named in `ENVIRONMENT`; arguments that are not None win over them.

        Raises `SettingsError` naming the variable and the repair.
        """
        values = _read_environment(environ)
        given = {name: value for name, value in overrides.items() if value is not None}
        if "client_id" in given or "client_secret" in given:
            # Whoever names an OAuth client does not mean a token that is left over in the environment.
            values.pop("access_token", None)
        values.update(given)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(_describe(error)) from None

    @property
    def api_url(self) -> str:
        """The origin (and path prefix, behind a gateway) of the platform API, without a slash at its end."""
        return (self.base_url or f"https://api.{REGIONS[self.region]}").rstrip("/")

    @property
    def token_url(self) -> str:
        """Where tokens are granted: by `login_url`, or by the region, which is that of `base_url` if it is of one."""
        host = urlsplit(self.base_url or "").hostname or ""
        domain = host.removeprefix("api.")
        if domain == host or domain not in REGIONS.values():
            domain = REGIONS[self.region]
        return f"{(self.login_url or f'https://login.{domain}').rstrip('/')}/oauth/token"

    @property
    def workers(self) -> int:
        """How many ids are worked on at once at most; the limiter lets no more be in flight than the quota needs."""
        return AUTO_WORKERS if self.concurrency is None else self.concurrency

    @field_validator("concurrency", mode="before")
    @classmethod
    def _concurrency(cls, concurrency: object) -> object:
        return None if isinstance(concurrency, str) and concurrency.strip().lower() == "auto" else concurrency

    @field_validator("client_id", "client_secret", "access_token", mode="before")
    @classmethod
    def _not_blank(cls, value: object) -> object:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return None if isinstance(text, str) and not text.strip() else value

    @field_validator("client_id")
    @classmethod
    def _client_id(cls, client_id: str | None) -> str | None:
        # A colon would end the user name of HTTP Basic early (RFC 7617).
        if client_id is not None and (not _HEADER_SAFE.fullmatch(client_id) or ":" in client_id):
            raise ValueError("must be printable ASCII without spaces or colons; copy the id again, without quotes")
        return client_id

    @field_validator("access_token", "client_secret")
    @classmethod
    def _header_safe(cls, secret: SecretStr | None) -> SecretStr | None:
        # HTTP libraries quote an illegal header value in their exception, which would show the secret.
        if secret is not None and not _HEADER_SAFE.fullmatch(secret.get_secret_value()):
            raise ValueError("must be printable ASCII without spaces or line breaks; copy it again, without quotes")
        return secret

    @field_validator("user_agent")
    @classmethod
    def _user_agent(cls, user_agent: str) -> str:
        if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", user_agent):
            raise ValueError("must be printable ASCII in one line")
        return user_agent

    @field_validator("region")
    @classmethod
    def _region(cls, region: str) -> str:
        return _canonical_region(region)

    @field_validator("base_url", "login_url")
    @classmethod
    def _origin(cls, url: str | None) -> str | None:
        if url is not None:
            _check_url(url)
        return url

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None:
            url = proxy.get_secret_value()
            parts = _split(url)
            if not _HEADER_SAFE.fullmatch(url) or not parts.hostname or parts.scheme not in {"http", "https"}:
                raise ValueError("must be an http:// or https:// URL, as in http://proxy.example.com:3128")
        return proxy

    @field_validator("quota", mode="before")
    @classmethod
    def _quota(cls, quota: object) -> object:
        return _translated(QuotaLimit.parse, quota) if isinstance(quota, str) else quota

    @field_validator("deadline")
    @classmethod
    def _deadline(cls, deadline: float) -> float:
        if math.isnan(deadline):
            raise ValueError("must be a number of seconds")
        return deadline

    @field_validator("expires_in")
    @classmethod
    def _expires_in(cls, expires_in: int) -> int:
        return _translated(check_life, expires_in)

    @field_validator("access_level")
    @classmethod
    def _access_level(cls, access_level: str | None) -> str | None:
        return None if access_level is None else _translated(check_access_level, access_level)

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.access_token is None:
            missing = [
                f"{ENVIRONMENT[name][0]} ({name})"
                for name in ("client_id", "client_secret")
                if getattr(self, name) is None
            ]
            if missing:
                raise ValueError(
                    f"{' and '.join(missing)} missing or empty; set both to those of an OAuth client with the "
                    f"Client Credentials grant, or set {ENVIRONMENT['access_token'][0]}"
                )
        return self


Given = TypeVar("Given")
Wanted = TypeVar("Wanted")


def _translated(check: Callable[[Given], Wanted], value: Given) -> Wanted:
    """Let a rule that is shared with requests speak as a setting's validator does."""
    try:
        return check(value)
    except (InvalidRequest, SettingsError) as error:
        raise ValueError(str(error)) from None


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # What Python says about it quotes a part, which may be of a password.
        raise ValueError("is not a URL: check the host and the port") from None
    return parts


def _check_url(url: str, *, query_allowed: bool = False) -> None:
    parts = _split(url)
    host = parts.hostname
    if not _HEADER_SAFE.fullmatch(url) or not host or parts.scheme not in {"https", "http"}:
        raise ValueError("must be a URL of printable ASCII, as in https://api.mypurecloud.com")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("must begin with https://; plain http is for this machine only (127.0.0.1, ::1, localhost)")
    if parts.username or parts.password:
        raise ValueError("must not carry a user name or password")
    if "#" in url or ("?" in url and not query_allowed):
        raise ValueError("must end with the host or a path: no query, no fragment")


def _canonical_region(region: str) -> str:
    # Whoever copies the address of a page from the browser means its host.
    spelled = region.strip().lower().removeprefix("https://").partition("/")[0]
    name = re.sub(r"[\s-]", "_", spelled)
    if name in REGIONS:
        return name
    domain = re.sub(r"^(api|login|apps)\.", "", spelled)
    for name, known in REGIONS.items():
        if domain == known:
            return name
    raise ValueError(
        f"{region[:60]!r} is no region; known are {', '.join(name.replace('_', '-') for name in REGIONS)} "
        "and their domains; for another host set base_url and login_url"
    )


def _read_environment(environ: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for setting, names in ENVIRONMENT.items():
        found = next((value for name in names if (value := environ.get(name, "").strip())), None)
        if found is not None:
            values[setting] = found
    return values
