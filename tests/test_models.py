"""The values of one id: the request, the URL, and the result with its JSON."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any, assert_type, get_type_hints

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from genesys_media_async.errors import GenesysMediaError, InvalidRequestError, NotFoundError, RateLimitError
from genesys_media_async.models import (
    SCHEMA_VERSION,
    DownloadUrl,
    Failed,
    MediaRequest,
    MediaResult,
    ResultDict,
    Retrieved,
    check_access_level,
    check_lifetime,
)

SIGNED = "https://media.example.com/a.wav?X-Signature=canary-signature"
ENDS_AT = datetime(2024, 1, 1, 12, tzinfo=UTC).timestamp()

RETRIEVED = Retrieved(
    "f-1", SIGNED, ENDS_AT, 3_600, "a.wav", "audio/wav", "private", "url", 2, 0.123456789, "corr-1", "m-1"
)
FAILED = Failed("f-2", NotFoundError("No such file.", status_code=404, correlation_id="c-2"), 1, 0.25, "c-2", "m-2")
RESULTS: list[MediaResult] = [RETRIEVED, FAILED]


class Report(BaseModel):
    """A user's model with results in it."""

    result: MediaResult
    others: list[MediaResult] = []


class TestMediaRequest:
    def test_a_request_is_not_checked_by_itself(self) -> None:
        assert MediaRequest("../a", 0).file_id == "../a"

    def test_a_checked_request_has_the_same_members(self) -> None:
        assert MediaRequest.checked("a/b", 60, "private", "x/y") == MediaRequest("a/b", 60, "private", "x/y")
        assert MediaRequest.checked("a") == MediaRequest("a")

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            ({"file_id": ".."}, "invalid_file_id"),
            ({"file_id": "a/b"}, "invalid_file_id"),
            ({"file_id": "a", "id_format": "x/y"}, "invalid_file_id"),
            ({"file_id": "a", "expires_in": 0}, "invalid_expires_in"),
            ({"file_id": "a", "access_level": "a b"}, "invalid_access_level"),
        ],
    )
    def test_a_request_that_must_not_be_sent_is_refused(self, options: dict[str, Any], code: str) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            MediaRequest.checked(**options)
        assert caught.value.code == code

    def test_the_parts_are_those_between_the_slashes(self) -> None:
        assert MediaRequest("a").parts == ("a",)
        assert MediaRequest("a/b", id_format="x/y").parts == ("a", "b")

    @pytest.mark.parametrize("seconds", [1, 2, 3_600, 86_400])
    def test_a_lifetime_from_a_second_to_a_day_is_valid(self, seconds: int) -> None:
        assert check_lifetime(seconds) == seconds

    @pytest.mark.parametrize("seconds", [0, -1, 86_401, 10**30, True, False, 3_600.0, "3600", None, float("nan"), [1]])
    def test_any_other_lifetime_is_refused(self, seconds: Any) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            check_lifetime(seconds)
        assert caught.value.code == "invalid_expires_in"
        assert "86400" in str(caught.value)

    @pytest.mark.parametrize("level", ["private", "Public", "a:b", "a.b_c-1", "7", "x" * 64])
    def test_an_access_level_that_is_a_plain_word_is_valid(self, level: str) -> None:
        assert check_access_level(level) == level

    @pytest.mark.parametrize("level", ["", " ", "a b", "-a", ".a", "a\n", "ä", "x" * 65, 7, b"a", "a/b", 'a"b', False])
    def test_any_other_access_level_is_refused(self, level: Any) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            check_access_level(level)
        assert caught.value.code == "invalid_access_level"


class TestDownloadUrl:
    @pytest.mark.parametrize(
        ("url", "host"),
        [
            (SIGNED, "media.example.com"),
            ("https://MEDIA.example.com:8443/", "media.example.com"),
            ("https://user:canary@media.example.com/", "media.example.com"),
            ("/path", None),
            ("", None),
            ("https://[broken/", None),
        ],
    )
    def test_the_host_is_found(self, url: str, host: str | None) -> None:
        assert DownloadUrl(url, ENDS_AT, 60).host == host

    def test_the_end_is_a_date_in_utc(self) -> None:
        assert DownloadUrl(SIGNED, ENDS_AT + 0.5, 60).expires_at == datetime(2024, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC)

    @pytest.mark.parametrize("shown", [DownloadUrl(SIGNED, ENDS_AT, 60), RETRIEVED, FAILED])
    def test_no_repr_shows_the_url(self, shown: object) -> None:
        for text in (repr(shown), str(shown), f"{shown}", repr([shown])):
            assert "canary" not in text
            assert "media.example.com" not in text


class TestResult:
    def test_a_retrieved_result_is_ok_and_unwraps_to_itself(self) -> None:
        assert RETRIEVED.ok is True
        assert RETRIEVED.unwrap() is RETRIEVED
        assert RETRIEVED.expires_at == datetime(2024, 1, 1, 12, tzinfo=UTC)

    def test_a_failed_result_is_not_ok_and_raises_its_error(self) -> None:
        assert FAILED.ok is False
        with pytest.raises(NotFoundError) as caught:
            FAILED.unwrap()
        assert caught.value is FAILED.error

    def test_the_member_of_the_other_kind_is_none(self) -> None:
        assert vars(Retrieved)["error"] is None
        others = set(Retrieved.__struct_fields__) - set(Failed.__struct_fields__)
        assert {vars(Failed)[name] for name in others | {"expires_at"}} == {None}
        assert [result.url or result.error for result in RESULTS] == [SIGNED, FAILED.error]

    @pytest.mark.parametrize("result", RESULTS)
    def test_ok_narrows_the_type(self, result: MediaResult) -> None:
        if result.ok:
            assert_type(result, Retrieved)
            assert_type(result.url, str)
        else:
            assert_type(result, Failed)
            assert_type(result.error, GenesysMediaError)

    @pytest.mark.parametrize("result", RESULTS)
    def test_match_narrows_the_type(self, result: MediaResult) -> None:
        match result:
            case Retrieved(file_id=file_id, url=url):
                assert (file_id, url) == ("f-1", SIGNED)
            case Failed(error=error):
                assert error.code == "not_found"

    @pytest.mark.parametrize("copied", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])
    def test_a_retrieved_result_equals_its_copy(self, copied: Any) -> None:
        assert copied(RETRIEVED) == RETRIEVED
        assert hash(copied(RETRIEVED)) == hash(RETRIEVED)

    @pytest.mark.parametrize("copied", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])
    def test_a_failed_result_keeps_its_error_in_a_copy(self, copied: Any) -> None:
        it = copied(FAILED)
        assert it.as_dict() == FAILED.as_dict()
        assert type(it.error) is NotFoundError


class TestDict:
    def test_a_retrieved_result_as_a_dict(self) -> None:
        assert RETRIEVED.as_dict() == {
            "schema_version": SCHEMA_VERSION,
            "file_id": "f-1",
            "media_id": "m-1",
            "status": "ok",
            "url": SIGNED,
            "expires_at": "2024-01-01T12:00:00Z",
            "expires_in": 3_600,
            "expiry_source": "url",
            "file_name": "a.wav",
            "content_type": "audio/wav",
            "access_level": "private",
            "attempts": 2,
            "latency": 0.123457,
            "correlation_id": "corr-1",
            "error_code": None,
            "error_message": None,
            "error_retryable": None,
            "error_status_code": None,
        }

    def test_a_failed_result_as_a_dict(self) -> None:
        given_up = dict.fromkeys(ResultDict.__annotations__)
        assert FAILED.as_dict() == {
            **given_up,
            "schema_version": SCHEMA_VERSION,
            "file_id": "f-2",
            "media_id": "m-2",
            "status": "failed",
            "attempts": 1,
            "latency": 0.25,
            "correlation_id": "c-2",
            "error_code": "not_found",
            "error_message": str(FAILED.error),
            "error_retryable": False,
            "error_status_code": 404,
        }

    @pytest.mark.parametrize("result", RESULTS)
    def test_every_key_is_always_there_in_the_same_order(self, result: MediaResult) -> None:
        assert list(result.as_dict()) == list(get_type_hints(ResultDict))

    @pytest.mark.parametrize("result", RESULTS)
    def test_the_dict_is_flat(self, result: MediaResult) -> None:
        assert all(isinstance(cell, str | int | float | None) for cell in result.as_dict().values())

    @pytest.mark.parametrize("result", RESULTS)
    def test_json_brings_back_the_dict(self, result: MediaResult) -> None:
        line = json.dumps(result.as_dict())
        assert TypeAdapter(ResultDict).validate_json(line, strict=True) == result.as_dict()

    @given(latency=st.floats(0, 1e6), ends_at=st.floats(0, 2.5e11), attempts=st.integers(0, 1_000))
    @example(latency=0.0, ends_at=1.9999999998835847, attempts=0)
    @settings(deadline=None, max_examples=100)
    def test_any_result_is_json(self, latency: float, ends_at: float, attempts: int) -> None:
        result = Retrieved("f", SIGNED, ends_at, 60, latency=latency, attempts=attempts)
        found = json.loads(json.dumps(result.as_dict(), allow_nan=False))
        assert abs(found["latency"] - latency) <= 1e-6
        end = datetime.fromisoformat(found["expires_at"]).timestamp()
        assert ends_at - 1 < end <= ends_at, "never later than the truth"


class TestPydantic:
    def test_a_model_takes_results_and_serializes_them_by_as_dict(self) -> None:
        report = Report(result=RETRIEVED, others=RESULTS)
        assert report.result is RETRIEVED
        expected = {"result": RETRIEVED.as_dict(), "others": [result.as_dict() for result in RESULTS]}
        assert report.model_dump() == expected
        assert json.loads(report.model_dump_json()) == expected

    @pytest.mark.parametrize("other", [None, "f-1", {"file_id": "f-1"}, DownloadUrl(SIGNED, ENDS_AT, 60)])
    def test_a_model_takes_nothing_else(self, other: Any) -> None:
        with pytest.raises(ValidationError):
            Report(result=other)

    @pytest.mark.parametrize("kind", [MediaResult, Retrieved, Failed])
    def test_an_adapter_has_the_schema_of_the_dict(self, kind: Any) -> None:
        schema = TypeAdapter(kind).json_schema(mode="serialization")
        assert list(schema["properties"]) == list(get_type_hints(ResultDict))
        assert set(schema["required"]) == set(schema["properties"])

    @pytest.mark.parametrize("result", RESULTS)
    def test_an_adapter_serializes_a_result(self, result: MediaResult) -> None:
        adapter: TypeAdapter[MediaResult] = TypeAdapter(MediaResult)
        assert json.loads(adapter.dump_json(result)) == result.as_dict()
        assert adapter.dump_python(result) == result.as_dict()

    @pytest.mark.anyio
    async def test_fastapi_answers_with_a_result(self) -> None:
        from fastapi import FastAPI

        app = FastAPI()

        @app.get("/results")
        async def results() -> list[MediaResult]:
            return RESULTS

        @app.get("/first", response_model=MediaResult)
        async def first() -> MediaResult:
            return FAILED

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service.test") as client:
            assert (await client.get("/results")).json() == [result.as_dict() for result in RESULTS]
            assert (await client.get("/first")).json() == FAILED.as_dict()
            shown = (await client.get("/openapi.json")).json()
        schema = shown["paths"]["/first"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        if "$ref" in schema:
            schema = shown["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert list(schema["properties"]) == list(get_type_hints(ResultDict))


@pytest.mark.parametrize("error", [FAILED.error, RateLimitError("x", retry_after=3.0, code="c", advice="y")])
def test_an_error_keeps_its_members_in_a_pickle(error: GenesysMediaError) -> None:
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)
