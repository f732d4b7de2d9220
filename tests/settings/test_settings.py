"""`Settings`: defaults, credentials, secrets, and wrong values."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from genesys_media_async.errors import GenesysMediaError, SettingsError
from genesys_media_async.settings.policies import QuotaLimit, WebhookTarget
from genesys_media_async.settings.settings import AUTO_WORKERS, Settings, SettingsOptions
from genesys_media_async.settings.version import VERSION
from tests.support.settings import INFINITY, NAN, configured, refusal


class TestDefaults:
    def test_the_defaults_are_those_of_the_first_region(self) -> None:
        it = configured()
        assert it.api_url == "https://api.mypurecloud.com"
        assert it.token_url == "https://login.mypurecloud.com/oauth/token"
        assert it.credentials_in == "header"
        assert (it.quota, it.pace) == (QuotaLimit(limit=300, seconds=60), "burst")
        assert it.expires_in == 3_600
        assert it.user_agent == f"genesys-media-async/{VERSION}"
        assert it.webhook is None
        assert it.rule.content_types is None

    def test_settings_are_frozen(self) -> None:
        it: Any = configured()
        for part, name in ((it, "region"), (it.quota, "limit"), (it.retry, "max_attempts"), (it.rule, "loopback_http")):
            with pytest.raises(Exception, match="frozen"):
                setattr(part, name, None)


class TestOptions:
    def test_the_options_of_a_call_are_the_settings(self) -> None:
        assert list(SettingsOptions.__annotations__) == list(Settings.model_fields)

    def test_text_is_accepted_for_quota_pace_and_concurrency(self) -> None:
        it = Settings(access_token="token", quota="300/60", concurrency="auto", pace="even")
        assert it.quota == QuotaLimit(limit=300, seconds=60)
        assert (it.concurrency, it.workers, it.pace) == (None, AUTO_WORKERS, "even")

    @pytest.mark.parametrize(
        ("given", "concurrency", "workers"),
        [
            (None, None, AUTO_WORKERS),
            ("auto", None, AUTO_WORKERS),
            (" AUTO ", None, AUTO_WORKERS),
            (7, 7, 7),
            ("7", 7, 7),
        ],
    )
    def test_concurrency_is_a_number_or_auto(self, given: Any, concurrency: int | None, workers: int) -> None:
        it = configured(concurrency=given)
        assert (it.concurrency, it.workers) == (concurrency, workers)

    @pytest.mark.parametrize("quota", [None, "none", "NONE"])
    def test_quota_may_be_none(self, quota: Any) -> None:
        assert configured(quota=quota).quota is None

    @pytest.mark.parametrize(
        ("name", "close"),
        [("clientid", "client_id"), ("time_out", "timeout"), ("concurency", "concurrency"), ("expires", "expires_in")],
    )
    def test_a_misspelt_name_is_refused_with_the_closest(self, name: str, close: str) -> None:
        assert str(refusal(configured, **{name: 1})) == f"{name}: unknown setting; did you mean {close}?"

    def test_a_name_like_no_other_is_refused_with_all_names(self) -> None:
        assert ", ".join(Settings.model_fields) in str(refusal(configured, xyz=1))


class TestCredentials:
    @pytest.mark.parametrize(
        ("given", "missing"),
        [
            ({}, ["GENESYSCLOUD_OAUTHCLIENT_ID", "GENESYSCLOUD_OAUTHCLIENT_SECRET"]),
            ({"client_id": "x"}, ["GENESYSCLOUD_OAUTHCLIENT_SECRET"]),
            ({"client_secret": "x"}, ["GENESYSCLOUD_OAUTHCLIENT_ID"]),
            ({"client_id": "x", "client_secret": " "}, ["GENESYSCLOUD_OAUTHCLIENT_SECRET"]),
            ({"client_id": "", "client_secret": "x"}, ["GENESYSCLOUD_OAUTHCLIENT_ID"]),
            ({"access_token": ""}, ["GENESYSCLOUD_OAUTHCLIENT_ID", "GENESYSCLOUD_OAUTHCLIENT_SECRET"]),
        ],
    )
    def test_missing_credentials_are_named_with_the_repair(self, given: dict[str, Any], missing: list[str]) -> None:
        said = str(refusal(Settings, **given))
        named = said.partition(" missing or empty;")[0]
        assert re.findall(r"GENESYSCLOUD_OAUTHCLIENT_\w+", named) == missing
        assert "GENESYSCLOUD_ACCESS_TOKEN" in said

    def test_an_access_token_is_enough(self) -> None:
        it = Settings(access_token=SecretStr("canary-token"))
        assert it.client_id is None

    @pytest.mark.parametrize("setting", ["client_id", "client_secret", "access_token"])
    @pytest.mark.parametrize("value", ["canary x", "canary\n", "\tcanary", "canäry", "“canary”", "canary\x00", 7])
    def test_credentials_that_no_header_can_carry_are_refused_and_not_shown(self, setting: str, value: Any) -> None:
        said = refusal(configured, **{setting: value})
        assert setting in str(said)
        assert "canary" not in f"{said} {said!r}"
        assert "canäry" not in f"{said} {said!r}"

    @pytest.mark.parametrize("setting", ["client_id", "client_secret", "access_token", "region", "base_url", "proxy"])
    @pytest.mark.parametrize("value", ['"canary"', "'canary'", "`canary`", ' "canary" ', "\u201ccanary\u201d", '""'])
    def test_what_still_has_its_quotes_is_refused_with_a_word_about_them(self, setting: str, value: str) -> None:
        said = refusal(configured, **{setting: value})
        assert f"{setting} (or " in str(said)
        assert "is in quotes; write it without them" in str(said)
        assert "canary" not in f"{said} {said!r}"

    @pytest.mark.parametrize("value", ['a"b', '"a', "a'", '"'])
    def test_a_quote_within_a_secret_is_a_part_of_it(self, value: str) -> None:
        assert configured(client_secret=value).client_secret == SecretStr(value)

    def test_a_variable_in_quotes_is_named(self) -> None:
        environ = {"GENESYSCLOUD_OAUTHCLIENT_ID": '"client"', "GENESYSCLOUD_OAUTHCLIENT_SECRET": "canary"}
        said = str(refusal(lambda: Settings.from_env(environ)))
        assert said.startswith("client_id (or GENESYSCLOUD_OAUTHCLIENT_ID): is in quotes")
        assert "env-file" in said

    def test_a_client_id_has_no_colon(self) -> None:
        assert "client_id" in str(refusal(configured, client_id="a:b"))
        assert configured(client_secret="a:b").client_secret == SecretStr("a:b")


class TestSecrets:
    def test_no_repr_shows_a_secret(self) -> None:
        it = configured(
            access_token="canary-token",
            proxy="http://user:canary-proxy@proxy.example.com:3128",
            webhook=WebhookTarget(url=SecretStr("https://hooks.example.com/?key=canary-key")),
        )
        for shown in (repr(it), str(it), repr(it.webhook), str(it.webhook), f"{it.model_dump()}"):
            assert "canary" not in shown

    @pytest.mark.parametrize(
        "values",
        [
            {"webhook": {"url": "http://hooks.example.com/canary"}},
            {"webhook": {"url": "https://user:canary@hooks.example.com/"}},
            {"webhook": {"url": "https://hooks.example.com:canary/"}},
            {"webhook": {"url": "https://user:canary/x@hooks.example.com/"}},
            {"webhook": {"url": "https://user:canary@hooks\u2100.example.com/"}},
            {"webhook": {"url": "https://[canary/"}},
            {"webhook": {"url": "canary"}},
            {"webhook": {"url": ["canary"]}},
            {"base_url": "https://user:canary@gateway.example.com"},
            {"base_url": "https://user:canary/x@gateway.example.com"},
            {"base_url": "https://gateway.example.com/?key=canary"},
            {"base_url": "https://gateway.example.com/#canary"},
            {"proxy": "socks5://user:canary@proxy.example.com"},
            {"proxy": "http://user:canary@proxy\u2100.example.com"},
            {"proxy": "http://user:canary/x@proxy.example.com:3128"},
            {"proxy": ["canary"]},
            {"client_secret": ["canary"]},
            {"access_token": {"canary": "canary"}},
        ],
    )
    def test_no_message_shows_a_secret(self, values: dict[str, Any]) -> None:
        error = refusal(configured, **values)
        assert "canary" not in f"{error} {error!r}"
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None

    def test_no_message_about_another_setting_shows_a_secret(self) -> None:
        error = refusal(Settings, client_id="x", client_secret="canary", access_token="canary", region="mars", nope=1)
        assert "region" in str(error)
        assert "nope" in str(error)
        assert "canary" not in f"{error} {error!r}"


class TestWrongValues:
    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("credentials_in", "cookie"),
            ("region", 7),
            ("base_url", "gateway.example.com"),
            ("base_url", "http://gateway.example.com"),
            ("base_url", "ftp://gateway.example.com"),
            ("base_url", "https://"),
            ("base_url", "https:///path"),
            ("base_url", "https://gateway.example.com:99999"),
            ("base_url", "https://gateway.example.com/?"),
            ("base_url", "https://gateway.example.com/#"),
            ("base_url", "https://gateway.example.com/a b"),
            ("base_url", "https://gäteway.example.com"),
            ("login_url", "http://10.0.0.1"),
            ("login_url", "http://localhost.evil.test"),
            ("proxy", "proxy.example.com:3128"),
            ("proxy", "socks5://proxy.example.com"),
            ("proxy", "http://"),
            ("proxy", "http://proxy.example.com\n"),
            ("proxy", "http://proxy\x00.example.com"),
            ("proxy", "http://xn--\x80"),
            ("proxy", "http://:3128"),
            ("proxy", "http://proxy.example.com:x"),
            ("proxy", "http://proxy.example.com:99999"),
            ("expires_in", 0),
            ("expires_in", 86_401),
            ("expires_in", 1.5),
            ("expires_in", "soon"),
            ("access_level", ""),
            ("access_level", "a b"),
            ("access_level", "x" * 65),
            ("quota", "300"),
            ("quota", "300/60/1"),
            ("quota", "-1/60"),
            ("quota", "300/inf"),
            ("quota", 300),
            ("pace", "slow"),
            ("pace", None),
            ("concurrency", "many"),
            ("concurrency", 0),
            ("concurrency", 10_001),
            ("concurrency", 1.5),
            ("timeout", 0),
            ("timeout", -1),
            ("timeout", NAN),
            ("timeout", INFINITY),
            ("deadline", 0),
            ("deadline", -1),
            ("deadline", NAN),
            ("start_timeout", -1),
            ("start_timeout", NAN),
            ("user_agent", ""),
            ("user_agent", "a\nb"),
            ("user_agent", " a"),
            ("user_agent", "ä"),
            ("rule", "strict"),
            ("retry", 5),
            ("clientid", "typo"),
        ],
    )
    def test_a_wrong_value_is_refused_with_the_name_of_the_setting(self, setting: str, value: Any) -> None:
        error = refusal(configured, **{setting: value})
        assert setting in str(error)
        assert len(str(error)) > len(setting) + 15
        assert error.code == "settings"
        assert not error.retryable
        assert isinstance(error, GenesysMediaError)

    def test_all_wrong_values_are_named(self) -> None:
        said = str(refusal(configured, concurrency=0, timeout=-1, region="mars"))
        assert all(name in said for name in ("concurrency", "timeout", "region"))

    @given(
        setting=st.sampled_from(sorted(Settings.model_fields)),
        value=st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text())
        ),
    )
    @settings(deadline=None, max_examples=300)
    def test_any_value_works_or_is_a_settings_error(self, setting: str, value: Any) -> None:
        refused: SettingsError | None = None
        try:
            it = configured(**{setting: value})
        except SettingsError as error:
            refused = error
        else:
            assert it.api_url.startswith("http")
            assert it.token_url.startswith("http")
        assert "canary" not in str(refused)


def test_a_lifetime_of_thousands_of_digits_is_refused_like_any_other() -> None:
    with pytest.raises(SettingsError, match="far out of range"):
        Settings(access_token="token", expires_in=10**5_000)
