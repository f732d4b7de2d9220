"""Canaries: a planted secret appears nowhere but in its place."""

from __future__ import annotations

import json
import logging
import traceback
from typing import TYPE_CHECKING

import httpx
import pytest

from genesys_media_async import (
    CredentialsRejectedError,
    DownloadUrl,
    GenesysMediaError,
    JsonLinesSink,
    LoggingSink,
    MediaRequest,
    MediaRetriever,
    MemorySink,
    RetryPolicy,
    Settings,
    ValidationRule,
    WebhookTarget,
)
from tests.support.retrievers import collect

if TYPE_CHECKING:
    from pathlib import Path

CLIENT_SECRET = "canary-client-secret"
TOKEN = "canary-access-token"
SIGNATURE = "canary-signature"
URL = f"https://media.example.com/recording.wav?Expires=1&Signature={SIGNATURE}"
WEBHOOK_KEY = "canary-webhook-key"
CANARIES = (CLIENT_SECRET, TOKEN, SIGNATURE, WEBHOOK_KEY, "Y2FuYXJ5LWNsaWVudC1zZWNyZXQ")


def answer(request: httpx.Request) -> httpx.Response:
    """Answer as a Genesys that grants canaries, and quotes them in its refusals."""
    path = request.url.path
    if path == "/oauth/token":
        return httpx.Response(200, json={"access_token": TOKEN, "token_type": "bearer", "expires_in": 3_600})
    if path == "/hook":
        return httpx.Response(500, text=f"did not like {request.content!r} nor {request.url}")
    file_id = path.split("/")[-2]
    good = {"url": URL, "expiresIn": 3_600, "fileName": "recording.wav", "contentType": "audio/wav"}
    match file_id:
        case "refused-type":
            return httpx.Response(200, json=good | {"contentType": f"text/html; see={URL}"})
        case "refused-user":
            return httpx.Response(200, json=good | {"url": URL.replace("https://", "https://canary-access-token@")})
        case "malformed":
            return httpx.Response(200, text=json.dumps(good)[:-3], headers={"content-type": "application/json"})
        case "echo":
            message = f"Not for Authorization: Bearer {TOKEN}, see {URL}"
            return httpx.Response(403, json={"code": "missing.permissions", "message": message, "status": 403})
        case "unauthorized":
            return httpx.Response(401, json={"code": "bad.credentials", "message": f"bearer {TOKEN} is bad"})
        case "broken":
            raise httpx.LocalProtocolError(f"Illegal header value b'Bearer {TOKEN}'", request=request)
        case "unreachable":
            raise httpx.ConnectError(f"cannot reach {URL}", request=request)
        case _:
            return httpx.Response(200, json=good)


FILE_IDS = ["good", "refused-type", "refused-user", "malformed", "echo", "unauthorized", "broken", "unreachable", "b/d"]


def suspicious_check(url: DownloadUrl, request: MediaRequest) -> str | None:
    """A user's own check that quotes what it was given."""
    return f"do not like {url.url}" if request.file_id == "good-2" else None


@pytest.mark.anyio
async def test_no_secret_is_in_any_log_repr_exception_event_metric_or_file(tmp_path: Path, caplog):
    caplog.set_level(logging.DEBUG)
    settings = Settings(
        client_id="client",
        client_secret=CLIENT_SECRET,
        quota=None,
        retry=RetryPolicy(max_attempts=2, base_delay=0.0),
        outage_timeout=0.0,
        rule=ValidationRule(checks=(suspicious_check,)),
        webhook=WebhookTarget(
            url=f"https://hooks.example.com/hook?key={WEBHOOK_KEY}",
            include_url=True,
            max_attempts=1,
            undelivered_file=tmp_path / "undelivered.jsonl",
        ),
    )
    memory = MemorySink()
    shown: list[str] = [repr(settings), str(settings)]
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        retriever = MediaRetriever(
            settings,
            transport=client,
            audit=[JsonLinesSink(tmp_path / "audit.jsonl"), memory],
            sinks=[JsonLinesSink(tmp_path / "events.jsonl"), LoggingSink()],
        )
        async with retriever:
            results = await collect(retriever, [*FILE_IDS, "good-2"])
            shown += [repr(retriever), repr(retriever.__dict__)]
            for result in results:
                shown += [repr(result), str(result), repr(result.error), str(result.error)]
                if result.error is not None:
                    shown += traceback.format_exception(result.error)
            with pytest.raises(GenesysMediaError) as raised:
                await retriever.retrieve("echo")
            shown += traceback.format_exception(raised.value)
        shown += [repr(retriever.metrics()), *map(repr, memory.events)]
    by_id = {result.file_id: result for result in results}
    assert by_id["good"].unwrap().url == URL
    assert sum(result.ok for result in results) == 1
    shown += [record.getMessage() + str(record.__dict__) for record in caplog.records]
    assert [text for text in shown if "HTTP Request: POST https://hooks.example.com/hook..." in text]
    shown += [path.read_text() for path in tmp_path.iterdir()]
    assert (tmp_path / "undelivered.jsonl").read_text().count("\n") == 1
    assert (tmp_path / "audit.jsonl").read_text().count("\n") > len(FILE_IDS)
    for canary in CANARIES:
        assert not [text for text in shown if canary in text]


@pytest.mark.anyio
async def test_a_login_host_that_quotes_the_secret_is_not_quoted():
    def echo(request: httpx.Request) -> httpx.Response:
        description = f"cannot accept {request.headers.get('authorization')}"
        return httpx.Response(401, json={"error": "invalid_client", "error_description": description})

    settings = Settings(client_id="client", client_secret=CLIENT_SECRET)
    async with httpx.AsyncClient(transport=httpx.MockTransport(echo)) as client:
        async with MediaRetriever(settings, transport=client) as retriever:
            with pytest.raises(CredentialsRejectedError) as raised:
                await retriever.retrieve("recording-1")
    text = "".join(traceback.format_exception(raised.value))
    assert "invalid_client" in text
    for canary in CANARIES:
        assert canary not in text
    assert "Y2xpZW50" not in text


def test_only_the_owner_may_read_an_audit_file(tmp_path: Path):
    JsonLinesSink(tmp_path / "audit.jsonl")._file.close()
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o077 == 0
