"""Genesys's error body."""

from __future__ import annotations

import pytest

from genesys_media_async.api.replies import ErrorBody


@pytest.mark.parametrize(
    "body", [b"{}", b'{"code": null}', b'{"code": "a", "message": "b", "contextId": "c", "status": 400, "errors": []}']
)
def test_an_error_body_may_lack_anything_and_have_more(body: bytes) -> None:
    ErrorBody.model_validate_json(body)
