"""Intervals and filters: checked before anything is sent, and the body of the request."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async import MediaRetriever, SettingsError, VirtualClock
from genesys_media_async.discovery.filters import wanted
from tests.support.discoveries import DAY, NOW, virtual

if TYPE_CHECKING:
    from genesys_media_async.simulator import (
        Simulator,
    )


class TestAnInterval:
    @pytest.mark.parametrize(
        ("interval", "message"),
        [
            ((NOW, NOW - DAY), "in the future"),
            ((NOW - DAY, NOW - DAY), "after its beginning"),
            ((NOW - DAY, NOW - 2 * DAY), "after its beginning"),
            ((NOW + DAY, NOW + 2 * DAY), "in the future"),
            ((datetime(2023, 11, 1), NOW), "with zones"),
            ((NOW - DAY, datetime(2023, 11, 14)), "with zones"),
            (("2023-11-01T00:00Z", NOW), "two datetimes"),
            ((NOW,), "two datetimes"),
            ("2023-11-01/2023-11-02", "two datetimes"),
            (None, "two datetimes"),
        ],
    )
    def test_that_cannot_work_is_refused_before_a_request(self, interval: Any, message: str):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            with pytest.raises(SettingsError, match=message):
                retriever.discover(interval)
            assert simulator.counts.api_requests == 0

        virtual(scenario)

    def test_may_be_in_any_zone(self):
        tokyo = timezone(timedelta(hours=9))
        it = wanted((datetime(2023, 11, 1, 9, tzinfo=tokyo), datetime(2023, 11, 2, 9, tzinfo=tokyo)), {}, now=NOW)
        body = json.loads(it.job_body(it.begin, it.end))
        assert body["interval"] == "2023-11-01T00:00:00.000Z/2023-11-02T00:00:00.000Z"

    def test_that_ends_in_the_future_is_cut_off(self):
        assert wanted((NOW - DAY, NOW + 3_650 * DAY), {}, now=NOW).end == NOW + DAY


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queues": "queue-1"}, "queues"),
        ({"queues": ["", "x"]}, "queues"),
        ({"queues": 7}, "queues"),
        ({"media": [None]}, "media"),
        ({"divisions": "x"}, "divisions"),
        ({"direction": "sideways"}, "direction"),
        ({"by": "magic"}, "by"),
        ({"segment_filters": [{"type": object()}]}, r"segment_filters\[0\].type must be"),
        ({"conversation_filters": {"type": "or"}}, "conversation_filters must be a list"),
        ({"users": "user-1"}, "users"),
        ({"ani": [" "]}, "ani"),
        ({"dnis": 5}, "dnis"),
        ({"wrap_up_codes": [None]}, "wrap_up_codes"),
        ({"flows": "x"}, "flows"),
        ({"languages": [""]}, "languages"),
        ({"min_duration": -1}, "min_duration is -1"),
        ({"max_duration": float("nan")}, "max_duration is nan"),
        ({"max_duration": "60"}, "max_duration is '60'"),
        ({"min_duration": True}, "min_duration is True"),
        ({"min_duration": 2, "max_duration": 1}, "min_duration is 2 and max_duration 1"),
        ({"look_back_days": -1}, "look_back_days is -1"),
        ({"look_back_days": 1.5}, "look_back_days is 1.5"),
        ({"look_back_days": 4_000}, "from 0 to 3660"),
    ],
)
def test_an_invalid_filter_is_refused_by_name(options: Any, message: str):
    with pytest.raises(SettingsError, match=message):
        wanted((NOW - DAY, NOW), options, now=NOW)
