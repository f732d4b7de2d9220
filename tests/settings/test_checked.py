"""Errors of settings: every rule has a sentence of ours, and none of pydantic's reaches a person."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from genesys_media_async.errors import InvalidRequestError, SettingsError
from genesys_media_async.settings.checked import CheckedModel, as_value_error, secret_text, unknown_name
from genesys_media_async.settings.policies import QuotaLimit, RetryPolicy, ValidationRule, WebhookTarget
from genesys_media_async.settings.settings import Settings
from tests.support.settings import CREDENTIALS, refusal

PARTS: list[type[CheckedModel]] = [Settings, QuotaLimit, RetryPolicy, ValidationRule, WebhookTarget]
FIELDS = [(part, name) for part in PARTS for name in part.model_fields]
REQUIRED: dict[type[CheckedModel], dict[str, Any]] = {
    Settings: CREDENTIALS,
    WebhookTarget: {"url": "https://hooks.example.com"},
}

ODD_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(categories=None)),
        st.binary(),
        st.sampled_from(["auto", "none", "1e400", "9" * 5_000, "\ud800", 10**400, Path("x"), object(), print, str, 1j]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.sets(st.integers(), max_size=2),
        st.dictionaries(st.text(), inner),
    ),
    max_leaves=4,
)
PYDANTIC = re.compile(
    r"Input should|[Uu]nable to|valid (string|integer|number|dict|boolean|tuple)|pydantic|Value error"
)


class TestSentences:
    @given(field=st.sampled_from(FIELDS), value=ODD_VALUES)
    @example(field=(Settings, "region"), value=b"\xff")
    @example(field=(Settings, "concurrency"), value="9" * 5_000)
    @example(field=(WebhookTarget, "undelivered_file"), value=7)
    @settings(deadline=None, max_examples=600)
    def test_every_refusal_is_a_sentence_of_ours(self, field: tuple[type[CheckedModel], str], value: Any) -> None:
        part, name = field
        try:
            part(**{**REQUIRED.get(part, {}), name: value})
        except SettingsError as error:
            message = str(error)
            assert re.match(rf"{name}\b", message) or "missing or empty" in message
            assert not PYDANTIC.search(message)
            assert "is not valid" not in message, "a type of error without a rule"
            assert message.endswith((".", "?"))

    @pytest.mark.parametrize(
        ("part", "values", "message"),
        [
            (QuotaLimit, {"limit": "x"}, "limit: must be a whole number."),
            (QuotaLimit, {"limit": 1.5}, "limit: must be a whole number."),
            (QuotaLimit, {"limit": 10**8}, "limit: must be at most 10,000,000."),
            (QuotaLimit, {"seconds": 0}, "seconds: must be more than 0."),
            (QuotaLimit, {"seconds": "inf"}, "seconds: must be a finite number."),
            (QuotaLimit, {"seconds": "x"}, "seconds: must be a number."),
            (WebhookTarget, {}, "url: is required."),
            (WebhookTarget, {"url": "https://x.test", "include_url": "perhaps"}, "include_url: must be true or false."),
            (WebhookTarget, {"url": "https://x.test", "undelivered_file": 7}, "undelivered_file: must be a path."),
            (ValidationRule, {"content_types": "audio/wav"}, "content_types: must be a list or a tuple."),
            (ValidationRule, {"content_types": [7]}, "content_types.0: must be text."),
            (ValidationRule, {"checks": [7]}, "checks.0: must be a function."),
            (Settings, {"access_token": "x", "rule": 7}, "rule: must be a ValidationRule, or a dict of its settings."),
            (Settings, {"access_token": "x", "pace": "x"}, "pace (or GENESYS_MEDIA_PACE): must be 'burst' or 'even'."),
            (RetryPolicy, {"max_delay": 9e9}, "max_delay: must be at most 3,600."),
        ],
    )
    def test_the_sentence_names_the_setting_and_its_rule(self, part: Any, values: dict[str, Any], message: str) -> None:
        assert str(refusal(part, **values)) == message

    def test_a_value_that_is_no_dict_is_refused(self) -> None:
        odd: Any = 7
        with pytest.raises(SettingsError, match=r"^must be a Settings, or a dict of its settings\.$"):
            Settings.checked(odd)

    def test_an_error_has_no_chained_exception_that_could_show_the_input(self) -> None:
        error = refusal(Settings, client_secret=["canary"])
        assert error.__cause__ is None
        assert error.__suppress_context__


def test_an_unknown_name_is_refused_with_the_closest_name_or_with_all() -> None:
    assert unknown_name("option", "deadlin", ["deadline", "rule"]) == "unknown option; did you mean deadline?"
    assert unknown_name("option", "xyz", ["deadline", "rule"]) == "unknown option; there are deadline, rule."


@pytest.mark.parametrize("secret", ["text", SecretStr("text")])
def test_the_text_of_a_secret_is_found_in_either_form(secret: Any) -> None:
    assert secret_text(secret) == "text"


@pytest.mark.parametrize("error", [InvalidRequestError("x", advice="y"), SettingsError("x", advice="y")])
def test_a_check_of_ours_works_inside_a_validator(error: Exception) -> None:
    def check(value: object) -> object:
        raise error

    with pytest.raises(ValueError, match=r"^x y$"):
        as_value_error(check, 1)
