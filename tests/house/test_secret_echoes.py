"""Canaries: a server that echoes our secrets in any field is quoted without them, and no frame shows them."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import json
import logging
import pickle
import traceback
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

from genesys_media_async import (
    AuthenticationError,
    GenesysMediaError,
    JsonLinesSink,
    LoggingSink,
    MediaRetriever,
    MemorySink,
    RetryPolicy,
    Settings,
)
from genesys_media_async.endpoints import MediaStorage, RecordingBatch
from tests.support.scripted_server import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from genesys_media_async.endpoints import Endpoint
    from tests.support.scripted_server import Server

    TransportName = Literal["direct", "httpx"]

pytestmark = pytest.mark.anyio

TOKEN = "canary-access-token"
SECRET = "canary-client-secret"
BASIC = base64.b64encode(f"client:{SECRET}".encode()).decode()
IN_BASE64 = base64.b64encode(f"Bearer {TOKEN}".encode()).decode()
ECHO = f"{TOKEN} {SECRET} {BASIC} {IN_BASE64}"
TRACES = ("canary", "Y2FuYXJ5", "NhbmFye", "jYW5hcn", BASIC[8:20])
"""What must be found nowhere: the word, as it is and in Base64 at any offset."""

GOOD = {"url": "https://media.example.com/a.wav", "expiresIn": 60, "contentType": "audio/wav"}
JSON = "application/json"


def error_body(**members: object) -> bytes:
    return json.dumps({"code": "not.found", "message": "m", "contextId": "c"} | members).encode()


def good_body(**members: object) -> bytes:
    return json.dumps(GOOD | members).encode()


Echo = tuple[int, dict[str, str], bytes]

# By the id that is asked for: the field that echoes. What a good reply says of a medium is passed on as it is.
ECHOES: dict[str, Echo] = {
    **{f"message-{status}": (status, {}, error_body(message=ECHO)) for status in (400, 401, 403, 404, 500, 999)},
    "message-cut": (404, {}, error_body(message="x" * 280 + ECHO)),
    "code": (409, {}, error_body(code=ECHO)),
    "code-plain": (409, {}, error_body(code=TOKEN)),
    "context": (404, {}, error_body(contextId=ECHO)),
    "context-plain": (404, {}, error_body(contextId=SECRET)),
    "escaped": (404, {}, error_body(message=ECHO).replace(b"-", b"\\u002d")),
    "title": (403, {"content-type": "text/html"}, f"<title>{ECHO}</title>".encode()),
    "wait": (503, {"retry-after": ECHO}, f"retry the request in [{TOKEN}] seconds".encode()),
    "label": (403, {"content-type": ECHO}, b"x"),
    "label-good": (200, {"content-type": ECHO}, good_body()),
    "encoding": (200, {"content-encoding": ECHO}, good_body()),
    "correlation": (404, {"inin-correlation-id": TOKEN}, error_body()),
    "correlation-secret": (404, {"inin-correlation-id": SECRET}, error_body()),
    "correlation-other": (404, {"genesys-correlation-id": f"{TOKEN} {SECRET}"}, error_body()),
    "correlation-good": (200, {"inin-correlation-id": TOKEN}, good_body()),
    "correlation-part": (200, {"inin-correlation-id": f"id-{SECRET}-1"}, good_body()),
    "location": (302, {"location": f"https://evil.example.com/?token={TOKEN}&{SECRET}"}, b""),
    "cookie": (404, {"set-cookie": f"a={TOKEN}; b={SECRET}", "x-debug": ECHO}, error_body()),
    "refused-type": (200, {}, good_body(contentType=ECHO)),
    "refused-host": (200, {}, good_body(url=f"https://{TOKEN}.example.com/", contentType="text/html")),
    "shape": (200, {}, good_body(**{ECHO: 1}, expiresIn=ECHO)),
    "not-json": (200, {}, ECHO.encode()),
}


def written(echo: Echo) -> bytes:
    status, headers, body = echo
    lines = "".join(f"{name}: {value}\r\n" for name, value in ({"content-type": JSON} | headers).items())
    # The reason is an echo, too.
    return f"HTTP/1.1 {status} {TOKEN}\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
    target = server.requests[-1].split(b" ", 2)[1].decode()
    if target == "/oauth/token":
        writer.write(written((200, {}, json.dumps({"access_token": TOKEN, "expires_in": 3_600}).encode())))
    elif target.endswith("/batchrequests"):
        writer.write(written((200, {}, b'{"id": "job-1"}')))
    elif target.endswith("/batchrequests/job-1"):
        results = [{"conversationId": "c", "recordingId": "r", "errorMsg": f"cannot sign {ECHO}", "resultUrl": None}]
        writer.write(written((200, {}, json.dumps({"status": "Completed", "results": results}).encode())))
    elif "/silent/" not in target:
        writer.write(written(ECHOES[target.split("/")[-2]]))


@asynccontextmanager
async def retrieving(
    transport: TransportName, tmp_path: Path, endpoint: Endpoint, shown: list[str]
) -> AsyncIterator[MediaRetriever]:
    """Open a retriever, and note in `shown` what its sinks and its files have seen."""
    memory = MemorySink()
    audit, events = tmp_path / "audit.jsonl", tmp_path / "events.jsonl"
    async with serving(talk) as (_, url):
        origin = f"http://{urlsplit(url).netloc}"
        settings = Settings(
            client_id="client",
            client_secret=SECRET,
            base_url=origin,
            login_url=origin,
            quota=None,
            retry=RetryPolicy(max_attempts=1),
        )
        async with MediaRetriever(
            settings,
            endpoint=endpoint,
            transport=transport,
            audit=[JsonLinesSink(audit), memory],
            sinks=[JsonLinesSink(events), LoggingSink(level=logging.DEBUG)],
        ) as retriever:
            yield retriever
            shown += [repr(retriever), repr(vars(retriever)), repr(retriever.metrics())]
    shown += [f"{event!r} {event.as_dict()}" for event in memory.events]
    shown += [audit.read_text(), events.read_text()]
    shown += [f"{value!r}" for value in contextvars.copy_context().values()]


def surfaces_of(error: BaseException) -> list[str]:
    """Return everything that programs show of an error, with the locals of all frames that it still has."""
    pickled = pickle.dumps(error).decode("latin-1")
    return [str(error), repr(error), repr(error.args), repr(vars(error)), pickled, *frames_of(error)]


def frames_of(error: BaseException) -> list[str]:
    """Return the frames of an error and of those before it with their locals, but for those of this file."""
    chain: list[BaseException | None] = [error, error.__context__, error.__cause__]
    chain += [each.__context__ for each in chain if each is not None]
    tops = {id(each.__traceback__): each.__traceback__ for each in chain if each is not None}
    frames = [frame for top in tops.values() for frame, _ in traceback.walk_tb(top)]
    return [
        f"{frame.f_code.co_filename} {frame.f_code.co_qualname} {frame.f_locals!r}"
        for frame in frames
        if frame.f_code.co_filename != __file__
    ]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return all logs, but the lines of httpx and httpcore that quote the head of a reply as it came."""
    heads = ("HTTP Request: ", "receive_response_headers.complete")
    records = [each for each in caplog.records if not each.getMessage().startswith(heads)]
    return [f"{record.getMessage()} {record.__dict__}" for record in records]


def found_in(shown: list[str]) -> list[str]:
    return [text[:2_000] for text in shown if any(trace in text for trace in TRACES)]


@pytest.mark.parametrize("transport", ["direct", "httpx"])
class TestAnEcho:
    async def test_in_any_field_of_a_reply_is_shown_nowhere(
        self, transport: TransportName, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        shown: list[str] = []
        async with retrieving(transport, tmp_path, MediaStorage(), shown) as retriever:
            results = await retriever.retrieve_all(ECHOES)
            for result in results:
                shown += [repr(result), str(result), json.dumps(result.as_dict())]
                shown += [] if result.ok else surfaces_of(result.error)
            for file_id in ("message-404", "correlation", "shape"):
                with pytest.raises(GenesysMediaError) as raised:
                    await retriever.retrieve(file_id)
                shown += surfaces_of(raised.value)
        good = {result.file_id for result in results if result.ok}
        assert good == {"correlation-good", "correlation-part"}
        assert not found_in([*shown, *logged(caplog)])

    async def test_in_a_result_of_a_batch_job_is_shown_nowhere(
        self, transport: TransportName, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        shown: list[str] = []
        async with retrieving(transport, tmp_path, RecordingBatch(), shown) as retriever:
            (result,) = await retriever.retrieve_all(["c/r"])
        assert result.error is not None
        assert "Genesys reports: cannot sign" in str(result.error)
        shown += [repr(result), json.dumps(result.as_dict()), *surfaces_of(result.error)]
        assert not found_in([*shown, *logged(caplog)])

    async def test_is_not_in_the_frames_of_who_is_cut_off(self, transport: TransportName, tmp_path: Path) -> None:
        shown: list[str] = []
        async with retrieving(transport, tmp_path, MediaStorage(), shown) as retriever:
            with pytest.raises(GenesysMediaError):
                await retriever.retrieve("code")
            with pytest.raises(TimeoutError) as raised:
                async with asyncio.timeout(0.1):
                    await retriever.retrieve("silent")
        frames = frames_of(raised.value)
        assert any("ApiClient.call" in frame for frame in frames)
        assert not found_in([*shown, *frames])


LOGIN_ECHOES: dict[str, Callable[[str], bytes]] = {
    "error": lambda echo: json.dumps({"error": echo}).encode(),
    "error_description": lambda echo: json.dumps({"error": "invalid_client", "error_description": echo}).encode(),
    "description": lambda echo: json.dumps({"error": "invalid_client", "description": echo}).encode(),
    "a page": lambda echo: f"<title>{echo}</title>".encode(),
    "no token": lambda echo: json.dumps({"access_token": echo, "expires_in": echo}).encode(),
}


@pytest.mark.parametrize("transport", ["direct", "httpx"])
@pytest.mark.parametrize("field", LOGIN_ECHOES)
async def test_what_a_login_host_echoes_is_shown_nowhere(
    transport: TransportName, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    basic = base64.b64encode(f"client:{SECRET}".encode()).decode()

    async def login(server: Server, writer: asyncio.StreamWriter) -> None:
        status = 200 if field == "no token" else 400
        writer.write(written((status, {"inin-correlation-id": SECRET}, LOGIN_ECHOES[field](f"{SECRET} {basic}"))))

    async with serving(login) as (_, url):
        origin = f"http://{urlsplit(url).netloc}"
        settings = Settings(
            client_id="client", client_secret=SECRET, base_url=origin, login_url=origin, start_timeout=0.0
        )
        memory = MemorySink()
        async with MediaRetriever(settings, transport=transport, sinks=[memory]) as retriever:
            with pytest.raises(AuthenticationError) as raised:
                await retriever.retrieve("recording-1")
    shown = [*surfaces_of(raised.value), *(f"{event!r} {event.as_dict()}" for event in memory.events)]
    assert not found_in([*shown, *logged(caplog)])
