"""
The conversations of an interval: an interval and filters in, conversation ids out, one page at a time.

What Genesys finds depends on how it is asked. A query of conversation details finds only what *started* on a day that
its interval touches, and is up to date; a job finds all that was *active* in its interval, whenever it started, but
only as far as the data lake has data, which may end a day ago. (The fields `interval` of `ConversationQuery` and
`AsyncConversationQuery` in the official SDK, and
https://developer.genesys.cloud/analyticsdatamanagement/analytics/detail/ .) A search finds what was active in the
interval, by either:

    query   the days of a look-back before the interval, there only what was still active in it, then the days of the
            interval: all but conversations that began before the look-back
    job     a job up to the date until which there is data, and queries, as above, for the rest of the interval: all,
            since what was active in both parts and began before the look-back was active at that date, too
    auto    a job, unless the query sees all and finds few

The queries of the rest come first, while the job runs. A conversation that both find is yielded once: what began before
the date and was active after it is remembered, which is few. Only a job that has no data of the interval yet leaves a
hole, the query's; `sees_from` says so.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from itertools import count
from typing import TYPE_CHECKING, Final

from ..errors import GenesysMediaError
from .filters import interval_text
from .parts import MAX_QUERY, Part, parts_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from types import TracebackType

    from .details_api import DetailsApi
    from .filters import Interval, Wanted
    from .pages import Conversation, Page

QUERY_PAGE: Final = 100
MAX_QUERIED: Final = 2_000
"""For more conversations than that, a job takes fewer requests than the query's pages."""


class Discovery(AsyncGenerator[str, None]):
    """
    One search for the conversations of an interval: an async iterator over their ids, each once.

    Iterating raises `CredentialsRejectedError` or `TokenUnavailableError` without a token, and the error that remained
    of a request that failed. Whatever ends it early, `left` is what remains to be searched.
    """

    def __init__(self, api: DetailsApi, first_token: Callable[[], Awaitable[None]], wanted: Wanted) -> None:
        self.returned = 0
        """The number of conversations in Genesys's replies."""
        self.not_recorded = 0
        """How many of them were left out because they were not recorded."""
        self.sees_from: datetime | None = None
        """The first day of which conversations were looked for; None if all days were, as by a job."""
        self._api = api
        self._first_token = first_token
        self._wanted = wanted
        self._left: Interval | None = (wanted.begin, wanted.end)
        self._newest: datetime | None = None
        self._is_in_order = True
        self._repeatable: set[str] = set()
        """The ids that may be found again, by the job or by another query."""
        self._ids = self._search()

    def __repr__(self) -> str:
        left = "done" if self._left is None else f"{interval_text(*self._left)} left"
        return f"<Discovery in {interval_text(self._wanted.begin, self._wanted.end)}: {left}>"

    @property
    def left(self) -> Interval | None:
        """
        The interval in which another search finds all that this one has not yielded; None when all is yielded.

        It finds some again that this one has yielded.
        """
        return self._left

    async def asend(self, value: None) -> str:
        """Return the next id."""
        return await self._ids.asend(value)

    async def athrow(
        self,
        kind: type[BaseException] | BaseException,
        error: BaseException | object = None,
        traceback: TracebackType | None = None,
    ) -> str:
        """Raise an exception where the search is."""
        raised = error if isinstance(error, BaseException) else kind
        raised = raised if isinstance(raised, BaseException) else raised()
        return await self._ids.athrow(raised.with_traceback(traceback))

    async def aclose(self) -> None:
        """End the search."""
        await self._ids.aclose()

    async def _search(self) -> AsyncGenerator[str]:
        wanted = self._wanted
        await self._first_token()
        try:
            if wanted.by == "query" or await self._is_query_enough():
                async for conversation_id in self._by_query(wanted.begin, wanted.end):
                    yield conversation_id
            else:
                async for conversation_id in self._by_job():
                    yield conversation_id
            self._left = None
        except GenesysMediaError as error:
            error.add_note(f"Not searched yet: {interval_text(*self._left or (wanted.begin, wanted.end))}")
            raise

    async def _is_query_enough(self) -> bool:
        """Return whether the query is sure to see all, and finds few."""
        wanted = self._wanted
        if wanted.by != "auto" or not wanted.is_within_look_back or wanted.end - wanted.begin > MAX_QUERY:
            return False
        *_, part = parts_of(wanted.begin, wanted.end, wanted.look_back)
        return (await self._page(part, 1)).totalHits <= MAX_QUERIED

    async def _by_job(self) -> AsyncGenerator[str]:
        """Yield the ids that queries find after the date until which jobs have data, then those of a job."""
        wanted = self._wanted
        available = await self._api.available_until()
        until = min(wanted.end, max(available, wanted.begin))
        job_id = None
        if until > wanted.begin:
            body = wanted.job_body(wanted.begin, until)
            job_id = await self._api.submit(body, interval_text(wanted.begin, until))
        if until < wanted.end:
            async for conversation_id in self._by_query(until, wanted.end, has_job=job_id is not None):
                yield conversation_id
        if job_id is None:
            return
        self._left = wanted.begin, until
        async for page in self._api.results(job_id):
            for conversation in self._wanted_in(page):
                if conversation.was_active(wanted.begin, until) and conversation.conversationId not in self._repeatable:
                    yield conversation.conversationId

    async def _by_query(self, begin: datetime, end: datetime, *, has_job: bool = False) -> AsyncGenerator[str]:
        """Yield the ids that queries find; with a job for what is before `begin`, remember those that it may find."""
        parts = list(parts_of(begin, end, self._wanted.look_back))
        searched_from = parts[0].starts_from
        if not has_job and not self._wanted.is_within_look_back:
            self.sees_from = searched_from
        # What began before is in the job's results as well; a start outside of all parts contradicts the documentation.
        unsure_before = begin if has_job else searched_from
        for part in parts:
            async for page in self._pages(part):
                for conversation in self._wanted_in(page):
                    started = conversation.conversationStart
                    if not conversation.was_active(begin, end):
                        continue
                    if started is None or started < unsure_before:
                        is_new = self._is_new(conversation.conversationId)
                    else:
                        is_new = part.has(started)
                    if is_new:
                        yield conversation.conversationId
                if not has_job:
                    self._advance(page, begin, end)

    async def _pages(self, part: Part) -> AsyncGenerator[Page]:
        for number in count(1):
            page = await self._page(part, number)
            yield page
            if not page.conversations or number * QUERY_PAGE >= page.totalHits:
                return

    def _is_new(self, conversation_id: str) -> bool:
        is_new = conversation_id not in self._repeatable
        self._repeatable.add(conversation_id)
        return is_new

    async def _page(self, part: Part, number: int) -> Page:
        body = self._wanted.query_body(part, page_size=QUERY_PAGE, page_number=number)
        return await self._api.query(body, interval_text(part.begin, part.end))

    def _wanted_in(self, page: Page) -> list[Conversation]:
        """Return a page's conversations without those that are known not to be recorded."""
        found = page.conversations or []
        self.returned += len(found)
        if not self._wanted.recorded_only:
            return found
        recorded = [conversation for conversation in found if not conversation.was_not_recorded]
        self.not_recorded += len(found) - len(recorded)
        return recorded

    def _advance(self, page: Page, begin: datetime, end: datetime) -> None:
        """Shorten what is left, after a page, as long as the conversations come in the order of their starts."""
        for conversation in page.conversations or ():
            started = conversation.conversationStart
            self._is_in_order &= started is not None and (self._newest is None or started >= self._newest)
            self._newest = started
        if not self._is_in_order:
            self._left = begin, end
        elif self._newest is not None and begin < self._newest < end:
            self._left = self._newest, end
