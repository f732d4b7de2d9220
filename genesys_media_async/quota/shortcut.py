"""Until when the account's last decision holds."""

from __future__ import annotations

import math

from .permit import Decision


class Shortcut:
    """
    A decision that holds for the next permits and replies: no need to decide again, nor to learn what is no news.

    While it is open nothing is paused, no probe is under way, no permit returns, no window ends, no limit rises by
    itself, and there is room. Whoever changes one of these, or takes of the room, closes it.
    """

    __slots__ = ("decision", "until", "up_to", "window")

    def __init__(self) -> None:
        self.until = -math.inf
        """Monotonic seconds; minus infinity while it is closed."""

        self.decision = Decision()
        """What those permits rest on: all of it stays the same meanwhile."""

        self.up_to = 0
        """The decision holds while permits taken ever, plus twice those in flight, are fewer than this."""

        self.window: int | None = None
        """The number of the window that the headers describe, if they describe one."""

    def open(self, decision: Decision, *, until: float, up_to: int, window: int | None) -> None:
        """Let the decision hold."""
        self.decision = decision
        self.until = until
        self.up_to = up_to
        self.window = window

    def end_by(self, time: float) -> None:
        """Let the decision hold no longer than until `time`."""
        self.until = min(self.until, time)

    def close(self) -> None:
        """Let the account decide again."""
        self.until = -math.inf
