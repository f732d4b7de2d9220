"""The lifetime of a recording's URL, from the organisation's settings."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from genesys_media_async import InternalServerError, VirtualClock
from genesys_media_async.endpoints.recordings.url_lifetime import UrlLifetime
from tests.support.scripted_context import ScriptedContext, json_reply

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()
HOST = "https://media.example.com/a"
PLAIN = f"{HOST}?Signature=s"


class TestSettings:
    def read(self, reply: Any, urls: tuple[str, ...] = (PLAIN, PLAIN, PLAIN)) -> tuple[ScriptedContext, list[Any]]:
        context = ScriptedContext(lambda _: reply)
        lifetime = UrlLifetime("recordingPlaybackUrlTtl")

        async def main() -> list[Any]:
            signed = (lifetime.signed_url(url, context, sent_at=NOW) for url in urls)
            return [(url.expires_in, url.expiry_source) for url in await asyncio.gather(*signed)]

        return context, context.clock.run(main())

    def test_are_read_once_for_all_urls_without_an_expiry(self) -> None:
        reply = json_reply({"recordingPlaybackUrlTtl": 5, "recordingBatchDownloadUrlTtl": 7, "other": "thing"})
        context, known = self.read(reply)
        assert known == [(300, "settings")] * 3
        (call,) = context.calls
        assert (call.method, call.path, call.body) == ("GET", "/api/v2/recording/settings", b"")
        assert (call.subject, call.action) == ("recording-settings", "recording.settings")

    def test_are_not_read_for_urls_with_an_expiry(self) -> None:
        context, known = self.read(json_reply({}), (f"{HOST}?Expires={int(NOW) + 9}",))
        assert (context.calls, known) == ([], [(9, "url")])

    @pytest.mark.parametrize(
        "reply",
        [
            json_reply({"code": "missing.permissions"}, status=403),
            json_reply({"code": "not.found"}, status=404),
            InternalServerError("It is down."),
            json_reply({"recordingBatchDownloadUrlTtl": 7}),
            json_reply({"recordingPlaybackUrlTtl": None}),
            json_reply({"recordingPlaybackUrlTtl": "5"}),
            json_reply({"recordingPlaybackUrlTtl": 0}),
            json_reply({"recordingPlaybackUrlTtl": 10**9}),
            json_reply([]),
        ],
    )
    def test_that_cannot_be_read_mean_an_hour_and_are_not_read_again(self, reply: Any) -> None:
        context, known = self.read(reply)
        assert known == [(3_600, "default")] * 3
        assert len(context.calls) == 1

    def test_are_read_again_in_another_event_loop(self) -> None:
        minutes = iter([5, 6])
        context = ScriptedContext(lambda _: json_reply({"recordingPlaybackUrlTtl": next(minutes)}))
        lifetime = UrlLifetime("recordingPlaybackUrlTtl")

        async def both() -> list[int]:
            return [(await lifetime.signed_url(PLAIN, context, sent_at=NOW)).expires_in for _ in range(2)]

        assert [VirtualClock().run(both()) for _ in range(2)] == [[300, 300], [360, 360]]

    def test_are_read_by_another_caller_if_the_first_one_is_cancelled(self) -> None:
        lifetime = UrlLifetime("recordingPlaybackUrlTtl")
        context = ScriptedContext(lambda _: json_reply({"recordingPlaybackUrlTtl": 5}))

        class Stuck(ScriptedContext):
            async def call(self, call: Any, /) -> Any:
                await asyncio.Event().wait()

        async def main() -> int:
            stuck = Stuck(lambda _: json_reply({}))
            first = asyncio.create_task(lifetime.signed_url(PLAIN, stuck, sent_at=NOW))
            second = asyncio.create_task(lifetime.signed_url(PLAIN, context, sent_at=NOW))
            await asyncio.sleep(1)
            first.cancel()
            return (await second).expires_in

        assert context.clock.run(main()) == 300
