"""Media storage: the path, which a gateway may have differently."""

from __future__ import annotations

import pytest

from genesys_media_async import SettingsError
from genesys_media_async.endpoints import MediaStorage
from tests.support.scripted_context import ScriptedContext, in_turn, json_reply


def test_the_id_takes_its_place_in_the_path() -> None:
    reply = json_reply({"url": "https://media.example.com/a", "expiresIn": 60, "contentType": "audio/wav"})
    for endpoint, path in (
        (MediaStorage(), "/api/v2/media/storage/files/f-1/download-url"),
        (MediaStorage("/gateway/{file_id}/url?x=1"), "/gateway/f-1/url?x=1"),
    ):
        context = ScriptedContext(in_turn(reply))
        (result,) = context.run(endpoint, "f-1")
        assert result.unwrap().url == "https://media.example.com/a"
        assert context.paths == [path]


@pytest.mark.parametrize("template", ["files/{file_id}", "/files", "/files/{file_id}/{file_id}", "/{other}"])
def test_a_template_without_one_id_is_rejected(template: str) -> None:
    with pytest.raises(SettingsError, match="path_template"):
        MediaStorage(template)
