"""One GET, repeated while Genesys prepares the thing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async import (
    DeadlineExceededError,
    SettingsError,
    VirtualClock,
)
from genesys_media_async.endpoints import Document, OrphanRecording
from genesys_media_async.simulator import (
    DocumentSettings,
    RecordingSettings,
    Simulator,
    SimulatorSettings,
)
from genesys_media_async.transports import HttpReply
from tests.support.endpoint_runs import (
    URL,
    ids_in,
    run_virtual,
    scripted,
)
from tests.support.scripted_context import json_reply

if TYPE_CHECKING:
    from genesys_media_async.endpoints import Endpoint


class TestGetWhenReady:
    @pytest.mark.parametrize("reply", ["or_raise", "running"])
    def test_polls_without_occupying_a_worker(self, reply: Any):
        clock = VirtualClock()
        preparing = DocumentSettings(preparing_seconds=40.0, preparing_reply=reply)
        simulator = Simulator(SimulatorSettings(quota=None, document=preparing), clock=clock)

        ids = ids_in(simulator, "document", 20)
        results, took = run_virtual(Document(), ids, simulator, clock, concurrency=1)

        assert all(result.ok for result in results)
        assert all(5 <= result.attempts <= 10 for result in results)
        assert 40.0 <= took < 55.0

    @pytest.mark.parametrize("name", ["document", "orphan-recording"])
    def test_gives_up_at_the_timeout(self, name: str):
        clock = VirtualClock()
        settings = SimulatorSettings(
            quota=None,
            document=DocumentSettings(preparing_seconds=math.inf),
            recording=RecordingSettings(transcode_seconds=math.inf),
        )
        simulator = Simulator(settings, clock=clock)
        endpoint: Endpoint = Document(timeout=90.0) if name == "document" else OrphanRecording(timeout=90.0)

        (result,), took = run_virtual(endpoint, ids_in(simulator, name, 1), simulator, clock)

        assert isinstance(result.error, DeadlineExceededError)
        assert (result.error.code, result.error.retryable) == ("never_prepared", True)
        assert took == pytest.approx(90.0, abs=0.1)
        assert result.attempts == simulator.counts.api_requests <= 12

    def test_polls_when_retry_after_is_over(self):
        context = scripted(
            Document(),
            HttpReply(202, {"retry-after": "7"}, b""),
            HttpReply(202, {"retry-after": "0"}, b""),
            HttpReply(202, {"retry-after": "86400"}, b""),
            json_reply({"contentLocationUri": URL, "state": "Completed"}),
        )
        assert context.waits[0] == pytest.approx(7.2, abs=0.3)
        # Neither a short nor a long Retry-After makes polls too frequent or too rare.
        assert 1.0 <= context.waits[1] < 2.0
        assert 25.0 <= context.waits[2] <= 60.0
        assert context.results[0].ok
        assert context.results[0].attempts == 4

    @pytest.mark.parametrize("endpoint", [Document, OrphanRecording])
    @pytest.mark.parametrize("timeout", [0.0, -1.0, math.nan])
    def test_needs_a_positive_timeout(self, endpoint: type[Document], timeout: float):
        with pytest.raises(SettingsError, match="positive"):
            endpoint(timeout=timeout)
