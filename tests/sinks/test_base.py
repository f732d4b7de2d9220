"""What counts as a sink, and what a retriever accepts for its sinks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async import MediaRetriever, Settings
from genesys_media_async.errors import SettingsError
from genesys_media_async.sinks import MemorySink, Sink, SinkLike
from genesys_media_async.sinks.base import as_sinks
from tests.support.events import paused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genesys_media_async.events import Event


class NamesSink(Sink):
    """The smallest sink of a user's own."""

    names: tuple[str, ...] = ()

    async def write(self, events: Sequence[Event]) -> None:
        self.names += tuple(event.name for event in events)


class Unrelated:
    """An object with the methods of a sink, and nothing else in common with it."""

    async def write(self, events: Sequence[Event]) -> None: ...

    async def aclose(self) -> None: ...


def test_a_sink_of_a_users_own_needs_only_write() -> None:
    async def main() -> None:
        sink = NamesSink()
        await sink.write([paused()])
        await sink.aclose()
        assert sink.names == ("quota_paused",)

    asyncio.run(main())


def test_a_subclass_without_write_cannot_be_made() -> None:
    class Nothing(Sink):
        pass

    with pytest.raises(TypeError, match="write"):
        Nothing()  # type: ignore[abstract]  # the fault that is tested


@pytest.mark.parametrize("sink", [MemorySink(), NamesSink(), Unrelated()])
def test_one_sink_or_several_are_accepted(sink: SinkLike) -> None:
    assert as_sinks(sink) == (sink,)
    assert as_sinks([sink, sink]) == (sink, sink)
    assert as_sinks(each for each in [sink]) == (sink,)
    assert as_sinks(()) == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "NoneType is not a sink"),
        (7, "int is not a sink"),
        ("audit.jsonl", "str is not a sink"),
        ([MemorySink(), print], "builtin_function_or_method is not a sink"),
        (MemorySink, "MemorySink is a class"),
        ([Unrelated], "Unrelated is a class"),
    ],
)
@pytest.mark.parametrize("option", ["audit", "sinks"])
def test_anything_else_is_refused_by_the_name_of_the_option(given: Any, message: str, option: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{option}: {message}.*\. Pass "):
        as_sinks(given, option)
    options: dict[str, Any] = {option: given}
    with pytest.raises(SettingsError, match=f"^{option}: "):
        MediaRetriever(Settings(access_token="token"), **options)
