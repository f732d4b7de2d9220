"""The seam of endpoints: their context, a user's own endpoint, and the parts that scripts share."""

from __future__ import annotations

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
    VirtualClock,
    endpoints,
)
from genesys_media_async.api.calls import Call, CallResult
from genesys_media_async.endpoints import Endpoint, EndpointContext, read_json, require_json
from genesys_media_async.endpoints.base import MISSING_ID
from genesys_media_async.endpoints.signed_url import signed_url
from genesys_media_async.events import AttemptAudited, BatchSubmitted, Outcome
from genesys_media_async.simulator import OrganizationSettings, RecordingSettings, Simulator, SimulatorSettings
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpReply
from tests.support.retrievers import collect, settings_for
from tests.support.scripted_context import codes


class TestJson:
    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "Application/JSON; charset=utf-8",
            "text/json",
            "application/hal+json;charset=UTF-8",
            "application/vnd.genesys.v2+json",
            "",
        ],
    )
    def test_is_accepted_by_its_content_type(self, content_type: str) -> None:
        assert require_json(HttpReply(200, {"content-type": content_type}, b"{}")) == b"{}"

    def test_is_accepted_without_a_content_type(self) -> None:
        assert require_json(HttpReply(200, {}, b"{}")) == b"{}"

    @pytest.mark.parametrize("body", [b'\xef\xbb\xbf{"a": "x"}', b'{"a": "\\ud800x"}', b'{"a": "\xffx"}'])
    def test_in_a_wrong_encoding_is_read_all_the_same(self, body: bytes) -> None:
        reply = HttpReply(200, {"content-type": "application/json"}, body)
        assert read_json(TypeAdapter(dict[str, str]), reply)["a"] in {"x", "\ufffdx"}

    @pytest.mark.parametrize(
        "headers",
        [
            {"content-type": "text/html"},
            {"content-type": "text/plain"},
            {"content-type": "application/jsonp"},
            {"content-type": "application/json+xml"},
        ],
    )
    def test_of_another_content_type_is_an_invalid_reply(self, headers: dict[str, str]) -> None:
        with pytest.raises(InvalidResponseError) as raised:
            require_json(HttpReply(200, headers, b"{}"))
        assert raised.value.code == "reply_not_json"

    @pytest.mark.parametrize("body", [b"", b"{", b'{"a": "canary"}', b"[]", b"\xff"])
    def test_of_another_shape_is_an_invalid_reply_that_quotes_nothing(self, body: bytes) -> None:
        with pytest.raises(InvalidResponseError) as raised:
            read_json(TypeAdapter(dict[str, int]), HttpReply(200, {"content-type": "application/json"}, body))
        assert raised.value.code == "reply_shape"
        assert "canary" not in str(raised.value)


class Minimal(Endpoint):
    """A user's own endpoint with nothing but `retrieve`."""

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        (request,) = requests
        url = signed_url("https://media.example.com/a", sent_at=context.clock.wall(), default_lifetime=60.0)
        await context.report(request, CallResult(url, None, 1, 0.5, "correlated"))


@pytest.mark.anyio
async def test_a_users_endpoint_needs_only_retrieve():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator), endpoint=Minimal()) as retriever:
        results = await collect(retriever, ["a", "b"])
    assert codes(results) == {"a": None, "b": None}
    assert (Minimal.action, Minimal.id_formats, Minimal.batch_size, Minimal.probe) == ("custom", ("fileId",), 1, None)


@pytest.mark.parametrize("name", [each for each in endpoints.__all__ if each[0].isupper()])
def test_every_endpoint_carries_its_permission_and_its_probe(name: str) -> None:
    kind = getattr(endpoints, name)
    if not issubclass(kind, Endpoint) or kind is Endpoint:
        return
    assert "permission" in kind.permission
    assert kind.probe is not None
    assert kind.probe.method in {"GET", "POST"}
    assert kind.probe.path.startswith("/api/v2/")
    assert MISSING_ID in kind.probe.path or kind.probe.body


class TwoHalves(Endpoint):
    """A user's own endpoint: every id has two media, one of which is missing."""

    action = "halves"
    batch_size = 2

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        started = context.clock.monotonic()
        await context.sleep(0.01)
        assert context.clock.monotonic() > started
        context.emit(BatchSubmitted(at=context.clock.wall(), job_id="j-1", requests=len(requests)))
        result = CallResult("about all of them", None, 1, 0.5, "correlated")
        for request in requests:
            url = signed_url("https://media.example.com/a", sent_at=context.clock.wall(), default_lifetime=60.0)
            await context.report(request, result.with_outcome(url), media_id=f"{request.file_id}/left")
            await context.report(
                request, result.with_outcome(NotFoundError("No.")), media_id=f"{request.file_id}/right"
            )


@pytest.mark.anyio
async def test_a_users_endpoint_has_the_clock_the_sinks_and_an_audit_record_for_each_medium():
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


class BigReply(Endpoint):
    """An endpoint that expects more than most replies have."""

    action = "big"

    def __init__(self, max_reply_size: int) -> None:
        self.max_reply_size = max_reply_size

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> DownloadUrl:
            return signed_url(f"https://media.example.com/{len(reply.body)}", sent_at=sent_at, default_lifetime=60.0)

        path = "/api/v2/conversations/" + request.file_id + "/recordings"
        call = Call("GET", path, b"", request.file_id, self.action, read, max_reply_size=self.max_reply_size)
        await context.report(request, await context.call(call))


def retrieve_big_reply(max_reply_size: int) -> MediaResult:
    clock = VirtualClock()
    organization = OrganizationSettings(conversations=1, recordings=(200, 200))
    simulated = SimulatorSettings(organization=organization, recording=RecordingSettings(transcode_seconds=0.0))
    simulator = Simulator(simulated, clock=clock)

    async def run() -> MediaResult:
        retriever = MediaRetriever(
            settings_for(simulator, retry={"max_attempts": 1}),
            endpoint=BigReply(max_reply_size),
            transport=simulator.transport(),
            clock=clock,
        )
        async with retriever:
            (result,) = await collect(retriever, [simulator.organization.conversation_at(0).id])
            return result

    return clock.run(run())


def test_a_reply_may_be_as_long_as_its_call_allows() -> None:
    refused, taken = retrieve_big_reply(MAX_REPLY_SIZE), retrieve_big_reply(2**20)
    assert isinstance(refused.error, InvalidResponseError)
    assert int(taken.unwrap().url.rpartition("/")[2]) > 2**16
