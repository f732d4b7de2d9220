"""The job of `discover`: the ids of an interval's conversations, written to an output, and the state of the search."""

from __future__ import annotations

import json
import re
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import SettingsError
from .exit_codes import CommandFailed, ExitCode
from .options import option_name
from .output.progress import duration, quota_words
from .supervisor import CancellableJob

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..counters import Statistics
    from ..discovery.discovery import Discovery
    from ..discovery.filters import DiscoveryOptions, Interval
    from ..quota.permit import QuotaState
    from ..retrieval.retriever import MediaRetriever
    from .output.writer import Output

_FILTER_NAME: Final = re.compile(r"\b(min_duration|max_duration|look_back_days)\b")


@dataclass(frozen=True, slots=True)
class DiscoverySnapshot:
    """The state of a search for conversations; `quota` is None once it is over."""

    found: int
    statistics: Statistics
    quota: QuotaState | None = None

    def log_line(self) -> str:
        """Return it as one line of `name=value` pairs."""
        words = {**self._counts, "elapsed": duration(self.statistics.elapsed), **quota_words(self.quota)}
        return " ".join(("progress", *(f"{name}={word}" for name, word in words.items())))

    def json_object(self, event: str = "progress", **more: object) -> str:
        """Return it as one JSON object; times are seconds."""
        fields = {"event": event, **more, **self._counts, "elapsed": round(self.statistics.elapsed, 1)}
        return json.dumps(fields, separators=(",", ":"))

    @property
    def _counts(self) -> dict[str, int]:
        return {"found": self.found, "requests": self.statistics.requests, "retries": self.statistics.retries}


class DiscoverJob(CancellableJob):
    """The job of `discover`: writes the ids of conversations to an output."""

    def __init__(
        self, retriever: MediaRetriever, interval: Interval, filters: DiscoveryOptions, output: Output[str]
    ) -> None:
        self.last: DiscoverySnapshot | None = None
        self.search: Discovery | None = None
        self.filters = filters
        self._retriever = retriever
        self._interval = interval
        self._output = output
        self._found = 0
        self._is_open = False

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Open the retriever, and keep its counts when it closes."""
        async with self._retriever:
            self._is_open = True
            try:
                yield
            finally:
                self._is_open = False
                self.last = DiscoverySnapshot(self._found, self._retriever.statistics())

    async def work(self) -> None:
        """Find the conversations, and write each id as it comes."""
        try:
            search = self.search = self._retriever.discover(self._interval, **self.filters)
        except SettingsError as error:
            raise CommandFailed(ExitCode.USAGE, _with_options(str(error))) from None
        async with aclosing(search):
            async for conversation_id in search:
                self._found += 1
                await self._output.put(conversation_id)
                if self._output.failure is not None:
                    return

    @property
    def has_lost_lines(self) -> bool:
        """True if ids that were found could not be written."""
        return self._output.failure is not None or self._output.lost > 0

    def snapshot(self) -> DiscoverySnapshot | None:
        """Return the state of the search; None unless it is running."""
        if not self._is_open:
            return None
        return DiscoverySnapshot(self._found, self._retriever.statistics(), self._retriever.quota)


def _with_options(sentence: str) -> str:
    """Return a sentence about the interval or a filter that names the options."""
    if sentence.startswith("The interval "):
        return f"--from and --to: {sentence}"
    return _FILTER_NAME.sub(lambda found: option_name(found[0]), sentence)
