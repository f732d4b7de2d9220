"""The state of a batch job: which of its results are new, whose they are, and when it should be completed. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ...errors import sanitized

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...models import MediaRequest

MARGIN = 1.03
"""A job is polled a little after its expected end, since another poll costs more than the short wait."""

MAX_COUNTED = 1_000_000


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _id_or_none(value: object) -> str | None:
    return str(value) if type(value) is int else _text_or_none(value)


def _words_or_none(value: object) -> str | None:
    return str(value) if value else None


def _count_or_none(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    return value if type(value) is int else None


def _results_or_none(value: object) -> tuple[BatchResult, ...] | None:
    if not isinstance(value, list):
        return None
    return tuple(BatchResult.model_validate(each) for each in cast("list[object]", value) if isinstance(each, dict))


# A value of another type is read if its meaning is plain, and otherwise counts as missing, so that it spoils nothing
# but itself.
_Text = Annotated[str | None, BeforeValidator(_text_or_none)]
_Id = Annotated[str | None, BeforeValidator(_id_or_none)]
_Words = Annotated[str | None, BeforeValidator(_words_or_none)]
_Count = Annotated[int | None, BeforeValidator(_count_or_none)]


class BatchResult(BaseModel):
    """One result of a job: a URL or an error message."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    conversationId: _Id = None  # noqa: N815
    recordingId: _Id = None  # noqa: N815
    resultUrl: _Text = Field(default=None, repr=False)  # noqa: N815
    contentType: _Text = None  # noqa: N815
    errorMsg: _Words = None  # noqa: N815


class BatchStatus(BaseModel):
    """
    The progress of a job.

    Follows `BatchDownloadJobStatusResult` of the platform API, with the statuses InProgress and Completed:
    https://developer.genesys.cloud/platform/api/
    """

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    status: _Text = None
    expectedResultCount: _Count = None  # noqa: N815
    resultCount: _Count = None  # noqa: N815
    results: Annotated[tuple[BatchResult, ...] | None, BeforeValidator(_results_or_none)] = None

    @property
    def is_in_progress(self) -> bool:
        """Whether there will be more results."""
        return (self.status or "").lower() == "inprogress"

    @property
    def is_completed(self) -> bool:
        """
        Whether there will be no more results, and they are here.

        The expected count does not show it, since that may still grow.
        """
        if (self.status or "").lower() != "completed":
            return False
        return bool(self.results) or (self.results is not None if self.resultCount is None else self.resultCount <= 0)


class NewResult(NamedTuple):
    """A result not yet reported, the requests it belongs to, and its media id, or None if it names no recording."""

    result: BatchResult
    requests: Sequence[MediaRequest]
    media_id: str | None


class BatchJob:
    """A job at Genesys: its requests, and the results seen so far."""

    def __init__(self, job_id: str, requests: tuple[MediaRequest, ...]) -> None:
        self.id = job_id
        self.requests = requests
        self.results = 0
        self.errors = 0
        self.unrequested = 0
        self._answered: set[str] = set()
        self._by_conversation: defaultdict[str, list[MediaRequest]] = defaultdict(list)
        for request in requests:
            self._by_conversation[request.parts[0].lower()].append(request)
        self._known: set[tuple[object, ...]] = set()
        self._media: Counter[str] = Counter()

    def unanswered(self) -> list[MediaRequest]:
        """Return the requests without any result so far."""
        return [request for request in self.requests if request.file_id not in self._answered]

    def new_results(self, status: BatchStatus) -> Iterator[NewResult]:
        """
        Yield the results that are new in a status, each result once.

        A recording may have several results, and every reply may sign the same URL anew: results are identified by the
        URL without its query, and by their order if several have the same. Equal results count as one. Until the job is
        completed, a result with neither URL nor error may still get one. Results that belong to no request are only
        counted, in `unrequested`.
        """
        seen: Counter[tuple[object, ...]] = Counter()
        for result in dict.fromkeys(status.results or ()):
            if not status.is_completed and result.resultUrl is None and result.errorMsg is None:
                continue
            address = result.resultUrl and result.resultUrl.partition("?")[0]
            key = (result.conversationId, result.recordingId, address, result.errorMsg)
            seen[key] += 1
            if (*key, seen[key]) in self._known:
                continue
            self._known.add((*key, seen[key]))
            if requests := self._owners(result):
                self._answered.update(request.file_id for request in requests)
                yield NewResult(result, requests, self._media_id(result, requests[0].parts[0]))
            else:
                self.unrequested += 1

    def _owners(self, result: BatchResult) -> list[MediaRequest]:
        # Genesys's ids are UUIDs, in which upper and lower case are the same.
        recording_id = (result.recordingId or "").lower()
        if result.conversationId is None:
            return [each for each in self.requests if [part.lower() for part in each.parts[1:]] == [recording_id]]
        requests = self._by_conversation.get(result.conversationId.lower(), [])
        if result.recordingId is None and result.errorMsg is not None:
            return requests
        return [each for each in requests if len(each.parts) == 1 or each.parts[1].lower() == recording_id]

    def _media_id(self, result: BatchResult, conversation_id: str) -> str | None:
        if result.recordingId is None:
            return None
        media_id = f"{result.conversationId or conversation_id}/{sanitized(result.recordingId, 128)}"
        self._media[media_id] += 1
        number = self._media[media_id]
        return media_id if number == 1 else f"{media_id}/{number}"


class Progress:
    """
    The expected end of a job, by its counts, in seconds from its submission.

    `guess` is the expected end before the first poll.
    """

    def __init__(self, guess: float) -> None:
        self.remaining = MARGIN * guess
        # A job that is completed at its first poll may have been so for long; the guess must be able to shrink, too.
        self.ends_at = guess / MARGIN
        self._before = (0.0, 0)

    def note(self, elapsed: float, status: BatchStatus) -> None:
        """Update the expected end by the status after `elapsed` seconds."""
        since, had = self._before
        results, expected = _counted(status.resultCount), _counted(status.expectedResultCount)
        if results > had:
            pace = (elapsed - since) / (results - had)
            self.remaining = MARGIN * pace * max(expected - results, 0)
        elif results == 0:
            # It may be waiting for other jobs: the longer it has waited, the longer it may still wait.
            self.remaining = elapsed / 2
        else:
            self.remaining = 0.0
        self.ends_at = elapsed + self.remaining
        self._before = (elapsed, results)


def _counted(count: int | None) -> int:
    return min(max(count or 0, 0), MAX_COUNTED)
