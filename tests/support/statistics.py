"""Statistics of a run that never took place."""

from __future__ import annotations

from genesys_media_async.counters import Counters, Outages, Statistics


def statistics(done: int = 10, failed: int = 1, elapsed: float = 2.0) -> Statistics:
    """Return the statistics of a run over `done` ids in `elapsed` seconds."""
    counters = Counters(done, 0, done - failed, failed, sent=done + 2, ended=done - 1, retries=2)
    return Statistics.of(counters, waiting_for_quota=4, outages=Outages(), elapsed=elapsed, transport="direct")
