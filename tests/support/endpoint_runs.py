"""Runs of the endpoints for single things: scripted, against the simulator, and against a server that redirects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from genesys_media_async import (
    MediaResult,
    MediaRetriever,
    Settings,
    ValidationRule,
    VirtualClock,
)
from genesys_media_async.endpoints import Document, MessageMedia, OrphanRecording, PlatformDownload, Transcript
from tests.support.retrievers import QUICK_RETRIES, collect, other_tasks, settings_for
from tests.support.scripted_context import Scripted, ScriptedContext, in_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genesys_media_async.endpoints import Endpoint
    from genesys_media_async.simulator import (
        Simulator,
    )


ANYTHING = ValidationRule(content_types=("*/*",))
URL = "https://media.example.com/file?Signature=canary-signature"
IDS = {
    Document: "document-1",
    PlatformDownload: "download-1",
    OrphanRecording: "orphan-1",
    Transcript: "conversation-1/communication-1",
    MessageMedia: "conversation-1/communication-1/media-1",
}
"""An id of each kind."""

ENDPOINTS: dict[str, Endpoint] = {
    "document": Document(),
    "download": PlatformDownload(),
    "orphan-recording": OrphanRecording(),
    "transcript": Transcript(),
    "transcripts": Transcript(all_recordings=True),
    "message-media": MessageMedia(),
}


def scripted(endpoint: Endpoint, *replies: Scripted, rule: ValidationRule = ANYTHING) -> ScriptedContext:
    """Run an endpoint for one id of its kind, with these replies; return its context."""
    context = ScriptedContext(in_turn(*replies), rule)
    context.run(endpoint, IDS[type(endpoint)])
    return context


def code_of(endpoint: Endpoint, *replies: Scripted, rule: ValidationRule = ANYTHING) -> str | None:
    """Return the code of the error of its only result."""
    (result,) = scripted(endpoint, *replies, rule=rule).results
    return None if result.ok else result.error.code


def ids_in(simulator: Simulator, name: str, count: int = 2) -> list[str]:
    """Return ids of the simulator's organisation, for an endpoint by its name."""
    organization = simulator.organization
    conversations = [each for each in organization.conversations() if each.recording_count][:count]
    match name:
        case "document":
            return organization.document_ids()[:count]
        case "download":
            return organization.platform_download_ids()[:count]
        case "orphan-recording":
            return organization.orphan_ids()[:count]
        case "transcript" | "transcripts":
            return [f"{each.id}/{each.communication_id}" for each in conversations]
        case _:
            return [
                f"{each.id}/{each.communication_id}/{organization.message_media_id(each)}" for each in conversations
            ]


def run_virtual(
    endpoint: Endpoint, ids: Sequence[str], simulator: Simulator, clock: VirtualClock, **settings: object
) -> tuple[list[MediaResult], float]:
    """Run an endpoint against a simulator without sockets; return its results and the virtual seconds it took."""

    async def main() -> tuple[list[MediaResult], float]:
        retriever = MediaRetriever(
            settings_for(simulator, rule=ANYTHING, retry=QUICK_RETRIES, **settings),
            endpoint=endpoint,
            transport=simulator.transport(),
            clock=clock,
        )
        async with retriever:
            results = await collect(retriever, ids)
        assert other_tasks() == set()
        return results, clock.monotonic()

    return clock.run(main())


class Redirecting:
    """A Genesys that redirects every request to `location`, and keeps the requests."""

    def __init__(self, location: str | None, status: int = 307) -> None:
        self.requests: list[httpx.Request] = []
        self._headers = {} if location is None else {"location": location}
        self._status = status

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path.endswith("/oauth/token"):
            return httpx.Response(200, json={"access_token": "token", "token_type": "bearer", "expires_in": 3_600})
        return httpx.Response(self._status, headers=self._headers)

    async def result(self, endpoint: Endpoint, **settings: object) -> MediaResult:
        values = {"client_id": "a", "client_secret": "b", "quota": None, "rule": ANYTHING, "retry": QUICK_RETRIES}
        async with httpx.AsyncClient(transport=httpx.MockTransport(self), follow_redirects=True) as client:
            configured = Settings.model_validate(values | settings)
            async with MediaRetriever(configured, endpoint=endpoint, transport=client) as retriever:
                (result,) = await collect(retriever, [IDS[type(endpoint)]])
        return result
