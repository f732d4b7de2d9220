"""Audit records that are written together, and what is told once they are."""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import AuditWriteError
    from ..events import AttemptAudited
    from ..models import MediaResult


class RecordGroup:
    """
    Audit records that are written together.

    Until that is done, results are kept in `held`, each with the function that tells it; then all of them are told. If
    the group is lost, they are not: an error takes their place, which `require` and `written` raise.
    """

    __slots__ = ("_error", "_waiters", "held", "is_heard", "is_written", "records")

    def __init__(self) -> None:
        self.records: list[AttemptAudited] = []
        self.held: list[tuple[Callable[[MediaResult], None], MediaResult]] = []
        self.is_written = False
        self.is_heard = False
        """Whether somebody knows that the records are lost."""
        self._error: AuditWriteError | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        state = "written" if self.is_written else "lost" if self._error is not None else "not yet written"
        return f"<RecordGroup: {len(self.records)} records, {state}>"

    def tell_later(self, tell: Callable[[MediaResult], None], result: MediaResult) -> None:
        """Call `tell` with a result once the records are written. Raises `AuditWriteError` if they are lost."""
        if self.is_written:
            tell(result)
        else:
            self.require()
            self.held.append((tell, result))

    @property
    def is_lost(self) -> bool:
        """Whether the records could not be written."""
        return self._error is not None

    def require(self) -> None:
        """Raise `AuditWriteError` if the records are lost."""
        if self._error is not None:
            self.is_heard = True
            # A new one each time: each has a traceback of its own.
            raise copy(self._error) from self._error.__cause__

    async def written(self) -> None:
        """Wait until the records are written. Raises `AuditWriteError` if they are lost."""
        if not self.is_written and self._error is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        self.require()

    def settle(self) -> None:
        """Note that the records are written, tell what was held, and let those go on who wait."""
        self.is_written = True
        # Results that are kept for long keep their group.
        self.records = []
        held, self.held = self.held, []
        for tell, result in held:
            tell(result)
        self._wake()

    def lose(self, error: AuditWriteError) -> None:
        """Note that the records are lost, and drop what was held."""
        self._error = error
        self.held.clear()
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


def _written() -> RecordGroup:
    group = RecordGroup()
    group.is_written = True
    return group


WRITTEN: Final = _written()
"""The group of what nobody has to write."""
