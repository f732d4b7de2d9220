"""
What a fault makes of a reply: pure functions from the right reply, or none, to the one that is sent.

Faults of the wire only mark the reply; the carriers know how to reset, hang and drip.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import bad_gateway, error_reply, too_many_requests
from .faults import CUT_OR_SLOW, ERROR_STATUSES, SILENT, STILL_GOOD, Fault
from .messages import Headers, Kind, Reply, json_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_AFTER_SECONDS = 1
OVERSIZE = 80 * 1024
PUBLIC_HTTP_ORIGIN = "http://media.example.com"

_ERROR_CODES = {
    Fault.SERVER_ERROR_500: "internal.server.error",
    Fault.SERVER_ERROR_503: "service.unavailable",
    Fault.SERVER_ERROR_503_RETRY_AFTER: "service.unavailable",
    Fault.SERVER_ERROR_504: "request.timeout",
    Fault.CLIENT_TIMEOUT_408: "client.timeout",
    Fault.UNAUTHORIZED: "bad.credentials",
    Fault.TOKEN_EXPIRED: "credentials.expired",
}


def instead_of_work(fault: Fault, kind: Kind, headers: Headers, correlation_id: str) -> Reply | None:
    """
    Return the reply of a fault that keeps the work from being done, or None when the fault only spoils its result.

    `headers` go on replies that have any, beside the correlation id.
    """
    if fault in SILENT:
        return Reply(0, kind=kind, fault=fault)
    if fault not in ERROR_STATUSES:
        return None
    return replace(_error(fault, kind, headers, correlation_id), fault=fault)


def spoil(reply: Reply, fault: Fault, *, late_seconds: float) -> Reply | None:
    """Return the right reply spoiled by a fault, or None when there is nothing in it that the fault could spoil."""
    if fault is Fault.LATE:
        return replace(reply, fault=fault, delay=reply.delay + late_seconds)
    if fault in CUT_OR_SLOW:
        return replace(reply, fault=fault, good=reply.good and fault in STILL_GOOD) if reply.body else None
    if reply.status != 200:
        return None
    return replace(_REWRITES[fault](reply), fault=fault, good=fault in STILL_GOOD)


def _error(fault: Fault, kind: Kind, headers: Headers, correlation_id: str) -> Reply:
    if fault is Fault.SERVER_ERROR_502_HTML:
        return bad_gateway(correlation_id, kind=kind, headers=headers)
    if fault is Fault.TOO_MANY_REQUESTS:
        return too_many_requests(correlation_id, RETRY_AFTER_SECONDS, kind=kind, headers=headers)
    if fault is Fault.TOO_MANY_REQUESTS_NO_HEADER:
        code = "too.many.requests.retry.after"
        return error_reply(code, correlation_id, RETRY_AFTER_SECONDS, kind=kind, headers=headers)
    if fault is Fault.SERVER_ERROR_503_RETRY_AFTER:
        headers = ((b"Retry-After", b"%d" % RETRY_AFTER_SECONDS), *headers)
    return error_reply(_ERROR_CODES[fault], correlation_id, kind=kind, headers=headers)


def _cut_json(reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def _malformed(reply: Reply) -> Reply:
    return replace(reply, body=reply.body.replace(b'"', b"'"))


def _oversized(reply: Reply) -> Reply:
    padded = {**json.loads(reply.body), "comment": "x" * OVERSIZE}
    return replace(reply, body=json_bytes(padded), chunked=True)


def _compressed(reply: Reply) -> Reply:
    encoding = (b"Content-Encoding", b"gzip")
    return replace(reply, headers=(*reply.headers, encoding), body=gzip.compress(reply.body, mtime=0))


def _as_html(reply: Reply) -> Reply:
    headers = tuple(header for header in reply.headers if header[0] != b"Content-Type")
    return replace(reply, headers=((b"Content-Type", b"text/html; charset=utf-8"), *headers))


def _empty_url(reply: Reply) -> Reply:
    return _rewritten(reply, {"url": ""})


def _http_url(reply: Reply) -> Reply:
    url: str = json.loads(reply.body)["url"]
    target = url[url.index("/", len("https://")) :]
    return _rewritten(reply, {"url": PUBLIC_HTTP_ORIGIN + target})


def _missing_fields(reply: Reply) -> Reply:
    missing = {"expiresIn", "contentType", "access_token"}
    left = {name: value for name, value in json.loads(reply.body).items() if name not in missing}
    return replace(reply, body=json_bytes(left))


def _wrong_types(reply: Reply) -> Reply:
    body: dict[str, object] = json.loads(reply.body)
    return _rewritten(reply, {name: str(value) for name, value in body.items() if isinstance(value, int)})


def _rewritten(reply: Reply, changes: dict[str, str]) -> Reply:
    return replace(reply, body=json_bytes({**json.loads(reply.body), **changes}))


_REWRITES: dict[Fault, Callable[[Reply], Reply]] = {
    Fault.TRUNCATED_JSON: _cut_json,
    Fault.MALFORMED_JSON: _malformed,
    Fault.OVERSIZED_BODY: _oversized,
    Fault.COMPRESSED_BODY: _compressed,
    Fault.WRONG_CONTENT_TYPE: _as_html,
    Fault.EMPTY_URL: _empty_url,
    Fault.HTTP_URL: _http_url,
    Fault.MISSING_FIELDS: _missing_fields,
    Fault.WRONG_TYPES: _wrong_types,
}
