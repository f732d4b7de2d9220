"""What exists while a retriever is open, and what an endpoint works with: from a request to an answer that is told."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from .api import outcome_of
from .errors import InvalidRequest, TokenUnavailable
from .events import AttemptAudited, Outcome, RetrievalFinished
from .models import DownloadUrl, MediaRequest, MediaResult, text_of
from .tally import Statistics, Tally

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .api import Answer, Api, Call
    from .clock import Clock
    from .endpoints import Endpoint
    from .events import Event
    from .limiter.base import Limiter
    from .retry import RetryBudget
    from .settings import ValidationRule
    from .sinks import Lanes
    from .tokens import TokenManager
    from .transports import Transport
    from .webhooks import Webhooks

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

    api: Api
    tokens: TokenManager
    limiter: Limiter
    transport: Transport
    transport_name: str
    lanes: Lanes
    webhooks: Webhooks | None
    endpoint: Endpoint
    clock: Clock
    user_agent: str
    opened_at: float
    tally: Tally = field(default_factory=Tally)
    running: list[Tally] = field(default_factory=list[Tally])

    async def first_token(self, patience: float) -> None:
        """Wait until there is a token; give up on a login host that has none to give for `patience` seconds."""
        gives_up_at = self.clock.monotonic() + patience
        while True:
            try:
                await self.tokens.bearer()
            except TokenUnavailable as error:
                pause = error.retry_after or 0.0
                if not error.retryable or self.clock.monotonic() + pause >= gives_up_at:
                    raise
                await self.clock.sleep(pause)
            else:
                return

    def total(self) -> Tally:
        """Return the counts of all runs together, those that go on included."""
        total = Tally()
        for tally in (self.tally, *self.running):
            total.add(tally)
        return total

    def statistics(self, tally: Tally, *, since: float) -> Statistics:
        """Return how far a tally is that has been counting since then (monotonic seconds)."""
        elapsed = self.clock.monotonic() - since
        return Statistics.of(
            tally, waiting_for_quota=self.limiter.waiting, elapsed=elapsed, transport=self.transport_name
        )


class Run:
    """What the requests of one run have in common: the options, the tally, the budget of retries."""

    def __init__(
        self,
        engine: Engine,
        options: Options,
        tally: Tally,
        budget: RetryBudget,
        rest: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self.engine = engine
        self.options = options
        self.tally = tally
        self.budget = budget
        self.rest = rest
        self._forms = {form.count("/"): form for form in engine.endpoint.forms}

    def request(self, file_id: str) -> MediaRequest:
        """Return what to ask for an id. Raises `InvalidRequest`."""
        options, forms = self.options, self.engine.endpoint.forms
        form = forms[0]
        if len(forms) > 1 and type(file_id) is str:
            form = self._forms.get(file_id.count("/"), form)
        try:
            return MediaRequest(file_id, options.expires_in, options.access_level, form)
        except InvalidRequest as error:
            if error.code == "invalid_file_id" and forms != ("fileId",):
                error.advice = f"An id here is {' or '.join(forms)}. {error.advice}"
            raise

    async def retrieve_one(self, file_id: str) -> list[MediaResult]:
        """Return all that comes of one id."""
        try:
            request = self.request(file_id)
        except InvalidRequest as error:
            return [await self.refuse(file_id, error)]
        results: list[MediaResult] = []
        await self.engine.endpoint.retrieve((request,), Errand(self, results.append))
        self.require_answer(request.file_id, results)
        return results

    def require_answer(self, file_id: str, results: list[MediaResult]) -> None:
        """Raise `RuntimeError` if an endpoint that is done has told nothing of a request: it must lose none."""
        if not results:
            raise RuntimeError(f"{self.engine.endpoint!r} told nothing of {file_id}.")

    async def refuse(self, file_id: str, error: InvalidRequest) -> MediaResult:
        """Record that an id cannot be asked for."""
        text = text_of(file_id)
        await self.engine.api.record_unsent(text, self.engine.endpoint.action, error)
        result = MediaResult(text, error=error)
        self.finish(result)
        return result

    def finish(self, result: MediaResult) -> None:
        """Tell the webhook and the sinks of a result that is recorded."""
        engine, url, error = self.engine, result.url, result.error
        if engine.webhooks is not None and url is not None:
            engine.webhooks.post(result.file_id, url, media_id=result.media_id)
        engine.lanes.emit(
            # By position, as in `Api`.
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
    """The `Assignment` of an endpoint: what is told, it finishes and puts."""

    def __init__(self, run: Run, put: Callable[[MediaResult], None]) -> None:
        self._run = run
        self._put = put
        self.rule: ValidationRule = run.options.rule
        self.clock: Clock = run.engine.clock

    def ask(self, call: Call[T], /) -> Awaitable[Answer[T]]:
        """Make a call to its end."""
        run = self._run
        return run.engine.api.call(call, deadline=run.options.deadline, budget=run.budget, tally=run.tally)

    async def wait(self, seconds: float, /) -> None:
        """Wait, and give the worker's place away meanwhile."""
        async with self._run.rest():
            await self._run.engine.clock.sleep(seconds)

    def emit(self, event: Event, /) -> None:
        """Let the sinks know of something that happened."""
        self._run.engine.lanes.emit(event)

    async def tell(self, request: MediaRequest, answer: Answer[DownloadUrl], /, *, media_id: str | None = None) -> None:
        """Hand over what a request has come to."""
        if media_id is not None:
            await self._record(media_id, answer)
        result = MediaResult(
            request.file_id,
            answer.value,
            answer.error,
            answer.attempts,
            answer.latency,
            answer.correlation_id,
            media_id,
        )
        self._run.finish(result)
        self._put(result)

    async def _record(self, media_id: str, answer: Answer[DownloadUrl]) -> None:
        engine, error = self._run.engine, answer.error
        written = engine.lanes.audit(
            AttemptAudited(
                at=engine.clock.wall(),
                action=f"{engine.endpoint.action}.result",
                file_id=media_id,
                outcome=outcome_of(error),
                status=error.status if error is not None else None,
                latency=answer.latency,
                user_agent=engine.user_agent,
                attempt=answer.attempts,
                code=error.code if error is not None else None,
                correlation_id=answer.correlation_id,
            )
        )
        if written is not None:
            await written
