"""Events as log records, for programs that already have a place for those."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..errors import sanitized
from ..events import Outcome, QuotaPaused, RetrievalFinished, TokenRefreshFailed, WebhookFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events import Event


class LoggingSink:
    """
    Logs each event by its name; its members are the record's `extra`, as `media_<member>`.

    What somebody should look at (a pause, a failed token or webhook, an id that failed) is a warning; the rest has
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
            level = logging.WARNING if _is_trouble(event) else self._level
            if self._logger.isEnabledFor(level):
                members = event.as_dict()
                # Quoted, since an id that was refused may hold line breaks.
                shown = ((name, value) for name, value in members.items() if name not in {"event", "time"})
                text = " ".join(f"{name}={sanitized(str(value))}" for name, value in shown)
                extra = {f"media_{name}": value for name, value in members.items()}
                self._logger.log(level, "%s %s", event.name, text, extra=extra)

    async def aclose(self) -> None:
        """Do nothing: the logger is not ours to close."""


def _is_trouble(event: Event) -> bool:
    if isinstance(event, RetrievalFinished):
        return event.outcome is not Outcome.SUCCESS
    return isinstance(event, QuotaPaused | TokenRefreshFailed | WebhookFailed)
