"""`Webhooks`: bounded, retried, drained on exit, and reported if they fail."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import ConnectError, GenesysMediaError, StaleConnectionError
from genesys_media_async.events import Event, WebhookDelivered
from genesys_media_async.webhooks.payload import EVENT_NAME
from tests.support.webhook_receiver import SIGNED, TARGET, Answer, Office, office, retrieved

if TYPE_CHECKING:
    from genesys_media_async.transports.base import HttpRequest


def test_the_event_is_posted_in_the_background_without_the_url() -> None:
    clock = VirtualClock(wall=1_700_000_000.25)

    async def main() -> tuple[HttpRequest, Event]:
        async with office(clock) as it:
            it.webhooks.post(retrieved("f-1"))
            assert it.receiver.requests == []
            await anyio.sleep(0.1)
        return it.receiver.requests[0], it.events[0]

    request, event = clock.run(main())
    assert (request.method, request.url) == ("POST", TARGET)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "agent/1"
    assert "authorization" not in request.headers
    assert json.loads(request.body) == {
        "event": EVENT_NAME,
        "fileId": "f-1",
        "timestamp": "2023-11-14T22:13:20.250+00:00",
        "expiresAt": "2024-01-01T12:00:00+00:00",
        "expiresIn": 3_600,
        "fileName": "ä b.wav",
        "contentType": "audio/wav",
    }
    assert isinstance(event, WebhookDelivered)
    assert event.webhook_id == request.headers["webhook-id"]
    assert (event.file_id, event.attempts) == ("f-1", 1)


def test_the_url_is_sent_only_with_include_url() -> None:
    clock = VirtualClock()

    async def main() -> dict[str, Any]:
        async with office(clock, include_url=True) as it:
            it.webhooks.post(retrieved("f-1"))
        body: dict[str, Any] = json.loads(it.receiver.requests[0].body)
        return body

    assert clock.run(main())["url"] == SIGNED


class TestAttempts:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_a_2xx_ends_the_delivery(self, status: int) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(status)) as it:
                it.webhooks.post(retrieved("f-1"))
            assert it.delivered() == [("f-1", 1)]
            assert it.webhooks.delivered == 1

        clock.run(main())

    @pytest.mark.parametrize("fresh_fails", [False, True])
    def test_a_stale_connection_is_replaced_at_once_by_a_fresh_one(self, fresh_fails: bool) -> None:
        clock = VirtualClock()
        stale = StaleConnectionError("closed")

        async def main() -> None:
            script = [Answer(stale), Answer(stale) if fresh_fails else Answer(200)]
            async with office(clock, *script, max_attempts=1) as it:
                it.webhooks.post(retrieved("f-1"))
            assert [each.fresh for each in it.receiver.requests] == [False, True]
            assert it.delivered() == ([] if fresh_fails else [("f-1", 1)])

        clock.run(main())
        assert clock.monotonic() < 0.1

    @pytest.mark.parametrize("outcome", [404, 408, 409, 425, 429, 500, 502, 503, 504, ConnectError("x")])
    def test_a_transient_failure_is_retried_with_the_same_id(self, outcome: int | GenesysMediaError) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(outcome), Answer(outcome), Answer(200)) as it:
                it.webhooks.post(retrieved("f-1"))
            assert it.delivered() == [("f-1", 3)]
            assert it.failed() == []
            assert len({request.headers["webhook-id"] for request in it.receiver.requests}) == 1
            assert len({request.body for request in it.receiver.requests}) == 1

        clock.run(main())

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 401, 403, 405, 410, 413, 415, 422])
    def test_a_permanent_status_ends_the_delivery_and_no_redirect_is_followed(self, status: int) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(status, retry_after="1")) as it:
                it.webhooks.post(retrieved("f-1"))
            assert it.failed() == [("f-1", 1, f"status_{status}")]
            assert it.webhooks.failed == 1
            assert len(it.receiver.requests) == 1

        clock.run(main())

    @pytest.mark.parametrize(
        ("always", "reason"),
        [
            (Answer(503), "status_503"),
            (Answer(ConnectError("x")), "connect_error"),
            (Answer(after=11), "timeout"),
        ],
    )
    def test_after_the_last_attempt_the_delivery_fails_with_the_last_reason(self, always: Answer, reason: str) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=always, max_attempts=4, drain_timeout=1_000) as it:
                it.webhooks.post(retrieved("f-1"))
            assert it.failed() == [("f-1", 4, reason)]
            assert it.delivered() == []

        clock.run(main())

    def test_delays_grow_and_there_is_none_after_the_last_attempt(self) -> None:
        clock = VirtualClock()

        async def main() -> list[float]:
            async with office(clock, always=Answer(500), max_attempts=9, drain_timeout=1_000, jitter=0.5) as it:
                it.webhooks.post(retrieved("f-1"))
            return [*it.receiver.times, clock.monotonic()]

        times = clock.run(main())
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert gaps == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 0], abs=0.01)

    @pytest.mark.parametrize(("said", "least"), [("7", 7), ("0", 0), ("-1", 0), ("soon", 0), ("9" * 400, 3_600)])
    def test_retry_after_is_the_least_delay_up_to_an_hour(self, said: str, least: float) -> None:
        clock = VirtualClock()

        async def main() -> list[float]:
            async with office(clock, Answer(503, retry_after=said), jitter=0.25, drain_timeout=3_600) as it:
                it.webhooks.post(retrieved("f-1"))
                await anyio.sleep(3_700)
            return it.receiver.times

        first, second = clock.run(main())
        assert second - first == pytest.approx(least + 0.25, abs=0.01)

    def test_a_receiver_that_hangs_takes_no_longer_than_the_timeout(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(after=1e5), timeout=3, jitter=0.0) as it:
                it.webhooks.post(retrieved("f-1"))
            assert it.receiver.times == pytest.approx([0, 3], abs=0.01)

        clock.run(main())


class TestQueue:
    def test_as_many_as_allowed_are_in_flight(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=Answer(after=1), concurrency=3) as it:
                for number in range(10):
                    it.webhooks.post(retrieved(f"f-{number}"))
            assert it.receiver.most_at_once == 3
            assert sorted(it.receiver.ids()) == [f"f-{number}" for number in range(10)]
            assert clock.monotonic() == pytest.approx(4, abs=0.01)

        clock.run(main())

    def test_an_event_that_finds_the_queue_full_fails_at_once(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=Answer(after=5), concurrency=2, queue_size=3) as it:
                await anyio.sleep(0.01)
                for number in range(8):
                    it.webhooks.post(retrieved(f"f-{number}"))
                assert clock.monotonic() < 0.1
                # Two went straight to the workers, three wait.
                assert it.webhooks.waiting == 3
                assert it.failed() == [(f"f-{number}", 0, "queue_full") for number in (5, 6, 7)]
            assert sorted(file_id for file_id, _ in it.delivered()) == [f"f-{number}" for number in range(5)]

        clock.run(main())


class TestClosing:
    def test_the_queue_is_delivered(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=Answer(after=1), concurrency=1, drain_timeout=30) as it:
                for number in range(5):
                    it.webhooks.post(retrieved(f"f-{number}"))
            assert [file_id for file_id, _ in it.delivered()] == [f"f-{number}" for number in range(5)]

        clock.run(main())

    @pytest.mark.parametrize("drain", [0, 5])
    def test_the_drain_timeout_is_kept_and_the_rest_is_reported(self, drain: float) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=Answer(after=2), concurrency=1, timeout=100, drain_timeout=drain) as it:
                await anyio.sleep(0.01)
                for number in range(5):
                    it.webhooks.post(retrieved(f"f-{number}"))
                await anyio.sleep(0.01)
            assert clock.monotonic() == pytest.approx(drain, abs=0.1)
            done = {file_id for file_id, _ in it.delivered()}
            assert len(done) == drain // 2
            assert {file_id for file_id, _, _ in it.failed()} == {f"f-{number}" for number in range(5)} - done
            assert [reason for _, _, reason in it.failed()] == ["cut_off"] + ["not_drained"] * (4 - len(done))
            assert it.webhooks.failed == 5 - len(done)

        clock.run(main())

    def test_an_event_between_two_attempts_is_reported(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=Answer(503, retry_after="1000"), drain_timeout=5) as it:
                it.webhooks.post(retrieved("f-1"))
            assert it.failed() == [("f-1", 1, "cut_off")]
            assert clock.monotonic() == pytest.approx(5, abs=0.1)

        clock.run(main())

    @pytest.mark.parametrize(("by", "ends_after"), [("task", 11), ("deadline", 1)])
    def test_a_cancellation_reports_the_rest_too(self, by: str, ends_after: float) -> None:
        """A task that is cancelled may still use its bound; a cancelled scope leaves no time for anything."""
        clock = VirtualClock()
        offices: list[Office] = []

        async def use() -> None:
            async with office(clock, always=Answer(after=100), concurrency=1, timeout=200, drain_timeout=10) as it:
                offices.append(it)
                for number in range(3):
                    it.webhooks.post(retrieved(f"f-{number}"))
                await anyio.sleep(1_000)

        async def main() -> None:
            if by == "deadline":
                with anyio.move_on_after(1):
                    await use()
                return
            task = asyncio.create_task(use())
            await anyio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        clock.run(main())
        assert sorted(offices[0].failed()) == [
            ("f-0", 1, "cut_off"),
            ("f-1", 0, "not_drained"),
            ("f-2", 0, "not_drained"),
        ]
        assert clock.monotonic() == pytest.approx(ends_after, abs=0.01)

    def test_an_empty_queue_takes_no_time(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock):
                pass
            assert clock.monotonic() < 0.01

        clock.run(main())

    def test_an_event_after_the_end_is_reported_as_failed(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock) as it:
                pass
            it.webhooks.post(retrieved("late"))
            assert [(file_id, attempts) for file_id, attempts, _ in it.failed()] == [("late", 0)]
            assert it.webhooks.failed == 1

        clock.run(main())

    @given(
        script=st.lists(
            st.tuples(
                st.sampled_from([200, 204, 302, 400, 404, 429, 500, 503]),
                st.floats(0, 20),
                st.sampled_from([None, "0", "3", "60"]),
            ),
            max_size=30,
        ),
        count=st.integers(0, 12),
        concurrency=st.integers(1, 3),
        queue=st.integers(1, 6),
        drain=st.integers(0, 20),
    )
    @settings(deadline=None, max_examples=60)
    def test_each_event_is_delivered_or_reported_once_whatever_happens(
        self, script: list[tuple[int, float, str | None]], count: int, concurrency: int, queue: int, drain: int
    ) -> None:
        clock = VirtualClock()

        async def main() -> None:
            answers = [Answer(*each) for each in script]
            async with office(
                clock, *answers, concurrency=concurrency, queue_size=queue, drain_timeout=drain, max_attempts=3
            ) as it:
                for number in range(count):
                    it.webhooks.post(retrieved(f"f-{number}"))
                    await anyio.sleep(number % 3)
                left_at = clock.monotonic()
            assert clock.monotonic() <= left_at + drain + 0.1
            accounted = [file_id for file_id, _ in it.delivered()] + [file_id for file_id, _, _ in it.failed()]
            assert sorted(accounted) == sorted(f"f-{number}" for number in range(count))
            assert (it.webhooks.delivered, it.webhooks.failed) == (len(it.delivered()), len(it.failed()))

        clock.run(main())


def test_no_repr_and_no_event_has_the_url_or_the_key_of_the_target() -> None:
    clock = VirtualClock()

    async def main() -> str:
        async with office(clock, Answer(400), include_url=True) as it:
            it.webhooks.post(retrieved("f-1"))
            it.webhooks.post(retrieved("f-2"))
            shown = [repr(it.webhooks), str(it.webhooks)]
        return " ".join(
            [*shown, repr(it.events), repr([e.as_dict() for e in it.events]), repr(it.receiver.requests[0].headers)]
        )

    shown = clock.run(main())
    assert "hooks.example.com" in shown
    assert "canary" not in shown


def test_the_timestamp_is_the_wall_clocks_when_the_url_came() -> None:
    clock = VirtualClock(wall=0.0)

    async def main() -> str:
        async with office(clock, Answer(500), jitter=0.9) as it:
            await anyio.sleep(60)
            it.webhooks.post(retrieved("f-1"))
        stamp: str = json.loads(it.receiver.requests[-1].body)["timestamp"]
        return stamp

    assert clock.run(main()) == "1970-01-01T00:01:00.000+00:00"
