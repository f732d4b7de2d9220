"""
How a reply with a fault of the wire travels, step by step: one description that every carrier follows.

The steps are made while they are followed, so that a carrier that is cut off makes no more of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from .faults import CUT_OR_SLOW, SILENT, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .messages import Reply
    from .settings import SimulatorSettings

RESET_DELAY = 0.01
"""Seconds between half a reply and its reset: time for the half to leave."""

GARBAGE_BYTES = b"\x16\x03\x01 this is not HTTP \x00\xff\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Send:
    """Send bytes as they are."""

    data: bytes


class Mark(Enum):
    """A step without a content: send the reply's head, be done with it, or end the connection."""

    HEAD = "head"
    DONE = "done"
    CLOSE = "close"
    RESET = "reset"


Step = Wait | Send | Mark


def travels_oddly(fault: Fault | None) -> bool:
    """Say whether a reply must be sent by `steps`; every other is sent whole and at once."""
    return fault is not None and (fault in SILENT or fault in CUT_OR_SLOW)


def steps(reply: Reply, settings: SimulatorSettings) -> Iterator[Step]:
    """Yield how to send a reply that `travels_oddly`; the last step is DONE, CLOSE or RESET."""
    if reply.fault is Fault.HANG:
        yield Wait(settings.fault_seconds)
    elif reply.fault is Fault.GARBAGE:
        yield Send(GARBAGE_BYTES)
    elif reply.fault is Fault.SLOW_DRIP:
        yield from _drip(reply.body, settings)
        return
    elif reply.fault in CUT_OR_SLOW:
        yield Mark.HEAD
        yield Send(reply.body[: len(reply.body) // 2])
    if reply.fault is Fault.RESET_DURING_REPLY:
        yield Wait(RESET_DELAY)
    yield Mark.RESET if reply.fault in (Fault.RESET_BEFORE_REPLY, Fault.RESET_DURING_REPLY) else Mark.CLOSE


def _drip(body: bytes, settings: SimulatorSettings) -> Iterator[Step]:
    """Send one byte at a time; the last is kept back until the whole has taken `fault_seconds`."""
    yield Mark.HEAD
    for place in range(len(body) - 1):
        yield Send(body[place : place + 1])
        yield Wait(settings.drip_gap)
    yield Wait(max(0.0, settings.fault_seconds - settings.drip_gap * (len(body) - 1)))
    yield Send(body[-1:])
    yield Mark.DONE
