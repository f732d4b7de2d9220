"""What exists while a retriever is open, and what an endpoint works with: from a request to an answer that is told."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from ..audit.recorder import outcome_of
from ..counters import Counters, Statistics
from ..errors import GenesysMediaError, InvalidRequestError
from ..events import Outcome, RetrievalFinished
from ..ids import display_id
from ..models import DownloadUrl, Failed, MediaRequest, MediaResult, Retrieved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..api.calls import Call, CallResult
    from ..api.client import ApiClient
    from ..api.retry import RetryBudget
    from ..api.tokens import TokenManager
    from ..audit.recorder import AuditRecorder
    from ..clock import Clock
    from ..endpoints.base import Endpoint
    from ..events import Event
    from ..governor import LocalLimiter
    from ..settings.policies import ValidationRule
    from ..sinks.dispatch import Dispatcher
    from ..transports.base import Transport
    from ..webhooks.delivery import Webhooks

T = TypeVar("T")

_SUCCESS = Outcome.SUCCESS


@dataclass(frozen=True, slots=True)
class Options:
    """What was said for a run, or else in the settings; see `RunOptions`."""

    expires_in: int
    access_level: str | None
    rule: ValidationRule
    concurrency: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts that all runs of a retriever share."""

    api: ApiClient
    tokens: TokenManager
    governor: LocalLimiter
    transport: Transport
    transport_name: str
    dispatcher: Dispatcher
    recorder: AuditRecorder
    webhooks: Webhooks | None
    endpoint: Endpoint
    clock: Clock
    user_agent: str
    opened_at: float
    counters: Counters = field(default_factory=Counters)
    running: list[Counters] = field(default_factory=list[Counters])

    async def first_token(self, patience: float) -> None:
        """Wait until there is a token; give up on a login host that has none to give for `patience` seconds."""
        await self.tokens.first(patience)

    def total(self) -> Counters:
        """Return the counts of all runs together, those that go on included."""
        total = Counters()
        for counters in (self.counters, *self.running):
            total.add(counters)
        return total

    def statistics(self, counters: Counters, *, since: float) -> Statistics:
        """Return how far a counters is that has been counting since then (monotonic seconds)."""
        elapsed = self.clock.monotonic() - since
        return Statistics.of(
            counters, waiting_for_quota=self.governor.waiting, elapsed=elapsed, transport=self.transport_name
        )


class Run:
    """What the requests of one run have in common: the options, the counters, the budget of retries."""

    def __init__(
        self,
        engine: Engine,
        options: Options,
        counters: Counters,
        budget: RetryBudget,
        rest: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self.engine = engine
        self.options = options
        self.counters = counters
        self.budget = budget
        self.rest = rest
        self._forms = {form.count("/"): form for form in engine.endpoint.id_formats}

    def request(self, file_id: str) -> MediaRequest:
        """Return what to ask for an id. Raises `InvalidRequestError`."""
        options, forms = self.options, self.engine.endpoint.id_formats
        form = forms[0]
        if len(forms) > 1 and type(file_id) is str:
            form = self._forms.get(file_id.count("/"), form)
        try:
            return MediaRequest.checked(file_id, options.expires_in, options.access_level, form)
        except InvalidRequestError as error:
            if error.code == "invalid_file_id" and forms != ("fileId",):
                error.advice = f"An id here is {' or '.join(forms)}. {error.advice}"
            raise

    async def retrieve_one(self, file_id: str) -> list[MediaResult]:
        """Return all that comes of one id."""
        try:
            request = self.request(file_id)
        except InvalidRequestError as error:
            return [await self.refuse(file_id, error)]
        results: list[MediaResult] = []
        await self.engine.endpoint.retrieve((request,), Errand(self, results.append))
        self.require_answer(request.file_id, results)
        return results

    def require_answer(self, file_id: str, results: list[MediaResult]) -> None:
        """Raise `RuntimeError` if an endpoint that is done has told nothing of a request: it must lose none."""
        if not results:
            raise RuntimeError(f"{self.engine.endpoint!r} told nothing of {file_id}.")

    async def refuse(self, file_id: str, error: InvalidRequestError) -> MediaResult:
        """Record that an id cannot be asked for."""
        text = display_id(file_id)
        written = self.engine.recorder.unsent(self.engine.endpoint.action, text, error)
        if written is not None:
            await written
        result = Failed(text, error)
        self.finish(result)
        return result

    def finish(self, result: MediaResult) -> None:
        """Tell the webhook and the sinks of a result that is recorded."""
        engine = self.engine
        url = result if result.ok else None
        error = None if result.ok else result.error
        if engine.webhooks is not None and url is not None:
            engine.webhooks.post(url)
        engine.dispatcher.emit(
            # By position, as in `ApiClient`.
            RetrievalFinished(
                engine.clock.wall(),
                result.file_id,
                _SUCCESS if error is None else outcome_of(error),
                result.latency,
                result.attempts,
                url is not None,
                result.media_id,
                url.content_type if url is not None else None,
                url.expires_in if url is not None else None,
                error.code if error is not None else None,
            )
        )


class Errand:
    """The `EndpointContext` of an endpoint: what is told, it finishes and puts."""

    def __init__(self, run: Run, put: Callable[[MediaResult], None]) -> None:
        self._run = run
        self._put = put
        self.rule: ValidationRule = run.options.rule
        self.clock: Clock = run.engine.clock

    def call(self, call: Call[T], /) -> Awaitable[CallResult[T]]:
        """Make a call to its end."""
        run = self._run
        return run.engine.api.call(call, deadline=run.options.deadline, budget=run.budget, counters=run.counters)

    async def sleep(self, seconds: float, /) -> None:
        """Wait, and give the worker's place away meanwhile."""
        async with self._run.rest():
            await self._run.engine.clock.sleep(seconds)

    def emit(self, event: Event, /) -> None:
        """Let the sinks know of something that happened."""
        self._run.engine.dispatcher.emit(event)

    async def report(
        self, request: MediaRequest, result: CallResult[DownloadUrl], /, *, media_id: str | None = None
    ) -> None:
        """Hand over what a request has come to."""
        if media_id is not None:
            await self._record(media_id, result)
        url = result.value
        outcome: MediaResult
        if url is not None:
            outcome = Retrieved(
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
            error = result.error or GenesysMediaError(f"{request.file_id} came to nothing.")
            outcome = Failed(
                request.file_id,
                error.without_frames(),
                result.attempts,
                result.latency,
                result.correlation_id,
                media_id,
            )
        self._run.finish(outcome)
        self._put(outcome)

    async def _record(self, media_id: str, result: CallResult[DownloadUrl]) -> None:
        engine = self._run.engine
        written = engine.recorder.result(
            engine.endpoint.action, media_id, result.error, result.latency, result.attempts, result.correlation_id
        )
        if written is not None:
            await written
