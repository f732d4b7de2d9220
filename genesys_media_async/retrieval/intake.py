"""The intake of one run, which is closed while a host is down, and for good when an outage was given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import OutageError

if TYPE_CHECKING:
    from ..api.host_gate import HostGate


class OutageIntake:
    """An `Intake` that follows the gate of the hosts."""

    def __init__(self, gate: HostGate) -> None:
        self._gate = gate
        self._health = gate.health
        self._given_up = gate.given_up

    @property
    def is_open(self) -> bool:
        """True if no host is down, and none was given up since this run was made."""
        return not self._health.is_down and self._gate.given_up is self._given_up

    async def admitted(self) -> bool:
        """Wait until an id may be taken; see `Intake`. Raises `OutageError` once the outage was given up."""
        given_up = self._gate.given_up
        if given_up is not self._given_up and given_up is not None:
            raise OutageError(given_up.message)
        return await self._gate.wait_to_take()

    def wake(self) -> None:
        """Let the workers that wait look whether the run was stopped."""
        self._gate.wake_takers()
