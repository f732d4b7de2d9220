"""
One authorised, quota-paid, retried call; knows no endpoint.

Every attempt pays: a permit first, then the token (which must not age in a queue), then the request. Every attempt
leaves an audit record, one that is cancelled on its way included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import anyio

from ..errors import (
    APITimeoutError,
    AuthenticationError,
    DeadlineExceededError,
    GenesysMediaError,
    InvalidRequestError,
    TokenRejectedError,
    UrlRejectedError,
)
from ..events import AttemptAudited, Outcome, RetryScheduled
from ..ids import correlation_id
from ..transports.base import HttpReply, HttpRequest, Transport
from .calls import Call, CallResult
from .replies import check_redirect, error_from, retry_after_of
from .retry import Again, RetryBudget, RetryRule, Tries, pause_after_429

if TYPE_CHECKING:
    import asyncio
    import random
    from collections.abc import Callable, Mapping

    from ..clock import Clock
    from ..counters import Counters
    from ..events import Event
    from ..limiter.base import Limiter
    from ..quota.permit import Permit
    from ..settings.settings import Settings
    from .tokens import TokenManager

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

EARLY = 0.1
"""Seconds by which the end of an exchange may be early: uvloop's clock stands still while the loop is busy."""

_TOO_MANY_REQUESTS = 429
_SUCCESS = Outcome.SUCCESS


@dataclass(slots=True)
class _Progress:
    """What one call has come to so far; the last three are of its last attempt."""

    ends: float = math.inf
    attempts: int = 0
    tries: Tries | None = None
    retries_paid: int = 0
    latency: float = 0.0
    status: int | None = None
    correlation_id: str | None = None


class ApiClient:
    """Makes calls, each to its end: a value, or the error that remained."""

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        tokens: TokenManager,
        limiter: Limiter,
        *,
        clock: Clock,
        rng: random.Random,
        emit: Callable[[Event], None],
        audit: Callable[[AttemptAudited], asyncio.Future[None] | None],
    ) -> None:
        self._transport = transport
        self._tokens = tokens
        self._limiter = limiter
        self._clock = clock
        self._rule = RetryRule(settings.retry, rng)
        self._emit = emit
        self._audit = audit
        self._refusals_in_a_row = 0
        self._origin = settings.api_url
        self._settings = settings
        self._timeout = settings.timeout
        self._user_agent = settings.user_agent
        self._token = ""
        self._headers: Mapping[str, str] = {}

    async def call(self, call: Call[T], *, deadline: float, budget: RetryBudget, counters: Counters) -> CallResult[T]:
        """
        Make a call within `deadline` seconds, all its attempts and waits together.

        Errors are returned, not raised, except `AuditWriteError`.
        """
        progress = _Progress(self._clock.monotonic() + deadline)
        error: GenesysMediaError | None = None
        while True:
            last, (value, error) = error, await self._attempt(call, progress, counters)
            if error is None:
                budget.succeeded(progress.retries_paid)
            elif self._is_out_of_time(error, progress):
                error = _out_of_time(deadline, progress, last)
            elif await self._prepare_retry(call, progress, error, budget, counters):
                continue
            return CallResult(value, error, progress.attempts, progress.latency, progress.correlation_id)

    async def record_unsent(self, subject: str, action: str, error: GenesysMediaError) -> None:
        """Leave the audit record of a request that was refused before it could be sent."""
        await self._recorded(subject, action, _Progress(), error)

    async def _attempt(
        self, call: Call[T], progress: _Progress, counters: Counters
    ) -> tuple[T | None, GenesysMediaError | None]:
        clock = self._clock
        # The fast path: everything an attempt needs is there, and nothing has to be waited for but the reply.
        sent = clock.monotonic()
        permit, token = self._limiter.try_acquire(sent), self._tokens.peek(sent)
        if permit is None or token is None:
            try:
                permit, token = await self._wait_for(permit, progress)
            except GenesysMediaError as refusal:
                await self._recorded(call.subject, call.action, _Progress(), refusal)
                return None, refusal
            sent = clock.monotonic()
        progress.attempts += 1
        counters.sent += 1
        counters.in_flight += 1
        sent_at = clock.wall()
        reply: HttpReply | None = None
        owed: Permit | None = permit
        value: T | None = None
        error: GenesysMediaError | None = None
        try:
            left = progress.ends - sent
            reply = await self._transport.exchange(
                self._request(call, token),
                timeout=self._timeout if self._timeout < left else max(0.0, left),
                max_reply_size=call.max_reply_size,
            )
            progress.status, progress.correlation_id = reply.status, correlation_id(reply.headers)
            if reply.status == _TOO_MANY_REQUESTS:
                self._refuse(permit, reply)
            else:
                self._refusals_in_a_row = 0
                self._limiter.complete(permit, reply.headers)
            owed = None
            value = self._read(call, reply, sent_at)
        except GenesysMediaError as failure:
            error = failure
        except BaseException:
            progress.latency = clock.monotonic() - sent
            self._record_cut_off(call, progress)
            raise
        finally:
            counters.in_flight -= 1
            if owed is not None:
                # There is no reply, or none that can be read; Genesys may have counted the request all the same.
                self._limiter.complete(owed)
        if isinstance(error, TokenRejectedError):
            self._tokens.invalidate(token)
        elif reply is not None:
            self._tokens.accepted()
        progress.latency = clock.monotonic() - sent
        written = self._record(call.subject, call.action, progress, error)
        if written is not None:
            await written
        return value, error

    async def _wait_for(self, permit: Permit | None, progress: _Progress) -> tuple[Permit, str]:
        with anyio.move_on_after(progress.ends - self._clock.monotonic()):
            if permit is None:
                permit = await self._limiter.acquire(deadline=progress.ends)
            try:
                return permit, await self._tokens.bearer()
            except BaseException:
                self._limiter.cancel(permit)
                raise
        raise DeadlineExceededError("There was no permit, or no token, in time.")

    def _is_out_of_time(self, error: GenesysMediaError, progress: _Progress) -> bool:
        if isinstance(error, APITimeoutError):
            return self._clock.monotonic() >= progress.ends - EARLY
        return isinstance(error, DeadlineExceededError)

    def _refuse(self, permit: Permit, reply: HttpReply) -> None:
        self._refusals_in_a_row += 1
        retry_after = retry_after_of(reply, wall=self._clock.wall())
        pause = pause_after_429(retry_after, self._refusals_in_a_row)
        self._limiter.reject(permit, pause, has_retry_after=retry_after is not None)

    def _request(self, call: Call[T], token: str) -> HttpRequest:
        if token is not self._token:
            self._token = token
            self._headers = {
                "accept": "application/json",
                "accept-encoding": "identity",
                "content-type": "application/json",
                "user-agent": self._user_agent,
                "authorization": f"Bearer {token}",
            }
        return HttpRequest(call.method, self._origin + call.path, self._headers, call.body)

    def _read(self, call: Call[T], reply: HttpReply, sent_at: float) -> T:
        if not 200 <= reply.status < (400 if call.redirects else 300):
            raise error_from(reply, wall=self._clock.wall())
        try:
            if reply.status >= 300:
                check_redirect(reply, call.path, self._settings)
            return call.read(reply, sent_at)
        except GenesysMediaError as error:
            error.status_code = reply.status
            error.correlation_id = correlation_id(reply.headers)
            raise

    async def _prepare_retry(
        self, call: Call[T], progress: _Progress, error: GenesysMediaError, budget: RetryBudget, counters: Counters
    ) -> bool:
        left, remaining = budget.left, progress.ends - self._clock.monotonic()
        progress.tries = tries = progress.tries or Tries()
        decision = self._rule.decide(error, tries, remaining=remaining, budget=budget, repeatable=call.repeatable)
        if not isinstance(decision, Again):
            return False
        progress.retries_paid += budget.left < left
        counters.retries += not isinstance(error, AuthenticationError)
        self._emit(
            RetryScheduled(
                at=self._clock.wall(),
                file_id=call.subject,
                attempt=progress.attempts,
                delay=decision.delay,
                code=error.code,
                status=error.status_code,
            )
        )
        progress.status, progress.correlation_id, progress.latency = None, None, 0.0
        if decision.delay > 0:
            await self._clock.sleep(decision.delay)
        return True

    async def _recorded(self, subject: str, action: str, progress: _Progress, error: GenesysMediaError) -> None:
        written = self._record(subject, action, progress, error)
        if written is not None:
            await written

    def _record_cut_off(self, call: Call[T], progress: _Progress) -> None:
        """Genesys may have generated a URL that nobody will see; the trail must not have a hole there."""
        error = GenesysMediaError("Cancelled, or out of time, while the request was on its way.", code="cut_off")
        written = self._record(call.subject, call.action, progress, error)
        if written is not None:
            written.cancel()

    def _record(
        self, subject: str, action: str, progress: _Progress, error: GenesysMediaError | None
    ) -> asyncio.Future[None] | None:
        """Queue the audit record, and return what tells when it is written; see `Dispatcher.audit`."""
        return self._audit(
            # By position: that is three times faster than by name, and done for every attempt.
            AttemptAudited(
                self._clock.wall(),
                action,
                subject,
                _SUCCESS if error is None else outcome_of(error),
                progress.status,
                progress.latency,
                self._user_agent,
                progress.attempts,
                error.code if error is not None else None,
                progress.correlation_id,
            )
        )


def outcome_of(error: GenesysMediaError | None) -> Outcome:
    """Return the audit trail's word for how something ended."""
    match error:
        case None:
            return Outcome.SUCCESS
        case InvalidRequestError():
            return Outcome.PAYLOAD_INVALID
        case AuthenticationError() | TokenRejectedError():
            return Outcome.AUTH_FAILURE
        case UrlRejectedError():
            return Outcome.VALIDATION_FAILED
        case _:
            return Outcome.GENERATION_FAILED


def _out_of_time(deadline: float, progress: _Progress, last: GenesysMediaError | None) -> DeadlineExceededError:
    words = f" The last attempt: {last.message}" if last is not None else ""
    return DeadlineExceededError(f"No URL within {deadline:g} s, after {progress.attempts} requests.{words}")
