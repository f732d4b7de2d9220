"""`LoggingSink`: an event is a log record."""

from __future__ import annotations

import asyncio
import logging

import pytest

from genesys_media_async.events import (
    BatchAbandoned,
    BatchSubmissionOrphaned,
    Event,
    Outcome,
    RetryScheduled,
    TokenRefreshed,
    TokenRefreshFailed,
    WebhookDelivered,
    WebhookFailed,
)
from genesys_media_async.sinks import LoggingSink
from tests.support.events import audited, finished, paused


class TestLoggingSink:
    def log(self, *events: Event, level: int = logging.INFO) -> None:
        async def main() -> None:
            sink = LoggingSink(logging.getLogger("tests.events"), level=level)
            await sink.write(events)
            await sink.aclose()

        asyncio.run(main())

    def test_each_event_is_a_record_with_its_members_as_extra(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "tests.events")
        self.log(audited())
        (record,) = caplog.records
        assert record.name == "tests.events"
        assert record.levelno == logging.INFO
        assert record.getMessage().startswith("attempt_audited action=media_storage.download_url file_id=f-1")
        members = vars(record)
        assert (members["media_file_id"], members["media_status"], members["media_outcome"]) == ("f-1", 200, "success")

    @pytest.mark.parametrize(
        ("event", "level"),
        [
            (paused(), logging.WARNING),
            (TokenRefreshFailed(at=1, code="x", pause=1), logging.WARNING),
            (WebhookFailed(at=1, file_id="f", webhook_id="w", attempts=1, reason="x"), logging.WARNING),
            (finished(outcome=Outcome.GENERATION_FAILED), logging.WARNING),
            (BatchSubmissionOrphaned(at=1, file_id="f", requests=1, code="x"), logging.WARNING),
            (BatchAbandoned(at=1, job_id="j", unanswered=1, reason="x"), logging.WARNING),
            (finished(), logging.DEBUG),
            (audited(outcome=Outcome.GENERATION_FAILED), logging.DEBUG),
            (TokenRefreshed(at=1, lifetime=1, latency=1), logging.DEBUG),
            (WebhookDelivered(at=1, file_id="f", webhook_id="w", attempts=1), logging.DEBUG),
            (RetryScheduled(at=1, file_id="f", attempt=1, delay=1, code="x"), logging.DEBUG),
        ],
    )
    def test_trouble_is_a_warning(self, caplog: pytest.LogCaptureFixture, event: Event, level: int) -> None:
        caplog.set_level(logging.DEBUG, "tests.events")
        self.log(event, level=logging.DEBUG)
        assert [record.levelno for record in caplog.records] == [level]

    def test_events_below_the_loggers_level_are_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING, "tests.events")
        self.log(audited(), paused())
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

    def test_an_id_cannot_forge_a_line(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "tests.events")
        self.log(audited("x\n2026-01-01 root: all is well\x1b[2J"))
        message = caplog.records[0].getMessage()
        assert len(message.splitlines()) == 1
        assert "\x1b" not in message

    def test_the_default_logger_is_the_packages(self) -> None:
        assert repr(LoggingSink()) == "<LoggingSink 'genesys_media_async.events'>"
