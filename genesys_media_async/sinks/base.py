"""`Sink`, the base class of everything that takes events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from ..errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events import Event


class Sink(ABC):
    """
    A place for events. A sink of your own is a subclass with a `write`.

    The same class works in both lanes. In the audit lane `write` is awaited for every record before the result is
    returned, and an exception ends the run. In the metrics lane `write` runs in the background with all events that
    have come together; an exception is logged, its events are counted as dropped, and the run goes on.
    """

    @abstractmethod
    async def write(self, events: Sequence[Event]) -> None:
        """Take events in their order; calls never overlap."""

    async def aclose(self) -> None:  # noqa: B027 - not abstract: most sinks hold nothing back
        """Write out what is held back and close. Called once, after the last `write`, even if that was cancelled."""


@runtime_checkable
class SinkLike(Protocol):
    """Any object with the methods of `Sink`; a subclass of it is not required."""

    async def write(self, events: Sequence[Event]) -> None:
        """Take events in their order; calls never overlap."""
        ...

    async def aclose(self) -> None:
        """Write out what is held back and close."""
        ...


def as_sinks(given: SinkLike | Iterable[SinkLike], option: str = "sinks") -> tuple[SinkLike, ...]:
    """
    Return the sinks in an option that takes one sink or several.

    Raises `SettingsError`, which names `option`, for anything that is not a sink.
    """
    several = cast("object", given)
    if isinstance(several, SinkLike) or not isinstance(several, Iterable):
        return (_checked(several, option),)
    return tuple(_checked(sink, option) for sink in cast("Iterable[object]", several))


def _checked(sink: object, option: str) -> SinkLike:
    if isinstance(sink, type):
        name = sink.__name__
        raise SettingsError(f"{option}: {name} is a class, not a sink.", advice=f"Pass an instance, as in {name}(…).")
    if not isinstance(sink, SinkLike):
        raise SettingsError(
            f"{option}: {type(sink).__name__} is not a sink.",
            advice="Pass one or several; yours is a subclass of Sink with `async def write(self, events)`.",
        )
    return sink
