"""When a URL ends: what it says itself, what the organisation's settings say, and what is taken for granted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async import InternalServerError, VirtualClock
from genesys_media_async.endpoints.recordings.url_lifetime import UrlLife
from genesys_media_async.endpoints.signed_url import says_its_end, signed_url
from tests.test_endpoints import ScriptedAssignment, json_reply

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()
HOST = "https://media.example.com/a"
PLAIN = f"{HOST}?Signature=s"


@pytest.mark.parametrize(
    ("query", "life"),
    [
        ("X-Amz-Date=20260301T120000Z&X-Amz-Expires=3600&X-Amz-Signature=s", 3_600),
        ("X-Amz-Date=20260301T115900Z&X-Amz-Expires=120", 60),
        ("x-amz-date=20260301T120000Z&x-amz-expires=7", 7),
        (f"Expires={int(NOW) + 90}&Signature=s&Key-Pair-Id=k", 90),
        # Its time is over.
        (f"Expires={int(NOW) - 90}", 0),
        ("X-Amz-Date=20260301T110000Z&X-Amz-Expires=60", 0),
    ],
)
def test_a_signed_url_tells_its_own_end(query: str, life: int) -> None:
    url = signed_url(f"{HOST}?{query}", sent_at=NOW, otherwise=1.0)
    assert (url.expires_in, url.expiry_source) == (life, "url")
    assert life == 0 or url.expires_at.timestamp() == NOW + life
    assert says_its_end(url.url)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "Signature=s",
        "Policy=e30_&Signature=s",
        "Expires=soon",
        "Expires=",
        "Expires=-5",
        f"Expires={10**12}",
        f"Expires=1{'0' * 5_000}",
        "X-Amz-Expires=60",
        "X-Amz-Date=20260301T120000Z",
        "X-Amz-Date=yesterday&X-Amz-Expires=60",
        "X-Amz-Date=20260301T120000Z&X-Amz-Expires=never",
    ],
)
def test_a_url_that_does_not_tell_lives_as_long_as_is_known_from_elsewhere(query: str) -> None:
    url = signed_url(f"{HOST}?{query}", sent_at=NOW, otherwise=120.0, known_from="settings")
    assert (url.expires_in, url.expiry_source) == (120, "settings")
    assert url.expires_at.timestamp() == NOW + 120
    assert not says_its_end(url.url)


@given(st.text() | st.builds("https://a.example/?Expires={}".format, st.text()))
def test_any_text_in_place_of_a_url_has_some_end(text: str) -> None:
    assert signed_url(text, sent_at=NOW, otherwise=60.0).expires_in >= 0


class TestTheSettings:
    def read(self, said: Any, urls: tuple[str, ...] = (PLAIN, PLAIN, PLAIN)) -> tuple[ScriptedAssignment, list[Any]]:
        context = ScriptedAssignment(lambda _: said)
        life = UrlLife("recordingPlaybackUrlTtl")

        async def main() -> list[Any]:
            signed = (life.signed_url(url, context, sent_at=NOW) for url in urls)
            return [(url.expires_in, url.expiry_source) for url in await asyncio.gather(*signed)]

        return context, context.clock.run(main())

    def test_are_read_once_for_all_urls_that_do_not_tell(self) -> None:
        said = json_reply({"recordingPlaybackUrlTtl": 5, "recordingBatchDownloadUrlTtl": 7, "other": "thing"})
        context, known = self.read(said)
        assert known == [(300, "settings")] * 3
        (call,) = context.calls
        assert (call.method, call.path, call.body) == ("GET", "/api/v2/recording/settings", b"")
        assert (call.subject, call.action) == ("recording-settings", "recording.settings")

    def test_are_not_read_for_urls_that_tell(self) -> None:
        context, known = self.read(json_reply({}), (f"{HOST}?Expires={int(NOW) + 9}",))
        assert (context.calls, known) == ([], [(9, "url")])

    @pytest.mark.parametrize(
        "said",
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
    def test_that_cannot_be_read_leave_an_hour_and_are_not_asked_for_again(self, said: Any) -> None:
        context, known = self.read(said)
        assert known == [(3_600, "default")] * 3
        assert len(context.calls) == 1

    def test_are_read_anew_in_another_event_loop(self) -> None:
        minutes = iter([5, 6])
        context = ScriptedAssignment(lambda _: json_reply({"recordingPlaybackUrlTtl": next(minutes)}))
        life = UrlLife("recordingPlaybackUrlTtl")

        async def both() -> list[int]:
            return [(await life.signed_url(PLAIN, context, sent_at=NOW)).expires_in for _ in range(2)]

        assert [VirtualClock().run(both()) for _ in range(2)] == [[300, 300], [360, 360]]

    def test_are_read_by_another_if_the_first_reader_is_cancelled(self) -> None:
        life = UrlLife("recordingPlaybackUrlTtl")
        context = ScriptedAssignment(lambda _: json_reply({"recordingPlaybackUrlTtl": 5}))

        class Stuck(ScriptedAssignment):
            async def ask(self, call: Any, /) -> Any:
                await asyncio.Event().wait()

        async def main() -> int:
            stuck = Stuck(lambda _: json_reply({}))
            first = asyncio.create_task(life.signed_url(PLAIN, stuck, sent_at=NOW))
            second = asyncio.create_task(life.signed_url(PLAIN, context, sent_at=NOW))
            await asyncio.sleep(1)
            first.cancel()
            return (await second).expires_in

        assert context.clock.run(main()) == 300
