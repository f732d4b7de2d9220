"""`media.url.generated`: bounded, repeated, drained on exit, and reported if lost; against a scripted receiver."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import APITimeoutError, ConnectError, GenesysMediaError, SettingsError
from genesys_media_async.events import Event, WebhookDelivered, WebhookFailed
from genesys_media_async.models import DownloadUrl
from genesys_media_async.settings.settings import WebhookTarget
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpReply, HttpRequest
from genesys_media_async.webhooks.delivery import EVENT_NAME, Webhooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TARGET = "https://hooks.example.com/in?key=canary-key"
SIGNED = "https://media.example.com/a.wav?X-Signature=canary-signature"


class Steady(random.Random):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


def media_url() -> DownloadUrl:
    return DownloadUrl(
        url=SIGNED,
        ends_at=datetime(2024, 1, 1, 12, tzinfo=UTC).timestamp(),
        expires_in=3_600,
        file_name="ä b.wav",
        content_type="audio/wav",
    )


@dataclass(frozen=True)
class Answer:
    """What the receiver does with one request."""

    outcome: int | GenesysMediaError = 204
    after: float = 0.0
    retry_after: str | None = None


class Receiver:
    """Answers with its script, then with 204; notes what came and when."""

    def __init__(self, clock: VirtualClock, *script: Answer, always: Answer | None = None) -> None:
        self.clock = clock
        self.script = list(script)
        self.always = always or Answer()
        self.requests: list[HttpRequest] = []
        self.times: list[float] = []
        self.at_once = 0
        self.most_at_once = 0

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        self.requests.append(request)
        self.times.append(self.clock.monotonic())
        answer = self.script.pop(0) if self.script else self.always
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(min(answer.after, timeout))
        finally:
            self.at_once -= 1
        if answer.after > timeout:
            raise APITimeoutError("too slow")
        if isinstance(answer.outcome, GenesysMediaError):
            raise answer.outcome
        headers = {} if answer.retry_after is None else {"retry-after": answer.retry_after}
        return HttpReply(answer.outcome, headers, b"")

    async def aclose(self) -> None:
        raise AssertionError("the transport is not the webhooks' to close")

    def ids(self) -> list[str]:
        return [json.loads(request.body)["fileId"] for request in self.requests]


@dataclass
class Post:
    webhooks: Webhooks
    receiver: Receiver
    events: list[Event]

    def lost(self) -> list[tuple[str, int, str]]:
        return [(e.file_id, e.attempts, e.reason) for e in self.events if isinstance(e, WebhookFailed)]

    def delivered(self) -> list[tuple[str, int]]:
        return [(e.file_id, e.attempts) for e in self.events if isinstance(e, WebhookDelivered)]


def target(**changes: Any) -> WebhookTarget:
    return WebhookTarget(url=SecretStr(TARGET), **changes)


@asynccontextmanager
async def office(
    clock: VirtualClock, *script: Answer, always: Answer | None = None, jitter: float = 0.5, **changes: Any
) -> AsyncIterator[Post]:
    receiver = Receiver(clock, *script, always=always)
    events: list[Event] = []
    webhooks = Webhooks(
        target(**changes), receiver, user_agent="agent/1", clock=clock, rng=Steady(jitter), emit=events.append
    )
    async with anyio.create_task_group() as task_group:
        webhooks.start(task_group)
        try:
            yield Post(webhooks, receiver, events)
        finally:
            await webhooks.aclose()


def test_the_event_is_posted_in_the_background_with_all_but_the_url() -> None:
    clock = VirtualClock(wall=1_700_000_000.25)

    async def main() -> tuple[HttpRequest, Event]:
        async with office(clock) as it:
            it.webhooks.post("f-1", media_url())
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


def test_the_url_travels_only_if_asked_for() -> None:
    clock = VirtualClock()

    async def main() -> dict[str, Any]:
        async with office(clock, include_url=True) as it:
            it.webhooks.post("f-1", media_url())
        body: dict[str, Any] = json.loads(it.receiver.requests[0].body)
        return body

    assert clock.run(main())["url"] == SIGNED


class TestTrying:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_ends_with_a_success(self, status: int) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(status)) as it:
                it.webhooks.post("f-1", media_url())
            assert it.delivered() == [("f-1", 1)]
            assert it.webhooks.delivered == 1

        clock.run(main())

    @pytest.mark.parametrize("outcome", [404, 408, 409, 425, 429, 500, 502, 503, 504, ConnectError("x")])
    def test_is_repeated_for_what_may_pass_with_the_same_id(self, outcome: int | GenesysMediaError) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(outcome), Answer(outcome), Answer(200)) as it:
                it.webhooks.post("f-1", media_url())
            assert it.delivered() == [("f-1", 3)]
            assert it.lost() == []
            assert len({request.headers["webhook-id"] for request in it.receiver.requests}) == 1
            assert len({request.body for request in it.receiver.requests}) == 1

        clock.run(main())

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 401, 403, 405, 410, 413, 415, 422])
    def test_ends_with_an_answer_that_stays_and_follows_no_redirect(self, status: int) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(status, retry_after="1")) as it:
                it.webhooks.post("f-1", media_url())
            assert it.lost() == [("f-1", 1, f"status_{status}")]
            assert it.webhooks.undelivered == 1
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
    def test_is_given_up_after_the_last_try_with_the_last_reason(self, always: Answer, reason: str) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=always, tries=4, drain=1_000) as it:
                it.webhooks.post("f-1", media_url())
            assert it.lost() == [("f-1", 4, reason)]
            assert it.delivered() == []

        clock.run(main())

    def test_waits_longer_and_longer_and_not_after_the_last_one(self) -> None:
        clock = VirtualClock()

        async def main() -> list[float]:
            async with office(clock, always=Answer(500), tries=9, drain=1_000, jitter=0.5) as it:
                it.webhooks.post("f-1", media_url())
            return [*it.receiver.times, clock.monotonic()]

        times = clock.run(main())
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert gaps == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 0], abs=0.01)

    @pytest.mark.parametrize(("said", "least"), [("7", 7), ("0", 0), ("-1", 0), ("soon", 0), ("9" * 400, 3_600)])
    def test_waits_at_least_as_long_as_retry_after_says_within_an_hour(self, said: str, least: float) -> None:
        clock = VirtualClock()

        async def main() -> list[float]:
            async with office(clock, Answer(503, retry_after=said), jitter=0.25, drain=3_600) as it:
                it.webhooks.post("f-1", media_url())
                await anyio.sleep(3_700)
            return it.receiver.times

        first, second = clock.run(main())
        assert second - first == pytest.approx(least + 0.25, abs=0.01)

    def test_one_receiver_that_hangs_takes_no_longer_than_its_timeout(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(after=1e5), timeout=3, jitter=0.0) as it:
                it.webhooks.post("f-1", media_url())
            assert it.receiver.times == pytest.approx([0, 3], abs=0.01)

        clock.run(main())


class TestTheQueue:
    def test_is_worked_on_by_as_many_at_once_as_allowed(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=Answer(after=1), concurrency=3) as it:
                for number in range(10):
                    it.webhooks.post(f"f-{number}", media_url())
            assert it.receiver.most_at_once == 3
            assert sorted(it.receiver.ids()) == [f"f-{number}" for number in range(10)]
            assert clock.monotonic() == pytest.approx(4, abs=0.01)

        clock.run(main())

    def test_that_is_full_loses_what_comes_and_says_so_at_once_and_nobody_waits(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=Answer(after=5), concurrency=2, queue=3) as it:
                await anyio.sleep(0.01)
                for number in range(8):
                    it.webhooks.post(f"f-{number}", media_url())
                assert clock.monotonic() < 0.1
                # Two went straight to the workers, three wait.
                assert it.webhooks.waiting == 3
                assert it.lost() == [(f"f-{number}", 0, "queue_full") for number in (5, 6, 7)]
            assert sorted(file_id for file_id, _ in it.delivered()) == [f"f-{number}" for number in range(5)]

        clock.run(main())


class TestTheExit:
    def test_delivers_what_is_queued(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=Answer(after=1), concurrency=1, drain=30) as it:
                for number in range(5):
                    it.webhooks.post(f"f-{number}", media_url())
            assert [file_id for file_id, _ in it.delivered()] == [f"f-{number}" for number in range(5)]

        clock.run(main())

    @pytest.mark.parametrize("drain", [0, 5])
    def test_takes_no_longer_than_allowed_and_reports_every_one_that_is_left(self, drain: float) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=Answer(after=2), concurrency=1, timeout=100, drain=drain) as it:
                await anyio.sleep(0.01)
                for number in range(5):
                    it.webhooks.post(f"f-{number}", media_url())
                await anyio.sleep(0.01)
            assert clock.monotonic() == pytest.approx(drain, abs=0.1)
            done = {file_id for file_id, _ in it.delivered()}
            assert len(done) == drain // 2
            assert {file_id for file_id, _, _ in it.lost()} == {f"f-{number}" for number in range(5)} - done
            assert [reason for _, _, reason in it.lost()] == ["cut_off"] + ["not_drained"] * (4 - len(done))
            assert it.webhooks.undelivered == 5 - len(done)

        clock.run(main())

    def test_reports_one_that_waits_for_its_next_try(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, always=Answer(503, retry_after="1000"), drain=5) as it:
                it.webhooks.post("f-1", media_url())
            assert it.lost() == [("f-1", 1, "cut_off")]
            assert clock.monotonic() == pytest.approx(5, abs=0.1)

        clock.run(main())

    @pytest.mark.parametrize(("by", "ends_after"), [("task", 11), ("deadline", 1)])
    def test_by_cancellation_reports_what_is_left_too(self, by: str, ends_after: float) -> None:
        """A task that is cancelled may still use its bound; a cancelled scope leaves no time for anything."""
        clock = VirtualClock()
        posts: list[Post] = []

        async def use() -> None:
            async with office(clock, always=Answer(after=100), concurrency=1, timeout=200, drain=10) as it:
                posts.append(it)
                for number in range(3):
                    it.webhooks.post(f"f-{number}", media_url())
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
        assert sorted(posts[0].lost()) == [("f-0", 1, "cut_off"), ("f-1", 0, "not_drained"), ("f-2", 0, "not_drained")]
        assert clock.monotonic() == pytest.approx(ends_after, abs=0.01)

    def test_with_nothing_to_do_is_immediate(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock):
                pass
            assert clock.monotonic() < 0.01

        clock.run(main())

    def test_is_the_end_and_what_is_posted_afterwards_is_reported_as_lost(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock) as it:
                pass
            it.webhooks.post("late", media_url())
            assert [(file_id, attempts) for file_id, attempts, _ in it.lost()] == [("late", 0)]
            assert it.webhooks.undelivered == 1

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
    def test_whatever_happens_each_event_is_either_delivered_or_reported_once(
        self, script: list[tuple[int, float, str | None]], count: int, concurrency: int, queue: int, drain: int
    ) -> None:
        clock = VirtualClock()

        async def main() -> None:
            answers = [Answer(*each) for each in script]
            async with office(clock, *answers, concurrency=concurrency, queue=queue, drain=drain, tries=3) as it:
                for number in range(count):
                    it.webhooks.post(f"f-{number}", media_url())
                    await anyio.sleep(number % 3)
                left_at = clock.monotonic()
            assert clock.monotonic() <= left_at + drain + 0.1
            accounted = [file_id for file_id, _ in it.delivered()] + [file_id for file_id, _, _ in it.lost()]
            assert sorted(accounted) == sorted(f"f-{number}" for number in range(count))
            assert (it.webhooks.delivered, it.webhooks.undelivered) == (len(it.delivered()), len(it.lost()))

        clock.run(main())


class TestTheFileOfTheUndelivered:
    def test_keeps_what_was_lost_for_each_reason_and_never_the_url(self, tmp_path: Path) -> None:
        clock = VirtualClock()
        file = tmp_path / "undelivered.jsonl"

        async def main() -> None:
            async with office(
                clock,
                Answer(400),
                always=Answer(after=100),
                concurrency=1,
                queue=2,
                timeout=200,
                drain=1,
                include_url=True,
                undelivered_file=file,
            ) as it:
                await anyio.sleep(0.01)
                for number in range(4):
                    it.webhooks.post(f"f-{number}", media_url())
                await anyio.sleep(0.01)

        clock.run(main())
        text = file.read_text(encoding="utf-8")
        assert "canary" not in text
        kept = [json.loads(line) for line in text.splitlines()]
        assert [(each["fileId"], each["attempts"], each["reason"]) for each in kept] == [
            ("f-3", 0, "queue_full"),
            ("f-0", 1, "status_400"),
            ("f-1", 1, "cut_off"),
            ("f-2", 0, "not_drained"),
        ]
        assert all(each["event"] == EVENT_NAME and each["webhook_id"] for each in kept)
        assert all(each["fileName"] == "ä b.wav" for each in kept)

    def test_is_added_to_and_not_overwritten(self, tmp_path: Path) -> None:
        file = tmp_path / "undelivered.jsonl"
        file.write_text("before\n")
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(400), undelivered_file=file) as it:
                it.webhooks.post("f-1", media_url())

        clock.run(main())
        assert file.read_text().splitlines()[0] == "before"
        assert len(file.read_text().splitlines()) == 2

    def test_that_cannot_be_written_is_found_out_before_anything_is_sent(self, tmp_path: Path) -> None:
        async def main() -> None:
            with pytest.raises(SettingsError, match="undelivered_file"):
                async with office(VirtualClock(), undelivered_file=tmp_path / "missing" / "undelivered.jsonl"):
                    pass

        VirtualClock().run(main())

    def test_that_goes_missing_meanwhile_does_not_end_the_deliveries(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = tmp_path / "spool"
        folder.mkdir()
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(400), undelivered_file=folder / "u.jsonl") as it:
                (folder / "u.jsonl").unlink()
                folder.rmdir()
                it.webhooks.post("f-1", media_url())
                it.webhooks.post("f-2", media_url())
            assert it.lost() == [("f-1", 1, "status_400")]
            assert it.delivered() == [("f-2", 1)]

        clock.run(main())
        assert "f-1" in caplog.text


def test_neither_the_url_nor_the_targets_key_are_in_a_repr_or_an_event() -> None:
    clock = VirtualClock()

    async def main() -> str:
        async with office(clock, Answer(400), include_url=True) as it:
            it.webhooks.post("f-1", media_url())
            it.webhooks.post("f-2", media_url())
            shown = [repr(it.webhooks), str(it.webhooks)]
        return " ".join(
            [*shown, repr(it.events), repr([e.as_dict() for e in it.events]), repr(it.receiver.requests[0].headers)]
        )

    shown = clock.run(main())
    assert "hooks.example.com" in shown
    assert "canary" not in shown


def test_the_time_that_is_told_is_the_wall_clocks_when_the_url_came() -> None:
    clock = VirtualClock(wall=0.0)

    async def main() -> str:
        async with office(clock, Answer(500), jitter=0.9) as it:
            await anyio.sleep(60)
            it.webhooks.post("f-1", media_url())
        stamp: str = json.loads(it.receiver.requests[-1].body)["timestamp"]
        return stamp

    assert clock.run(main()) == "1970-01-01T00:01:00.000+00:00"
