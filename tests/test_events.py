"""Events: flat JSON objects that have no member for a secret."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.events import (
    BatchAbandoned,
    BatchCompleted,
    BatchSubmissionOrphaned,
    BatchSubmitted,
    Event,
    OutageBegan,
    OutageEnded,
    Outcome,
    QuotaLimitChanged,
    QuotaPaused,
    QuotaResumed,
    RetryScheduled,
    TokenRefreshed,
    TokenRefreshFailed,
    UnrequestedBatchResults,
    WebhookDelivered,
    WebhookFailed,
    iso,
)
from genesys_media_async.sinks import JsonLinesSink
from tests.support.events import EVENT_CLASSES, Tenant, TenantAudited, audited, finished, paused

if TYPE_CHECKING:
    from pathlib import Path


class TestEvent:
    @pytest.mark.parametrize(
        ("at", "time"),
        [
            (0, "1970-01-01T00:00:00.000+00:00"),
            (1.0009, "1970-01-01T00:00:01.000+00:00"),
            (-0.5, "1969-12-31T23:59:59.500+00:00"),
            (1_700_000_000.25, "2023-11-14T22:13:20.250+00:00"),
            (253_402_300_799.5, "9999-12-31T23:59:59.500+00:00"),
        ],
    )
    def test_time_is_utc_to_the_millisecond(self, at: float, time: str) -> None:
        assert iso(at) == time
        assert QuotaPaused(at=at, seconds=1).as_dict()["time"] == time

    def test_as_dict_of_a_users_own_event_has_all_members(self) -> None:
        record = TenantAudited(1.0, "a", "f", Outcome.SUCCESS, 200, 0.5, "u", 1, tenant="t")
        assert list(record.as_dict()) == [*audited().as_dict(), "tenant"]
        assert Tenant(1.0, "t").as_dict() == {
            "event": Tenant.name,
            "time": "1970-01-01T00:00:01.000+00:00",
            "tenant": "t",
            "share": 0.0,
        }


def test_every_event_is_one_flat_json_object_without_a_member_for_secrets(tmp_path: Path) -> None:
    examples: list[Event] = [
        audited(),
        finished(),
        paused(),
        QuotaResumed(at=1, seconds=1),
        QuotaLimitChanged(at=1, allowed=1),
        TokenRefreshed(at=1, lifetime=1, latency=1),
        TokenRefreshFailed(at=1, code="x", pause=1),
        WebhookDelivered(at=1, file_id="f", webhook_id="w", attempts=1),
        WebhookFailed(at=1, file_id="f", webhook_id="w", attempts=1, reason="x"),
        RetryScheduled(at=1, file_id="f", attempt=1, delay=1, code="x"),
        BatchSubmitted(at=1, job_id="j", requests=1),
        BatchCompleted(at=1, job_id="j", results=1, errors=1, seconds=1),
        BatchSubmissionOrphaned(at=1, file_id="f", requests=1, code="x"),
        BatchAbandoned(at=1, job_id="j", unanswered=1, reason="x"),
        UnrequestedBatchResults(at=1, job_id="j", results=1),
        OutageBegan(at=1, host="h", code="x", reason="x"),
        OutageEnded(at=1, host="h", seconds=1, given_up=False),
    ]
    assert {type(each) for each in examples} == set(EVENT_CLASSES) - {Event}
    assert len({each.name for each in examples}) == len(examples)
    path = tmp_path / "events.jsonl"

    async def write() -> None:
        sink = JsonLinesSink(path)
        await sink.write(examples)
        await sink.aclose()

    asyncio.run(write())
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [each.as_dict() for each in examples]
    for each in examples:
        flat = json.loads(json.dumps(each.as_dict()))
        assert list(flat)[:2] == ["event", "time"]
        assert flat["event"] == each.name
        assert not {"url", "token", "secret"} & set(flat)
        assert all(value is None or isinstance(value, str | int | float) for value in flat.values())
