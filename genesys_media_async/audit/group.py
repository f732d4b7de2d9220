"""Audit records that are written together, and what is told once they are."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from ..errors import AuditWriteError
    from ..events import AttemptAudited
    from ..models import MediaResult


class Audience(Protocol):
    """Whoever is told of results once their records are written."""

    def tell(self, results: list[MediaResult]) -> None:
        """Take results that were recorded together."""
        ...


class RecordGroup:
    """
    Audit records that are written together.

    While `is_pending`, results are kept in `held` for each audience, which is told of all of them once the records are
    written. If the group is lost, nobody is: an error takes their place, which `require` and `written` raise.
    """

    __slots__ = ("_error", "_waiters", "held", "is_heard", "is_pending", "records")

    def __init__(self) -> None:
        self.records: list[AttemptAudited] = []
        self.held: defaultdict[Audience, list[MediaResult]] = defaultdict(list)
        self.is_pending = True
        self.is_heard = False
        """Whether somebody knows that the records are lost."""
        self._error: AuditWriteError | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        state = "not yet written" if self.is_pending else "lost" if self.is_lost else "written"
        return f"<RecordGroup: {len(self.records)} records, {state}>"

    def tell_later(self, audience: Audience, result: MediaResult) -> None:
        """Tell of a result once the records are written. Raises `AuditWriteError` if they are lost."""
        if self.is_pending:
            self.held[audience].append(result)
        else:
            self.require()
            audience.tell([result])

    @property
    def is_lost(self) -> bool:
        """Whether the records could not be written."""
        return self._error is not None

    def require(self) -> None:
        """Raise `AuditWriteError` if the records are lost."""
        if self._error is not None:
            self.is_heard = True
            raise self._error.twin()

    async def written(self) -> None:
        """Wait until the records are written. Raises `AuditWriteError` if they are lost."""
        if self.is_pending:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        self.require()

    def settle(self) -> None:
        """Note that the records are written, tell what was held, and let those go on who wait."""
        self._end()
        # Results that are kept for long keep their group.
        self.records = []
        for audience, results in self.held.items():
            audience.tell(results)
        self.held.clear()

    def lose(self, error: AuditWriteError) -> None:
        """Note that the records are lost, and drop what was held."""
        self._error = error
        self._end()
        self.held.clear()

    def _end(self) -> None:
        self.is_pending = False
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


def _written() -> RecordGroup:
    group = RecordGroup()
    group.settle()
    return group


WRITTEN: Final = _written()
"""The group of what nobody has to write."""
