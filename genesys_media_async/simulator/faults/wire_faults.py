"""
Wire faults: the steps in which a faulty reply is sent, described once for every carrier.

The steps are a generator, so that a carrier whose connection ends makes no more of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from ..fault_kinds import CUT_OR_SLOW, SILENT, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..messages import Reply
    from ..settings import SimulatorSettings

RESET_DELAY = 0.01
"""Seconds between half a reply and its reset, in which the half is sent."""

GARBAGE_BYTES = b"\x16\x03\x01 this is not HTTP \x00\xff\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Wait:
    """A step that waits some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Send:
    """A step that sends bytes unchanged."""

    data: bytes


class Mark(Enum):
    """A step without data: send the reply's head, finish the reply, or end the connection."""

    HEAD = "head"
    DONE = "done"
    CLOSE = "close"
    RESET = "reset"


Step = Wait | Send | Mark


def is_wire_fault(fault: Fault | None) -> bool:
    """Return whether a reply with this fault is sent by `wire_steps`; every other is sent whole and at once."""
    return fault is not None and (fault in SILENT or fault in CUT_OR_SLOW)


def wire_steps(reply: Reply, settings: SimulatorSettings) -> Iterator[Step]:
    """Yield the steps in which a reply with a wire fault is sent; the last is DONE, CLOSE or RESET."""
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
    """Yield the steps of a reply that is sent byte by byte; the last byte is held until `fault_seconds` have passed."""
    yield Mark.HEAD
    for place in range(len(body) - 1):
        yield Send(body[place : place + 1])
        yield Wait(settings.drip_gap)
    yield Wait(max(0.0, settings.fault_seconds - settings.drip_gap * (len(body) - 1)))
    yield Send(body[-1:])
    yield Mark.DONE
