"""An `EndpointContext` whose replies are written down, in virtual time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from genesys_media_async import DownloadUrl, Failed, MediaRequest, MediaResult, Retrieved, ValidationRule, VirtualClock
from genesys_media_async.api.calls import Call, CallResult
from genesys_media_async.api.replies import error_from
from genesys_media_async.counters import Counters
from genesys_media_async.errors import GenesysMediaError
from genesys_media_async.transports import HttpReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from genesys_media_async.endpoints import Endpoint
    from genesys_media_async.events import Event

T = TypeVar("T")

Scripted = HttpReply | GenesysMediaError


def json_reply(body: object, status: int = 200, content_type: str = "application/json", **headers: str) -> HttpReply:
    named = {"content-type": content_type, **{name.replace("_", "-"): text for name, text in headers.items()}}
    return HttpReply(status, named, json.dumps(body).encode())


def in_turn(*replies: Scripted) -> Callable[[Call[Any]], Scripted]:
    """Return a script that answers each call with the next of the replies, and the last one from then on."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


class ScriptedContext:
    """
    A context that keeps what an endpoint does.

    `replies` maps a call to the reply of Genesys before any retry, or to the error that remained.
    """

    def __init__(self, replies: Callable[[Call[Any]], Scripted], rule: ValidationRule | None = None) -> None:
        self.rule = rule or ValidationRule()
        self.clock = VirtualClock()
        self.counters = Counters()
        self.calls: list[Call[Any]] = []
        self.waits: list[float] = []
        self.events: list[Event] = []
        self.results: list[MediaResult] = []
        self.replies = replies

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.calls]

    async def call(self, call: Call[T], /) -> CallResult[T]:
        self.calls.append(call)
        reply = self.replies(call)
        on_failure = call.on_failure or (lambda error: error)
        if isinstance(reply, GenesysMediaError):
            return CallResult(None, on_failure(reply), 1, 0.1, "correlated")
        try:
            if not 200 <= reply.status < 300:
                raise error_from(reply, wall=self.clock.wall())
            return CallResult(call.read(reply, self.clock.wall()), None, 1, 0.1, "correlated")
        except GenesysMediaError as error:
            error.status_code = reply.status
            return CallResult(None, on_failure(error), 1, 0.1, "correlated")

    async def sleep(self, seconds: float, /) -> None:
        self.waits.append(seconds)
        await self.clock.sleep(seconds)

    def emit(self, event: Event, /) -> None:
        self.events.append(event)

    async def report(
        self, request: MediaRequest, result: CallResult[DownloadUrl], /, *, media_id: str | None = None
    ) -> None:
        rest = (result.attempts, result.latency, result.correlation_id, media_id)
        url, error = result.value, result.error
        assert (url is None) is not (error is None), "exactly one of a URL and an error"
        if url is None:
            assert error is not None
            self.results.append(Failed(request.file_id, error, *rest))
            return
        known = (url.expires_in, url.file_name, url.content_type, url.access_level, url.expiry_source)
        self.results.append(Retrieved(request.file_id, url.url, url.ends_at, *known, *rest))

    def run(self, endpoint: Endpoint, *ids: str) -> list[MediaResult]:
        """Let an endpoint retrieve the ids; return the results it reported."""
        formats = {each.count("/"): each for each in endpoint.id_formats}
        requests = tuple(MediaRequest(each, id_format=formats[each.count("/")]) for each in ids)
        self.clock.run(self._retrieve(endpoint, requests))
        return self.results

    async def _retrieve(self, endpoint: Endpoint, requests: tuple[MediaRequest, ...]) -> None:
        await endpoint.retrieve(requests, self)


def code(result: MediaResult) -> str | None:
    """Return the code of a result's error, or None."""
    return None if result.ok else result.error.code


def codes(results: list[MediaResult]) -> dict[str, str | None]:
    """Return the code of each result's error, by its media id or file id."""
    return {result.media_id or result.file_id: code(result) for result in results}
