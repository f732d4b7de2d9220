"""One id becomes one result: a URL, or an error with advice."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from enum import Enum

import httpx
import pytest

from genesys_media_async import (
    GenesysMediaError,
    InvalidRequestError,
    MediaRetriever,
    MemorySink,
    NotFoundError,
    PermissionDeniedError,
    UrlRejectedError,
    ValidationRule,
)
from genesys_media_async.events import AttemptAudited, Outcome
from genesys_media_async.simulator import Fault, Simulator
from tests.support.retrievers import collect, settings_for


@pytest.mark.anyio
async def test_one_id_becomes_a_url_that_downloads_its_medium():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        before = datetime.now(UTC)
        url = await retriever.retrieve("recording-1", expires_in=120)
        assert url.expires_in == 120
        assert (url.expires_at - before).total_seconds() > 115
        assert (url.expires_at - datetime.now(UTC)).total_seconds() < 125
        assert url.file_name
        assert url.content_type
        async with httpx.AsyncClient() as client:
            downloaded = await client.get(url.url)
        assert downloaded.status_code == 200
        assert downloaded.headers["content-type"] == url.content_type
        assert len(downloaded.content) == simulator.settings.media_bytes


@pytest.mark.anyio
async def test_a_result_has_everything_known_about_its_retrieval():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        (result,) = await collect(retriever, ["recording-1"])
    assert result.ok
    assert result.unwrap() is result
    assert result.attempts == 1
    assert result.latency > 0
    assert result.correlation_id
    assert result.error is None


@pytest.mark.anyio
async def test_an_access_level_is_requested_and_granted():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        rule = ValidationRule(required_access="restricted")
        url = await retriever.retrieve("recording-1", access_level="restricted", rule=rule)
        assert url.access_level == "restricted"
        with pytest.raises(UrlRejectedError) as refused:
            await retriever.retrieve("recording-1", access_level="public", rule=rule)
        assert refused.value.code == "access_level_mismatch"


class Wanted(str, Enum):  # noqa: UP042 - a member of such an enum is formatted as its name
    FIRST = "recording-1"
    SECOND = "recording-2"


@pytest.mark.anyio
async def test_an_id_of_a_subclass_of_str_is_sent_as_its_plain_text():
    class Text(str):
        __slots__ = ()

    asked = [Wanted.FIRST, Text("a"), Wanted.SECOND, Wanted.FIRST, Text("a"), "a"]
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        results = await retriever.retrieve_all(asked)
        url = await retriever.retrieve(Wanted.FIRST, access_level=Text("restricted"))
        assert simulator.counts.by_file_id == {"recording-1": 2, "recording-2": 1, "a": 1}
    assert [result.file_id for result in results] == ["recording-1", "a", "recording-2", "recording-1", "a", "a"]
    assert all(result.ok and type(result.file_id) is str for result in results)
    assert url.access_level == "restricted"


@pytest.mark.anyio
async def test_an_id_that_cannot_be_converted_to_text_is_a_failed_result():
    class Unspeakable:
        def __str__(self):
            raise RuntimeError

    given: list[object] = [10**5_000, Unspeakable(), "recording-1"]
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        results = await retriever.retrieve_all(given)  # type: ignore[arg-type]
    assert [(result.file_id, result.ok) for result in results] == [
        ("<int>", False),
        ("<Unspeakable>", False),
        ("recording-1", True),
    ]


@pytest.mark.anyio
async def test_an_invalid_id_is_a_failed_result_and_is_not_sent():
    bad = ["", "a" * 129, "a/b", "..", ".hidden", "a?b", "a#b", "a b", "a\x00b", "a\nb", "é", "a%2Fb", "\ud800"]
    audit = MemorySink()
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator), audit=[audit]) as retriever:
        results = await retriever.retrieve_all([*bad, "good-1"])
        assert simulator.counts.api_requests == 1
    assert [result.ok for result in results] == [False] * len(bad) + [True]
    assert all(isinstance(result.error, InvalidRequestError) for result in results[:-1])
    assert Counter(record.outcome for record in audit.events if isinstance(record, AttemptAudited)) == {
        Outcome.PAYLOAD_INVALID: len(bad),
        Outcome.SUCCESS: 1,
    }


@pytest.mark.anyio
async def test_an_id_that_is_not_text_is_a_failed_result():
    given: list[object] = [5, None, ["a"], b"bytes", "5"]
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        results = await retriever.retrieve_all(given)  # type: ignore[arg-type]
    assert [result.ok for result in results] == [False, False, False, False, True]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("file_id", "error", "code", "advice"),
    [
        ("missing-1", NotFoundError, "not_found", "Check the id"),
        ("forbidden-1", PermissionDeniedError, "missing_permissions", "Give the OAuth client a role"),
        ("document-1", UrlRejectedError, "content_type_refused", "relax the rule"),
    ],
)
async def test_a_permanent_refusal_is_not_retried_and_its_error_has_advice(
    file_id: str, error: type[GenesysMediaError], code: str, advice: str
):
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        (result,) = await collect(retriever, [file_id])
        assert simulator.counts.api_requests == 1
    assert type(result.error) is error
    assert result.error.code == code
    assert not result.error.retryable
    assert advice in str(result.error)
    assert result.correlation_id
    assert result.correlation_id in str(result.error)


@pytest.mark.anyio
async def test_a_plain_http_url_is_refused_although_the_simulator_uses_plain_http():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        simulator.script(Fault.HTTP_URL)
        (result,) = await collect(retriever, ["recording-1"])
    assert isinstance(result.error, UrlRejectedError)
    assert result.error.code == "url_not_https"
