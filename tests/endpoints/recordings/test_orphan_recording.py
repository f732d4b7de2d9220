"""Orphan recordings: a URL for each of their parts."""

from __future__ import annotations

import pytest

from genesys_media_async import (
    MediaResult,
    MediaRetriever,
    MemorySink,
    VirtualClock,
)
from genesys_media_async.endpoints import OrphanRecording
from genesys_media_async.simulator import (
    Simulator,
    SimulatorSettings,
)
from tests.support.endpoint_runs import (
    ANYTHING,
    URL,
    ids_in,
    scripted,
)
from tests.support.retrievers import collect, settings_for
from tests.support.scripted_context import code, json_reply


class TestOrphanRecording:
    def test_has_a_url_for_each_of_its_parts(self):
        clock = VirtualClock()
        simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
        one, two = ids_in(simulator, "orphan-recording")
        simulator.organization.change(two, parts=2)
        audit = MemorySink()

        async def main() -> list[MediaResult]:
            settings = settings_for(simulator, rule=ANYTHING)
            retriever = MediaRetriever(
                settings, endpoint=OrphanRecording(), transport=simulator.transport(), clock=clock, audit=[audit]
            )
            async with retriever:
                return await collect(retriever, [one, two])

        results = clock.run(main())
        assert all(result.ok for result in results)
        assert sorted((result.file_id, result.media_id) for result in results if result.file_id == two) == [
            (two, f"{two}/0"),
            (two, f"{two}/1"),
        ]
        assert [result.media_id for result in results if result.file_id == one] == [None]
        actions = [record.action for record in audit.events]  # type: ignore[attr-defined]
        assert actions.count("orphan_recording.result") == 2

    @pytest.mark.parametrize(
        ("state", "code", "retryable"),
        [
            ("ARCHIVED", "recording_archived", False),
            ("DELETED", "recording_deleted", False),
            ("UPLOADING", "recording_uploading", True),
            ("RESTORING", "recording_restoring", True),
            ("ERROR", "recording_error", False),
            ("AVAILABLE", "no_playable_media", False),
            (None, "no_playable_media", False),
            ("SUSPENDED", "no_playable_media", False),
        ],
    )
    @pytest.mark.parametrize("media", [None, {}])
    def test_without_media_has_an_error_with_advice(self, state: str | None, code: str, retryable: bool, media: object):
        context = scripted(OrphanRecording(), json_reply({"id": "x", "fileState": state, "mediaUris": media}))
        (error,) = [result.error for result in context.results]
        assert error is not None
        assert (error.code, error.retryable) == (code, retryable)
        assert error.advice

    def test_has_an_error_for_a_rejected_part_and_the_url_of_the_other(self):
        parts = {"0": {"mediaUri": URL}, "1": {"mediaUri": None}, "2": {"mediaUri": URL.replace("https", "http")}}
        context = scripted(OrphanRecording(), json_reply({"id": "orphan-1", "mediaUris": parts}))
        assert [(result.media_id, code(result)) for result in context.results] == [
            ("orphan-1/0", None),
            ("orphan-1/1", "no_url"),
            ("orphan-1/2", "url_not_https"),
        ]

    def test_is_requested_with_the_options(self):
        wanted = OrphanRecording(format_id="WAV", media_formats=("WAV", "MP3"), download=True, file_name="a b.wav")
        reply, path = (
            json_reply({"id": "orphan-1", "mediaUris": {"S": {"mediaUri": URL}}}),
            "/api/v2/orphanrecordings/orphan-1/media",
        )
        assert scripted(OrphanRecording(), reply).paths == [path]
        context = scripted(wanted, reply)
        assert context.paths == [f"{path}?formatId=WAV&mediaFormats=WAV%2CMP3&download=true&fileName=a+b.wav"]
        assert context.results[0].unwrap().file_name == "a b.wav"
