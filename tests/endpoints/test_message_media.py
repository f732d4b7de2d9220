"""Media files of messages."""

from __future__ import annotations

from typing import Any

import pytest

from genesys_media_async import (
    ValidationRule,
    VirtualClock,
)
from genesys_media_async.endpoints import MessageMedia
from genesys_media_async.simulator import (
    Simulator,
    SimulatorSettings,
)
from tests.support.endpoint_runs import (
    URL,
    code_of,
    ids_in,
    run_virtual,
)
from tests.support.scripted_context import json_reply


class TestMessageMedia:
    @pytest.mark.parametrize(
        ("status", "code", "retryable"),
        [
            ("valid", None, False),
            ("uploading", "media_uploading", True),
            ("invalid", "media_invalid", False),
        ],
    )
    def test_has_a_url_once_it_is_valid(self, status: Any, code: str | None, retryable: bool):
        clock = VirtualClock()
        simulator = Simulator(SimulatorSettings(quota=None, message_media_status=status), clock=clock)
        (result,), _ = run_virtual(MessageMedia(), ids_in(simulator, "message-media", 1), simulator, clock)
        if code is None:
            url = result.unwrap()
            assert url.content_type == "image/png"
            assert url.file_name is not None
        else:
            assert result.error is not None
            assert (result.error.code, result.error.retryable) == (code, retryable)
            assert result.error.advice

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"status": "uploading", "url": URL}, "media_uploading"),
            ({"status": "checking"}, "no_url"),
            ({"url": None}, "no_url"),
            ({"status": "checking", "url": URL, "mediaType": "image/png"}, None),
            ({"status": "valid", "url": URL, "mediaType": "IMAGE/PNG; x=y"}, None),
            ({"status": "valid", "url": URL, "mediaType": "text/html"}, "content_type_refused"),
            ({"status": 7}, "reply_shape"),
        ],
    )
    def test_without_a_url_has_a_reason(self, body: object, code: str | None):
        rule = ValidationRule(content_types=("image/*",))
        assert code_of(MessageMedia(), json_reply(body), rule=rule) == code
