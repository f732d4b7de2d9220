"""
The error replies of Genesys Cloud, with the codes and messages of its specification.

Codes and messages are those of the public API's specification (`x-inin-error-codes`); `contextId` repeats the
correlation id. Every 429 has `contextId`, `details`, `errors` and a Retry-After, says
https://developer.genesys.cloud/forum/t/normalized-platform-api-429-responses/12028 ; of other errors this is uncertain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .messages import MAX_BODY_BYTES, Headers, Kind, Reply, json_bytes

if TYPE_CHECKING:
    from .settings import Quota

JSON_TYPE = (b"Content-Type", b"application/json")

_MESSAGES: dict[str, tuple[int, str]] = {
    "bad.request": (400, "The request could not be understood by the server due to malformed syntax."),
    "invalid.value": (400, "Value [%s] is not valid for field type [%s]. Allowable values are: %s"),
    "invalid.date": (
        400,
        "Dates must be specified as ISO-8601 strings. For example: yyyy-MM-ddTHH:mm:ss.SSSZ",
    ),
    "batch.download.bad.request": (400, "Request list is required and must not be empty"),
    "batch.download.too.many.items": (400, "Too many items requested, max 100 allowed"),
    "authentication.required": (401, "No authentication bearer token specified in authorization header."),
    "bad.credentials": (401, "Invalid login credentials."),
    "credentials.expired": (401, "The supplied credentials are expired and cannot be used."),
    "missing.permissions": (
        403,
        "Unable to perform the requested action. You are missing the following permission(s): %s",
    ),
    "missing.any.permissions": (
        403,
        "Unable to perform the requested action. You must have at least one of the following permissions assigned: %s",
    ),
    "recording.recording.view.permission.check.failed": (403, "The recording:recording:view permission is required."),
    "batch.download.permission.denied": (403, "Only user that initiated the job can request results"),
    "not.found": (404, "The requested resource was not found."),
    "conversation.not.found": (404, "A conversation for the provided conversationId was not found."),
    "batch.download.job.not.found": (404, "The requested job is unknown"),
    "method.not.allowed": (405, "The method is not allowed for the requested resource."),
    "client.timeout": (
        408,
        "The client did not produce a request within the server timeout limit. This can be caused by a slow network"
        " connection and/or large payloads.",
    ),
    "request.entity.too.large": (413, f"The request is over the size limit. Maximum bytes: {MAX_BODY_BYTES}"),
    "unsupported.media.type": (
        415,
        "Unsupported Media Type - Unsupported or incorrect media type, such as an incorrect Content-Type value in the"
        " header.",
    ),
    "too.many.requests": (429, "Rate limit exceeded the maximum [%s] requests within [%s] seconds"),
    "too.many.requests.retry.after": (
        429,
        "Rate limit exceeded the maximum. Retry the request in [%s] seconds",
    ),
    "internal.server.error": (
        500,
        "The server encountered an unexpected condition which prevented it from fulfilling the request.",
    ),
    "service.unavailable": (
        503,
        "Service Unavailable - The server is currently unavailable (because it is overloaded or down for maintenance).",
    ),
    "request.timeout": (504, "The request timed out."),
}

CORRELATION_HEADER = b"ININ-Correlation-Id"

_BAD_GATEWAY = b"""<html>
<head><title>502 Bad Gateway</title></head>
<body>
<center><h1>502 Bad Gateway</h1></center>
</body>
</html>
"""


def error_reply(
    code: str,
    correlation_id: str,
    *parameters: object,
    kind: Kind = Kind.API,
    headers: Headers = (),
) -> Reply:
    """Return the error reply of a Genesys code; the parameters replace the placeholders of its message, in order."""
    status, template = _MESSAGES[code]
    body: dict[str, object] = {
        "message": template % parameters if parameters else template,
        "code": code,
        "status": status,
        "contextId": correlation_id,
        "details": [],
        "errors": [],
    }
    return Reply(status, (JSON_TYPE, correlation_header(correlation_id), *headers), json_bytes(body), kind)


def too_many_requests(correlation_id: str, seconds: int, *, kind: Kind = Kind.API, headers: Headers = ()) -> Reply:
    """Return the 429 of an exhausted quota, with the seconds to wait in header and message."""
    waiting = (b"Retry-After", b"%d" % seconds)
    return error_reply("too.many.requests.retry.after", correlation_id, seconds, kind=kind, headers=(waiting, *headers))


def resource_exhausted(correlation_id: str, quota: Quota, seconds: int, *, headers: Headers = ()) -> Reply:
    """Return the 429 of a resource's quota in the wording before 2021-11-10, with the limit instead of the wait."""
    headers = ((b"Retry-After", b"%d" % seconds), *headers)
    return error_reply("too.many.requests", correlation_id, quota.limit, f"{quota.seconds:g}", headers=headers)


def bad_gateway(correlation_id: str, *, kind: Kind = Kind.API, headers: Headers = ()) -> Reply:
    """Return the 502 of a gateway on the way, which is HTML and in no specification."""
    html = (b"Content-Type", b"text/html")
    return Reply(502, (html, correlation_header(correlation_id), *headers), _BAD_GATEWAY, kind)


def correlation_header(correlation_id: str) -> tuple[bytes, bytes]:
    """Return the header with the id of a request in Genesys's logs."""
    return (CORRELATION_HEADER, correlation_id.encode())
