"""
One authorised call with permits and retries; knows no endpoint.

Every attempt gets a permit first, then the token (which must not age in a queue), and then sends the request. Every
attempt leaves an audit record, even one that is cancelled in flight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import anyio

from ..errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    DeadlineExceededError,
    GenesysMediaError,
    TokenRejectedError,
)
from ..events import RetryScheduled
from ..ids import MAX_CORRELATION_ID, correlation_id, is_file_id
from ..transports.base import HttpReply, HttpRequest, Transport
from .calls import Call, CallResult
from .replies import check_redirect, error_from
from .retry import Again, Failures, RetryBudget, RetryRule, pause_after_429

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from ..audit.recorder import AuditRecorder
    from ..clock import Clock
    from ..counters import Counters
    from ..events import Event
    from ..limiter.base import Limiter
    from ..quota.permit import Permit
    from ..settings.settings import Settings
    from .base import TokenSource

T = TypeVar("T")

EARLY = 0.1
"""Seconds by which an exchange may end before its timeout: uvloop's clock stands still while the loop is busy."""

_TOO_MANY_REQUESTS = 429


@dataclass(slots=True)
class _Progress:
    """The state of one call. The last four members are of its last attempt, whose number is 0 if it was not sent."""

    ends_at: float
    attempts: int = 0
    failures: Failures | None = None
    retries_paid: int = 0
    fresh: bool = False
    number: int = 0
    latency: float = 0.0
    status: int | None = None
    correlation_id: str | None = None


class ApiClient:
    """Makes calls: each is repeated until it has a value, or an error that remains."""

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        tokens: TokenSource,
        limiter: Limiter,
        recorder: AuditRecorder,
        *,
        clock: Clock,
        rng: random.Random,
        emit: Callable[[Event], None],
    ) -> None:
        self._transport = transport
        self._tokens = tokens
        self._limiter = limiter
        self._recorder = recorder
        self._clock = clock
        self._rule = RetryRule(settings.retry, rng)
        self._emit = emit
        self._refusals_in_a_row = 0
        self._origin = settings.api_url
        self._settings = settings
        self._timeout = settings.timeout
        self._token = ""
        self._headers: Mapping[str, str] = {}

    async def call(self, call: Call[T], *, deadline: float, budget: RetryBudget, counters: Counters) -> CallResult[T]:
        """
        Make a call, with all its attempts and waits, within `deadline` seconds.

        Errors are returned, except `AuditWriteError`, which is raised.
        """
        progress = _Progress(self._clock.monotonic() + deadline)
        error: GenesysMediaError | None = None
        while True:
            last, (value, error) = error, await self._attempt(call, progress, counters)
            recorded = self._recorder.attempt(
                call.action,
                call.subject,
                error,
                progress.status,
                progress.latency,
                progress.number,
                progress.correlation_id,
            )
            if recorded is not None:
                # Awaited here and not in `_attempt`, whose frame holds the token.
                await recorded
            if error is None:
                if budget.left < budget.size:
                    budget.succeeded(progress.retries_paid)
            elif self._is_out_of_time(error, progress):
                error = _out_of_time(deadline, progress, last)
            elif await self._prepare_retry(call, progress, error, budget, counters):
                continue
            return CallResult(value, error, progress.attempts, progress.latency, progress.correlation_id)

    async def _attempt(
        self, call: Call[T], progress: _Progress, counters: Counters
    ) -> tuple[T | None, GenesysMediaError | None]:
        clock = self._clock
        # The fast path: permit and token are there, and only the reply has to be waited for.
        sent = clock.monotonic()
        permit, current = self._limiter.try_acquire(sent), self._tokens.current
        token = current.value
        if permit is None or sent >= current.refresh_at:
            try:
                permit, token = await self._wait_for(permit, progress)
            except GenesysMediaError as refusal:
                progress.number = 0
                return None, refusal.without_frames()
            sent = clock.monotonic()
        progress.number = progress.attempts = progress.attempts + 1
        counters.sent += 1
        counters.in_flight += 1
        value: T | None = None
        error: GenesysMediaError | None = None
        sent_at, left = clock.wall(), progress.ends_at - sent
        headers = self._headers if token is self._token else self._headers_with(token)
        try:
            reply = await self._transport.exchange(
                HttpRequest(call.method, self._origin + call.path, headers, call.body, progress.fresh),
                timeout=self._timeout if self._timeout < left else max(0.0, left),
                max_reply_size=call.max_reply_size,
            )
            value = self._read(call, reply, permit, sent_at, progress)
        except GenesysMediaError as failure:
            error = (failure if call.on_failure is None else call.on_failure(failure)).without_frames()
        except BaseException:
            self._record_cut_off(call, progress, clock.monotonic() - sent)
            raise
        finally:
            counters.in_flight -= 1
            if progress.status is None:
                # Genesys may have counted a request that has no reply, or none that can be read.
                self._limiter.complete(permit)
        if isinstance(error, TokenRejectedError):
            self._tokens.invalidate(token)
        elif self._tokens.unaccepted and progress.status is not None:
            self._tokens.accepted()
        progress.latency = clock.monotonic() - sent
        return value, error

    def _read(self, call: Call[T], reply: HttpReply, permit: Permit, sent_at: float, progress: _Progress) -> T:
        """Return the permit, and the value of the reply. Raises the error that the reply means."""
        status, headers = reply.status, reply.headers
        found = headers.get("inin-correlation-id", "")
        # Nearly always a plain id, which needs no sanitizing.
        is_plain = len(found) <= MAX_CORRELATION_ID and is_file_id(found)
        progress.status, progress.correlation_id = status, found if is_plain else correlation_id(headers)
        if status == _TOO_MANY_REQUESTS:
            error = error_from(reply, wall=self._clock.wall())
            self._refuse(permit, error.retry_after)
            raise error
        self._refusals_in_a_row = 0
        self._limiter.complete(permit, headers)
        if not 200 <= status < (400 if call.redirects else 300):
            raise error_from(reply, wall=self._clock.wall())
        try:
            if status >= 300:
                check_redirect(reply, call.path, self._settings)
            return call.read(reply, sent_at)
        except GenesysMediaError as error:
            error.status_code, error.correlation_id = status, progress.correlation_id
            raise

    def _refuse(self, permit: Permit, retry_after: float | None) -> None:
        self._refusals_in_a_row += 1
        pause = pause_after_429(retry_after, self._refusals_in_a_row)
        self._limiter.reject(permit, pause, has_retry_after=retry_after is not None)

    def _record_cut_off(self, call: Call[T], progress: _Progress, latency: float) -> None:
        if call.on_failure is not None:
            call.on_failure(APIConnectionError("Cancelled in flight.", code="cut_off"))
        self._recorder.cut_off(
            call.action, call.subject, progress.status, latency, progress.number, progress.correlation_id
        )

    async def _wait_for(self, permit: Permit | None, progress: _Progress) -> tuple[Permit, str]:
        with anyio.move_on_after(progress.ends_at - self._clock.monotonic()):
            if permit is None:
                permit = await self._limiter.acquire(deadline=progress.ends_at)
            try:
                return permit, await self._tokens.get()
            except BaseException:
                self._limiter.cancel(permit)
                raise
        raise DeadlineExceededError("There was no permit, or no token, in time.")

    def _headers_with(self, token: str) -> Mapping[str, str]:
        self._token = token
        self._headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": self._settings.user_agent,
            "authorization": f"Bearer {token}",
        }
        return self._headers

    def _is_out_of_time(self, error: GenesysMediaError, progress: _Progress) -> bool:
        if isinstance(error, APITimeoutError):
            return self._clock.monotonic() >= progress.ends_at - EARLY
        return isinstance(error, DeadlineExceededError)

    async def _prepare_retry(
        self, call: Call[T], progress: _Progress, error: GenesysMediaError, budget: RetryBudget, counters: Counters
    ) -> bool:
        """Wait until the call may be repeated; False if it must not be."""
        left, remaining = budget.left, progress.ends_at - self._clock.monotonic()
        progress.failures = failures = progress.failures or Failures()
        decision = self._rule.decide(error, failures, remaining=remaining, budget=budget)
        if not isinstance(decision, Again):
            return False
        progress.fresh = decision.fresh
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


def _out_of_time(deadline: float, progress: _Progress, last: GenesysMediaError | None) -> DeadlineExceededError:
    words = f" The last attempt: {last.message}" if last is not None else ""
    return DeadlineExceededError(f"No result within {deadline:g} s, after {progress.attempts} requests.{words}")
