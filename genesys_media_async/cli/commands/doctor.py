"""`genesys-media doctor`: is everything there that a run needs? Looked at from the bottom up, and hands nothing out."""

from __future__ import annotations

import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import anyio
from pydantic import BaseModel, TypeAdapter, ValidationError

from ...api.replies import error_from
from ...api.tokens import TokenManager
from ...clock import SystemClock
from ...errors import AuthenticationError, GenesysMediaError, PermissionDeniedError, sanitized
from ...quota.headers import Reading
from ...settings.environment import ENVIRONMENT
from ...settings.regions import REGIONS
from ...transports.base import HttpReply, HttpRequest, Transport
from ...transports.httpx_transport import HttpxTransport
from ..doctor.findings import Finding, Findings
from ..doctor.network import connect, look_up, milliseconds
from ..doctor.probes import DISCOVERY, PROBES, Probe
from ..event_loop import run_in_event_loop
from ..exit_codes import ExitCode
from ..options import settings_for
from ..output.streams import silence
from ..sources import SOURCES, check_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...clock import Clock
    from ...settings.settings import Settings
    from ..doctor.findings import Verdict

T = TypeVar("T")

AGAIN: Final = "Try again in a while."
SKEW_OF_A_HEALTHY_CLOCK: Final = 5.0
SKEW_THAT_BREAKS_URLS: Final = 60.0
"""Seconds; a URL may live for two minutes only, and its end is reckoned by this machine's clock."""

LIMITS_PATH: Final = "/api/v2/organizations/limits/namespaces/platform.api"
TOKEN_LIMITS: Final = ("client.credentials.token.rate.per.minute", "token.rate.per.minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What `doctor` was asked for, as it was typed; without `sources` all of them are looked at."""

    sources: Sequence[str]
    as_json: bool
    options: Mapping[str, str]


def doctor(order: Order) -> int:
    """Examine, say what was found, and return the exit code. Raises `CommandFailed`."""
    for source in order.sources:
        check_source(source)
    settings = settings_for(order.options)
    findings = run_in_event_loop(_examine, settings, order.sources)
    try:
        print(findings.for_programs() if order.as_json else findings.for_people(), flush=True)  # noqa: T201 - its data
    except BrokenPipeError:
        silence(1)
        return ExitCode.READER_GONE
    return findings.exit_code


async def _examine(settings: Settings, sources: Sequence[str]) -> Findings:
    async with AsyncExitStack() as stack:
        transport = HttpxTransport.from_settings(settings)
        stack.push_async_callback(transport.aclose)
        examination = Examination(settings, transport, sources, SystemClock())
        await examination.from_the_bottom_up()
    return Findings(examination.findings, examination.suggested)


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


class Examination:
    """Looks at one thing after the other, as far as one can with what is below it."""

    def __init__(self, settings: Settings, transport: Transport, sources: Sequence[str], clock: Clock) -> None:
        self.findings: list[Finding] = []
        self.suggested: dict[str, str] = {}
        self._settings = settings
        self._transport = transport
        self._sources = sources
        self._clock = clock
        self._bearer = ""
        self._asked = 0
        self._reading: Reading | None = None

    async def from_the_bottom_up(self) -> None:
        """Fill `findings` and `suggested`."""
        self._look_at_settings()
        await self._look_at_network()
        if any(each.verdict == "problem" for each in self.findings) or not await self._look_at_token():
            return
        if not await self._look_at_api():
            return
        await self._look_at_permissions()
        await self._look_at_quota()

    def _note(self, finding: Finding) -> None:
        self.findings.append(finding)

    def _look_at_settings(self) -> None:
        settings = self._settings
        api, login = urlsplit(settings.api_url), urlsplit(settings.token_url)
        credentials = (
            "an OAuth client" if settings.access_token is None else "a fixed access token, which nobody renews"
        )
        said = f"API {api.geturl()}, login {login.scheme}://{login.netloc}, {credentials}"
        homes = (_region_of(api.hostname), _region_of(login.hostname))
        if None not in homes and homes[0] != homes[1]:
            repair = f"The API is of {homes[0]}, the login of {homes[1]}: name one region, {ENVIRONMENT['region'][0]}."
            self._note(Finding("settings", "problem", said, repair))
            return
        self._note(Finding("settings", "ok", said))
        if settings.base_url is not None and homes[0] is not None:
            self.suggested[ENVIRONMENT["region"][0]] = homes[0]

    async def _look_at_network(self) -> None:
        if self._settings.proxy is not None or getproxies():
            self._note(
                Finding("network", "ok", "a proxy is set, which does the rest: it is seen by the requests below")
            )
            return
        urls = {
            parts.netloc: (name, parts)
            for name, parts in (
                ("login", urlsplit(self._settings.token_url)),
                ("API", urlsplit(self._settings.api_url)),
            )
        }
        for name, parts in urls.values():
            self._note(await look_up(name, parts))
            if self.findings[-1].verdict != "problem":
                self._note(await connect(name, parts))

    async def _look_at_token(self) -> bool:
        began = time.monotonic()
        async with anyio.create_task_group() as task_group:
            tokens = TokenManager(
                self._settings,
                self._transport,
                clock=self._clock,
                rng=random.Random(),  # noqa: S311 - jitter is no secret
                spawn=task_group.start_soon,
                emit=lambda _: None,
            )
            try:
                self._bearer = await tokens.get()
            except AuthenticationError as error:
                self._note(Finding("token", "problem", error.message, error.advice or AGAIN))
            task_group.cancel_scope.cancel()
        if self._bearer and self._settings.access_token is None:
            self._note(Finding("token", "ok", f"granted in {milliseconds(began)}"))
        return bool(self._bearer)

    async def _look_at_api(self) -> bool:
        sent_at = self._clock.wall()
        reply = await self._ask("GET", "/api/v2/tokens/me")
        if isinstance(reply, GenesysMediaError):
            self._note(_trouble("API", reply))
            return False
        self._look_at_clock(reply, sent_at, self._clock.wall())
        if reply.status in {401, 408, 429} or reply.status >= 500:
            self._note(_trouble("API", error_from(reply, wall=self._clock.wall())))
            return False
        token = _read(_TOKEN, reply)
        if token is None:
            self._note(Finding("API", "ok", f"the token is accepted; {reply.status} when asked for its organisation"))
        else:
            name = sanitized(token.organization.name, 60) or "that does not say its name"
            self._note(Finding("API", "ok", f"the token is accepted; the organisation is {name}"))
        return True

    def _look_at_clock(self, reply: HttpReply, sent_at: float, received_at: float) -> None:
        try:
            # The header has whole seconds.
            genesys = parsedate_to_datetime(reply.headers.get("date", "")).timestamp() + 0.5
        except (ValueError, OverflowError):
            self._note(Finding("clock", "ok", "not compared: the reply has no date"))
            return
        skew = (sent_at + received_at) / 2 - genesys
        apart = abs(skew) - 0.5 - (received_at - sent_at) / 2
        if apart <= SKEW_OF_A_HEALTHY_CLOCK:
            self._note(Finding("clock", "ok", "agrees with Genesys's to a few seconds"))
            return
        said = f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} Genesys's"
        repair = "Set it, best by NTP: what is said of when a URL ends is reckoned by it."
        self._note(Finding("clock", "problem" if apart > SKEW_THAT_BREAKS_URLS else "warning", said, repair))

    async def _look_at_permissions(self) -> None:
        named = [name for name in self._sources or SOURCES if name in PROBES]
        found = [await self._probe(name, PROBES[name], needed=bool(self._sources)) for name in named]
        if not self._sources:
            found.append(await self._probe("discover", DISCOVERY, needed=False))
        self.findings += found

    async def _probe(self, name: str, probe: Probe, *, needed: bool) -> Finding:
        reply = await self._ask(probe.method, probe.path, probe.body)
        verdict: Verdict = "problem" if needed else "warning"
        error = reply if isinstance(reply, GenesysMediaError) else error_from(reply, wall=self._clock.wall())
        if isinstance(error, PermissionDeniedError):
            repair = f"Give the OAuth client a role with {probe.permission}, if it is to use this."
            return Finding(name, verdict, error.message, repair)
        if isinstance(reply, GenesysMediaError) or reply.status in {401, 408, 429} or reply.status >= 500:
            return _trouble(name, error, verdict)
        answered = "what does not exist is answered" if reply.status == 404 else "an empty question is answered"
        return Finding(name, "ok", f"permitted: {answered} {reply.status}{f'; {probe.remark}' if probe.remark else ''}")

    async def _look_at_quota(self) -> None:
        reply = await self._ask("GET", LIMITS_PATH)
        limits = None if isinstance(reply, GenesysMediaError) else _read(_LIMITS, reply)
        values = {each.key: int(each.value) for each in (limits.entities if limits is not None else ())}
        allowed = next((values[key] for key in TOKEN_LIMITS if values.get(key, 0) > 0), None)
        reading, quota = self._reading, self._settings.quota
        if reading is not None:
            others = max(0, reading.count - self._asked)
            used = f"replies say {reading.count} of {reading.allowed} are used in this window, {others} by others"
            allowed = reading.allowed if allowed is None else allowed
        else:
            used = "replies do not say how much is used"
        variable = ENVIRONMENT["quota"][0]
        if allowed is None:
            said = f"the organisation's limit is not to be read; {used}; set is {quota or 'no ceiling'}"
            self._note(Finding("quota", "ok", said))
            return
        said = f"Genesys allows {allowed} requests a minute for the token; {used}; set is {quota or 'no ceiling'}"
        mine = None if quota is None else quota.limit * 60 / quota.seconds
        if mine is None or mine > allowed:
            repair = f"Set {variable}={allowed}/60, or less if others use the token: what is refused costs time."
            self._note(Finding("quota", "warning", said, repair))
            self.suggested[variable] = f"{allowed}/60"
            return
        self._note(Finding("quota", "ok", said))
        if mine < allowed:
            self.suggested[variable] = f"{allowed}/60"

    async def _ask(self, method: str, path: str, body: bytes = b"") -> HttpReply | GenesysMediaError:
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": self._settings.user_agent,
            "authorization": f"Bearer {self._bearer}",
        }
        self._asked += 1
        try:
            reply = await self._transport.exchange(
                HttpRequest(method, self._settings.api_url + path, headers, body), timeout=self._settings.timeout
            )
        except GenesysMediaError as error:
            return error
        self._reading = Reading.from_headers(reply.headers) or self._reading
        return reply


def _trouble(check: str, error: GenesysMediaError, verdict: Verdict = "problem") -> Finding:
    code = ExitCode.FAILED_FOR_NOW if error.retryable else ExitCode.CONFIGURATION
    return Finding(check, verdict, error.message, error.advice or AGAIN, code)


def _read(shape: TypeAdapter[T], reply: HttpReply) -> T | None:
    if reply.status != 200:
        return None
    try:
        return shape.validate_json(reply.body)
    except ValidationError:
        return None


def _region_of(host: str | None) -> str | None:
    """Return the region that a host belongs to, as a setting has it; None for one of somebody else's."""
    for name, domain in REGIONS.items():
        if host in {f"api.{domain}", f"login.{domain}"}:
            return name.replace("_", "-")
    return None
