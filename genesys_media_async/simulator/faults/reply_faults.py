"""
Reply faults: pure functions from the correct reply, or none, to the faulty one that is sent.

A wire fault only marks the reply here; the carriers send it by the steps of `wire_faults`.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from ..errors import bad_gateway, error_reply, too_many_requests
from ..fault_kinds import CUT_OR_SLOW, ERROR_STATUSES, SILENT, STILL_GOOD, Fault
from ..messages import Headers, Kind, Reply, json_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_AFTER_SECONDS = 1
OVERSIZE = 80 * 1024
PUBLIC_HTTP_ORIGIN = "http://media.example.com"
PUBLIC_HTTPS_ORIGIN = "https://media.example.com"

_URL_FIELDS = frozenset({"url", "resultUrl", "mediaUri", "contentLocationUri"})
_OMITTED = frozenset(
    {
        "expiresIn",
        "contentType",
        "access_token",
        "id",
        "jobId",
        "status",
        "state",
        "mediaUris",
        "totalHits",
        "conversationId",
        "entities",
    }
)

_MISSING = object()

_ERROR_CODES = {
    Fault.SERVER_ERROR_500: "internal.server.error",
    Fault.SERVER_ERROR_503: "service.unavailable",
    Fault.SERVER_ERROR_503_RETRY_AFTER: "service.unavailable",
    Fault.SERVER_ERROR_504: "request.timeout",
    Fault.CLIENT_TIMEOUT_408: "client.timeout",
    Fault.UNAUTHORIZED: "bad.credentials",
    Fault.TOKEN_EXPIRED: "credentials.expired",
}


def fault_reply(fault: Fault, kind: Kind, headers: Headers, correlation_id: str) -> Reply | None:
    """
    Return the reply of a fault that replaces the work, or None for a fault that only spoils the result.

    `headers` are added to a reply that has headers, beside the correlation id.
    """
    if fault in SILENT:
        return Reply(0, kind=kind, fault=fault)
    if fault not in ERROR_STATUSES:
        return None
    return replace(_error(fault, kind, headers, correlation_id), fault=fault)


def spoil_reply(reply: Reply, fault: Fault, *, late_seconds: float) -> Reply | None:
    """Return the reply as a fault spoils it, or None when it contains nothing that the fault can spoil."""
    if fault is Fault.LATE:
        return replace(reply, fault=fault, delay=reply.delay + late_seconds)
    if fault in CUT_OR_SLOW:
        return replace(reply, fault=fault, good=reply.good and fault in STILL_GOOD) if reply.body else None
    if reply.status != 200:
        return None
    rewritten = _REWRITES[fault](reply)
    return None if rewritten == reply else replace(rewritten, fault=fault, good=fault in STILL_GOOD)


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
    body = cast("dict[str, object] | list[object]", json.loads(reply.body))
    padding = "x" * OVERSIZE
    padded = {**body, "comment": padding} if isinstance(body, dict) else [*body, padding]
    return replace(reply, body=json_bytes(padded), chunked=True)


def _compressed(reply: Reply) -> Reply:
    encoding = (b"Content-Encoding", b"gzip")
    return replace(reply, headers=(*reply.headers, encoding), body=gzip.compress(reply.body, mtime=0))


def _as_html(reply: Reply) -> Reply:
    headers = tuple(header for header in reply.headers if header[0] != b"Content-Type")
    return replace(reply, headers=((b"Content-Type", b"text/html; charset=utf-8"), *headers))


def _empty_url(reply: Reply) -> Reply:
    return _rewritten(reply, lambda name, value: "" if name in _URL_FIELDS and value else value)


def _http_url(reply: Reply) -> Reply:
    def changed(name: str, value: object) -> object:
        if name not in _URL_FIELDS or not isinstance(value, str):
            return value
        return PUBLIC_HTTP_ORIGIN + value[value.index("/", len("https://")) :]

    return _rewritten(reply, changed)


def _missing_fields(reply: Reply) -> Reply:
    return _rewritten(reply, lambda name, value: _MISSING if name in _OMITTED else value)


def _wrong_types(reply: Reply) -> Reply:
    return _rewritten(
        reply, lambda _, value: str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    )


def _rewritten(reply: Reply, change: Callable[[str, object], object]) -> Reply:
    body: object = json.loads(reply.body)
    changed = _changed(body, change)
    return reply if changed == body else replace(reply, body=json_bytes(changed))


def _changed(value: object, change: Callable[[str, object], object]) -> object:
    """Return a JSON value with `change` applied to every field of its objects; a result of `_MISSING` removes it."""
    if isinstance(value, list):
        return [_changed(each, change) for each in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    fields = {name: change(name, _changed(each, change)) for name, each in cast("dict[str, object]", value).items()}
    return {name: each for name, each in fields.items() if each is not _MISSING}


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
