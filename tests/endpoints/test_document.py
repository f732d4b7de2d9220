"""Documents: the URL of their content, once it is prepared."""

from __future__ import annotations

import pytest

from genesys_media_async import (
    ValidationRule,
)
from genesys_media_async.endpoints import Document
from tests.support.endpoint_runs import (
    URL,
    code_of,
    scripted,
)
from tests.support.scripted_context import json_reply


class TestDocument:
    def test_is_requested_with_the_options(self):
        endpoint = Document(content_type="image/png", disposition="inline")
        context = scripted(endpoint, json_reply({"contentLocationUri": URL}))
        assert context.paths == [
            "/api/v2/contentmanagement/documents/document-1/content?disposition=inline&contentType=image%2Fpng"
        ]
        assert context.results[0].unwrap().content_type == "image/png"

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"state": "Completed"}, "no_content_location"),
            ({"state": "Completed", "contentLocationUri": None}, "no_content_location"),
            ({"state": "Running", "contentLocationUri": URL}, "never_prepared"),
            ({"state": "Suspended"}, "never_prepared"),
            ({"state": "Suspended", "contentLocationUri": URL}, None),
            ({"contentLocationUri": 7}, "reply_shape"),
            ([URL], "reply_shape"),
            ({"contentLocationUri": ""}, "url_malformed"),
            ({"contentLocationUri": URL.replace("https", "http")}, "url_not_https"),
            ({"contentLocationUri": URL.replace("//", "//user@")}, "url_user_info"),
            ({"contentLocationUri": URL.replace("media.", "foreign.")}, "host_refused"),
        ],
    )
    def test_without_a_url_has_a_reason(self, body: object, code: str | None):
        rule = ValidationRule(content_types=("*/*",), allowed_hosts=("media.example.com",))
        assert code_of(Document(timeout=3.0), json_reply(body), rule=rule) == code

    @pytest.mark.parametrize(
        ("content_type", "code"),
        [("application/json; charset=utf-8", None), ("APPLICATION/JSON", None), ("text/html", "reply_not_json")],
    )
    def test_may_have_parameters_in_its_content_type(self, content_type: str, code: str | None):
        assert code_of(Document(), json_reply({"contentLocationUri": URL}, content_type=content_type)) == code
