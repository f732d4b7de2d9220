"""
One authorised, quota-paid, retried call; knows no endpoint.

Every attempt pays: a permit first, then the token (which must not age in a queue), then the request. Every attempt
leaves an audit record, one that is cancelled on its way included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
from pydantic import ValidationError

from .errors import (
    ApiError,
    AuthenticationError,
    DeadlineExceeded,
    EvidenceLost,
    GenesysMediaError,
    InvalidReply,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    Unauthorized,
    UrlRefused,
    quotable,
)
from .events import AttemptAudited, Outcome, RetryScheduled
from .models import ErrorBody, correlation_id
from .quota import Reading
from .retry import Again, RetryBudget, RetryRule, Tries, parse_retry_after, pause_after_429
from .transports import HttpReply, HttpRequest, Transport

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from .clock import Clock
    from .events import Event
    from .governor import Governor
    from .quota import Permit
    from .settings import Settings
    from .tally import Tally
    from .tokens import TokenManager

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

RECORD_PATIENCE = 10.0
"""Seconds that the audit sinks may take over one record; cancellation waits for it that long."""

_SAID_IN_BODY = re.compile(rb"retry the request in \[(\d{1,9})\] seconds", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """
    What to ask, on whose behalf, and how to read the answer.

    `path` follows the API's origin. `read` turns a 2xx reply, to a request sent at that many seconds since 1970, into
    the value wanted, or raises `InvalidReply` (ask again) or `UrlRefused` (do not).
    """

    method: str
    path: str
    body: bytes = field(repr=False)
    subject: str
    action: str
    read: Callable[[HttpReply, float], T_co] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a call came to: exactly one of `value` and `error`. `latency` is the last exchange's, in seconds."""

    value: T | None
    error: GenesysMediaError | None
    attempts: int
    latency: float
    correlation_id: str | None


@dataclass(slots=True)
class _Progress:
    """What one call has come to so far."""

    tries: Tries = field(default_factory=Tries)
    attempts: int = 0
    retries_paid: int = 0
    latency: float = 0.0
    status: int | None = None
    correlation_id: str | None = None
    error: GenesysMediaError | None = None


class Api:
    """Makes calls, each to its end: a value, or the error that remained."""

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        tokens: TokenManager,
        governor: Governor,
        *,
        clock: Clock,
        rng: random.Random,
        emit: Callable[[Event], None],
        audit: Callable[[AttemptAudited], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._tokens = tokens
        self._governor = governor
        self._clock = clock
        self._rule = RetryRule(settings.retry, rng)
        self._emit = emit
        self._audit = audit
        self._refusals_in_a_row = 0
        self._origin = settings.api_url
        self._headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": settings.user_agent,
        }

    async def call(self, call: Call[T], *, deadline: float, budget: RetryBudget, tally: Tally) -> Answer[T]:
        """
        Make a call within `deadline` seconds, all its attempts and waits together.

        Errors are returned, not raised, except `EvidenceLost`.
        """
        progress = _Progress()
        ends = self._clock.monotonic() + deadline
        with anyio.move_on_after(deadline):
            while True:
                try:
                    value = await self._attempt(call, progress, tally, ends)
                except EvidenceLost:
                    raise
                except GenesysMediaError as error:
                    progress.error = error
                    if not await self._prepare_retry(call, progress, error, ends, budget, tally):
                        return _answer(progress, None, error)
                else:
                    budget.succeeded(progress.retries_paid)
                    return _answer(progress, value, None)
        return _answer(progress, None, _out_of_time(deadline, progress))

    async def record_unsent(self, subject: str, action: str, error: GenesysMediaError) -> None:
        """Leave the audit record of a request that was refused before it could be sent."""
        await self._record(subject, action, _Progress(), error)

    async def _attempt(self, call: Call[T], progress: _Progress, tally: Tally, ends: float) -> T:
        progress.status, progress.correlation_id, progress.latency = None, None, 0.0
        sent_before = progress.attempts
        try:
            reply, sent_at = await self._send(call, progress, tally, ends)
            value = self._read(call, reply, sent_at)
        except GenesysMediaError as error:
            if progress.attempts > sent_before or isinstance(error, AuthenticationError):
                await self._record(call.subject, call.action, progress, error)
            raise
        except BaseException:
            if progress.attempts > sent_before:
                # Genesys may have generated a URL that nobody will see; the trail must not have a hole there.
                await self._record(call.subject, call.action, progress, _cut_off())
            raise
        await self._record(call.subject, call.action, progress, None)
        return value

    async def _send(self, call: Call[T], progress: _Progress, tally: Tally, ends: float) -> tuple[HttpReply, float]:
        permit = await self._governor.acquire(deadline=ends)
        try:
            token = self._tokens.peek() or await self._tokens.bearer()
        except BaseException:
            self._governor.give_back(permit)
            raise
        progress.attempts += 1
        tally.sent += 1
        tally.in_flight += 1
        sent, sent_at = self._clock.monotonic(), self._clock.wall()
        try:
            reply = await self._transport.exchange(self._request(call, token), timeout=self._settings.timeout)
        except BaseException:
            # Genesys may have counted it all the same.
            self._governor.spend(permit)
            raise
        finally:
            tally.in_flight -= 1
            progress.latency = self._clock.monotonic() - sent
        self._settle(permit, reply)
        progress.status = reply.status
        progress.correlation_id = correlation_id(reply.headers)
        if reply.status == 401:
            self._tokens.invalidate(token)
        else:
            self._tokens.accepted()
        return reply, sent_at

    def _settle(self, permit: Permit, reply: HttpReply) -> None:
        if reply.status != 429:
            self._refusals_in_a_row = 0
            self._governor.spend(permit, Reading.from_headers(reply.headers))
            return
        self._refusals_in_a_row += 1
        retry_after = retry_after_of(reply, wall=self._clock.wall())
        pause = pause_after_429(retry_after, self._refusals_in_a_row)
        self._governor.refuse(permit, pause, told=retry_after is not None)

    def _request(self, call: Call[T], token: str) -> HttpRequest:
        headers = {**self._headers, "authorization": f"Bearer {token}"}
        return HttpRequest(call.method, self._origin + call.path, headers, call.body)

    def _read(self, call: Call[T], reply: HttpReply, sent_at: float) -> T:
        if not 200 <= reply.status < 300:
            raise error_from(reply, wall=self._clock.wall())
        try:
            return call.read(reply, sent_at)
        except GenesysMediaError as error:
            error.status = reply.status
            error.correlation_id = correlation_id(reply.headers)
            raise

    async def _prepare_retry(
        self,
        call: Call[T],
        progress: _Progress,
        error: GenesysMediaError,
        ends: float,
        budget: RetryBudget,
        tally: Tally,
    ) -> bool:
        left, remaining = budget.left, ends - self._clock.monotonic()
        decision = self._rule.decide(error, progress.tries, remaining=remaining, budget=budget)
        if not isinstance(decision, Again):
            return False
        progress.retries_paid += budget.left < left
        tally.retries += not isinstance(error, AuthenticationError)
        self._emit(
            RetryScheduled(
                at=self._clock.wall(),
                file_id=call.subject,
                attempt=progress.attempts,
                delay=decision.delay,
                code=error.code,
                status=error.status,
            )
        )
        if decision.delay > 0:
            await self._clock.sleep(decision.delay)
        return True

    async def _record(self, subject: str, action: str, progress: _Progress, error: GenesysMediaError | None) -> None:
        record = AttemptAudited(
            at=self._clock.wall(),
            action=action,
            file_id=subject,
            outcome=outcome_of(error),
            status=progress.status,
            latency=progress.latency,
            user_agent=self._settings.user_agent,
            attempt=progress.attempts,
            code=error.code if error is not None else None,
            correlation_id=progress.correlation_id,
        )
        with anyio.move_on_after(RECORD_PATIENCE, shield=True):
            await self._audit(record)
            return
        raise EvidenceLost(f"The audit sinks did not take a record within {RECORD_PATIENCE:g} s.")


def outcome_of(error: GenesysMediaError | None) -> Outcome:
    """Return the audit trail's word for how something ended."""
    match error:
        case None:
            return Outcome.SUCCESS
        case InvalidRequest():
            return Outcome.PAYLOAD_INVALID
        case AuthenticationError() | Unauthorized():
            return Outcome.AUTH_FAILURE
        case UrlRefused():
            return Outcome.VALIDATION_FAILED
        case _:
            return Outcome.GENERATION_FAILED


def error_from(reply: HttpReply, *, wall: float) -> GenesysMediaError:
    """Return the error that a reply without a 2xx status means; a body that is not Genesys's is left out."""
    try:
        said = ErrorBody.model_validate_json(reply.body)
    except ValidationError:
        said = ErrorBody()
    words = ": ".join(word for word in (quotable(said.code or "", 80), quotable(said.message or "")) if word)
    message = f"Genesys answered {reply.status}{f' ({words})' if words else ''}."
    if 300 <= reply.status < 400 or reply.status < 200:
        return InvalidReply(message, code="unexpected_status", status=reply.status, retryable=False)
    kinds: dict[int, type[ApiError]] = {401: Unauthorized, 403: PermissionDenied, 404: NotFound, 429: RateLimited}
    kind = kinds.get(reply.status, ServerError if reply.status >= 500 else ApiError)
    return kind(
        message,
        code=quotable(said.code or "", 80) or None,
        status=reply.status,
        correlation_id=correlation_id(reply.headers),
        context_id=quotable(said.contextId, 80) if said.contextId else None,
        retryable=reply.status in {408, 429} or (reply.status >= 500 and reply.status != 501),
        retry_after=retry_after_of(reply, wall=wall),
    )


def retry_after_of(reply: HttpReply, *, wall: float) -> float | None:
    """Return for how many seconds a reply asks to be left alone: by its Retry-After, or else in Genesys's words."""
    told = parse_retry_after(reply.headers.get("retry-after"), wall=wall)
    if told is None and (in_words := _SAID_IN_BODY.search(reply.body)):
        return float(in_words[1])
    return told


def _answer(progress: _Progress, value: T | None, error: GenesysMediaError | None) -> Answer[T]:
    return Answer(value, error, progress.attempts, progress.latency, progress.correlation_id)


def _cut_off() -> GenesysMediaError:
    return GenesysMediaError("Cancelled, or out of time, while the request was on its way.", code="cut_off")


def _out_of_time(deadline: float, progress: _Progress) -> DeadlineExceeded:
    last = f" The last attempt: {progress.error.message}" if progress.error is not None else ""
    return DeadlineExceeded(f"No URL within {deadline:g} s, after {progress.attempts} requests.{last}")
