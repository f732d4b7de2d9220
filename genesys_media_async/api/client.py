"""
One authorised call with permits and retries; knows no endpoint.

Every attempt gets a permit first, then the token (which must not age in a queue), and then sends the request. Every
attempt leaves an audit record, even one that is cancelled in flight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

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
from ..ids import HEX_ID_CHARACTERS, correlation_id, is_file_id, is_hex_id
from ..transports.base import HttpReply, HttpRequest, RequestHead, Transport
from .calls import Call, CallResult
from .clearance import Clearance, Past
from .masks import Mask
from .replies import check_status, retry_after_of
from .retry import Again, RetryBudget, RetryRule, pause_after_429

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


class _Head(RequestHead, frozen=True, gc=False, eq=False):
    """The head of every request with one token and method; no repr shows it, since frames that wait hold it."""

    hidden: ClassVar[frozenset[str]] = frozenset({"headers", "token"})

    token: str


class _Heads(dict[str, _Head]):
    """The heads of requests with one token, by their method."""

    def __init__(self, token: str, settings: Settings) -> None:
        self._token = token
        self._settings = settings

    def __missing__(self, method: str) -> _Head:
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": self._settings.user_agent,
            "authorization": f"Bearer {self._token}",
        }
        head = self[method] = _Head(method, self._settings.api_url, headers, self._token)
        return head


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
        self._monotonic, self._wall = clock.monotonic, clock.wall
        self._rule = RetryRule(settings.retry, rng)
        self._emit = emit
        self._refusals_in_a_row = 0
        self._settings = settings
        self._timeout = settings.timeout
        self.mask = Mask.of(settings)
        """Of the secrets that this client sends."""
        self._note_secrets()
        self._clearance = Clearance(gate, limiter, tokens, clock, self._use)
        self._token: str = ""
        self._heads = _Heads("", settings)

    async def call(self, call: Call[T], *, deadline: float, budget: RetryBudget, counters: Counters) -> CallResult[T]:
        """
        Make a call, with all its attempts and waits, within `deadline` seconds.

        Errors are returned, except `AuditWriteError`, which is raised.
        """
        if self._recorder.writing is not None:
            await self._recorder.writing.written()
        past: Past | None = None
        attempts, timeout = 0, self._timeout
        sent = self._monotonic()
        ends_at = sent + deadline
        while True:
            reply = None
            token = self._tokens.current
            permit = None if self._health.is_down else self._limiter.try_acquire(sent)
            if permit is None or sent >= token.refresh_at or token.value is not self._token:
                # Seldom: nearly always both are there, and only the reply has to be waited for.
                past = past or Past(ends_at)
                permit = await self._clearance.wait(permit, past)
                sent = self._monotonic()
            if permit is not None:
                head = self._heads[call.method]
                attempts += 1
                counters.sent += 1
                sent_at, left = self._wall(), ends_at - sent
                try:
                    reply = await self._transport.exchange(
                        HttpRequest(head, call.path, call.body, past is not None and past.fresh),
                        timeout=timeout if timeout < left else max(0.0, left),
                        max_reply_size=call.max_reply_size,
                    )
                    value, correlation = self._read(call, reply, permit, sent_at)
                except GenesysMediaError as failure:
                    counters.ended += 1
                    past = past or Past(ends_at)
                    past.correlation_id = failure.correlation_id
                    past.failure = self._failed(call, failure, permit, reply, head)
                except BaseException:
                    counters.ended += 1
                    self._note_cut_off(call, past, permit, reply, self._monotonic() - sent, attempts)
                    raise
                else:
                    counters.ended += 1
                    latency = self._monotonic() - sent
                    if self._health.failures or self._tokens.unaccepted or budget.is_spent:
                        self._note_success(past, budget)
                    status = reply.status
                    group = self._recorder.attempt(
                        call.action, call.subject, None, status, latency, attempts, correlation
                    )
                    return CallResult(value, None, attempts, latency, correlation, group)
            latency = 0.0 if permit is None else self._monotonic() - sent
            if end := await self._end_or_wait(call, past, permit, reply, attempts, latency, deadline, budget, counters):
                return end
            sent = self._monotonic()

    def _note_success(self, past: Past | None, budget: RetryBudget) -> None:
        """Note a success where something had failed before."""
        if self._health.failures:
            self._gate.answered(is_probe=past is not None and past.is_probe)
        if self._tokens.unaccepted:
            self._tokens.accepted()
        if budget.is_spent:
            budget.succeeded(0 if past is None else past.retries_paid)

    def _read(self, call: Call[T], reply: HttpReply, permit: Permit, sent_at: float) -> tuple[T, str | None]:
        """
        Give back the permit, and return the value and the correlation id of the reply.

        Raises the error that the reply means.
        """
        status, headers = reply.status, reply.headers
        if status == _TOO_MANY_REQUESTS:
            self._refuse(permit, retry_after_of(reply, wall=self._wall()))
        else:
            self._refusals_in_a_row = 0
            self._limiter.complete(permit, headers)
        found = headers.get("inin-correlation-id", "")
        correlation: str | None = found
        if status >= 400 or not is_hex_id(found) or self._has_hex_secret:
            reply, correlation = self._masked(reply)
        try:
            if not 200 <= status < 300:
                check_status(reply, call, self._settings, wall=self._wall())
            return call.read(reply, sent_at), correlation
        except GenesysMediaError as error:
            error.status_code, error.correlation_id = status, correlation
            raise

    def _masked(self, reply: HttpReply) -> tuple[HttpReply, str | None]:
        """Return a reply without secrets if it may have any where they show, and its correlation id."""
        found = correlation_id(reply.headers)
        if reply.status < 400 and (
            found is None or (is_file_id(found) and not any(map(found.__contains__, self._secrets)))
        ):
            return reply, found
        reply = self.mask.reply(reply)
        return reply, correlation_id(reply.headers)

    def _refuse(self, permit: Permit, retry_after: float | None) -> None:
        self._refusals_in_a_row += 1
        pause = pause_after_429(retry_after, self._refusals_in_a_row)
        self._limiter.reject(permit, pause, has_retry_after=retry_after is not None)

    def _failed(
        self, call: Call[T], failure: GenesysMediaError, permit: Permit, reply: HttpReply | None, head: _Head
    ) -> GenesysMediaError:
        """Return what is recorded and told of the failure of an attempt."""
        if isinstance(failure, ConnectError):
            self._limiter.cancel(permit)
        elif reply is None:
            # Genesys may have counted a request that has no reply, or none that can be read.
            self._limiter.complete(permit)
        error = failure if call.on_failure is None else call.on_failure(failure)
        error = self.mask.error(error.without_frames())
        if isinstance(error, TokenRejectedError):
            self._tokens.invalidate(head.token)
        elif self._tokens.unaccepted and reply is not None:
            self._tokens.accepted()
        return error

    def _note_cut_off(
        self, call: Call[T], past: Past | None, permit: Permit, reply: HttpReply | None, latency: float, number: int
    ) -> None:
        if reply is None:
            self._limiter.complete(permit)
        if past is not None and past.is_probe:
            self._gate.release()
        if call.on_failure is not None:
            call.on_failure(APIConnectionError("Cancelled in flight.", code="cut_off"))
        status, correlation = None, None
        if reply is not None:
            status, correlation = reply.status, correlation_id(self.mask.reply(reply).headers)
        self._recorder.cut_off(call.action, call.subject, status, latency, number, correlation)

    def _use(self, token: str) -> None:
        if token != self._token:
            self._heads = _Heads(token, self._settings)
            self.mask = self.mask.including(token)
            self._note_secrets()
        # The same object as the source has: it is compared by identity.
        self._token = token

    def _note_secrets(self) -> None:
        self._secrets = self.mask.secrets
        # Such as could be a part of nearly every reply's correlation id; seldom is there any.
        self._has_hex_secret = any(map(HEX_ID_CHARACTERS.issuperset, self._secrets))

    async def _end_or_wait(
        self,
        call: Call[T],
        past: Past | None,
        permit: Permit | None,
        reply: HttpReply | None,
        attempts: int,
        latency: float,
        deadline: float,
        budget: RetryBudget,
        counters: Counters,
    ) -> CallResult[T] | None:
        """Record what failed; return the result, or None once it may be repeated."""
        assert past is not None  # noqa: S101 - it has waited, or failed
        error, correlation = past.failure, past.correlation_id
        self._account_for(error, call, past)
        status, number = None if reply is None else reply.status, 0 if permit is None else attempts
        group = self._recorder.attempt(call.action, call.subject, error, status, latency, number, correlation)
        if self._is_out_of_time(error, past.ends_at):
            error = _out_of_time(deadline, attempts, past.last)
        elif await self._prepare_retry(call, past, attempts, budget, counters):
            group.require()
            return None
        return CallResult(None, error, attempts, latency, correlation, group)

    def _account_for(self, error: GenesysMediaError, call: Call[T], past: Past) -> None:
        """
        Tell the gate of the hosts what a failed attempt came to.

        Before anything is awaited: a probe that is cancelled later has had its outcome.
        """
        is_probe, past.is_probe, past.is_outage = past.is_probe, False, False
        if not self._is_out_of_time(error, past.ends_at):
            past.is_outage = self._gate.failed(error, call.subject, is_probe=is_probe)
        elif is_probe:
            self._gate.release()

    def _is_out_of_time(self, error: GenesysMediaError, ends_at: float) -> bool:
        if isinstance(error, APITimeoutError):
            return self._monotonic() >= ends_at - EARLY
        return isinstance(error, DeadlineExceededError)

    async def _prepare_retry(
        self,
        call: Call[T],
        past: Past,
        attempts: int,
        budget: RetryBudget,
        counters: Counters,
    ) -> bool:
        """Wait until the call may be repeated; False if it must not be."""
        error, left, remaining = past.failure, budget.left, past.ends_at - self._monotonic()
        decision = self._rule.decide(error, past.failures, remaining=remaining, budget=budget, is_outage=past.is_outage)
        if not isinstance(decision, Again):
            return False
        past.last, past.fresh = error, decision.fresh
        past.retries_paid += budget.left < left
        counters.retries += not isinstance(error, AuthenticationError)
        if not past.is_outage:
            # In an outage nobody knows the delay, and one event stands for all calls.
            self._emit(
                RetryScheduled(self._wall(), call.subject, attempts, decision.delay, error.code, error.status_code)
            )
        if decision.delay > 0:
            await self._clock.sleep(decision.delay)
        return True


def _out_of_time(deadline: float, attempts: int, last: GenesysMediaError | None) -> DeadlineExceededError:
    words = f" The last attempt: {last.message}" if last is not None else ""
    return DeadlineExceededError(f"No result within {deadline:g} s, after {attempts} requests.{words}")
