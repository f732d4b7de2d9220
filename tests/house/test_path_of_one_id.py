"""The path of one id goes down the house once: how many files a success touches, and how often it changes file."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import genesys_media_async
from genesys_media_async import JsonLinesSink, MediaRetriever, QuotaLimit, SystemClock
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from types import FrameType

ROOT = Path(genesys_media_async.__file__).parent
MAX_FILES = 15
MAX_SWITCHES = 33
FIRST, LAST = 40, 60
"""The results between which calls are traced; before, connections, tokens and caches are made."""


class FrozenWall(SystemClock):
    """A clock whose date stands still, so that no text of a date has to be made anew."""

    @staticmethod
    def wall() -> float:
        return 1_800_000_000.0


async def traced_calls(tmp_path: Path) -> list[str]:
    """Return the file of the package that each Python call enters, over LAST - FIRST ids."""
    calls: list[str] = []

    def trace(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(str(ROOT)) and f"{ROOT}/simulator" not in file:
            calls.append(str(Path(file).relative_to(ROOT)))

    async with Simulator(SimulatorSettings(quota=None)) as simulator:
        settings = settings_for(simulator, quota=QuotaLimit(limit=1_000_000))
        sink = JsonLinesSink(tmp_path / "audit.jsonl")
        async with MediaRetriever(settings, audit=[sink], clock=FrozenWall()) as retriever:
            done = 0
            async for result in retriever.retrieve_many((f"a-{n}" for n in range(LAST + 10)), concurrency=1):
                assert result.ok
                done += 1
                if done == FIRST:
                    sys.setprofile(trace)
                elif done == LAST:
                    sys.setprofile(None)
    return calls


@pytest.mark.anyio
async def test_a_success_touches_few_files_and_goes_back_and_forth_little(tmp_path: Path) -> None:
    before = sys.getprofile()
    try:
        calls = await traced_calls(tmp_path)
    finally:
        sys.setprofile(before)
    switches = sum(one != other for one, other in pairwise(calls)) / (LAST - FIRST)
    assert sorted(set(calls)) == sorted(set(calls))[:MAX_FILES], sorted(set(calls))
    assert switches <= MAX_SWITCHES
