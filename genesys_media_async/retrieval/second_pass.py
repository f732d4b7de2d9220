"""The ids of a run that failed for now: they wait until the others are done, and are then requested once more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ..errors import DeadlineExceededError, OutageError

if TYPE_CHECKING:
    from ..audit.group import RecordGroup
    from ..errors import GenesysMediaError
    from ..models import Failed, MediaResult

MAX_DEFERRED = 100_000
"""Ids that may wait for the second pass, about 1 KB each; the results of any more are handed over at once."""


@dataclass(slots=True)
class _Deferred:
    results: list[tuple[Failed, RecordGroup]]
    copies: int = 0
    """How often the input has repeated the id since."""


class SecondPass:
    """
    The failed results that are kept back, first of the ids in flight, then of those that are done.

    Only ids none of whose results is final are requested again: a repetition has all results of an id. Nor are those
    whose deadline passed, since they have no time left.
    """

    def __init__(self) -> None:
        self.held: dict[str, list[tuple[Failed, RecordGroup]]] = {}
        """The results kept back of each id in flight, each with the group of its audit record."""
        self.deferred: dict[str, _Deferred] = {}
        """The ids that wait, with their results."""
        self._attempts: dict[str, int] = {}
        self.is_over = False
        """True once the second pass has begun: from then on every result is final."""

    def hold(self, result: Failed, group: RecordGroup) -> bool:
        """Keep back a result of an id in flight, if it can be better later; return whether it was kept."""
        if self.is_over or not is_worth_repeating(result.error) or len(self.deferred) >= MAX_DEFERRED:
            return False
        self.held.setdefault(result.file_id, []).append((result, group))
        return True

    def settle(self, file_id: str, *, has_others: bool) -> list[tuple[Failed, RecordGroup]]:
        """
        Decide about an id that is done: return the results kept back that are now to be handed over.

        With `has_others` the id has results that were handed over already. Otherwise it is deferred.
        """
        held = self.held.pop(file_id, [])
        if held and not has_others:
            self.deferred[file_id] = _Deferred(held)
            return []
        return held

    def repeats(self, file_id: str) -> bool:
        """Note that the input repeats an id, and return whether it is deferred."""
        deferred = self.deferred.get(file_id)
        if deferred is None:
            return False
        deferred.copies += 1
        return True

    def begin(self) -> tuple[str, ...]:
        """Begin the second pass and return its ids, each as often as the input had it."""
        self.is_over = True
        return tuple(each for file_id, kept in self.deferred.items() for each in [file_id] * (kept.copies + 1))

    def take(self, file_id: str) -> int:
        """Take out an id that is being requested again; return how often the input had it, or 0 if it was taken."""
        kept = self.deferred.pop(file_id, None)
        if kept is None:
            return 0
        self._attempts[file_id] = max(result.attempts for result, _ in kept.results)
        return 1 + kept.copies

    def whole(self, result: MediaResult) -> MediaResult:
        """Return a result of the second pass with the requests of the first one counted, too."""
        earlier = self._attempts.get(result.file_id, 0)
        return replace(result, attempts=result.attempts + earlier) if earlier else result

    def drop(self) -> list[list[tuple[Failed, RecordGroup]]]:
        """Return the results of each id that nobody requests again, as often as the input had it; and forget them."""
        left = [kept.results for kept in self.deferred.values() for _ in range(kept.copies + 1)]
        self.deferred.clear()
        return left


def is_worth_repeating(error: GenesysMediaError) -> bool:
    """Return whether the same id may be retrieved at the end of the run."""
    return error.retryable and not isinstance(error, DeadlineExceededError | OutageError)
