"""Statistics of a run that never took place."""

from __future__ import annotations

from genesys_media_async.counters import Statistics


def statistics(done: int = 10, failed: int = 1, elapsed: float = 2.0) -> Statistics:
    """Return the statistics of a run over `done` ids in `elapsed` seconds."""
    return Statistics(done, done - failed, failed, 3, 4, done + 2, 2, elapsed, done / elapsed, "direct")
