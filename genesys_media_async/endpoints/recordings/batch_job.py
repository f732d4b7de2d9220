"""What a batch job says: which of its results are new and whose they are, and when it will be done. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ...errors import sanitized

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...models import MediaRequest

AIM = 1.03
"""A job is asked for a little after it should be done: another question costs more than the moment."""

MAX_COUNTED = 1_000_000


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


# What is not text where text belongs is as good as missing, and spoils nothing but its own result.
_Text = Annotated[str | None, BeforeValidator(_text_or_none)]


class BatchResult(BaseModel):
    """One result of a job: a URL, or why there is none."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    conversationId: _Text = None  # noqa: N815
    recordingId: _Text = None  # noqa: N815
    resultUrl: _Text = Field(default=None, repr=False)  # noqa: N815
    contentType: _Text = None  # noqa: N815
    errorMsg: _Text = None  # noqa: N815


class BatchStatus(BaseModel):
    """
    How far a job is.

    Follows `BatchDownloadJobStatusResult` of the platform API: https://developer.genesys.cloud/platform/api/
    """

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    status: _Text = None
    expectedResultCount: int | None = None  # noqa: N815
    resultCount: int | None = None  # noqa: N815
    results: tuple[BatchResult, ...] | None = None

    @property
    def is_completed(self) -> bool:
        """Whether there will be no more results; counts do not tell, since what is expected may still grow."""
        return self.status == "Completed"


class News(NamedTuple):
    """A result that has not been told yet, whose it is, and which medium it is; no medium if it names no recording."""

    result: BatchResult
    requests: Sequence[MediaRequest]
    media_id: str | None


class BatchJob:
    """A job that Genesys has made: what it was asked, and what is known of it."""

    def __init__(self, job_id: str, requests: tuple[MediaRequest, ...]) -> None:
        self.id = job_id
        self.requests = requests
        self.results = 0
        self.errors = 0
        self.unasked = 0
        self._answered: set[str] = set()
        self._by_conversation: defaultdict[str, list[MediaRequest]] = defaultdict(list)
        for request in requests:
            self._by_conversation[request.parts[0].lower()].append(request)
        self._known: set[tuple[object, ...]] = set()
        self._media: Counter[str] = Counter()

    def unanswered(self) -> list[MediaRequest]:
        """Return the requests of which there has been no news."""
        return [request for request in self.requests if request.file_id not in self._answered]

    def news(self, status: BatchStatus) -> Iterator[News]:
        """
        Yield what is new in what a job has to say, each result once.

        A recording may have several results, and each answer may have the same URL with another signature: a result is
        known by its address, and those that share one by their order. Results that are equal are one. A result with
        neither URL nor error may yet get one, until the job is completed. What nobody asked for is `unasked`.
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
                yield News(result, requests, self._media_id(result))
            else:
                self.unasked += 1

    def _owners(self, result: BatchResult) -> list[MediaRequest]:
        # Genesys's ids are UUIDs, which are the same in either case.
        requests = self._by_conversation.get((result.conversationId or "").lower(), [])
        if result.recordingId is None and result.errorMsg is not None:
            return requests
        recording_id = (result.recordingId or "").lower()
        return [each for each in requests if len(each.parts) == 1 or each.parts[1].lower() == recording_id]

    def _media_id(self, result: BatchResult) -> str | None:
        if result.recordingId is None:
            return None
        media_id = f"{result.conversationId}/{sanitized(result.recordingId, 128)}"
        self._media[media_id] += 1
        number = self._media[media_id]
        return media_id if number == 1 else f"{media_id}/{number}"


class Progress:
    """
    When a job will be done, as far as its counts tell; in seconds from its submission.

    `guess` is when it should be, before anything is known.
    """

    def __init__(self, guess: float) -> None:
        self.left = AIM * guess
        # A job that is done when it is first looked at may have been so for long: what is learnt must not only grow.
        self.ends_at = guess / AIM
        self._before = (0.0, 0)

    def note(self, elapsed: float, status: BatchStatus) -> None:
        """Take account of what was there after `elapsed` seconds."""
        since, had = self._before
        results, expected = _counted(status.resultCount), _counted(status.expectedResultCount)
        if results > had:
            pace = (elapsed - since) / (results - had)
            self.left = AIM * pace * max(expected - results, 0)
        elif results == 0:
            # It may wait for others: the longer it has, the longer it may still.
            self.left = elapsed / 2
        else:
            self.left = 0.0
        self.ends_at = elapsed + self.left
        self._before = (elapsed, results)


def _counted(count: int | None) -> int:
    return min(max(count or 0, 0), MAX_COUNTED)
