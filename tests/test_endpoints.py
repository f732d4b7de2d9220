"""The seam: what an endpoint is given to work with, and what its scripts share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from pydantic import TypeAdapter

from genesys_media_async import (
    DownloadUrl,
    InvalidResponseError,
    MediaRequest,
    MediaResult,
    MediaRetriever,
    MemorySink,
    NotFoundError,
    SettingsError,
    ValidationRule,
    VirtualClock,
)
from genesys_media_async.api.client import Call, CallResult, error_from
from genesys_media_async.endpoints import EndpointContext, MediaStorage, read_json, require_json
from genesys_media_async.endpoints.polling import Polling
from genesys_media_async.endpoints.signed_url import signed_url
from genesys_media_async.errors import GenesysMediaError
from genesys_media_async.events import AttemptAudited, BatchSubmitted, Outcome
from genesys_media_async.simulator import OrganizationSettings, RecordingSettings, Simulator, SimulatorSettings
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpReply
from tests.support.retrievers import collect, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from genesys_media_async.endpoints import Endpoint
    from genesys_media_async.events import Event

T = TypeVar("T")

Scripted = HttpReply | GenesysMediaError


def json_reply(body: object, status: int = 200, **headers: str) -> HttpReply:
    named = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return HttpReply(status, named, json.dumps(body).encode())


class ScriptedAssignment:
    """
    An context whose replies are written down, on virtual time.

    `replies` answers a call; it says what Genesys would, before any retry: a reply, or the error that remained.
    """

    def __init__(self, replies: Callable[[Call[Any]], Scripted], rule: ValidationRule | None = None) -> None:
        self.rule = rule or ValidationRule()
        self.clock = VirtualClock()
        self.calls: list[Call[Any]] = []
        self.waits: list[float] = []
        self.events: list[Event] = []
        self.results: list[MediaResult] = []
        self._replies = replies

    async def ask(self, call: Call[T], /) -> CallResult[T]:
        self.calls.append(call)
        said = self._replies(call)
        if isinstance(said, GenesysMediaError):
            return CallResult(None, said, 1, 0.1, "correlated")
        try:
            if not 200 <= said.status < 300:
                raise error_from(said, wall=self.clock.wall())
            return CallResult(call.read(said, self.clock.wall()), None, 1, 0.1, "correlated")
        except GenesysMediaError as error:
            error.status_code = said.status
            return CallResult(None, error, 1, 0.1, "correlated")

    async def wait(self, seconds: float, /) -> None:
        self.waits.append(seconds)
        await self.clock.sleep(seconds)

    def emit(self, event: Event, /) -> None:
        self.events.append(event)

    async def tell(
        self, request: MediaRequest, answer: CallResult[DownloadUrl], /, *, media_id: str | None = None
    ) -> None:
        self.results.append(
            MediaResult(request.file_id, answer.value, answer.error, answer.attempts, answer.latency, media_id=media_id)
        )

    def run(self, endpoint: Endpoint, *ids: str) -> list[MediaResult]:
        """Let an endpoint do its work for the ids; return what it told."""
        by_parts = {form.count("/"): form for form in endpoint.id_formats}
        requests = tuple(MediaRequest(each, form=by_parts[each.count("/")]) for each in ids)
        self.clock.run(self._retrieve(endpoint, requests))
        return self.results

    async def _retrieve(self, endpoint: Endpoint, requests: tuple[MediaRequest, ...]) -> None:
        await endpoint.retrieve(requests, self)


def codes(results: list[MediaResult]) -> dict[str, str | None]:
    return {result.media_id or result.file_id: result.error.code if result.error else None for result in results}


class TestTheSharedParts:
    @pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
    def test_json_is_taken_by_its_content_type(self, content_type: str) -> None:
        assert require_json(HttpReply(200, {"content-type": content_type}, b"{}")) == b"{}"

    @pytest.mark.parametrize("headers", [{}, {"content-type": "text/html"}, {"content-type": "application/jsonp"}])
    def test_what_is_no_json_is_an_invalid_reply(self, headers: dict[str, str]) -> None:
        with pytest.raises(InvalidResponseError) as raised:
            require_json(HttpReply(200, headers, b"{}"))
        assert raised.value.code == "reply_not_json"

    @pytest.mark.parametrize("body", [b"", b"{", b'{"a": "canary"}', b"[]", b"\xff"])
    def test_json_of_another_shape_is_an_invalid_reply_that_quotes_nothing(self, body: bytes) -> None:
        with pytest.raises(InvalidResponseError) as raised:
            read_json(TypeAdapter(dict[str, int]), HttpReply(200, {"content-type": "application/json"}, body))
        assert raised.value.code == "reply_shape"
        assert "canary" not in str(raised.value)

    def test_a_share_of_an_answer_keeps_what_was_spent_and_the_correlation_id(self) -> None:
        answer = CallResult("a reply about many", None, 3, 0.25, "correlated")
        url = DownloadUrl.from_reply(b'{"url": "https://m.example/a", "expiresIn": 60}', sent_at=0.0)
        assert answer.with_outcome(url) == CallResult(url, None, 3, 0.25, "correlated")
        error = NotFoundError("It is not there.")
        assert answer.with_outcome(error) == CallResult(None, error, 3, 0.25, "correlated")
        assert error.correlation_id == "correlated"

    @pytest.mark.parametrize("template", ["files/{file_id}", "/files", "/files/{file_id}/{file_id}", "/{other}"])
    def test_a_path_template_that_does_not_fit_is_refused(self, template: str) -> None:
        with pytest.raises(SettingsError, match="path_template"):
            MediaStorage(template)


class TestPolling:
    def pauses(self, patience: float, expected: list[float | None], **bounds: float) -> list[float]:
        context = ScriptedAssignment(lambda _: json_reply({}))
        limits = {"shortest": 1.0, "longest": 10.0, **bounds}

        async def poll() -> None:
            polling = Polling(context, key="", patience=patience, **limits)
            turns = iter(expected)
            while await polling.pause(next(turns, None)):
                pass
            assert polling.elapsed == pytest.approx(patience)

        context.clock.run(poll())
        return context.waits

    def test_pauses_grow_to_a_bound_and_end_exactly_with_patience(self) -> None:
        assert self.pauses(30.0, []) == pytest.approx([1.0, 1.5, 2.25, 3.375, 5.0625, 7.59375, 9.21875])

    def test_what_is_expected_is_waited_for_but_never_less_than_the_growing_pause(self) -> None:
        assert self.pauses(18.0, [5.0, 0.1, 99.0]) == pytest.approx([5.0, 1.5, 10.0, 1.5])

    def test_patience_shorter_than_the_first_pause_still_asks_once(self) -> None:
        assert self.pauses(0.5, [60.0]) == [0.5]

    def test_a_timer_that_wakes_a_hair_early_does_not_make_another_question(self) -> None:
        class Hasty(ScriptedAssignment):
            async def wait(self, seconds: float, /) -> None:
                await super().wait(seconds * (1 - 1e-9))

        context = Hasty(lambda _: json_reply({}))

        async def poll() -> int:
            polling = Polling(context, key="", patience=2.0, shortest=1.0, longest=10.0)
            questions = 0
            while await polling.pause():
                questions += 1
            return questions

        assert context.clock.run(poll()) == 2

    def test_those_that_began_together_ask_apart(self) -> None:
        async def first_pause(key: str) -> float:
            context = ScriptedAssignment(lambda _: json_reply({}))
            await Polling(context, key=key, patience=600.0, shortest=1.0, longest=60.0).pause(10.0)
            return context.waits[0]

        pauses = [VirtualClock().run(first_pause(f"job-{number}")) for number in range(20)]
        assert len({round(pause, 2) for pause in pauses}) > 10
        assert all(10.0 <= pause <= 10.5 for pause in pauses)


class TwoHalves:
    """An endpoint of a user's own: every id has two media, one of which is missing."""

    action = "halves"
    id_formats = ("fileId",)
    batch_size = 2

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        started = context.clock.monotonic()
        await context.sleep(0.01)
        assert context.clock.monotonic() > started
        context.emit(BatchSubmitted(at=context.clock.wall(), job_id="j-1", requests=len(requests)))
        answer = CallResult("about all of them", None, 1, 0.5, "correlated")
        for request in requests:
            url = signed_url("https://media.example.com/a", sent_at=context.clock.wall(), otherwise=60.0)
            await context.report(request, answer.with_outcome(url), media_id=f"{request.file_id}/left")
            await context.report(
                request, answer.with_outcome(NotFoundError("No.")), media_id=f"{request.file_id}/right"
            )


@pytest.mark.anyio
async def test_an_endpoint_of_a_users_own_has_the_clock_the_sinks_and_an_audit_record_for_each_medium():
    audit, sink = MemorySink(), MemorySink()
    async with Simulator() as simulator:
        retriever = MediaRetriever(settings_for(simulator), endpoint=TwoHalves(), audit=[audit], sinks=[sink])
        async with retriever:
            results = await collect(retriever, ["a", "b", "c"])
    assert codes(results) == {
        f"{file_id}/{half}": code for file_id in "abc" for half, code in [("left", None), ("right", "not_found")]
    }
    records = [record for record in audit.events if isinstance(record, AttemptAudited)]
    assert {(record.action, record.file_id, record.outcome) for record in records} == {
        ("halves.result", f"{file_id}/{half}", outcome)
        for file_id in "abc"
        for half, outcome in [("left", Outcome.SUCCESS), ("right", Outcome.GENERATION_FAILED)]
    }
    assert {event.requests for event in sink.events if isinstance(event, BatchSubmitted)} == {1, 2}


class BigReply:
    """An endpoint that expects more than most replies have."""

    action = "big"
    id_formats = ("fileId",)
    batch_size = 1

    def __init__(self, max_reply_size: int) -> None:
        self.max_reply_size = max_reply_size

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> DownloadUrl:
            return signed_url(f"https://media.example.com/{len(reply.body)}", sent_at=sent_at, otherwise=60.0)

        path = "/api/v2/conversations/" + request.file_id + "/recordings"
        call = Call("GET", path, b"", request.file_id, self.action, read, max_reply_size=self.max_reply_size)
        await context.report(request, await context.call(call))


def ask_for_much(max_reply_size: int) -> MediaResult:
    clock = VirtualClock()
    organization = OrganizationSettings(conversations=1, recordings=(200, 200))
    simulated = SimulatorSettings(organization=organization, recording=RecordingSettings(transcode_seconds=0.0))
    simulator = Simulator(simulated, clock=clock)

    async def run() -> MediaResult:
        retriever = MediaRetriever(
            settings_for(simulator, retry={"tries": 1}),
            endpoint=BigReply(max_reply_size),
            transport=simulator.transport(),
            clock=clock,
        )
        async with retriever:
            (result,) = await collect(retriever, [simulator.organization.conversation_at(0).id])
            return result

    return clock.run(run())


def test_a_reply_is_as_long_as_its_call_allows() -> None:
    refused, taken = ask_for_much(MAX_REPLY_SIZE), ask_for_much(2**20)
    assert isinstance(refused.error, InvalidResponseError)
    assert int(taken.unwrap().url.rpartition("/")[2]) > 2**16
