"""The policies in settings: quota, retries, validation, webhooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from genesys_media_async.errors import SettingsError
from genesys_media_async.settings.environment import ENVIRONMENT
from genesys_media_async.settings.policies import QuotaLimit, RetryPolicy, ValidationRule, WebhookTarget
from tests.support.settings import INFINITY, NAN, configured, refusal


class TestQuotaLimit:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("300/60", QuotaLimit(limit=300, seconds=60)),
            (" 1 / 0.5 ", QuotaLimit(limit=1, seconds=0.5)),
            ("none", None),
            (" NONE ", None),
        ],
    )
    def test_text_is_requests_and_seconds(self, text: str, expected: QuotaLimit | None) -> None:
        assert QuotaLimit.parse(text) == expected

    @pytest.mark.parametrize(
        "text", ["", "300", "/60", "300/", "300/60s", "3e2/60", "٣/60", "300/-1", "0/60", "300/0", "300/100000"]
    )
    def test_any_other_text_is_refused(self, text: str) -> None:
        with pytest.raises(SettingsError):
            QuotaLimit.parse(text)

    @given(st.integers(1, 10_000), st.integers(1, 86_400))
    @settings(deadline=None, max_examples=40)
    def test_str_is_read_back(self, limit: int, seconds: int) -> None:
        quota = QuotaLimit(limit=limit, seconds=seconds)
        assert QuotaLimit.parse(str(quota)) == quota


class TestParts:
    @pytest.mark.parametrize(
        ("part", "setting", "value"),
        [
            (QuotaLimit, "limit", 0),
            (QuotaLimit, "limit", 10_000_001),
            (QuotaLimit, "seconds", 0),
            (QuotaLimit, "seconds", NAN),
            (QuotaLimit, "seconds", INFINITY),
            (QuotaLimit, "pace", "even"),
            (RetryPolicy, "max_attempts", 0),
            (RetryPolicy, "base_delay", -1),
            (RetryPolicy, "base_delay", NAN),
            (RetryPolicy, "max_delay", INFINITY),
            (RetryPolicy, "max_rate_limited", 0),
            (RetryPolicy, "budget", -1),
            (ValidationRule, "content_types", "audio/wav"),
            (ValidationRule, "content_types", ("audio",)),
            (ValidationRule, "content_types", ("audio/wav; codecs=1",)),
            (ValidationRule, "content_types", ("",)),
            (ValidationRule, "max_lifetime", 0),
            (ValidationRule, "max_url_length", 0),
            (ValidationRule, "allowed_hosts", ("https://media.example.com",)),
            (ValidationRule, "allowed_hosts", ("media.*.com",)),
            (ValidationRule, "allowed_hosts", ("",)),
            (ValidationRule, "checks", ("no function",)),
            (WebhookTarget, "url", ""),
            (WebhookTarget, "url", "http://hooks.example.com"),
            (WebhookTarget, "timeout", 0),
            (WebhookTarget, "timeout", NAN),
            (WebhookTarget, "max_attempts", 0),
            (WebhookTarget, "concurrency", 0),
            (WebhookTarget, "queue_size", 0),
            (WebhookTarget, "drain_timeout", -1),
            (WebhookTarget, "drain_timeout", NAN),
            (WebhookTarget, "drain_timeout", INFINITY),
        ],
    )
    def test_a_wrong_value_is_refused_alone_and_inside_the_settings(self, part: type, setting: str, value: Any) -> None:
        url = {"url": SecretStr("https://hooks.example.com")} if part is WebhookTarget else {}
        alone = str(refusal(part, **{**url, setting: value}))
        # A setting of a part is not the retriever's setting of the same name, and has no variable.
        assert alone.startswith((f"{setting}: ", f"{setting}."))
        names: dict[type, str] = {QuotaLimit: "quota", RetryPolicy: "retry", ValidationRule: "rule"}
        name = names.get(part, "webhook")
        where = f"{name} (or {ENVIRONMENT[name][0]})" if name in ENVIRONMENT else name
        assert str(refusal(configured, **{name: {**url, setting: value}})) == f"{where}: {alone}"

    @pytest.mark.parametrize("part", ["quota", "retry", "rule", "webhook"])
    def test_an_unknown_name_in_a_part_is_compared_with_the_names_of_that_part(self, part: str) -> None:
        names = {"quota": "second", "retry": "budgett", "rule": "check", "webhook": "timout"}
        close = {"quota": "seconds", "retry": "budget", "rule": "checks", "webhook": "timeout"}
        url = {"url": "https://hooks.example.com"} if part == "webhook" else {}
        message = str(refusal(configured, **{part: {**url, names[part]: 1}}))
        assert message.endswith(f"{names[part]}: unknown setting; did you mean {close[part]}?")

    def test_several_wrong_values_in_several_parts_are_all_named(self) -> None:
        message = str(refusal(configured, retry={"budget": -1, "max_attempts": 0}, rule={"max_lifetime": 0}, timeout=0))
        assert all(name in message for name in ("retry", "budget", "max_attempts", "rule", "max_lifetime", "timeout"))


def test_a_file_for_the_undelivered_may_be_given_as_text() -> None:
    it = configured(webhook={"url": "https://hooks.example.com", "undelivered_file": "u.jsonl"})
    assert it.webhook is not None
    assert it.webhook.undelivered_file == Path("u.jsonl")
