"""Snapshots of a run: estimates, log lines, JSON, and the bar."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from genesys_media_async import QuotaLimit, QuotaState
from genesys_media_async.cli.output.progress import ProgressSnapshot, bar, duration, quota_words
from tests.support.statistics import statistics


def drawn(snapshot: ProgressSnapshot, *, width: int) -> str:
    """Return the bar as it is on a terminal of that width."""
    from rich.console import Console

    console = Console(width=width)
    with console.capture() as capture:
        console.print(bar(snapshot))
    return capture.get()


class TestASnapshot:
    def test_estimates_the_end_by_the_quota(self):
        quick = ProgressSnapshot(statistics(), total=310, quota=QuotaLimit())
        assert quick.remaining == pytest.approx(60)

    def test_estimates_the_end_by_a_rate_below_the_quota(self):
        slow = ProgressSnapshot(statistics(elapsed=100.0), total=310, quota=QuotaLimit())
        assert slow.remaining == pytest.approx(3000)

    def test_counts_few_requests_for_a_batch_of_ids(self):
        batches = replace(statistics(done=1_000, elapsed=10.0), requests=25)
        assert ProgressSnapshot(batches, total=4_000, quota=QuotaLimit()).remaining == pytest.approx(30)

    def test_has_no_estimate_without_a_total_or_a_rate(self):
        assert ProgressSnapshot(statistics(), total=None, quota=None).remaining is None
        assert ProgressSnapshot(statistics(done=0, failed=0), total=9, quota=None).remaining is None

    def test_is_one_line_in_a_log(self):
        assert ProgressSnapshot(statistics(), total=20, quota=None).log_line() == (
            "progress done=10/20 ok=9 failed=1 rate=300/min in_flight=3 waiting=4 retries=2 elapsed=2s left=2s"
        )

    def test_shows_what_a_batch_has_before_its_ids_are_done(self):
        batch = replace(statistics(done=0, failed=0, elapsed=10.0), succeeded=38, jobs=4)
        snapshot = ProgressSnapshot(batch, total=400, quota=None)
        assert "done=0/400 ok=38 failed=0 rate=0/min media=228/min jobs=4 in_flight=3" in snapshot.log_line()
        fields = json.loads(snapshot.json_object())
        assert (fields["rate"], fields["media_rate"], fields["jobs"]) == (0, 228, 4)
        assert "0/min  media 228/min  jobs 4  in flight 3" in drawn(snapshot, width=200)

    def test_has_no_commas_in_a_log(self):
        quick = replace(statistics(done=90_000), succeeded=1_000_000)
        assert " rate=2700000/min media=30000030/min " in ProgressSnapshot(quick, total=None, quota=None).log_line()

    def test_shows_the_quota_and_estimates_the_end_by_it(self):
        state = QuotaState(used=200, allowed=150, used_by_others=20, resets_in=12.4, paused_for=57.0)
        snapshot = ProgressSnapshot(statistics(), total=310, quota=QuotaLimit(), state=state)
        assert snapshot.log_line().endswith(" left=2m57s quota=150/150 others=20 resets=12s paused=57s")
        assert snapshot.remaining == pytest.approx(57 + 300 * 60 / 150)

    def test_shows_no_quota_that_is_off(self):
        state = QuotaState(used=3, allowed=None, used_by_others=0, resets_in=None, paused_for=None)
        assert quota_words(state) == {}

    def test_is_one_object_for_a_program(self):
        fields = json.loads(ProgressSnapshot(statistics(), total=None, quota=None).json_object())
        assert fields["total"] is None
        assert fields["rate"] == 300
        state = QuotaState(used=9, allowed=300, used_by_others=0, resets_in=None, paused_for=1.25)
        fields = json.loads(ProgressSnapshot(statistics(), total=None, quota=None, state=state).json_object())
        assert (fields["quota_used"], fields["quota_allowed"], fields["quota_paused"]) == (9, 300, 1.2)

    @pytest.mark.parametrize("width", [40, 80, 200])
    @pytest.mark.parametrize("total", [None, 0, 20])
    def test_is_a_bar_at_any_width(self, width: int, total: int | None):
        assert "ok 9" in drawn(ProgressSnapshot(statistics(), total=total, quota=None), width=width)

    def test_has_readable_durations(self):
        assert [duration(seconds) for seconds in (0.4, 59, 60, 3599, 3661)] == ["0s", "59s", "1m00s", "59m59s", "1h01m"]
