"""
One bearer token for everyone, granted once, renewed ahead of its end, under a lock.

    the token is …                          `bearer`
    fresh                                   returns it, without waiting
    past its refresh time                   returns it, and has it renewed in the background
    about to end, ended, rejected, missing  waits for the new one
    not to be had, a moment ago             raises what was raised a moment ago, without asking again

Client credentials as Genesys grants them:
https://developer.genesys.cloud/authorization/platform-auth/use-client-credentials
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import (
    AuthenticationError,
    CredentialsRejectedError,
    GenesysMediaError,
    InvalidResponseError,
    TokenUnavailableError,
    sanitized,
)
from ..events import TokenRefreshed, TokenRefreshFailed
from ..ids import correlation_id
from ..settings.checked import secret_text
from ..transports.base import HttpReply, HttpRequest, Transport
from .retry import curve, parse_retry_after

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine

    from ..clock import Clock
    from ..events import Event
    from ..settings.settings import Settings

MAX_TOKEN_REPLY = 16 * 1024
MAX_TOKEN_EXCHANGE = 20.0
REFRESH_AHEAD = 300.0
REFRESH_AHEAD_SHARE = 0.2
REFRESH_JITTER = 0.1
HARD_MARGIN = 10.0
HARD_MARGIN_SHARE = 0.05
TRANSIENT_PAUSES = curve(1.0, 30.0)
REJECTED_PAUSE = 60.0
UNACCEPTED_TOKENS = 3
"""So many tokens in a row that the API never accepted end the hope that another one helps."""


class _TokenReply(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    # The pattern matters: HTTP libraries quote an illegal header value in their exceptions.
    access_token: str = Field(repr=False, max_length=8_192, pattern=r"^[\x21-\x7e]+$")
    expires_in: float = Field(gt=0, allow_inf_nan=False)


class _TokenErrorReply(BaseModel):
    model_config = ConfigDict(frozen=True)

    error: str | None = None
    error_description: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    refresh_at: float
    hard_end: float


@dataclass(frozen=True, slots=True)
class _Failure:
    error: AuthenticationError
    until: float

    def raised_at(self, now: float) -> AuthenticationError:
        """Return the error anew: every waiter gets its own, with what is left of the pause."""
        error = self.error
        return type(error)(
            error.message,
            code=error.code,
            retryable=error.retryable,
            advice=error.advice,
            status_code=error.status_code,
            correlation_id=error.correlation_id,
            retry_after=max(0.0, self.until - now) if error.retryable else None,
        )


class TokenManager:
    """
    Gives everyone the same bearer token.

    However many ask, one request is on its way; whoever is cancelled while waiting for it does not cancel it for the
    others. The lock guards the manager's state; the request itself runs outside it, in the task group that `spawn`
    starts tasks in. A token's life is counted on the monotonic clock from when it was asked for.
    """

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        *,
        clock: Clock,
        rng: random.Random,
        spawn: Callable[[Callable[[], Coroutine[object, object, None]]], object],
        emit: Callable[[Event], None],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._rng = rng
        self._spawn = spawn
        self._emit = emit
        self._changed = asyncio.Condition()
        self._refreshing = False
        self._failure: _Failure | None = None
        self._failures_in_a_row = 0
        self._unaccepted = 0
        self._token: _Token | None = None
        if settings.access_token is not None:
            self._token = _Token(secret_text(settings.access_token), float("inf"), float("inf"))

    def __repr__(self) -> str:
        now = self._clock.monotonic()
        state = "none" if self._token is None else f"good for {self._token.hard_end - now:.0f} s"
        return f"<TokenManager: token {state}{', refreshing' if self._refreshing else ''}>"

    def peek(self, now: float) -> str | None:
        """Return the token if it is fresh now (monotonic seconds), without waiting for anything."""
        token = self._token
        return token.value if token is not None and now < token.refresh_at else None

    async def bearer(self) -> str:
        """
        Return a token that is good now.

        Raises `CredentialsRejectedError` if there is none to be had, `TokenUnavailableError` if there is none for now.
        """
        fresh = self.peek(self._clock.monotonic())
        if fresh is not None:
            return fresh
        async with self._changed:
            while True:
                now = self._clock.monotonic()
                if self._token is not None and now < self._token.hard_end:
                    if now >= self._token.refresh_at and not self._failed(now):
                        self._begin_refresh()
                    return self._token.value
                failure = self._failed(now)
                if failure is not None:
                    raise failure.raised_at(now)
                self._begin_refresh()
                await self._changed.wait()

    def invalidate(self, rejected: str) -> None:
        """
        Forget the token that Genesys answered with 401, unless a newer one is already here.

        A fixed access token cannot be renewed: from then on `bearer` raises `CredentialsRejectedError`. The same goes, for a
        minute, when several new tokens in a row were rejected without one having been accepted.
        """
        if self._token is None or self._token.value != rejected:
            return
        self._token = None
        if self._settings.access_token is not None:
            error = CredentialsRejectedError(
                "Genesys does not accept the access token.",
                code="access_token_rejected",
                advice="Set a new one, or use an OAuth client's id and secret, which renew it by themselves.",
            )
            self._failure = _Failure(error, float("inf"))
            return
        self._unaccepted += 1
        if self._unaccepted >= UNACCEPTED_TOKENS:
            self._unaccepted = 0
            error = CredentialsRejectedError(
                "Genesys grants tokens and then rejects every one of them.",
                code="tokens_not_accepted",
                advice="Check that base URL and login URL belong to the same region.",
            )
            self._failure = _Failure(error, self._clock.monotonic() + REJECTED_PAUSE)

    def accepted(self) -> None:
        """Note that Genesys accepted a token."""
        self._unaccepted = 0

    def _failed(self, now: float) -> _Failure | None:
        return self._failure if self._failure is not None and now < self._failure.until else None

    def _begin_refresh(self) -> None:
        if not self._refreshing:
            self._spawn(self._refresh)
            self._refreshing = True

    async def _refresh(self) -> None:
        outcome: _Token | _Failure = _Failure(
            TokenUnavailableError("The retriever is closed.", retryable=False), float("inf")
        )
        try:
            outcome = await self._request_token()
        finally:
            with anyio.CancelScope(shield=True):
                async with self._changed:
                    self._refreshing = False
                    if isinstance(outcome, _Token):
                        self._token, self._failure = outcome, None
                    else:
                        self._failure = outcome
                    self._changed.notify_all()

    async def _request_token(self) -> _Token | _Failure:
        sent = self._clock.monotonic()
        try:
            reply = await self._transport.exchange(
                self._token_request(),
                timeout=min(self._settings.timeout, MAX_TOKEN_EXCHANGE),
                max_reply_size=MAX_TOKEN_REPLY,
            )
            granted = _read_token_reply(reply, wall=self._clock.wall())
        except GenesysMediaError as error:
            return self._failure_from(error)
        life = granted.expires_in
        ahead = min(REFRESH_AHEAD, REFRESH_AHEAD_SHARE * life) * (1 - REFRESH_JITTER * self._rng.random())
        margin = min(HARD_MARGIN, HARD_MARGIN_SHARE * life)
        if self._clock.monotonic() >= sent + life - margin:
            return self._failure_from(InvalidResponseError("the token had ended before it arrived."))
        self._failures_in_a_row = 0
        self._emit(TokenRefreshed(at=self._clock.wall(), lifetime=life, latency=self._clock.monotonic() - sent))
        return _Token(granted.access_token, refresh_at=sent + life - ahead, hard_end=sent + life - margin)

    def _failure_from(self, error: GenesysMediaError) -> _Failure:
        if not isinstance(error, AuthenticationError):
            host = sanitized(self._settings.token_url, 200)
            error = TokenUnavailableError(f"No token from {host}: {error.message}", advice=error.advice)
        pause = REJECTED_PAUSE
        if error.retryable:
            pause = TRANSIENT_PAUSES[min(self._failures_in_a_row, len(TRANSIENT_PAUSES) - 1)]
            pause = max(pause, min(error.retry_after or 0.0, 3_600.0))
        self._failures_in_a_row += 1
        self._emit(TokenRefreshFailed(at=self._clock.wall(), code=error.code, pause=pause))
        return _Failure(error, self._clock.monotonic() + pause)

    def _token_request(self) -> HttpRequest:
        settings = self._settings
        client_id = settings.client_id or ""
        secret = secret_text(settings.client_secret) if settings.client_secret else ""
        form = {"grant_type": "client_credentials"}
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": settings.user_agent,
        }
        if settings.scope is not None:
            form["scope"] = settings.scope
        if settings.credentials_in == "body":
            form |= {"client_id": client_id, "client_secret": secret}
        else:
            headers["authorization"] = "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        return HttpRequest("POST", settings.token_url, headers, urlencode(form).encode())


def _read_token_reply(reply: HttpReply, *, wall: float) -> _TokenReply:
    if reply.status == 200:
        try:
            return _TokenReply.model_validate_json(reply.body)
        except ValidationError:
            raise InvalidResponseError("the reply is not a token.") from None
    raise _token_error(reply, wall=wall)


def _token_error(reply: HttpReply, *, wall: float) -> AuthenticationError:
    try:
        said = _TokenErrorReply.model_validate_json(reply.body)
    except ValidationError:
        said = _TokenErrorReply()
    description = sanitized(said.error_description or said.description or "")
    words = ": ".join(word for word in (sanitized(said.error or "", 80), description) if word)
    message = f"The login host answered {reply.status}{f' ({words})' if words else ''}."
    # Genesys throttles this endpoint with a 400, not a 429.
    throttled = reply.status == 400 and description.lower().startswith("rate limit exceeded")
    if throttled or reply.status in {408, 429} or reply.status >= 500:
        return TokenUnavailableError(
            message,
            status_code=reply.status,
            correlation_id=correlation_id(reply.headers),
            retry_after=parse_retry_after(reply.headers.get("retry-after"), wall=wall),
            advice="It is asked again by itself, more and more rarely.",
        )
    advice = None
    if reply.status not in {400, 401, 403}:
        advice = "That is not how a Genesys login host answers: check the login URL and the region."
    return CredentialsRejectedError(
        message, status_code=reply.status, correlation_id=correlation_id(reply.headers), advice=advice
    )
