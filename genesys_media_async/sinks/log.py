"""Events as log records, for programs that already collect their logs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..errors import sanitized
from ..events import (
    BatchAbandoned,
    BatchSubmissionOrphaned,
    Outcome,
    QuotaPaused,
    RetrievalFinished,
    TokenRefreshFailed,
    WebhookFailed,
)
from .base import Sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events import Event


class LoggingSink(Sink):
    """
    Logs each event by its name; its members are the record's `extra`, as `media_<member>`.

    A pause, a failed token or webhook, a batch job that nobody polls, and an id that failed are warnings; all else has
    `level`.
    """

    def __init__(self, logger: logging.Logger | None = None, *, level: int = logging.INFO) -> None:
        self._logger = logger or logging.getLogger("genesys_media_async.events")
        self._level = level

    def __repr__(self) -> str:
        return f"<LoggingSink {self._logger.name!r}>"

    async def write(self, events: Sequence[Event]) -> None:
        """Log the events."""
        for event in events:
            level = logging.WARNING if _is_warning(event) else self._level
            if self._logger.isEnabledFor(level):
                self._log(level, event)

    def _log(self, level: int, event: Event) -> None:
        members = event.as_dict()
        # Sanitized, since an id that was refused may have line breaks.
        shown = [f"{name}={sanitized(str(value))}" for name, value in members.items() if name not in {"event", "time"}]
        extra = {f"media_{name}": value for name, value in members.items()}
        self._logger.log(level, "%s %s", event.name, " ".join(shown), extra=extra)


def _is_warning(event: Event) -> bool:
    if isinstance(event, RetrievalFinished):
        return event.outcome is not Outcome.SUCCESS
    return isinstance(event, _WARNINGS)


_WARNINGS = (QuotaPaused, TokenRefreshFailed, WebhookFailed, BatchSubmissionOrphaned, BatchAbandoned)
