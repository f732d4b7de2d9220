"""The body of a webhook."""

from __future__ import annotations

import json

from genesys_media_async.webhooks.payload import EVENT_NAME, to_json, url_generated
from tests.support.webhook_receiver import retrieved

AT = 1_700_000_000.25


def test_the_event_has_all_but_the_url() -> None:
    assert url_generated(retrieved("f-1"), at=AT) == {
        "event": EVENT_NAME,
        "fileId": "f-1",
        "timestamp": "2023-11-14T22:13:20.250+00:00",
        "expiresAt": "2024-01-01T12:00:00+00:00",
        "expiresIn": 3_600,
        "fileName": "ä b.wav",
        "contentType": "audio/wav",
    }


def test_a_medium_of_several_is_named() -> None:
    event = url_generated(retrieved("f-1", media_id="m-1"), at=AT)
    assert list(event)[:3] == ["event", "fileId", "mediaId"]
    assert event["mediaId"] == "m-1"


def test_members_that_genesys_left_out_are_null() -> None:
    event = url_generated(retrieved(file_name=None, content_type=None), at=AT)
    assert (event["fileName"], event["contentType"]) == (None, None)


def test_the_json_is_compact_utf_8() -> None:
    body = to_json(url_generated(retrieved(), at=AT))
    assert b": " not in body
    assert "ä b.wav".encode() in body
    assert json.loads(body) == url_generated(retrieved(), at=AT)
