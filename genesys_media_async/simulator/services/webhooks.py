"""
The webhook receiver, like one that a customer runs: it checks every delivery and keeps it.

The signature is that of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over
`id.timestamp.body`, base64, prefixed with `v1,`.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, cast

from ..errors import JSON_TYPE, correlation_header
from ..messages import Kind, Reply, Request, json_bytes
from ..settings import webhook_key

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT = "media.url.generated"
TOLERANCE_SECONDS = 300.0

_DIGITS = re.compile(r"\d{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    One accepted webhook.

    Header names are in lower case; `body` is the parsed JSON; `time` is that of its arrival in epoch seconds. Its repr
    shows neither the body, which has a signed URL, nor the headers, which have a signature.
    """

    headers: Mapping[str, str] = field(repr=False)
    body: Mapping[str, object] = field(repr=False)
    time: float

    @property
    def id(self) -> str:
        """The id of the delivery, which stays the same when it is retried."""
        return self.headers["webhook-id"]


class WebhookReceiver:
    """Checks deliveries and keeps the correct ones."""

    def __init__(self, secret: str | None, *, keep: bool = True) -> None:
        self._key = webhook_key(secret) if secret is not None else None
        self._keep = keep
        self.deliveries: list[Delivery] = []

    def __repr__(self) -> str:
        return f"<WebhookReceiver: {len(self.deliveries)} deliveries>"

    def answer(self, request: Request, wall: float, correlation_id: str) -> Reply:
        """Return 204, or 400 with the problem."""
        body = _parse(request)
        problem = _content_problem(body) if body is not None else "the body is not a JSON object"
        if request.media_type != "application/json":
            problem = "the content type is not application/json"
        elif not request.headers.get("webhook-id"):
            problem = "there is no webhook-id"
        elif self._key is not None and problem is None:
            problem = _signature_problem(self._key, request, wall)
        if problem is not None or body is None:
            headers = (JSON_TYPE, correlation_header(correlation_id))
            return Reply(400, headers, json_bytes({"error": problem}), Kind.WEBHOOK)
        if self._keep:
            self.deliveries.append(Delivery(request.headers, body, wall))
        return Reply(204, (correlation_header(correlation_id),), b"", Kind.WEBHOOK, good=True)


def sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return one signature in the form of the `webhook-signature` header."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def _parse(request: Request) -> Mapping[str, object] | None:
    try:
        parsed: object = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", parsed) if isinstance(parsed, dict) else None


def _content_problem(body: Mapping[str, object]) -> str | None:
    if body.get("event") != EVENT:
        return f"the event is not {EVENT}"
    file_id, timestamp = body.get("fileId"), body.get("timestamp")
    if not isinstance(file_id, str) or not file_id:
        return "there is no fileId"
    if not isinstance(timestamp, str) or not _is_moment(timestamp):
        return "the timestamp is not an ISO 8601 date and time with an offset"
    return None


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _signature_problem(key: bytes, request: Request, wall: float) -> str | None:
    timestamp = request.headers.get("webhook-timestamp", "")
    if not _DIGITS.fullmatch(timestamp) or abs(wall - int(timestamp)) > TOLERANCE_SECONDS:
        return "the webhook-timestamp is missing or too far from now"
    expected = sign(key, request.headers["webhook-id"], timestamp, request.body).encode()
    presented = request.headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(expected, one.encode()) for one in presented):
        return "no webhook-signature matches"
    return None
