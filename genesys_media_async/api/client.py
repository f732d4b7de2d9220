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
    ConnectError,
    DeadlineExceededError,
    GenesysMediaError,
    TokenRejectedError,
)
from ..events import RetryScheduled
from ..ids import MAX_CORRELATION_ID, correlation_id, is_file_id
from ..transports.base import HttpReply, HttpRequest, RequestHead, Transport
from .calls import Call, CallResult
from .masks import Mask
from .replies import check_redirect, error_from
from .retry import Again, Failures, RetryBudget, RetryRule, pause_after_429

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from ..audit.recorder import AuditRecorder
    from ..clock import Clock
    from ..counters import Counters
    from ..events import Event
    from ..limiter.base import Limiter
    from ..quota.permit import Permit
    from ..settings.settings import Settings
    from .base import TokenSource
    from .host_gate import HostGate

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
    is_probe: bool = False
    is_outage: bool = False


class _Headers(dict[str, str]):
    """The headers of every request with one token; no repr shows it, since frames that wait hold the headers."""

    __slots__ = ("token",)

    def __init__(self, token: str, user_agent: str) -> None:
        super().__init__(
            {
                "accept": "application/json",
                "accept-encoding": "identity",
                "content-type": "application/json",
                "user-agent": user_agent,
                "authorization": f"Bearer {token}",
            }
        )
        self.token = token

    def __repr__(self) -> str:
        return "<headers with a token>"


class ApiClient:
    """Makes calls: each is repeated until it has a value, or an error that remains."""

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        tokens: TokenSource,
        limiter: Limiter,
        recorder: AuditRecorder,
        gate: HostGate,
        *,
        clock: Clock,
        rng: random.Random,
        emit: Callable[[Event], None],
    ) -> None:
        self._transport = transport
        self._tokens = tokens
        self._limiter = limiter
        self._recorder = recorder
        self._gate = gate
        self._health = gate.health
        self._clock = clock
        self._rule = RetryRule(settings.retry, rng)
        self._emit = emit
        self._refusals_in_a_row = 0
        self._settings = settings
        self._timeout = settings.timeout
        self.mask = Mask.of(settings)
        """Of the secrets that this client sends."""
        self._sent = self.mask.secrets
        self._headers = _Headers("", "")
        self._heads: dict[str, RequestHead] = {}
        """One for each method, with the token that was used last."""

    async def call(self, call: Call[T], *, deadline: float, budget: RetryBudget, counters: Counters) -> CallResult[T]:
        """
        Make a call, with all its attempts and waits, within `deadline` seconds.

        Errors are returned, except `AuditWriteError`, which is raised.
        """
        progress = _Progress(self._clock.monotonic() + deadline)
        error: GenesysMediaError | None = None
        while True:
            last, (value, error) = error, await self._attempt(call, progress, counters)
            if error is not None or self._health.failures:
                # Before anything is awaited: a probe that is cancelled later has had its outcome.
                self._account_for(error, call, progress)
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
                await recorded
            if error is None:
                if budget.left < budget.size:
                    budget.succeeded(progress.retries_paid)
            elif self._is_out_of_time(error, progress):
                error = _out_of_time(deadline, progress, last)
            elif await self._prepare_retry(call, progress, error, budget, counters):
                continue
            return CallResult(value, error, progress.attempts, progress.latency, progress.correlation_id)

    def _account_for(self, error: GenesysMediaError | None, call: Call[T], progress: _Progress) -> None:
        """Tell the gate of the hosts what an attempt came to."""
        is_probe, progress.is_probe, progress.is_outage = progress.is_probe, False, False
        if error is None:
            self._gate.answered(is_probe=is_probe)
        elif not self._is_out_of_time(error, progress):
            progress.is_outage = self._gate.failed(error, call.subject, is_probe=is_probe)
        elif is_probe:
            self._gate.release()

    async def _attempt(
        self, call: Call[T], progress: _Progress, counters: Counters
    ) -> tuple[T | None, GenesysMediaError | None]:
        clock = self._clock
        # The fast path: permit and token are there, and only the reply has to be waited for.
        sent = clock.monotonic()
        permit = None if self._health.is_down else self._limiter.try_acquire(sent)
        current = self._tokens.current
        headers = self._headers
        if permit is None or sent >= current.refresh_at:
            try:
                permit, headers = await self._wait_for(permit, progress)
            except GenesysMediaError as refusal:
                progress.number = 0
                return None, refusal.without_frames()
            sent = clock.monotonic()
        elif current.value is not headers.token:
            headers = self._headers_with(current.value)
        progress.number = progress.attempts = progress.attempts + 1
        counters.sent += 1
        counters.in_flight += 1
        value: T | None = None
        error: GenesysMediaError | None = None
        sent_at, left = clock.wall(), progress.ends_at - sent
        try:
            reply = await self._transport.exchange(
                HttpRequest(self._head_of(call.method, headers), call.path, call.body, progress.fresh),
                timeout=self._timeout if self._timeout < left else max(0.0, left),
                max_reply_size=call.max_reply_size,
            )
            value = self._read(call, reply, permit, sent_at, progress)
        except GenesysMediaError as failure:
            failed = failure if call.on_failure is None else call.on_failure(failure)
            error = self.mask.error(failed.without_frames())
        except BaseException:
            self._note_cut_off(call, progress, clock.monotonic() - sent)
            raise
        finally:
            counters.in_flight -= 1
            if isinstance(error, ConnectError):
                self._limiter.cancel(permit)
            elif progress.status is None:
                # Genesys may have counted a request that has no reply, or none that can be read.
                self._limiter.complete(permit)
        if isinstance(error, TokenRejectedError):
            self._tokens.invalidate(headers.token)
        elif self._tokens.unaccepted and progress.status is not None:
            self._tokens.accepted()
        progress.latency = clock.monotonic() - sent
        return value, error

    def _read(self, call: Call[T], reply: HttpReply, permit: Permit, sent_at: float, progress: _Progress) -> T:
        """Return the permit, and the value of the reply. Raises the error that the reply means."""
        status, headers = reply.status, reply.headers
        found = headers.get("inin-correlation-id", "")
        # Nearly always a plain id, which needs no sanitizing.
        is_plain = (
            len(found) <= MAX_CORRELATION_ID and is_file_id(found) and not any(map(found.__contains__, self._sent))
        )
        correlation = found if is_plain else correlation_id(headers)
        if status >= 400 or (correlation is not None and not is_plain):
            reply = self.mask.reply(reply)
            correlation = correlation_id(reply.headers)
        progress.status, progress.correlation_id = status, correlation
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

    def _note_cut_off(self, call: Call[T], progress: _Progress, latency: float) -> None:
        if progress.is_probe:
            self._gate.release()
        if call.on_failure is not None:
            call.on_failure(APIConnectionError("Cancelled in flight.", code="cut_off"))
        self._recorder.cut_off(
            call.action, call.subject, progress.status, latency, progress.number, progress.correlation_id
        )

    async def _wait_for(self, permit: Permit | None, progress: _Progress) -> tuple[Permit, _Headers]:
        """Wait for a host that is down, then for a permit and the token; the host may be down again by then."""
        headers: _Headers | None = None
        with anyio.move_on_after(progress.ends_at - self._clock.monotonic()):
            while permit is None or headers is None:
                if self._health.is_down:
                    progress.is_probe = await self._gate.wait()
                permit, headers = await self._permit_and_headers(permit, progress)
            return permit, headers
        raise DeadlineExceededError("There was no permit, or no token, in time.")

    async def _permit_and_headers(
        self, permit: Permit | None, progress: _Progress
    ) -> tuple[Permit | None, _Headers | None]:
        """Return both, or neither because a host has gone down meanwhile."""
        try:
            if permit is None:
                permit = await self._limiter.acquire(deadline=progress.ends_at)
            if progress.is_probe or not self._health.is_down:
                headers = self._headers_with(await self._tokens.get())
                if progress.is_probe or not self._health.is_down:
                    return permit, headers
        except BaseException as error:
            if permit is not None:
                self._limiter.cancel(permit)
            if progress.is_probe and not isinstance(error, GenesysMediaError):
                progress.is_probe = False
                self._gate.release()
            raise
        self._limiter.cancel(permit)
        return None, None

    def _headers_with(self, token: str) -> _Headers:
        if token is not self._headers.token:
            self._headers = _Headers(token, self._settings.user_agent)
            self._heads.clear()
            self.mask = self.mask.including(token)
            self._sent = self.mask.secrets
        return self._headers

    def _head_of(self, method: str, headers: _Headers) -> RequestHead:
        head = self._heads.get(method)
        if head is None:
            head = self._heads[method] = RequestHead(method, self._settings.api_url, headers)
        return head

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
        is_outage = progress.is_outage
        decision = self._rule.decide(error, failures, remaining=remaining, budget=budget, is_outage=is_outage)
        if not isinstance(decision, Again):
            return False
        progress.fresh = decision.fresh
        progress.retries_paid += budget.left < left
        counters.retries += not isinstance(error, AuthenticationError)
        if not is_outage:
            # In an outage nobody knows the delay, and one event stands for all calls.
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
