"""The event loop of a command."""

from __future__ import annotations

import gc

import pytest

from genesys_media_async.cli.event_loop import GC_THRESHOLD, run_in_event_loop


async def threshold() -> int:
    return gc.get_threshold()[0]


async def failing() -> None:
    raise OSError("full")


def test_a_command_restores_the_garbage_collectors_thresholds():
    usual, frozen = gc.get_threshold(), gc.get_freeze_count()
    assert run_in_event_loop(threshold) == GC_THRESHOLD
    with pytest.raises(OSError, match="full"):
        run_in_event_loop(failing)
    assert gc.get_threshold() == usual
    # Python 3.12 begins with some objects frozen, which are thawed with the rest.
    assert gc.get_freeze_count() <= frozen
