"""
Everything that can go wrong, as one tree, grouped by who can put it right.

    GenesysMediaError
    ├── SettingsError               you: what was configured cannot work
    ├── InvalidRequest              you: this id or option cannot be sent, and was not
    ├── AuthenticationError         your administrator: no token is to be had
    │   ├── CredentialsRejected     … because the OAuth client or its secret is wrong
    │   └── TokenUnavailable        … for now: the login host is down, slow or throttling
    ├── ApiError                    Genesys answered, and refused
    │   ├── Unauthorized            401, after a new token was tried
    │   ├── PermissionDenied        403
    │   ├── NotFound                404
    │   ├── RateLimited             429, or a pause longer than the deadline allows
    │   └── ServerError             5xx
    ├── TransportError              the network: there is no complete reply
    │   ├── ConnectFailed           … and nothing was sent
    │   └── ExchangeTimeout         … within the time allowed for one exchange
    ├── InvalidReply                Genesys answered with something else than was agreed
    ├── UrlRefused                  the URL came, and breaks the rule it has to meet
    ├── DeadlineExceeded            the id's time ran out between attempts
    └── EvidenceLost                an audit record could not be written, so the run stops

Every message ends with what to do. No message contains a token, a client secret or a pre-signed URL.
"""

from __future__ import annotations

import re
from typing import ClassVar

LONGEST_QUOTED_TEXT = 300

# Quotes and brackets do not end it: a URL may have them, and a signature may follow.
_URL_QUERY = re.compile(r"(https?://[^\s?]+)\?\S*", re.IGNORECASE)
_BEARER = re.compile(r"(bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def quotable(text: str, longest: int = LONGEST_QUOTED_TEXT) -> str:
    """
    Return foreign text as it may be quoted in a message.

    Control characters become spaces, the query of a URL and anything after `Bearer` or `Basic` is masked, and what
    is longer than `longest` characters is cut.
    """
    text = _UNPRINTABLE.sub(" ", text[: 4 * longest]).strip()
    text = _URL_QUERY.sub(r"\1?…", text)
    text = _BEARER.sub(r"\1 …", text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class GenesysMediaError(Exception):
    """
    The root of all errors this package raises or puts into a result.

    `code` is a stable word for programs: Genesys's own where Genesys named the error, ours otherwise. `retryable`
    says whether asking again later, unchanged, can succeed. `status` is the HTTP status of the reply, if there was
    one; `correlation_id` is what Genesys's support asks for.
    """

    default_code: ClassVar[str] = "error"
    default_retryable: ClassVar[bool] = False
    default_advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retryable: bool | None = None,
        advice: str | None = None,
        status: int | None = None,
        correlation_id: str | None = None,
        context_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.retryable = self.default_retryable if retryable is None else retryable
        self.advice = self.default_advice if advice is None else advice
        self.status = status
        self.correlation_id = correlation_id
        self.context_id = context_id
        self.retry_after = retry_after
        """Seconds before which asking again is useless, counted from when the error arose; None if nobody said."""

    def __str__(self) -> str:
        parts = [self.message]
        if self.advice:
            parts.append(self.advice)
        if self.correlation_id:
            parts.append(f"(correlation id {self.correlation_id})")
        return " ".join(parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r}, code={self.code!r}, retryable={self.retryable})"


class SettingsError(GenesysMediaError):
    """What was configured cannot work; the message names the setting, the rule and the repair."""

    default_code = "settings"


class InvalidRequest(GenesysMediaError):
    """This id or option breaks the rule for it; nothing was sent."""

    default_code = "invalid_request"


class AuthenticationError(GenesysMediaError):
    """No token is to be had."""

    default_code = "authentication"


class CredentialsRejected(AuthenticationError):
    """The login host knows no such OAuth client, or its secret is another one."""

    default_code = "credentials_rejected"
    default_advice = (
        "Check the client id, the client secret and the region; the OAuth client must exist in that region "
        "and use the Client Credentials grant."
    )


class TokenUnavailable(AuthenticationError):
    """The login host gave no token this time; `retry_after` says when it will be asked again."""

    default_code = "token_unavailable"
    default_retryable = True


class ApiError(GenesysMediaError):
    """Genesys answered with an error status; `code`, `message` and `context_id` are its own words."""

    default_code = "http_error"


class Unauthorized(ApiError):
    """401 although a new token was tried."""

    default_code = "unauthorized"
    default_advice = (
        "The token is not accepted even after it was renewed: check that base URL and login URL belong to the same "
        "region and that the OAuth client was not disabled or restricted to other IP addresses."
    )


class PermissionDenied(ApiError):
    """403: the OAuth client's roles do not allow this."""

    default_code = "permission_denied"
    default_advice = (
        "Give the OAuth client a role with the permission that the message names, in the division the media belongs "
        "to; a new token is not needed."
    )


class NotFound(ApiError):
    """404: Genesys has no such medium, or this OAuth client may not know of it."""

    default_code = "not_found"
    default_advice = "Check the id, and that it belongs to this organisation and region."


class RateLimited(ApiError):
    """429: the quota was used up, by this program or by others with the same token."""

    default_code = "rate_limited"
    default_retryable = True
    default_advice = (
        "Run it again later, allow a longer deadline, or name a lower quota if other programs share the token."
    )


class ServerError(ApiError):
    """5xx: the fault is on Genesys's side."""

    default_code = "server_error"
    default_retryable = True
    default_advice = "Try again later; if it stays, give Genesys's support the correlation id."


class TransportError(GenesysMediaError):
    """There is no complete reply; Genesys may or may not have seen the request."""

    default_code = "connection_failed"
    default_retryable = True
    default_advice = "Check the network between here and Genesys, then try again."


class ConnectFailed(TransportError):
    """No connection could be made, so nothing was sent."""

    default_code = "connect_failed"
    default_advice = "Check the host name, the network, any proxy and the certificates, then try again."


class ExchangeTimeout(TransportError):
    """The reply was not complete within the time allowed for one exchange."""

    default_code = "timeout"
    default_advice = "Try again later, or allow a longer timeout."


class InvalidReply(GenesysMediaError):
    """
    Genesys, or something between here and there, answered with something else than was agreed.

    Retryable: a gateway's error page or a cut body is gone the next time.
    """

    default_code = "invalid_reply"
    default_retryable = True
    default_advice = "If it stays, something between here and Genesys changes the replies."


class UrlRefused(GenesysMediaError):
    """The URL came and breaks the validation rule; `code` is the reason."""

    default_code = "url_refused"
    default_advice = "The URL was discarded; relax the rule if it should pass."


class DeadlineExceeded(GenesysMediaError):
    """The time allowed for this id ran out."""

    default_code = "deadline_exceeded"
    default_retryable = True
    default_advice = "Allow a longer deadline, or try again when Genesys answers faster."


class EvidenceLost(GenesysMediaError):
    """An audit record could not be written; nothing more is retrieved that could not be accounted for."""

    default_code = "evidence_lost"
    default_retryable = True
    default_advice = "Make room or repair the audit sink, then run again for what is not yet done."
