"""
What every hand-written Python peer does around its HTTP client: the same token, checks, metrics and audit lines.

As lean as the task allows, so that a peer's row is about its client: no models, one JSON pass each way, and one write
to the operating system per audit line, as in our package and in the Go program.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from benchmarks.peers.measurement import Counters, Window
from benchmarks.peers.options import CLIENT_ID, CLIENT_SECRET, EXPIRES_IN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.peers.options import Options

RENEW_AHEAD = 300.0
PATH = "/api/v2/media/storage/files/{}/download-url"
FORM = {"grant_type": "client_credentials"}
BASIC = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()

_FILE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_URL = re.compile(r"https://[A-Za-z0-9.-]+(?::\d+)?/recordings/([A-Za-z0-9._-]+)/[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
_BUCKET_WIDTH = math.log(1.05)


class Pipeline:
    """The work on each id before and after the exchange."""

    def __init__(self, options: Options, user_agent: str) -> None:
        self.user_agent = user_agent
        self.counters = Counters()
        self.window = Window(options) if options.seconds else None
        self._prefix, _, self._suffix = (options.url + PATH).partition("{}")
        self._audit = options.audit.open("ab", buffering=0) if options.audit else None
        self._latencies: Counter[int] = Counter()
        self._outcomes: Counter[str] = Counter()

    def url_of(self, file_id: str) -> str:
        """Return the URL of a file's request. Raises `ValueError` for an invalid id."""
        if not _FILE_ID.fullmatch(file_id):
            raise ValueError(f"{file_id!r} is not a file id.")
        return f"{self._prefix}{quote(file_id, safe='')}{self._suffix}"

    def payload(self, file_id: str) -> bytes:
        """Return the request's body."""
        return json.dumps({"fileId": file_id, "expiresIn": EXPIRES_IN}, separators=(",", ":")).encode()

    def headers(self, token: str) -> dict[str, str]:
        """Return the request's headers."""
        return {
            "accept": "application/json",
            "accept-encoding": "identity",
            "authorization": f"Bearer {token}",
            "content-type": "application/json",
            "user-agent": self.user_agent,
        }

    def finish(
        self,
        file_id: str,
        latency: float,
        status: int,
        content_type: str | None,
        correlation_id: str | None,
        body: bytes | dict[str, object],
    ) -> None:
        """Check the answer, decoded or not; count it and write the audit line."""
        try:
            problem = _problem(file_id, status, content_type, body)
        except (KeyError, TypeError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem is not None:
            self.counters.fail(problem)
        self.counters.answers += 1
        outcome = "success" if problem is None else "validation_failed"
        self._latencies[math.ceil(math.log(max(latency, 1e-6)) / _BUCKET_WIDTH)] += 1
        self._outcomes[outcome] += 1
        if self._audit is not None:
            self._write_audit_line(file_id, outcome, status, latency, correlation_id)
        if self.window is not None:
            self.window.count(file_id)

    def _write_audit_line(
        self, file_id: str, outcome: str, status: int, latency: float, correlation_id: str | None
    ) -> None:
        record = {
            "event": "attempt_audited",
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "action": "media_storage.download_url",
            "file_id": file_id,
            "outcome": outcome,
            "status": status,
            "latency": latency,
            "user_agent": self.user_agent,
            "attempt": 1,
            "code": None,
            "correlation_id": correlation_id,
        }
        if self._audit is not None:
            self._audit.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")

    def latencies(self) -> dict[str, float | None]:
        """Return percentiles in seconds."""
        return {"latency_p50": self._percentile(0.5), "latency_p99": self._percentile(0.99)}

    def _percentile(self, share: float) -> float | None:
        wanted, seen = math.ceil(share * self._latencies.total()), 0
        for bucket in sorted(self._latencies):
            seen += self._latencies[bucket]
            if seen >= wanted:
                return math.exp(bucket * _BUCKET_WIDTH)
        return None


def _problem(file_id: str, status: int, content_type: str | None, body: bytes | dict[str, object]) -> str | None:
    if status != 200:
        return f"status {status}"
    if content_type is None or content_type.partition(";")[0].strip().lower() != "application/json":
        return f"content type {content_type}"
    decoded = json.loads(body) if isinstance(body, bytes) else body
    if not isinstance(decoded, dict):
        return "no JSON object"
    lifetime, media_type, address = decoded["expiresIn"], decoded["contentType"], decoded["url"]
    if type(lifetime) is not int or not 0 < lifetime <= EXPIRES_IN:
        return f"expiresIn {lifetime!r}"
    if not isinstance(media_type, str) or not media_type.startswith(("audio/", "video/", "image/")):
        return f"media type {media_type!r}"
    url = _URL.fullmatch(address) if isinstance(address, str) else None
    if url is None:
        return "no https URL"
    if url[1] != file_id or decoded["fileName"] != f"{file_id}.wav":
        return "another file's answer"
    return None


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and when to renew it, in monotonic seconds."""

    value: str
    renew_at: float

    @classmethod
    def read(cls, body: bytes) -> Token:
        """Read the login service's reply."""
        reply = json.loads(body)
        return cls(reply["access_token"], time.monotonic() + reply["expires_in"] - RENEW_AHEAD)


class TokenCache:
    """
    A cached token, fetched when there is no fresh one; `fetch` returns the login service's reply.

    `get` it once before there are workers: the lock lets one of its waiters through in each turn of the loop.
    """

    def __init__(self, fetch: Callable[[], Awaitable[bytes]]) -> None:
        self._fetch = fetch
        self._token: Token | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """Return the token."""
        token = self._token
        if token is not None and time.monotonic() < token.renew_at:
            return token.value
        async with self._lock:
            if self._token is None or time.monotonic() >= self._token.renew_at:
                self._token = Token.read(await self._fetch())
            return self._token.value
