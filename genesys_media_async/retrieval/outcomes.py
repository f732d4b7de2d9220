"""Which result each id of a run gets: counted, shared with ids that repeat it, or kept back for the second pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import AuditWriteError, InvalidRequestError
from ..ids import exact_str, is_file_id
from .context import RunContext
from .refusals import Refusals
from .second_pass import SecondPass
from .single_flight import HALF, SingleFlight

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from ..api.retry import RetryBudget
    from ..audit.group import RecordGroup
    from ..counters import Counters
    from ..errors import GenesysMediaError
    from ..models import Failed, MediaRequest, MediaResult
    from .options import Options
    from .pool import Pool
    from .session import Session

FRESH_SHARE = 0.1
"""A URL with less than this share of its lifetime left when it is handed over is requested again."""


class Outcomes(RunContext):
    """
    The context and the book of a run, and the work of its pool: an id is begun, retrieved by the endpoint, ended.

    Everything here is decided at once; the pool waits for the endpoint, and `share` for ids in flight. `pool` gets what
    is to be handed over, and is the one that works at the moment.
    """

    def __init__(self, session: Session, options: Options, counters: Counters, budget: RetryBudget) -> None:
        super().__init__(session, options, counters, budget)
        self._flights = SingleFlight()
        self.results = self._flights.in_flight
        self._refusals = Refusals(options.max_refusals, session.endpoint)
        self._has_second_pass = options.second_pass
        self.second_pass = SecondPass()
        self.pool: Pool[str, MediaResult, MediaRequest]
        # The endpoint itself: a method of one line would be one more call for each id.
        self.do = session.endpoint.retrieve
        self.repeated: list[tuple[str, list[MediaResult]]] = []
        """Ids that repeat one in flight, with the list of its results so far."""
        self._repeats = Repeats(self)
        self._is_trail_broken = False

    def slot_released(self) -> AbstractAsyncContextManager[None]:
        """Return a block in which another worker uses the slot."""
        return self.pool.slot_released()

    # The work of the pool.

    def begin(self, file_ids: tuple[str, ...]) -> tuple[MediaRequest, ...]:
        """Return the requests to make; what else the ids come to is done here, or noted in `repeated`."""
        return tuple(filter(None, map(self._begin, file_ids)))

    def _begin(self, given: str) -> MediaRequest | None:
        if self._refusals.all_refused is not None and not self.counters.succeeded:
            # Only now is it certain that ids remain; from this one on they are not requested, and have no result.
            self.pool.fail(self._refusals.all_refused)
            return None
        flights = self._flights
        if type(given) is not str:
            given = exact_str(given)
            if type(given) is not str:
                # It may not even have a hash.
                return self._new(given)
        if given in flights.recent or given in flights.in_flight or given in flights.earlier:
            if self._is_known(given):
                return None
        elif self.second_pass.deferred and self._is_deferred(given):
            return None
        if self._is_one_part and is_file_id(given):
            flights.in_flight[given] = []
            return self._plain_request(given)
        return self._new(given)

    def _new(self, given: str) -> MediaRequest | None:
        try:
            request = self.request(given)
        except InvalidRequestError as error:
            self.counters.done += 1
            refused, group = self.refuse(given, error)
            group.tell_later(self, refused)
            return None
        self.results[given] = []
        return request

    def _is_known(self, file_id: str) -> bool:
        """Return whether an id has its results, or will have them when the one in flight ends."""
        flights = self._flights
        in_flight = flights.in_flight.get(file_id)
        if in_flight is not None:
            self.repeated.append((file_id, in_flight))
            return True
        known = flights.recent.get(file_id) or flights.earlier.get(file_id)
        if known is None or any(map(self.is_stale, known)):
            return False
        self._repeat(known)
        return True

    def end(self, requests: tuple[MediaRequest, ...]) -> None:
        """End the ids of requests. Raises `RuntimeError` if one has no result."""
        flights = self._flights
        for request in requests:
            file_id = request.file_id
            results = flights.in_flight.pop(file_id)
            if not results or self.second_pass.held:
                if self._settle(file_id, results):
                    continue
                self.require_result(file_id, results)
            self.counters.done += 1
            flights.recent[file_id] = results
            if flights.waiting:
                flights.let_go(file_id)

    def let_go(self, requests: tuple[MediaRequest, ...]) -> None:
        """Forget ids in flight whose endpoint raised."""
        for request in requests:
            self._flights.let_go(request.file_id)

    async def share(self) -> None:
        """Wait for the ids in flight that others repeat, and hand their results over once more."""
        repeated, self.repeated = self.repeated, []
        for file_id, results in repeated:
            if self._flights.in_flight.get(file_id) is results:
                async with self.pool.slot_released():
                    await self._flights.wait(file_id)
            if results:
                self._repeat(results)
            elif self.second_pass.repeats(file_id):
                self.counters.deferred += 1

    async def settled(self) -> None:
        """Wait until everything so far is recorded, and so told. Raises `AuditWriteError`."""
        await self._recorder.newest.written()

    # The results.

    def keeps_back(self, result: Failed, group: RecordGroup) -> bool:
        """Return whether a failure waits for the second pass."""
        return self._has_second_pass and self.second_pass.hold(result, group)

    def tell(self, results: list[MediaResult]) -> None:
        """Tell everybody of recorded results, and give them to the iteration."""
        results = self._whole(results)
        self.announce(results)
        self._give(results)
        if len(self._flights.recent) >= HALF:
            self._flights.forget()
        for result in results:
            if not result.ok:
                self.judge(result.error)

    def tell_again(self, results: list[MediaResult]) -> None:
        """Give results to the iteration once more; they show nothing new."""
        self._give(self._whole(results))

    def _whole(self, results: list[MediaResult]) -> list[MediaResult]:
        """Return results with what the first pass knew, if this is the second one."""
        return list(map(self.second_pass.whole, results)) if self.second_pass.is_over else results

    def _give(self, results: list[MediaResult]) -> None:
        """Count results, and give them to the iteration."""
        succeeded = sum([result.ok for result in results])
        self.counters.succeeded += succeeded
        self.counters.failed += len(results) - succeeded
        self.pool.hand_over(results)

    def _repeat(self, results: Sequence[MediaResult]) -> None:
        self.counters.done += 1
        if not self._is_trail_broken:
            # The first of their kind may not be recorded yet.
            for result in results:
                self._recorder.newest.tell_later(self._repeats, result)

    def judge(self, error: GenesysMediaError) -> None:
        """End the run after a failure that leaves no way to go on."""
        end = self._refusals.add(error, has_success=self.counters.succeeded > 0)
        if end is not None:
            self.pool.fail(end)

    def fail(self, error: GenesysMediaError) -> None:
        """Take no more ids, and raise an error after the last result."""
        self._is_trail_broken |= isinstance(error, AuditWriteError)
        self.pool.fail(error)

    def is_stale(self, result: MediaResult) -> bool:
        """Return whether the URL of a result has next to no lifetime left."""
        return result.ok and result.ends_at - self.clock.wall() < FRESH_SHARE * result.expires_in

    # The second pass.

    def _is_deferred(self, file_id: str) -> bool:
        """Return whether an id waits for the second pass; in that one it is taken out."""
        if not self.second_pass.is_over:
            if self.second_pass.repeats(file_id):
                self.counters.deferred += 1
                return True
        else:
            self.counters.deferred -= self.second_pass.take(file_id)
        return False

    def _settle(self, file_id: str, results: list[MediaResult]) -> bool:
        """Decide about what was kept back of an id that is done; return whether it waits for the second pass."""
        for result, group in self.second_pass.settle(file_id, has_others=bool(results)):
            results.append(result)
            group.tell_later(self, result)
        if file_id not in self.second_pass.deferred:
            return False
        self.counters.deferred += 1
        self._flights.let_go(file_id)
        return True

    def hand_over_deferred(self) -> None:
        """Hand over what was kept back and is not requested again."""
        for results in self.second_pass.drop():
            self.counters.deferred -= 1
            self.counters.done += 1
            for result, group in results:
                if not group.is_lost:
                    group.tell_later(self, result)


class Repeats:
    """The audience of results that a run has told of before: only the iteration gets them again."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.tell = outcomes.tell_again
