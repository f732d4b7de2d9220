"""
The login service: the credentials of clients, the valid tokens, and the replies of `POST /oauth/token`.

The grant, the three-field errors and their statuses are those in Genesys's SDKs and their integration tests. Pure and
synchronous; the time is an argument.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from ..errors import JSON_TYPE, correlation_header
from ..messages import Kind, Reply, Request, json_bytes
from ..quota import FixedWindow, QuotaWindow, open_window
from ..settings import Quota

if TYPE_CHECKING:
    import random

    from ..family_settings import Family
    from ..settings import SimulatorSettings

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_EXPIRED_TOKENS = 1000


@dataclass(slots=True)
class Grant:
    """One token: its client, its expiry (monotonic seconds), and the windows of its quota and of resource quotas."""

    token: str = field(repr=False)
    client_id: str
    expires_at: float
    window: QuotaWindow | None
    family_windows: dict[Family, QuotaWindow] = field(default_factory=dict["Family", QuotaWindow], repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The refusal of a token request: the HTTP status and OAuth's error with its description."""

    status: int
    error: str
    description: str


CLIENT_NOT_FOUND = Refusal(400, "invalid_client", "client not found")
AUTHENTICATION_FAILED = Refusal(401, "invalid_client", "authentication failed")
THROTTLED = Refusal(400, "invalid_request", "rate limit exceeded; too many token requests")
UNSUPPORTED_GRANT = Refusal(400, "unsupported_grant_type", "the grant type is not supported")
NOT_A_FORM = Refusal(400, "invalid_request", "the request body must be a form")
NO_CREDENTIALS = Refusal(400, "invalid_request", "client credentials are missing")
MALFORMED_CREDENTIALS = Refusal(400, "invalid_request", "the authorization header is malformed")
TWO_CREDENTIALS = Refusal(400, "invalid_request", "client credentials were given twice")


class TokenStore:
    """The issued tokens; one token more than a client may have revokes its oldest."""

    def __init__(self, settings: SimulatorSettings, rng: random.Random, *, phase: float = 0.0) -> None:
        self._token_lifetime = settings.token_lifetime
        self._live_tokens = settings.live_tokens
        self._quota = settings.quota
        self._rng = rng
        self._phase = phase
        self._grants: dict[str, Grant] = {}

    def __repr__(self) -> str:
        return f"<TokenStore: {len(self._grants)} tokens>"

    def issue(self, client_id: str, now: float) -> Grant:
        """Return a new token for a client."""
        self._make_room(client_id, now)
        token = base64.urlsafe_b64encode(self._rng.randbytes(48)).decode()
        window = open_window(self._quota, phase=self._phase) if self._quota is not None else None
        grant = Grant(token, client_id, now + self._token_lifetime, window)
        self._grants[token] = grant
        return grant

    def find(self, token: str) -> Grant | None:
        """Return the grant of a token, valid or expired; None for an unknown or revoked one."""
        return self._grants.get(token)

    def revoke_all(self) -> None:
        """Revoke every token."""
        self._grants.clear()

    def _make_room(self, client_id: str, now: float) -> None:
        # The dictionary is in the order of issue, so the first of each list is the oldest.
        expired = [grant for grant in self._grants.values() if now >= grant.expires_at]
        for grant in expired[: -MAX_EXPIRED_TOKENS or None]:
            del self._grants[grant.token]
        own = [grant for grant in self._grants.values() if grant.client_id == client_id and now < grant.expires_at]
        for grant in own[: max(0, len(own) - self._live_tokens + 1)]:
            del self._grants[grant.token]


class TokenEndpoint:
    """Answers `POST /oauth/token` for the client credentials grant; a `scope` is accepted and ignored."""

    def __init__(self, settings: SimulatorSettings, store: TokenStore) -> None:
        self._secrets = {client.client_id: client.client_secret for client in settings.clients}
        self._accept_body_credentials = settings.accept_body_credentials
        self._expires_in = int(settings.token_lifetime)
        self._store = store
        per_minute = settings.token_requests_per_minute
        self._throttle = FixedWindow(Quota(per_minute, 60.0)) if per_minute is not None else None

    def __repr__(self) -> str:
        return f"<TokenEndpoint for {len(self._secrets)} clients>"

    def answer(self, request: Request, now: float, correlation_id: str) -> Reply:
        """Return a token, or the refusal."""
        client = self._admit(request, now)
        if isinstance(client, Refusal):
            return refusal_reply(client, correlation_id)
        grant = self._store.issue(client, now)
        body = {"access_token": grant.token, "token_type": "bearer", "expires_in": self._expires_in}
        headers = (JSON_TYPE, (b"Cache-Control", b"no-store"), correlation_header(correlation_id))
        return Reply(200, headers, json_bytes(body), Kind.TOKEN, good=True)

    def _admit(self, request: Request, now: float) -> str | Refusal:
        """Return the id of the client that may have a token, or the refusal."""
        if self._throttle is not None and not self._throttle.charge(now).allowed:
            return THROTTLED
        if request.media_type != FORM_TYPE:
            return NOT_A_FORM
        form = parse_qs(request.body.decode("latin-1"), keep_blank_values=True)
        credentials = self._credentials(request.headers.get("authorization"), form)
        if isinstance(credentials, Refusal):
            return credentials
        if form.get("grant_type") != ["client_credentials"]:
            return UNSUPPORTED_GRANT
        client_id, presented = credentials
        secret = self._secrets.get(client_id)
        if secret is None:
            return CLIENT_NOT_FOUND
        return client_id if hmac.compare_digest(secret.encode(), presented.encode()) else AUTHENTICATION_FAILED

    def _credentials(self, authorization: str | None, form: dict[str, list[str]]) -> tuple[str, str] | Refusal:
        in_body = self._accept_body_credentials and "client_secret" in form
        if authorization is None:
            if in_body and "client_id" in form:
                return form["client_id"][0], form["client_secret"][0]
            return NO_CREDENTIALS
        if in_body:
            return TWO_CREDENTIALS
        return _basic_credentials(authorization)


def refusal_reply(refusal: Refusal, correlation_id: str) -> Reply:
    """Return a refusal with the three fields of Genesys's login service."""
    body = {
        "error": refusal.error,
        "description": refusal.description,
        "error_description": refusal.description,
    }
    return Reply(refusal.status, (JSON_TYPE, correlation_header(correlation_id)), json_bytes(body), Kind.TOKEN)


def _basic_credentials(authorization: str) -> tuple[str, str] | Refusal:
    scheme, _, encoded = authorization.partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return MALFORMED_CREDENTIALS
    client_id, colon, secret = decoded.partition(":")
    return (client_id, secret) if colon and scheme.lower() == "basic" else MALFORMED_CREDENTIALS
