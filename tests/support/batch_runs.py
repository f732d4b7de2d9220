"""Runs of the endpoint `RecordingBatch`: scripted, and against the simulator, in virtual time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from genesys_media_async import (
    MediaResult,
    MediaRetriever,
    MemorySink,
    ValidationRule,
    VirtualClock,
)
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.events import AttemptAudited
from genesys_media_async.simulator import (
    Fault,
    JobFault,
    OAuthClient,
    OrganizationSettings,
    Simulator,
    SimulatorSettings,
)
from tests.support.retrievers import settings_for
from tests.support.scripted_context import Scripted, ScriptedContext, codes, in_turn, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from genesys_media_async.api.calls import Call
    from genesys_media_async.events import Event
    from genesys_media_async.transports import HttpReply

URL = "https://media.example.com/{}.ogg?Signature=canary"
ONE_EACH = OrganizationSettings(recordings=(1, 1), media=("audio",), two_part_share=0.0)
VIEW = frozenset({"recording:recording:view"})


def result_of(medium: str, url: str | None = URL, error: object = None, content_type: Any = "audio/ogg") -> dict:
    conversation, _, recording = medium.partition("/")
    return {
        "conversationId": conversation,
        "recordingId": recording or None,
        "resultUrl": url and url.format(recording),
        "contentType": content_type,
        "errorMsg": error,
    }


def job_reply(*results: object, status: object = "Completed", expected: object = None, **more: object) -> HttpReply:
    counts = {"resultCount": len(results), "expectedResultCount": len(results) if expected is None else expected}
    return json_reply({"jobId": "j", "status": status, "results": list(results), **counts, **more})


def scripted(*polls: Scripted, rule: ValidationRule | None = None) -> ScriptedContext:
    """A context in which the polls of the one job have these replies in turn, the last one from then on."""
    script = in_turn(*polls)

    def reply(call: Call[Any]) -> Scripted:
        if call.method == "POST":
            return json_reply({"id": "job-1", "selfUri": "/there"})
        if call.path == "/api/v2/recording/settings":
            return json_reply({"recordingBatchDownloadUrlTtl": 30})
        return script(call)

    return ScriptedContext(reply, rule)


def polls_of(context: ScriptedContext) -> list[Call[Any]]:
    return [call for call in context.calls if call.action == "recording_batch.poll"]


def events_of(events: Iterable[Event], *kinds: type) -> list[Any]:
    return [event for event in events if isinstance(event, kinds)]


class World:
    """One run of batches against the simulator, on virtual time."""

    def __init__(
        self,
        ids: Callable[[Simulator], list[str]],
        *,
        endpoint: RecordingBatch | None = None,
        faults: tuple[JobFault | None, ...] = (),
        script: tuple[Fault | None, ...] = (),
        operation: str | None = None,
        client: OAuthClient | None = None,
        during: Callable[[World, MediaResult], None] = lambda world, result: None,
        overrides: dict[str, Any] | None = None,
        **simulated: Any,
    ) -> None:
        self.clock = VirtualClock()
        simulated = {"quota": None, "organization": ONE_EACH, **simulated}
        if client is not None:
            simulated["clients"] = (client,)
        self.simulator = Simulator(SimulatorSettings(**simulated), clock=self.clock)
        self.simulator.script_jobs(*faults)
        self.simulator.script(*script, operation=operation)
        self.audit, self.events = MemorySink(), MemorySink()
        self.ids = ids(self.simulator)
        self._during = during
        self.endpoint = endpoint or RecordingBatch()
        self.results = self.clock.run(self._run(overrides or {}))
        self.codes = codes(self.results)

    async def _run(self, overrides: dict[str, Any]) -> list[MediaResult]:
        retriever = MediaRetriever(
            settings_for(self.simulator, **overrides),
            endpoint=self.endpoint,
            transport=self.simulator.transport(),
            audit=[self.audit],
            sinks=[self.events],
            clock=self.clock,
            rng=random.Random(7),
        )
        results = []
        async with retriever:
            self.retriever = retriever
            async with retriever.retrieve_many(self.ids) as run:
                async for result in run:
                    results.append(result)
                    self._during(self, result)
            self.statistics = retriever.statistics()
        return results

    def records(self, action: str) -> list[AttemptAudited]:
        return [each for each in self.audit.events if isinstance(each, AttemptAudited) and each.action == action]


def recordings(count: int) -> Callable[[Simulator], list[str]]:
    """Return what finds the first ids of recordings of a simulator."""

    def ids(simulator: Simulator) -> list[str]:
        found = simulator.organization.recordings()
        return [f"{each.conversation_id}/{each.id}" for each, _ in zip(found, range(count), strict=False)]

    return ids


def conversations(count: int) -> Callable[[Simulator], list[str]]:
    """Return what finds the first ids of conversations of a simulator."""
    return lambda simulator: [simulator.organization.conversation_at(number).id for number in range(count)]
