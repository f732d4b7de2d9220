"""The gate before every attempt: who probes, who waits, and what a cancelled caller leaves behind."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, TypeVar

import pytest

from genesys_media_async.api.host_gate import TIME_TO_TAKE, HostGate
from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import (
    APITimeoutError,
    ConnectError,
    NotFoundError,
    OutageError,
    TokenUnavailableError,
)
from genesys_media_async.events import Event, OutageBegan, OutageEnded
from genesys_media_async.settings.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Scene:
    """A gate in virtual time, with the events that it sent."""

    def __init__(self, outage_timeout: float = 900.0) -> None:
        self.clock = VirtualClock()
        self.events: list[Event] = []
        settings = Settings(access_token="t", region="eu-central-1", outage_timeout=outage_timeout)
        self.gate = HostGate(settings, self.clock, random.Random(7), self.events.append)

    def run(self, main: Coroutine[object, object, T]) -> T:
        return self.clock.run(main)

    def goes_down(self, error: ConnectError | TokenUnavailableError | None = None) -> None:
        assert self.gate.failed(error or ConnectError("No connection: refused."), "id-1", is_probe=False)

    async def turns(self, count: int) -> list[asyncio.Task[bool]]:
        """Return callers that wait, in their order."""
        tasks = [asyncio.create_task(self.gate.wait()) for _ in range(count)]
        await asyncio.sleep(0)
        return tasks


def cancel_timers(gate: HostGate) -> None:
    for timer in gate._timers:
        timer.cancel()


async def next_done(tasks: list[asyncio.Task[bool]]) -> list[int]:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return [number for number, task in enumerate(tasks) if task in done]


def test_nobody_waits_while_all_is_well():
    scene = Scene()
    assert scene.run(scene.gate.wait()) is False


def test_one_caller_probes_and_its_reply_frees_all_others():
    scene = Scene()

    async def main() -> list[bool]:
        scene.goes_down()
        tasks = await scene.turns(5)
        assert await next_done(tasks) == [0]
        await scene.clock.sleep(500.0)
        assert not any(task.done() for task in tasks[1:])
        scene.gate.answered(is_probe=True)
        return list(await asyncio.gather(*tasks))

    assert scene.run(main()) == [True, False, False, False, False]
    assert [type(event) for event in scene.events] == [OutageBegan, OutageEnded]


def test_a_probe_that_fails_makes_the_next_caller_the_probe():
    scene = Scene()

    async def main() -> None:
        scene.goes_down()
        tasks = await scene.turns(3)
        for number in range(3):
            assert await next_done(tasks[number:]) == [0]
            assert tasks[number].result() is True
            assert scene.gate.failed(APITimeoutError("no reply"), "id-2", is_probe=True)

    scene.run(main())
    assert scene.gate.health.failed_probes == 3


def test_a_reply_to_a_request_from_before_the_outage_does_not_end_it():
    scene = Scene()

    async def main() -> None:
        scene.goes_down(TokenUnavailableError("login away"))
        scene.gate.answered(is_probe=False)
        assert not scene.gate.failed(NotFoundError("x", status_code=404), "id-9", is_probe=False)

    scene.run(main())
    assert scene.gate.health.is_down
    assert [event.host for event in scene.events if isinstance(event, OutageBegan)] == ["login.mypurecloud.de"]


def test_any_status_of_the_probe_shows_that_the_host_is_there():
    scene = Scene()

    async def main() -> None:
        scene.goes_down()
        assert not scene.gate.failed(NotFoundError("x", status_code=404), "id-1", is_probe=True)

    scene.run(main())
    assert not scene.gate.health.is_down


@pytest.mark.parametrize("is_in_the_same_turn", [False, True])
def test_a_cancelled_probe_hands_its_part_on(is_in_the_same_turn: bool) -> None:
    scene = Scene()

    async def main() -> None:
        scene.goes_down()
        tasks = await scene.turns(2)
        if is_in_the_same_turn:
            # The part is given, and the task cancelled before it could take it.
            cancel_timers(scene.gate)
            scene.gate._probe()
            tasks[0].cancel()
        else:
            assert await next_done(tasks) == [0]
            scene.gate.release()
        assert await tasks[1] is True

    scene.run(main())


def test_a_caller_that_comes_when_a_probe_is_due_is_the_probe_at_once():
    scene = Scene()

    async def main() -> bool:
        scene.goes_down()
        await scene.clock.sleep(100.0)
        return await scene.gate.wait()

    assert scene.run(main()) is True
    assert scene.clock.monotonic() == pytest.approx(100.0)


def test_a_cancelled_caller_is_passed_over():
    scene = Scene()

    async def main() -> None:
        scene.goes_down()
        tasks = await scene.turns(3)
        tasks[0].cancel()
        assert await tasks[1] is True

    scene.run(main())


def test_with_no_caller_left_one_more_id_is_let_in_at_a_time():
    scene = Scene()

    async def main() -> list[float]:
        scene.goes_down()
        tasks = [asyncio.create_task(scene.gate.admitted()) for _ in range(3)]
        times = []
        for number in range(3):
            assert await next_done(tasks[number:]) == [0]
            times.append(scene.clock.monotonic())
        return times

    first, second, third = scene.run(main())
    assert first <= 0.5
    assert (second - first, third - second) == pytest.approx((TIME_TO_TAKE, TIME_TO_TAKE))


def test_waiting_takers_can_be_woken_to_look_again():
    scene = Scene()

    async def main() -> bool:
        scene.goes_down()
        task = asyncio.create_task(scene.gate.admitted())
        await asyncio.sleep(0)
        scene.gate.wake()
        return await task

    assert scene.run(main()) is False


def test_everybody_gets_an_error_of_their_own_once_it_is_given_up():
    scene = Scene(outage_timeout=60.0)

    async def main() -> list[object]:
        scene.goes_down()
        callers = await scene.turns(3)
        takers = [asyncio.create_task(scene.gate.admitted()) for _ in range(2)]
        return await asyncio.gather(*callers, *takers, return_exceptions=True)

    first, *errors = scene.run(main())
    assert first is True
    assert all(isinstance(error, OutageError) for error in errors)
    assert len({id(error) for error in errors}) == 4
    assert "api.mypurecloud.de has not been reachable for 60 s" in str(errors[0])
    assert scene.clock.monotonic() == pytest.approx(60.0)
    (ended,) = (event for event in scene.events if isinstance(event, OutageEnded))
    assert ended.given_up
    assert scene.gate.outages().count == 1
    assert scene.gate.outages().seconds == pytest.approx(60.0)
    assert scene.gate.outages().host is None


def test_the_present_outage_is_part_of_the_snapshot():
    scene = Scene()

    async def main() -> None:
        scene.goes_down()
        await scene.clock.sleep(12.0)

    scene.run(main())
    outages = scene.gate.outages()
    assert (outages.count, outages.host) == (1, "api.mypurecloud.de")
    assert outages.seconds == pytest.approx(12.0)


def test_no_timer_is_left_after_an_outage():
    scene = Scene()

    async def main() -> None:
        scene.goes_down()
        timers = list(scene.gate._timers)
        scene.gate.answered(is_probe=True)
        assert [timer.cancelled() for timer in timers] == [True, True]
        assert scene.gate._timers == []

    scene.run(main())


def test_it_is_open_for_the_intake_but_in_an_outage():
    scene = Scene(outage_timeout=60.0)

    async def main() -> list[bool]:
        states = [scene.gate.is_open]
        scene.goes_down()
        states.append(scene.gate.is_open)
        scene.gate.answered(is_probe=True)
        states.append(scene.gate.is_open)
        scene.goes_down()
        await scene.clock.sleep(61.0)
        return [*states, scene.gate.is_open]

    assert scene.run(main()) == [True, False, True, True]


def test_giving_up_is_reported_once_with_the_error():
    scene = Scene(outage_timeout=60.0)
    reported: list[OutageError] = []
    scene.gate._on_give_up = reported.append

    async def main() -> None:
        scene.goes_down()
        await scene.clock.sleep(200.0)

    scene.run(main())
    assert [error.message for error in reported] == [
        "api.mypurecloud.de has not been reachable for 60 s. The last attempt: No connection: refused."
    ]
