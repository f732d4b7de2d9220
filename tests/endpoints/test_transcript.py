"""Transcripts, of a communication or of each of its recordings."""

from __future__ import annotations

import pytest

from genesys_media_async.endpoints import Transcript
from tests.support.endpoint_runs import (
    URL,
    code_of,
    scripted,
)
from tests.support.scripted_context import code, json_reply


class TestTranscript:
    def test_is_of_the_communication_or_of_each_recording(self):
        one = scripted(Transcript(), json_reply({"url": URL}))
        urls = [{"recording": {"id": name, "selfUri": "/"}, "url": URL} for name in ("r-1", "r-2")]
        each = scripted(Transcript(all_recordings=True), json_reply({"communicationId": "c", "urls": urls}))
        start = (
            "/api/v2/speechandtextanalytics/conversations/conversation-1/communications/communication-1/transcripturl"
        )
        assert (one.paths, each.paths) == ([start], [f"{start}s"])
        assert [(result.media_id, result.ok) for result in one.results] == [(None, True)]
        assert [(result.media_id, result.ok) for result in each.results] == [("r-1", True), ("r-2", True)]

    @pytest.mark.parametrize("body", [{}, {"urls": None}, {"urls": []}])
    def test_an_empty_list_is_an_error(self, body: object):
        assert code_of(Transcript(all_recordings=True), json_reply(body)) == "no_transcripts"

    def test_a_rejected_one_does_not_affect_the_others(self):
        urls = [{"recording": {"id": "r-1"}, "url": ""}, {"recording": {"id": "r-2"}, "url": URL}]
        context = scripted(Transcript(all_recordings=True), json_reply({"urls": urls}))
        assert [code(result) for result in context.results] == ["url_malformed", None]
