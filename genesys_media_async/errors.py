"""
The exceptions of this package: one tree, grouped by who can repair the fault.

    GenesysMediaError
    ├── SettingsError                 you: the configuration cannot work
    ├── InvalidRequestError           you: this id or option cannot be sent, and was not
    ├── AuthenticationError           your administrator: no valid token
    │   ├── CredentialsRejectedError  … the OAuth client or its secret is wrong
    │   ├── TokenRejectedError        … 401 from the API, also after a new token (an APIStatusError, too)
    │   └── TokenUnavailableError     … for now: the login host is down, slow or throttling
    ├── APIStatusError                Genesys answered with an error status
    │   ├── PermissionDeniedError     403
    │   ├── NotFoundError             404
    │   ├── RateLimitError            429, or a pause longer than the deadline
    │   └── InternalServerError       5xx
    ├── APIConnectionError            the network: no complete reply
    │   ├── ConnectError              … and nothing was sent
    │   │   └── ConnectionSetupError  … nor will be, until a certificate or a proxy's setting is repaired
    │   ├── StaleConnectionError      … a reused connection was closed before any byte of the reply
    │   └── APITimeoutError           … within the timeout of one exchange
    ├── InvalidResponseError          the reply does not follow the API's contract
    ├── UrlRejectedError              the URL arrived and breaks the validation rule
    ├── DeadlineExceededError         the deadline of an id passed
    ├── OutageError                   a host was not reachable for longer than `outage_timeout`
    ├── AllRefusedError               you, or your administrator: the first ids of a run were all refused alike
    └── AuditWriteError               an audit record could not be written, so the run stops

Every message ends with the repair. No message contains a token, a client secret or a pre-signed URL.
"""

from __future__ import annotations

import re
from copy import copy
from typing import TYPE_CHECKING, ClassVar
from unicodedata import category

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

MAX_QUOTED_TEXT = 300

# Quotes and brackets do not end a query: a URL may have them, and a signature may follow.
_URL_QUERY = re.compile(r"(https?://[^\s?]+)\?\S*|\?(?=[^\s?]*=)\S+", re.IGNORECASE)
# Control and format characters, half surrogates, separators of lines and paragraphs.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_BEARER = re.compile(r"(bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE)
# The members of signed URLs (AWS, CloudFront, Google, Azure) and of OAuth, wherever they are: in a query that lost its
# URL, percent-encoded, or in JSON.
_SIGNED = re.compile(
    r"(?<![\w-])((?:x-(?:amz|goog)-)?(?:signature|credential|security-token)|policy|key-pair-id|awsaccesskeyid"
    r"|googleaccessid|sig|(?:access_|refresh_)?token|client_(?:secret|assertion)|api_?key|password)"
    r"(\s?=\s?|%3D|\"\s?:\s?\")[^\s&\"']+",
    re.IGNORECASE,
)


def sanitized(text: str, max_length: int = MAX_QUOTED_TEXT) -> str:
    """
    Return foreign text in a form that is safe in a message.

    What a terminal might obey or hide (control characters, also those of text direction) becomes a space. The query of
    a URL, the members of a signature and anything after `Bearer` or `Basic` are masked, and text longer than
    `max_length` characters is cut.
    """
    text = text[: 4 * max_length]
    if not text.isprintable():
        text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    text = _URL_QUERY.sub(lambda found: f"{found[1] or ''}?…", text.strip())
    text = _SIGNED.sub(r"\1\2…", text)
    text = _BEARER.sub(r"\1 …", text)
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"


def escaped(text: str) -> str:
    r"""
    Return text, or JSON, whose invisible characters are escaped as in JSON: `\u202e` for the one that turns text round.

    A terminal obeys such characters, or hides them: C0 and C1 controls with line breaks, those of text direction,
    zero-width ones, and halves of surrogate pairs. JSON keeps its meaning.
    """
    if text.isprintable():
        return text
    return "".join(_escape(each) if category(each) in _INVISIBLE else each for each in text)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))


class GenesysMediaError(Exception):
    """
    The base of all exceptions that this package raises or returns in a result.

    `code` is a stable word in snake_case for programs: Genesys's own code where its reply has one, in that spelling
    (`not.found` becomes `not_found`), otherwise one of this package. `retryable` is True if the same request can
    succeed later. `status_code` is the HTTP status of the reply, or None without a reply; `correlation_id` identifies
    the request to Genesys's support. `retry_after` is the number of seconds, from when the error arose, before which a
    repetition is useless; None if the server named none.
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
        status_code: int | None = None,
        correlation_id: str | None = None,
        context_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.retryable = self.default_retryable if retryable is None else retryable
        self.advice = self.default_advice if advice is None else advice
        self.status_code = status_code
        self.correlation_id = correlation_id
        self.context_id = context_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        parts = [self.message]
        if self.advice:
            parts.append(self.advice)
        if self.correlation_id:
            parts.append(f"(correlation id {self.correlation_id})")
        return " ".join(parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r}, code={self.code!r}, retryable={self.retryable})"

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[str], dict[str, object]]:
        return type(self), (self.message,), dict(vars(self))

    def twin(self) -> Self:
        """Return the same error once more, its cause with it: each that is raised has a traceback of its own."""
        other = copy(self)
        other.__cause__ = self.__cause__
        return other

    def without_frames(self) -> Self:
        """
        Drop the traceback and the chained exceptions, and return the error.

        An error in a result outlives its call: frames would keep the token and the reply in memory, and show them to
        every traceback printer that prints locals.
        """
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self


class SettingsError(GenesysMediaError):
    """The configuration cannot work; the message names the setting, the rule and the repair."""

    default_code = "settings"


class InvalidRequestError(GenesysMediaError):
    """This id or option breaks its rule; nothing was sent."""

    default_code = "invalid_request"


class AuthenticationError(GenesysMediaError):
    """There is no valid token."""

    default_code = "authentication"


class CredentialsRejectedError(AuthenticationError):
    """The login host does not know the OAuth client, or its secret is wrong."""

    default_code = "credentials_rejected"
    default_advice = (
        "Check the client id, the client secret and the region; the OAuth client must exist in that region "
        "and use the Client Credentials grant."
    )


class TokenUnavailableError(AuthenticationError):
    """The login host granted no token; `retry_after` is the time until the next request for one."""

    default_code = "token_unavailable"
    default_retryable = True


class APIStatusError(GenesysMediaError):
    """Genesys answered with an error status; `code`, `message` and `context_id` are its own words."""

    default_code = "http_error"


class TokenRejectedError(AuthenticationError, APIStatusError):
    """401, even with a new token."""

    default_code = "token_rejected"
    default_advice = (
        "Genesys rejects the token even after a refresh: check that base URL and login URL belong to the same "
        "region and that the OAuth client is neither disabled nor restricted to other IP addresses."
    )


class PermissionDeniedError(APIStatusError):
    """403: the roles of the OAuth client do not allow this."""

    default_code = "permission_denied"
    default_advice = (
        "Give the OAuth client a role with the permission named in the message, in the division of the media; "
        "a new token is not needed."
    )


class NotFoundError(APIStatusError):
    """404: Genesys has no such medium, or hides it from this OAuth client."""

    default_code = "not_found"
    default_advice = "Check the id, and that it belongs to this organisation and region."


class RateLimitError(APIStatusError):
    """429: the quota was used up, by this program or by others with the same token."""

    default_code = "rate_limited"
    default_retryable = True
    default_advice = (
        "Run it again later, allow a longer deadline, or name a lower quota if other programs share the token."
    )


class InternalServerError(APIStatusError):
    """5xx: the fault is on Genesys's side."""

    default_code = "internal_server_error"
    default_retryable = True
    default_advice = "Try again later; if it persists, give Genesys's support the correlation id."


class APIConnectionError(GenesysMediaError):
    """The reply did not arrive completely; Genesys may or may not have received the request."""

    default_code = "connection_error"
    default_retryable = True
    default_advice = "Check the network between here and Genesys, then try again."


class ConnectError(APIConnectionError):
    """No connection could be made, so nothing was sent."""

    default_code = "connect_error"
    default_advice = "Check the host name, the network, any proxy and the certificates, then try again."


class StaleConnectionError(APIConnectionError):
    """
    A connection that had carried other requests was closed before any byte of the reply to this one.

    Servers and load balancers close connections that have rested for some time; this request crossed such an end.
    """

    default_code = "stale_connection"


class ConnectionSetupError(ConnectError):
    """
    No connection to this host can be made as things are set up, so that a run ends instead of failing every id.

    `code` is `certificate_rejected` or `proxy_refused`.
    """

    default_code = "connection_setup"
    default_retryable = False
    default_advice = "Correct the setup, then run it again."


class APITimeoutError(APIConnectionError):
    """The reply was not complete within the timeout of one exchange."""

    default_code = "timeout"
    default_advice = "Try again later, or allow a longer timeout."


class InvalidResponseError(GenesysMediaError):
    """
    The reply of Genesys, or of something between here and there, does not follow the API's contract.

    Retryable: a gateway's error page or a truncated body is gone the next time.
    """

    default_code = "invalid_response"
    default_retryable = True
    default_advice = "If it persists, something between here and Genesys changes the replies."


class UrlRejectedError(GenesysMediaError):
    """The URL arrived and breaks the validation rule; `code` is the reason."""

    default_code = "url_rejected"
    default_advice = "The URL was discarded; relax the rule if it should pass."


class DeadlineExceededError(GenesysMediaError):
    """The deadline of this id passed."""

    default_code = "deadline_exceeded"
    default_retryable = True
    default_advice = "Allow a longer deadline, or try again when Genesys answers faster."


class OutageError(GenesysMediaError):
    """A host was not reachable for longer than `outage_timeout`, so the run stops."""

    default_code = "outage"
    default_retryable = True
    default_advice = "Check the network and the status of Genesys Cloud, then run it again for what is missing."


class AllRefusedError(GenesysMediaError):
    """
    The first ids of a run were all refused alike, as many as its option `max_refusals` allows, so the run ended.

    `status_code` is that of the refusals.
    """

    default_code = "all_refused"


class AuditWriteError(GenesysMediaError):
    """An audit record could not be written; the run stops, since nothing is retrieved without a record."""

    default_code = "audit_write_failed"
    default_retryable = True
    default_advice = "Make room or repair the audit sink, then run again for what is not yet done."
