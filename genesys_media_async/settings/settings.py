"""`Settings`: the whole configuration of a retriever, checked before anything is sent."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, TypedDict
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from ..models import DEFAULT_LIFETIME, check_access_level, check_lifetime
from .checked import CheckedModel, Secret, as_value_error
from .environment import ENVIRONMENT, read_environment
from .policies import Pace, QuotaLimit, RetryPolicy, ValidationRule, WebhookTarget
from .regions import REGIONS, canonical_region
from .urls import HEADER_SAFE, check_proxy, check_url
from .version import VERSION

if TYPE_CHECKING:
    from typing import Self, Unpack

    from pydantic import ValidatorFunctionWrapHandler

AUTO_WORKERS: Final = 64
"""Workers if no number is set; many more make httpx's connection pool slower, not faster."""

_IN_QUOTES = re.compile(r"""\s*(["'`]).*\1\s*|\s*[\u2018-\u201f].*[\u2018-\u201f]\s*""", re.DOTALL)


class SettingsOptions(TypedDict, total=False):
    """The settings with the types that are accepted for them; `Settings` describes them."""

    client_id: str | None
    client_secret: SecretStr | str | None
    access_token: SecretStr | str | None
    credentials_in: Literal["header", "body"]
    scope: str | None
    region: str
    base_url: str | None
    login_url: str | None
    proxy: SecretStr | str | None
    expires_in: int
    access_level: str | None
    rule: ValidationRule
    quota: QuotaLimit | str | None
    pace: Pace
    concurrency: int | Literal["auto"] | None
    timeout: float
    deadline: float
    start_timeout: float
    outage_timeout: float
    retry: RetryPolicy
    webhook: WebhookTarget | str | None
    user_agent: str


class Settings(CheckedModel):
    """
    The whole configuration of a retriever.

    Credentials are `client_id` and `client_secret` of an OAuth client with the Client Credentials grant, or an
    `access_token` from elsewhere, which wins if both are set. `region` may have any spelling (`us-east-1`, `us_east_1`,
    `mypurecloud.com`, `https://api.mypurecloud.com`). `base_url` and `login_url` override the hosts of the region; a
    `base_url` that is a region's API implies that region's login.

    `quota` may be text, as in `300/60` (requests/seconds) or `none`, and `pace` is how it is spent. `concurrency`
    bounds the ids in progress at once; with None or "auto" it follows from the quota. `webhook` may be the mere URL of
    a receiver.

    `expires_in` is the wanted lifetime of a URL, `timeout` bounds one exchange with Genesys, `deadline` one id with all
    its attempts and waits, and `start_timeout` the first token of a run; all are seconds.
    """

    variables: ClassVar[Mapping[str, tuple[str, ...]]] = ENVIRONMENT

    client_id: str | None = None
    client_secret: Secret | None = None
    access_token: Secret | None = None
    credentials_in: Literal["header", "body"] = "header"
    scope: str | None = None
    region: str = "us_east_1"
    base_url: str | None = None
    login_url: str | None = None
    proxy: Secret | None = None

    expires_in: int = DEFAULT_LIFETIME
    access_level: str | None = None
    rule: ValidationRule = ValidationRule()

    quota: QuotaLimit | None = QuotaLimit()
    pace: Pace = "burst"
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    timeout: float = Field(default=30.0, gt=0, le=3_600)
    deadline: float = Field(default=600.0, gt=0)
    start_timeout: float = Field(default=15.0, ge=0)
    outage_timeout: float = Field(default=900.0, ge=0)
    retry: RetryPolicy = RetryPolicy()
    webhook: WebhookTarget | None = None
    user_agent: str = f"genesys-media-async/{VERSION}"

    if TYPE_CHECKING:

        def __init__(self, **options: Unpack[SettingsOptions]) -> None:
            """Check the options. Raises `SettingsError`."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, /, **overrides: Unpack[SettingsOptions]) -> Self:
        """
        Read the environment variables in `ENVIRONMENT`; overrides that are not None win over them.

        `environ` replaces the environment of the process. Raises `SettingsError`, which names the variable.
        """
        return cls.from_mapping(overrides, environ)

    @classmethod
    def from_mapping(cls, overrides: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Self:
        """Do as `from_env`, with names and values that a type checker does not know. Raises `SettingsError`."""
        options = read_environment(os.environ if environ is None else environ)
        given = {name: value for name, value in overrides.items() if value is not None}
        if "client_id" in given or "client_secret" in given:
            # An OAuth client in the call wins over a token that was left in the environment.
            options.pop("access_token", None)
        return cls.checked(options | given)

    @property
    def api_url(self) -> str:
        """The origin (and path prefix, behind a gateway) of the platform API, without a final slash."""
        return (self.base_url or f"https://api.{REGIONS[self.region]}").rstrip("/")

    @property
    def token_url(self) -> str:
        """The URL that grants tokens: of `login_url`, or of the region, which a region's `base_url` implies."""
        host = urlsplit(self.base_url or "").hostname or ""
        domain = host.removeprefix("api.")
        if domain == host or domain not in REGIONS.values():
            domain = REGIONS[self.region]
        return f"{(self.login_url or f'https://login.{domain}').rstrip('/')}/oauth/token"

    @property
    def workers(self) -> int:
        """The largest number of ids in progress at once; the limiter lets fewer send if the quota needs fewer."""
        return AUTO_WORKERS if self.concurrency is None else self.concurrency

    @field_validator("concurrency", mode="before")
    @classmethod
    def _concurrency(cls, concurrency: object) -> object:
        if not isinstance(concurrency, str):
            return concurrency
        if concurrency.strip().lower() == "auto":
            return None
        if not re.search(r"\d", concurrency):
            raise ValueError('must be a whole number, or "auto"')
        return concurrency

    @field_validator("client_id", "client_secret", "access_token", mode="before")
    @classmethod
    def _not_blank(cls, given: object) -> object:
        text = given.get_secret_value() if isinstance(given, SecretStr) else given
        return None if isinstance(text, str) and not text.strip() else given

    @field_validator("*", mode="before")
    @classmethod
    def _not_in_quotes(cls, given: object) -> object:
        text = given.get_secret_value() if isinstance(given, SecretStr) else given
        if isinstance(text, str) and _IN_QUOTES.fullmatch(text):
            raise ValueError(
                "is in quotes; write it without them. A shell removes quotes, but `docker run --env-file`, systemd "
                "unit files and the like may keep them as part of the value"
            )
        return given

    @field_validator("client_id")
    @classmethod
    def _client_id(cls, client_id: str | None) -> str | None:
        # A colon would end the user name of HTTP Basic early (RFC 7617).
        if client_id is not None and (not HEADER_SAFE.fullmatch(client_id) or ":" in client_id):
            raise ValueError("must be printable ASCII without spaces or colons; copy the id again, without quotes")
        return client_id

    @field_validator("access_token", "client_secret")
    @classmethod
    def _header_safe(cls, secret: SecretStr | None) -> SecretStr | None:
        # HTTP libraries quote an illegal header value in their exception, which would show the secret.
        if secret is not None and not HEADER_SAFE.fullmatch(secret.get_secret_value()):
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
        return canonical_region(region)

    @field_validator("base_url", "login_url")
    @classmethod
    def _origin(cls, url: str | None, field: ValidationInfo) -> str | None:
        if url is not None:
            host = "login" if field.field_name == "login_url" else "api"
            check_url(url, example=f"https://{host}.mypurecloud.com")
        return url

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None:
            check_proxy(proxy.get_secret_value())
        return proxy

    @field_validator("quota", mode="before")
    @classmethod
    def _quota(cls, quota: object) -> object:
        if isinstance(quota, str):
            return as_value_error(QuotaLimit.parse, quota)
        if not any(isinstance(quota, kind) for kind in (QuotaLimit, dict, type(None))):
            raise ValueError("must be REQUESTS/SECONDS, as in 300/60, or none")
        return quota

    @field_validator("webhook", mode="before")
    @classmethod
    def _webhook(cls, webhook: object) -> object:
        return {"url": webhook} if isinstance(webhook, str) else webhook

    @field_validator("quota", "rule", "retry", "webhook", mode="wrap")
    @classmethod
    def _part(cls, given: object, check: ValidatorFunctionWrapHandler) -> object:
        # A part that is given as a dict raises its own `SettingsError`; this adds the name of the part.
        return as_value_error(check, given)

    @field_validator("deadline")
    @classmethod
    def _deadline(cls, deadline: float) -> float:
        if math.isnan(deadline):
            raise ValueError("must be a number of seconds")
        return deadline

    @field_validator("expires_in")
    @classmethod
    def _expires_in(cls, expires_in: int) -> int:
        return as_value_error(check_lifetime, expires_in)

    @field_validator("access_level")
    @classmethod
    def _access_level(cls, access_level: str | None) -> str | None:
        return None if access_level is None else as_value_error(check_access_level, access_level)

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.access_token is not None:
            return self
        names = [name for name in ("client_id", "client_secret") if getattr(self, name) is None]
        if names:
            missing = " and ".join(f"{ENVIRONMENT[name][0]} ({name})" for name in names)
            raise ValueError(
                f"{missing} {'are' if len(names) > 1 else 'is'} missing or empty; set both to those of an OAuth client "
                f"with the Client Credentials grant, or set {ENVIRONMENT['access_token'][0]}"
            )
        return self
