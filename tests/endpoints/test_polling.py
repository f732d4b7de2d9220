"""The pauses between polls."""

from __future__ import annotations

import pytest

from genesys_media_async import (
    VirtualClock,
)
from genesys_media_async.endpoints.polling import Poller
from tests.support.scripted_context import ScriptedContext, in_turn, json_reply


class TestPoller:
    def pauses(self, timeout: float, expected: list[float | None], **bounds: float) -> list[float]:
        context = ScriptedContext(in_turn(json_reply({})))
        limits = {"min_pause": 1.0, "max_pause": 10.0, **bounds}

        async def poll() -> None:
            poller = Poller(context, key="", timeout=timeout, **limits)
            turns = iter(expected)
            while await poller.wait_for_next(next(turns, None)):
                pass
            assert poller.elapsed == pytest.approx(timeout)

        context.clock.run(poll())
        return context.waits

    def test_pauses_grow_to_a_bound_and_end_exactly_at_the_timeout(self) -> None:
        assert self.pauses(30.0, []) == pytest.approx([1.0, 1.5, 2.25, 3.375, 5.0625, 7.59375, 9.21875])

    def test_an_expected_time_is_waited_for_but_never_less_than_the_growing_pause(self) -> None:
        assert self.pauses(18.0, [5.0, 0.1, 99.0]) == pytest.approx([5.0, 1.5, 10.0, 1.5])

    def test_from_its_first_pause_to_its_end_it_is_one_of_the_jobs_of_the_run(self) -> None:
        context = ScriptedContext(in_turn(json_reply({})))
        jobs: list[int] = []

        async def poll(pauses: int, *, error: Exception | None = None) -> None:
            with Poller(context, key="", timeout=60.0, min_pause=1.0, max_pause=10.0) as poller:
                jobs.append(context.counters.jobs)
                for _ in range(pauses):
                    await poller.wait_for_next()
                    jobs.append(context.counters.jobs)
                if error is not None:
                    raise error

        context.clock.run(poll(2))
        context.clock.run(poll(0))
        with pytest.raises(ZeroDivisionError):
            context.clock.run(poll(1, error=ZeroDivisionError()))
        assert jobs == [0, 1, 1, 0, 0, 1]
        assert context.counters.jobs == 0

    def test_a_timeout_shorter_than_the_first_pause_still_allows_one_poll(self) -> None:
        assert self.pauses(0.5, [60.0]) == [0.5]

    def test_a_timer_that_fires_slightly_early_causes_no_other_poll(self) -> None:
        class Hasty(ScriptedContext):
            async def sleep(self, seconds: float, /) -> None:
                await super().sleep(seconds * (1 - 1e-9))

        context = Hasty(in_turn(json_reply({})))

        async def poll() -> int:
            poller = Poller(context, key="", timeout=2.0, min_pause=1.0, max_pause=10.0)
            polls = 0
            while await poller.wait_for_next():
                polls += 1
            return polls

        assert context.clock.run(poll()) == 2

    def test_polls_that_began_together_do_not_stay_together(self) -> None:
        async def first_pause(key: str) -> float:
            context = ScriptedContext(in_turn(json_reply({})))
            await Poller(context, key=key, timeout=600.0, min_pause=1.0, max_pause=60.0).wait_for_next(10.0)
            return context.waits[0]

        pauses = [VirtualClock().run(first_pause(f"job-{number}")) for number in range(20)]
        assert len({round(pause, 2) for pause in pauses}) > 10
        assert all(10.0 <= pause <= 10.5 for pause in pauses)
