"""
One bearer token for all requests: requested once, refreshed ahead of its expiry, under a lock.

    the token is …                          `get`
    fresh                                   returns it at once
    past its refresh time                   returns it, and refreshes it in the background
    about to expire, expired, rejected,     waits for the new one
    or missing
    refused a moment ago                    raises that error again, without another request

Client credentials as Genesys grants them:
https://developer.genesys.cloud/authorization/platform-auth/use-client-credentials
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import (
    AuthenticationError,
    ConnectionSetupError,
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
from .base import NO_TOKEN, Token
from .masks import Mask, basic_credentials
from .replies import NOT_FROM_GENESYS, PAGE_ADVICE, TextOrNone, page_of, read_error, repaired_json
from .retry import STATUSES, curve, parse_retry_after, point

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine

    from ..clock import Clock
    from ..events import Event
    from ..settings.settings import Settings

_GRANTED = 200
MAX_TOKEN_REPLY = 16 * 1024
MAX_TOKEN_EXCHANGE = 20.0
REFRESH_AHEAD = 300.0
REFRESH_AHEAD_SHARE = 0.2
REFRESH_JITTER = 0.1
HARD_MARGIN = 10.0
HARD_MARGIN_SHARE = 0.05
TRANSIENT_PAUSES = curve(1.0, 30.0)
REJECTED_PAUSE = 60.0
MAX_RETRY_AFTER = 3_600.0
THROTTLED = "login_throttled"
MAX_THROTTLED = 120.0
"""Seconds for which the first token waits for a login host that throttles: its limit is by the minute."""
MAX_UNACCEPTED = 3
"""After so many tokens in a row that the API rejected, no other one is requested for a while."""


class _TokenReply(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    # The pattern matters: HTTP libraries quote an illegal header value in their exceptions.
    access_token: str = Field(repr=False, max_length=8_192, pattern=r"^[\x21-\x7e]+$")
    expires_in: float = Field(gt=0, allow_inf_nan=False)


class _TokenErrorReply(BaseModel):
    model_config = ConfigDict(frozen=True)

    error: TextOrNone = None
    error_description: TextOrNone = None
    description: TextOrNone = None


@dataclass(frozen=True, slots=True)
class _Failure:
    error: AuthenticationError | ConnectionSetupError
    until: float

    def raised_at(self, now: float) -> AuthenticationError | ConnectionSetupError:
        """Return a copy of the error for one waiter, with the rest of the pause."""
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
    A `TokenSource` that requests its tokens with the settings' client credentials, or holds their access token.

    At most one request is in flight, whatever the number of callers; a cancelled caller does not cancel it for the
    others. The lock guards the manager's state; the request runs outside it, in a task that `spawn` starts. A token's
    lifetime is counted on the monotonic clock from when it was requested.
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
        self._mask = Mask.of(settings)
        self._transport = transport
        self._clock = clock
        self._rng = rng
        self._spawn = spawn
        self._emit = emit
        self._changed = asyncio.Condition()
        self._refreshing = False
        self._failure: _Failure | None = None
        self._failures_in_a_row = 0
        self.unaccepted = 0
        self.current = NO_TOKEN
        if settings.access_token is not None:
            self.current = Token(secret_text(settings.access_token), float("inf"), float("inf"))

    def __repr__(self) -> str:
        now, token = self._clock.monotonic(), self.current
        state = "none" if token is NO_TOKEN else f"good for {token.hard_end - now:.0f} s"
        return f"<TokenManager: token {state}{', refreshing' if self._refreshing else ''}>"

    async def get(self) -> str:
        """
        Return a valid token; wait for a new one if necessary.

        Raises `CredentialsRejectedError` if none can be obtained, `TokenUnavailableError` if none can at the moment, or
        `ConnectionSetupError`.
        """
        if self._clock.monotonic() < self.current.refresh_at:
            return self.current.value
        async with self._changed:
            while True:
                now = self._clock.monotonic()
                if now < self.current.hard_end:
                    if now >= self.current.refresh_at and not self._failed(now):
                        self._begin_refresh()
                    return self.current.value
                failure = self._failed(now)
                if failure is not None:
                    raise failure.raised_at(now)
                self._begin_refresh()
                await self._changed.wait()

    async def first(self, timeout: float) -> None:
        """
        Wait for a token, through failures of the login host that may pass within `timeout` seconds.

        A login host that throttles has two minutes in any case. Raises what `get` raises.
        """
        began_at = self._clock.monotonic()
        while True:
            try:
                await self.get()
            except TokenUnavailableError as error:
                allowed = max(timeout, MAX_THROTTLED) if error.code == THROTTLED else timeout
                pause = error.retry_after or 0.0
                if not error.retryable or self._clock.monotonic() + pause >= began_at + allowed:
                    raise
                await self._clock.sleep(pause)
            else:
                return

    def invalidate(self, rejected: str) -> None:
        """
        Discard the token that Genesys answered with 401, unless it has been replaced already.

        A fixed access token cannot be refreshed: from then on `get` raises `CredentialsRejectedError`. It also does,
        for a minute, after several new tokens in a row were rejected and none accepted.
        """
        if self.current is NO_TOKEN or self.current.value != rejected:
            return
        self.current = NO_TOKEN
        if self._settings.access_token is not None:
            self._failure = _Failure(_access_token_rejected(), float("inf"))
            return
        self.unaccepted += 1
        if self.unaccepted >= MAX_UNACCEPTED:
            self.unaccepted = 0
            self._failure = _Failure(_tokens_not_accepted(), self._clock.monotonic() + REJECTED_PAUSE)

    def accepted(self) -> None:
        """Reset `unaccepted`: Genesys accepted a token."""
        self.unaccepted = 0

    def _failed(self, now: float) -> _Failure | None:
        return self._failure if self._failure is not None and now < self._failure.until else None

    def _begin_refresh(self) -> None:
        if not self._refreshing:
            self._spawn(self._refresh)
            self._refreshing = True

    async def _refresh(self) -> None:
        outcome: Token | _Failure = _Failure(
            TokenUnavailableError("The retriever is closed.", retryable=False), float("inf")
        )
        try:
            outcome = await self._request_token()
        finally:
            with anyio.CancelScope(shield=True):
                async with self._changed:
                    self._refreshing = False
                    if isinstance(outcome, Token):
                        self.current, self._failure = outcome, None
                    else:
                        self._failure = outcome
                    self._changed.notify_all()

    async def _request_token(self) -> Token | _Failure:
        sent = self._clock.monotonic()
        try:
            reply = await self._transport.exchange(
                _token_request(self._settings),
                timeout=min(self._settings.timeout, MAX_TOKEN_EXCHANGE),
                max_reply_size=MAX_TOKEN_REPLY,
            )
            if reply.status != _GRANTED:
                reply = self._mask.reply(reply)
            granted = _read_token_reply(reply, wall=self._clock.wall())
        except GenesysMediaError as error:
            # A failure is kept, and its frames hold the client secret.
            return self._failure_from(self._mask.error(error.without_frames()))
        lifetime = granted.expires_in
        token = _token(granted, sent, jitter=self._rng.random())
        if self._clock.monotonic() >= token.hard_end:
            return self._failure_from(InvalidResponseError("the token expired before it arrived."))
        self._failures_in_a_row = 0
        self._emit(TokenRefreshed(at=self._clock.wall(), lifetime=lifetime, latency=self._clock.monotonic() - sent))
        return token

    def _failure_from(self, error: GenesysMediaError) -> _Failure:
        if not isinstance(error, AuthenticationError | ConnectionSetupError):
            host = sanitized(self._settings.token_url, 200)
            error = TokenUnavailableError(f"No token from {host}: {error.message}", advice=error.advice)
        pause = REJECTED_PAUSE
        self._failures_in_a_row += 1
        if error.retryable:
            pause = point(TRANSIENT_PAUSES, self._failures_in_a_row)
            pause = max(pause, min(error.retry_after or 0.0, MAX_RETRY_AFTER))
        self._emit(TokenRefreshFailed(at=self._clock.wall(), code=error.code, pause=pause))
        return _Failure(error, self._clock.monotonic() + pause)


def _token(granted: _TokenReply, sent: float, *, jitter: float) -> Token:
    """Return a token that was requested at `sent`; `jitter`, from 0 to 1, spreads the refreshes of many processes."""
    lifetime = granted.expires_in
    ahead = min(REFRESH_AHEAD, REFRESH_AHEAD_SHARE * lifetime) * (1 - REFRESH_JITTER * jitter)
    margin = min(HARD_MARGIN, HARD_MARGIN_SHARE * lifetime)
    return Token(granted.access_token, refresh_at=sent + lifetime - ahead, hard_end=sent + lifetime - margin)


def _token_request(settings: Settings) -> HttpRequest:
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
        secret = secret_text(settings.client_secret) if settings.client_secret else ""
        form |= {"client_id": settings.client_id or "", "client_secret": secret}
    else:
        headers["authorization"] = f"Basic {basic_credentials(settings)}"
    # A connection to the login host has rested since the last token, and may be at its end.
    return HttpRequest.to("POST", settings.token_url, headers, urlencode(form).encode(), fresh=True)


def _read_token_reply(reply: HttpReply, *, wall: float) -> _TokenReply:
    if reply.status == _GRANTED:
        try:
            return _TokenReply.model_validate_json(repaired_json(reply.body))
        except ValidationError:
            raise InvalidResponseError("the reply is not a token.") from None
    raise _token_error(reply, wall=wall)


def _token_error(reply: HttpReply, *, wall: float) -> AuthenticationError:
    status, (body, is_page) = reply.status, read_error(_TokenErrorReply, reply.body)
    description = sanitized(body.error_description or body.description or "")
    words = ": ".join(word for word in (sanitized(body.error or "", 80), description) if word)
    message = f"The login host answered {status}{f' ({words})' if words else ''}."
    correlation = correlation_id(reply.headers)
    # Genesys throttles this endpoint with a 400, not a 429.
    is_throttled = status == 429 or (status == 400 and description.lower().startswith("rate limit exceeded"))
    if is_throttled or status in STATUSES["login"]:
        return TokenUnavailableError(
            message,
            code=THROTTLED if is_throttled else None,
            status_code=status,
            correlation_id=correlation,
            retry_after=parse_retry_after(reply.headers, wall=wall),
            advice="The request is repeated automatically, after longer and longer pauses.",
        )
    is_expected = status in {400, 401, 403}
    if is_page and is_expected and correlation is None:
        message = f"Something between here and the login host answered {status}{page_of(reply)}."
        return AuthenticationError(message, code=NOT_FROM_GENESYS, status_code=status, advice=PAGE_ADVICE)
    advice = None
    if not is_expected:
        advice = "A Genesys login host does not answer like that: check the login URL and the region."
    return CredentialsRejectedError(message, status_code=status, correlation_id=correlation, advice=advice)


def _access_token_rejected() -> CredentialsRejectedError:
    return CredentialsRejectedError(
        "Genesys does not accept the access token.",
        code="access_token_rejected",
        advice="Set a new one, or use an OAuth client's id and secret, with which tokens are refreshed automatically.",
    )


def _tokens_not_accepted() -> CredentialsRejectedError:
    return CredentialsRejectedError(
        "Genesys grants tokens and then rejects every one of them.",
        code="tokens_not_accepted",
        advice="Check that base URL and login URL belong to the same region.",
    )
