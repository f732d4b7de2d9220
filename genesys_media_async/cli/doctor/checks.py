"""The checks of a setup: settings, token, API, clock, permissions and quota. Each returns findings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError

from ...api.replies import NOT_FROM_GENESYS, error_from
from ...api.retry import STATUSES, http_date
from ...endpoints.base import Probe
from ...errors import AuthenticationError, ConnectionSetupError, GenesysMediaError, PermissionDeniedError, sanitized
from ...settings.environment import ENVIRONMENT
from ...settings.regions import REGIONS
from ..exit_codes import ExitCode
from ..options import unused_client
from ..sources import SOURCES
from .findings import Finding
from .network import milliseconds_since

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...settings.settings import Settings
    from ...transports.base import HttpReply
    from .client import DoctorClient
    from .findings import Verdict

T = TypeVar("T")

TRY_AGAIN: Final = "Try again later."
MAX_HEALTHY_SKEW: Final = 5.0
MAX_USABLE_SKEW: Final = 60.0
"""Seconds; a URL may live for two minutes only, and this machine's clock decides when it ends."""

LIMITS_PATH: Final = "/api/v2/organizations/limits/namespaces/platform.api"
TOKEN_LIMITS: Final = ("client.credentials.token.rate.per.minute", "token.rate.per.minute")

DISCOVERY_PROBE: Final = Probe("GET", "/api/v2/analytics/conversations/details/jobs/availability")
DISCOVERY_PERMISSION: Final = (
    "the permission analytics:conversationDetail:view (analytics:agentConversationDetail:view is enough for --by query)"
)


class _Organization(BaseModel):
    name: str = ""


class _Token(BaseModel):
    organization: _Organization = _Organization()


class _Limit(BaseModel):
    key: str
    value: float


class _Limits(BaseModel):
    entities: list[_Limit] = []


_TOKEN, _LIMITS = TypeAdapter(_Token), TypeAdapter(_Limits)


def check_settings(settings: Settings) -> Finding:
    """Check that the API and the login host belong together."""
    api, login = urlsplit(settings.api_url), urlsplit(settings.token_url)
    credentials = "an OAuth client" if settings.access_token is None else "a fixed access token, never refreshed"
    message = f"API {api.geturl()}, login {login.scheme}://{login.netloc}, {credentials}"
    api_region, login_region = _region_of(api.hostname), _region_of(login.hostname)
    variable = ENVIRONMENT["region"][0]
    if api_region is not None and login_region is not None and api_region != login_region:
        repair = f"The API belongs to {api_region}, the login to {login_region}: set {variable} to one region."
        return Finding("settings", "problem", message, repair)
    remark = unused_client(settings)
    can_name_region = settings.base_url is not None and api_region is not None
    suggested = {variable: str(api_region)} if can_name_region else {}
    return Finding("settings", "warning" if remark else "ok", message, remark or "", suggested=suggested)


async def check_token(client: DoctorClient) -> list[Finding]:
    """Get a token; a fixed one has no finding of its own."""
    began = time.monotonic()
    try:
        await client.log_in()
    except (AuthenticationError, ConnectionSetupError) as error:
        return [Finding("token", "problem", error.message, error.advice or TRY_AGAIN)]
    if client.settings.access_token is not None:
        return []
    return [Finding("token", "ok", f"granted in {milliseconds_since(began)}")]


async def check_api(client: DoctorClient) -> list[Finding]:
    """Check that the API accepts the token, and this machine's clock by its reply."""
    sent_at = client.clock.wall()
    reply = await client.send("GET", "/api/v2/tokens/me")
    if isinstance(reply, GenesysMediaError):
        return [_from_error("API", reply)]
    received_at = client.clock.wall()
    clock = check_clock(reply, sent_at, received_at)
    error = error_from(reply, wall=received_at)
    if _is_unusable(reply) or error.code == NOT_FROM_GENESYS:
        return [clock, _from_error("API", error)]
    token = _read(_TOKEN, reply)
    if token is None:
        message = f"the token is accepted; the request for its organisation got {reply.status}"
    else:
        name = sanitized(token.organization.name, 60) or "without a name"
        message = f"the token is accepted; the organisation is {name}"
    return [clock, Finding("API", "ok", message)]


def check_clock(reply: HttpReply, sent_at: float, received_at: float) -> Finding:
    """Compare this machine's clock with the date of a reply."""
    date = http_date(reply.headers.get("date"))
    if date is None:
        return Finding("clock", "ok", "not compared: the reply has no date")
    # The header has whole seconds.
    skew = (sent_at + received_at) / 2 - (date + 0.5)
    certain = abs(skew) - 0.5 - (received_at - sent_at) / 2
    if certain <= MAX_HEALTHY_SKEW:
        return Finding("clock", "ok", "agrees with Genesys's to a few seconds")
    message = f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} Genesys's"
    repair = "Set it, best by NTP: the time at which a URL expires is computed from it."
    return Finding("clock", "problem" if certain > MAX_USABLE_SKEW else "warning", message, repair)


async def check_permissions(client: DoctorClient, sources: Sequence[str]) -> list[Finding]:
    """Probe the sources; those named must be permitted, without names all are probed and a refusal is a warning."""
    verdict: Verdict = "problem" if sources else "warning"
    findings: list[Finding] = []
    for name in sources or SOURCES:
        endpoint = SOURCES[name]
        if endpoint.probe is not None:
            findings.append(await _check_permission(client, name, endpoint.probe, endpoint.permission, verdict))
    if not sources:
        findings.append(await _check_permission(client, "discover", DISCOVERY_PROBE, DISCOVERY_PERMISSION, verdict))
    return findings


async def _check_permission(
    client: DoctorClient, name: str, probe: Probe, permission: str, refused: Verdict
) -> Finding:
    reply = await client.send(probe.method, probe.path, probe.body)
    error = reply if isinstance(reply, GenesysMediaError) else error_from(reply, wall=client.clock.wall())
    if isinstance(error, PermissionDeniedError):
        repair = f"Give the OAuth client a role with {permission}, if it is to use this."
        return Finding(name, refused, error.message, repair)
    if isinstance(reply, GenesysMediaError) or _is_unusable(reply) or error.code == NOT_FROM_GENESYS:
        return _from_error(name, error, refused)
    request = "a test request for a missing id" if reply.status == 404 else "an empty test request"
    remark = f"; {probe.remark}" if probe.remark else ""
    return Finding(name, "ok", f"permission OK: {request} got the expected {reply.status}{remark}")


async def check_quota(client: DoctorClient) -> Finding:
    """Compare the quota in the settings with the organisation's limit, and with the one in reply headers."""
    reply = await client.send("GET", LIMITS_PATH)
    limits = None if isinstance(reply, GenesysMediaError) else _read(_LIMITS, reply)
    values = {each.key: int(each.value) for each in (limits.entities if limits is not None else ())}
    allowed = next((values[key] for key in TOKEN_LIMITS if values.get(key, 0) > 0), None)
    reading, quota = client.reading, client.settings.quota
    used = "replies do not show how much is used"
    if reading is not None:
        others = max(0, reading.count - client.sent)
        used = f"replies show {reading.count} of {reading.allowed} used in this window, {others} by others"
        allowed = reading.allowed if allowed is None else allowed
    configured = f"{used}; the setting is {quota or 'none'}"
    if allowed is None:
        return Finding("quota", "ok", f"the organisation's limit cannot be read; {configured}")
    message = f"Genesys allows {allowed} requests a minute for the token; {configured}"
    variable = ENVIRONMENT["quota"][0]
    suggested = {variable: f"{allowed}/60"}
    mine = None if quota is None else quota.limit * 60 / quota.seconds
    if mine is None or mine > allowed:
        repair = f"Set {variable}={allowed}/60, or less if others use the token: a refused request costs time."
        return Finding("quota", "warning", message, repair, suggested=suggested)
    return Finding("quota", "ok", message, suggested=suggested if mine < allowed else {})


def _is_unusable(reply: HttpReply) -> bool:
    return reply.status in STATUSES["unavailable"]


def _from_error(check: str, error: GenesysMediaError, verdict: Verdict = "problem") -> Finding:
    code = ExitCode.RETRYABLE_FAILURES if error.retryable else ExitCode.CONFIGURATION
    return Finding(check, verdict, error.message, error.advice or TRY_AGAIN, code)


def _read(shape: TypeAdapter[T], reply: HttpReply) -> T | None:
    if reply.status != 200:
        return None
    try:
        return shape.validate_json(reply.body)
    except ValidationError:
        return None


def _region_of(host: str | None) -> str | None:
    """Return the region that a host belongs to, in the spelling of the setting; None for any other host."""
    for name, domain in REGIONS.items():
        if host in {f"api.{domain}", f"login.{domain}"}:
            return name.replace("_", "-")
    return None
