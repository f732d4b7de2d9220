"""
The health of the hosts: which failures are about everybody, and when the next probe may be sent. Pure.

A host that is not there is no matter of one id: without this, every id of a run would be taken, fail, and be gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from ..errors import APIConnectionError, APIStatusError, ConnectError, StaleConnectionError, TokenUnavailableError
from .retry import STATUSES, curve, jittered

if TYPE_CHECKING:
    import random

    from ..errors import GenesysMediaError

PROBE_DELAYS = curve(0.5, 30.0)
"""Seconds before each probe of an outage, before jitter."""

MANY_FAILURES = 8
"""
Suspect failures in a row, of several calls, that make an outage.

Fewer would be met by chance: of requests that fail one by one in four, eight in a row fail once in 65,000.
"""


class Concern(Enum):
    """What a failure shows of its host."""

    NOTHING = auto()
    SUSPECT = auto()
    """The host may be down, or this one request may be too much for it."""
    DOWN = auto()
    """Nobody is there, or nobody grants a token: it is the same for every call."""


def concern_of(error: GenesysMediaError) -> Concern:
    """Return what a failed attempt shows of the host."""
    match error:
        case StaleConnectionError():
            # The retry travels over a fresh connection, and shows it.
            return Concern.NOTHING
        case ConnectError() | TokenUnavailableError():
            return Concern.DOWN if error.retryable else Concern.NOTHING
        case APIConnectionError():
            return Concern.SUSPECT
        case APIStatusError():
            return Concern.SUSPECT if error.status_code in STATUSES["outage"] else Concern.NOTHING
        case _:
            return Concern.NOTHING


@dataclass(slots=True)
class HostHealth:
    """
    The state of the hosts of one retriever, from the failures and replies of all its calls.

    `failures` counts the suspect failures since the last reply. While `is_down`, one probe may be sent from `probe_at`
    on (seconds of the monotonic clock, as all times here); each one that fails puts it off, on a curve up to 30 s.
    """

    rng: random.Random
    is_down: bool = False
    failures: int = 0
    began_at: float = 0.0
    probe_at: float = 0.0
    failed_probes: int = 0
    subject: str | None = None
    has_several_subjects: bool = False

    def failed(self, concern: Concern, subject: str, now: float, *, retry_after: float | None = None) -> bool:
        """
        Account for the failure of a call about `subject`; return True if it begins an outage.

        A single call that fails time after time begins none: its request may be the reason.
        """
        if self.is_down:
            return False
        self.failures += 1
        if self.subject is None:
            self.subject = subject
        self.has_several_subjects |= subject != self.subject
        is_spell = self.has_several_subjects and self.failures >= MANY_FAILURES
        if concern is not Concern.DOWN and not is_spell:
            return False
        self.is_down, self.began_at, self.failed_probes = True, now, 0
        self._put_off(now, retry_after)
        return True

    def probe_failed(self, now: float, *, retry_after: float | None = None) -> None:
        """Account for the failure of a probe."""
        self.failed_probes += 1
        self._put_off(now, retry_after)

    def answered(self) -> None:
        """Account for a reply: the host is there."""
        self.is_down, self.failures = False, 0
        self.subject, self.has_several_subjects = None, False

    def _put_off(self, now: float, retry_after: float | None) -> None:
        delay = jittered(PROBE_DELAYS, self.failed_probes + 1, self.rng)
        self.probe_at = now + max(delay, retry_after or 0.0)
