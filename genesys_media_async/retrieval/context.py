"""What an endpoint works with: the options of a run, its calls, and where its results go."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from ..errors import AuditWriteError, GenesysMediaError, InvalidRequestError
from ..ids import display_id
from ..models import Failed, MediaRequest, Retrieved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from ..api.calls import Call, CallResult
    from ..api.retry import RetryBudget
    from ..audit.group import RecordGroup
    from ..clock import Clock
    from ..counters import Counters
    from ..models import DownloadUrl, MediaResult
    from ..settings.policies import ValidationRule
    from .options import Options
    from .session import Session

T = TypeVar("T")


class MakeCall(Protocol):
    """`EndpointContext.call` as a value."""

    def __call__(self, call: Call[T], /) -> Awaitable[CallResult[T]]:
        """Make a call to its end."""
        ...


class RunContext:
    """
    The `EndpointContext` of ids that share options, counters and a budget of retries.

    Each result is added to the `results` of its id, which has to be there, and told by `tell` once it is recorded.
    """

    def __init__(self, session: Session, options: Options, counters: Counters, budget: RetryBudget) -> None:
        self.rule: ValidationRule = options.rule
        self.clock: Clock = session.clock
        self.counters = counters
        self._session = session
        self._endpoint = session.endpoint
        self._recorder = session.recorder
        self._options = options
        self._api = session.api
        self.call = cast(
            "MakeCall", partial(session.api.call, deadline=options.deadline, budget=budget, counters=counters)
        )
        self.results: dict[str, list[MediaResult]] = {}
        """The results so far of each id in flight."""
        self.emit = session.dispatcher.emit
        formats = session.endpoint.id_formats
        self._formats = {id_format.count("/"): id_format for id_format in formats}
        self._is_one_part = len(formats) == 1 and "/" not in formats[0]
        self._plain_request = partial(
            MediaRequest,
            expires_in=options.expires_in,
            access_level=options.access_level,
            id_format=formats[0],
        )

    def request(self, file_id: str) -> MediaRequest:
        """Return the request for an id. Raises `InvalidRequestError`."""
        options, formats = self._options, self._endpoint.id_formats
        id_format = formats[0]
        if len(formats) > 1 and type(file_id) is str:
            id_format = self._formats.get(file_id.count("/"), id_format)
        try:
            return MediaRequest.checked(file_id, options.expires_in, options.access_level, id_format)
        except InvalidRequestError as error:
            if error.code == "invalid_file_id" and not self._is_one_part:
                error.advice = f"Write it as {' or '.join(formats)}, each part of A-Z a-z 0-9 . _ - and no dot first."
            raise

    async def sleep(self, seconds: float, /) -> None:
        """Wait, while another id uses the worker's slot."""
        async with self.slot_released():
            await self.clock.sleep(seconds)

    def slot_released(self) -> AbstractAsyncContextManager[None]:
        """Return a block in which another worker uses the slot; without workers there is none."""
        return nullcontext()

    async def report(
        self, request: MediaRequest, result: CallResult[DownloadUrl], /, *, media_id: str | None = None
    ) -> None:
        """Report what a request came to."""
        url, group = result.value, result.group
        if media_id is not None:
            group = self._recorder.result(
                self._endpoint.action,
                media_id,
                result.error,
                result.latency,
                result.attempts,
                result.correlation_id,
            )
        if url is not None:
            outcome: MediaResult = Retrieved(
                # By position: that is three times faster than by name, and done for every id.
                request.file_id,
                url.url,
                url.ends_at,
                url.expires_in,
                url.file_name,
                url.content_type,
                url.access_level,
                url.expiry_source,
                result.attempts,
                result.latency,
                result.correlation_id,
                media_id,
            )
        else:
            error = result.error or GenesysMediaError("The endpoint reported neither a URL nor an error.")
            outcome = Failed(
                request.file_id,
                self._api.mask.error(error).without_frames(),
                result.attempts,
                result.latency,
                result.correlation_id,
                media_id,
            )
            if self.keeps_back(outcome, group):
                return
        self.results[request.file_id].append(outcome)
        if group.is_pending:
            # As `tell_later` does; its call would be one more for each id.
            group.held[self].append(outcome)
        else:
            group.tell_later(self, outcome)

    def refuse(self, file_id: str, error: InvalidRequestError) -> tuple[Failed, RecordGroup]:
        """Record that an id cannot be sent; return its result and the group of the record."""
        refused = Failed(display_id(file_id), error.without_frames())
        return refused, self._recorder.unsent(self._endpoint.action, refused.file_id, error)

    def keeps_back(self, result: Failed, group: RecordGroup) -> bool:  # noqa: ARG002 - only a run has a second pass
        """Return whether a failure is not told now, since the id may be requested again."""
        return False

    def tell(self, results: list[MediaResult]) -> None:
        """Tell everybody of recorded results."""
        raise NotImplementedError

    def announce(self, results: list[MediaResult]) -> None:
        """Send recorded results to webhooks and sinks."""
        webhooks = self._session.webhooks
        if webhooks is not None:
            for result in results:
                if isinstance(result, Retrieved):
                    webhooks.post(result)
        self._session.dispatcher.finish(results)

    def require_result(self, file_id: str, results: Sequence[MediaResult]) -> None:
        """Raise `RuntimeError` if the endpoint returned without a result for a request: no id may be lost."""
        if not results:
            raise RuntimeError(f"{self._endpoint!r} reported no result for {file_id}.")


class OneId(RunContext):
    """The context of one id that is retrieved by itself, without workers."""

    def __init__(self, session: Session, options: Options, counters: Counters, budget: RetryBudget) -> None:
        super().__init__(session, options, counters, budget)
        self._told = 0

    def tell(self, results: list[MediaResult]) -> None:
        """Send recorded results to webhooks and sinks."""
        self._told += len(results)
        self.announce(results)

    async def retrieve(self, file_id: str) -> list[MediaResult]:
        """Return all results of an id, once they are recorded. Raises `AuditWriteError`."""
        try:
            request = self.request(file_id)
        except InvalidRequestError as error:
            refused, group = self.refuse(file_id, error)
            group.tell_later(self, refused)
            await group.written()
            return [refused]
        results = self.results[request.file_id] = []
        await self._endpoint.retrieve((request,), self)
        self.require_result(file_id, results)
        await self._recorder.newest.written()
        if self._told < len(results):
            raise AuditWriteError(f"An audit record of {file_id} could not be written.")
        return results
