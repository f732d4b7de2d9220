"""A user's program: construct, retrieve one and many, narrow, match, an endpoint and a sink of one's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, assert_never, assert_type

from pydantic import TypeAdapter

from genesys_media_async import (
    APIStatusError,
    DownloadUrl,
    Failed,
    MediaRequest,
    MediaResult,
    MediaRetriever,
    QuotaLimit,
    ResultDict,
    Retrieved,
    Settings,
    Sink,
    ValidationRule,
)
from genesys_media_async.endpoints import Call, Endpoint, EndpointContext, RecordingBatch, read_json
from genesys_media_async.events import Event

if TYPE_CHECKING:
    from genesys_media_async.transports import HttpReply


def construct() -> list[MediaRetriever]:
    settings = Settings(client_id="id", client_secret="secret", quota="300/60", concurrency="auto", pace="even")
    return [
        MediaRetriever(settings),
        MediaRetriever(Settings(access_token="token", quota=QuotaLimit(limit=600), concurrency=8)),
        MediaRetriever.from_env(endpoint=RecordingBatch(), transport="httpx", region="eu-central-1", quota=None),
        MediaRetriever.from_env(rule=ValidationRule(checks=(refuse_long_calls,))),
    ]


def refuse_long_calls(url: DownloadUrl, request: MediaRequest) -> str | None:
    return "too long" if (url.file_name or "").endswith("-long.wav") else None


async def one(retriever: MediaRetriever) -> str:
    retrieved = await retriever.retrieve("recording-1", expires_in=600)
    assert_type(retrieved, Retrieved)
    return retrieved.url


async def many(retriever: MediaRetriever, ids: AsyncIterator[str]) -> list[str]:
    urls = [result.url async for result in retriever.retrieve_many(ids) if result.ok]
    async with retriever.retrieve_many(["recording-1"], deadline=60) as run:
        async for result in run:
            urls.append(by_flag(result) + by_match(result) + by_class(result) + by_comparison(result))
    for result in await retriever.retrieve_all(["recording-1"]):
        line: ResultDict = result.as_dict()
        urls.append(json.dumps(line))
        urls.append(result.unwrap().url)
    return urls


def by_flag(result: MediaResult) -> str:
    if result.ok:
        url: str = result.url
        return url + (result.file_name or "") + result.expires_at.isoformat()
    code: str = result.error.code
    return f"{code} {result.error.status_code} {result.error.retry_after} {result.error.correlation_id}"


def by_comparison(result: MediaResult) -> str:
    if result.ok is True:
        assert_type(result, Retrieved)
        return result.url
    assert_type(result, Failed)
    return result.error.code


def by_class(result: MediaResult) -> str:
    if isinstance(result, Failed):
        return str(result.error)
    return result.url


def by_match(result: MediaResult) -> str:
    match result:
        case Retrieved(url=url, expires_in=seconds):
            return f"{url} {seconds + 1}"
        case Failed(error=APIStatusError(status_code=404)):
            return "gone"
        case Failed(error=error):
            return error.code
        case _:
            assert_never(result)


_SHAPE = TypeAdapter(dict[str, str])


class Archive(Endpoint):
    """An endpoint of one's own is one class with one method."""

    action = "archive"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        for request in requests:
            call = Call("GET", f"/archive/{request.file_id}", b"", request.file_id, self.action, self._read)
            await context.report(request, await context.call(call))

    def _read(self, reply: HttpReply, sent_at: float) -> DownloadUrl:
        return DownloadUrl(read_json(_SHAPE, reply)["url"], sent_at + 60, 60)


class Archived(Event, frozen=True):
    """An event of one's own."""

    name = "archived"

    file_id: str


class Printer(Sink):
    """A sink of one's own is one class with one method."""

    async def write(self, events: Sequence[Event]) -> None:
        for event in events:
            print(event.name, event.as_dict())


def with_parts_of_my_own() -> MediaRetriever:
    return MediaRetriever.from_env(endpoint=Archive(), sinks=[Printer()], audit=[Printer()])
