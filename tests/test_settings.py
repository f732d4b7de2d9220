"""Settings: regions, environment names, precedence, and wrong values that are said so without being shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from genesys_media_async.errors import GenesysMediaError, SettingsError
from genesys_media_async.settings.checked import secret_text
from genesys_media_async.settings.settings import (
    ENVIRONMENT,
    REGIONS,
    VERSION,
    QuotaLimit,
    RetryPolicy,
    Settings,
    ValidationRule,
    WebhookTarget,
)
from genesys_media_async.settings.urls import is_loopback
from genesys_media_async.transports import HttpxTransport

NAN, INFINITY = float("nan"), float("inf")
CREDENTIALS = {"client_id": "some-client", "client_secret": "canary-secret"}


def configured(**changes: Any) -> Settings:
    return Settings(**{**CREDENTIALS, **changes})


def refusal(make: Any, /, **values: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        make(**values)
    return caught.value


class TestTheDefaults:
    def test_are_those_of_an_organisation_in_the_first_region(self) -> None:
        it = configured()
        assert it.api_url == "https://api.mypurecloud.com"
        assert it.token_url == "https://login.mypurecloud.com/oauth/token"
        assert it.credentials_in == "header"
        assert it.quota == QuotaLimit(limit=300, seconds=60, pace="burst")
        assert it.expires_in == 3_600
        assert it.user_agent == f"genesys-media-async/{VERSION}"
        assert it.webhook is None
        assert it.rule.content_types is None

    def test_cannot_be_changed_afterwards(self) -> None:
        it: Any = configured()
        for part, name in ((it, "region"), (it.quota, "limit"), (it.retry, "tries"), (it.rule, "loopback_http")):
            with pytest.raises(Exception, match="frozen"):
                setattr(part, name, None)


class TestRegions:
    @pytest.mark.parametrize(
        "spelled",
        [
            "eu_west_1",
            "eu-west-1",
            "EU-West-1",
            " eu-west-1 ",
            "mypurecloud.ie",
            "MYPURECLOUD.IE",
            "api.mypurecloud.ie",
            "login.mypurecloud.ie",
            "apps.mypurecloud.ie",
            "https://api.mypurecloud.ie",
            "https://api.mypurecloud.ie/",
            "https://mypurecloud.ie",
            "https://apps.mypurecloud.ie/directory/#/admin/oauth",
            "EU West 1",
        ],
    )
    def test_may_be_spelled_in_any_way(self, spelled: str) -> None:
        it = configured(region=spelled)
        assert it.region == "eu_west_1"
        assert it.api_url == "https://api.mypurecloud.ie"
        assert it.token_url == "https://login.mypurecloud.ie/oauth/token"

    @pytest.mark.parametrize("name", REGIONS)
    def test_are_found_by_name_and_by_domain(self, name: str) -> None:
        spellings = (name, name.replace("_", "-"), name.upper(), REGIONS[name], f"https://api.{REGIONS[name]}/")
        assert {configured(region=spelled).region for spelled in spellings} == {name}

    @pytest.mark.parametrize(
        "spelled",
        ["", "mars-1", "us-east", "us-east-1b", "evil.test", "api.mypurecloud.com.evil.test", "mypurecloud.company"],
    )
    def test_that_are_none_are_refused_with_a_list_of_those_there_are(self, spelled: str) -> None:
        said = str(refusal(configured, region=spelled))
        assert said.startswith("region (or GENESYSCLOUD_REGION): ")
        assert "us-east-1" in said
        assert "base_url" in said

    def test_are_all_that_genesys_has(self) -> None:
        assert len(REGIONS) == 18

    @pytest.mark.parametrize("domain", REGIONS.values())
    def test_of_a_base_url_is_where_its_login_is(self, domain: str) -> None:
        it = configured(base_url=f"https://api.{domain}/")
        assert it.token_url == f"https://login.{domain}/oauth/token"

    @pytest.mark.parametrize("host", ["api.mypurecloud.ie.evil.test", "api.gateway.example.com", "mypurecloud.ie"])
    def test_are_not_guessed_from_another_host(self, host: str) -> None:
        it = configured(base_url=f"https://{host}", region="ap_south_1")
        assert it.token_url == "https://login.aps1.pure.cloud/oauth/token"

    def test_give_way_to_hosts_that_are_named(self) -> None:
        it = configured(base_url="https://gateway.example.com/genesys/", login_url="http://127.0.0.1:9000")
        assert it.api_url == "https://gateway.example.com/genesys"
        assert it.token_url == "http://127.0.0.1:9000/oauth/token"


class TestTheEnvironment:
    def test_is_read_under_the_names_users_already_have_and_ours(self) -> None:
        it = Settings.from_env(
            {
                "GENESYSCLOUD_OAUTHCLIENT_ID": "some-client",
                "GENESYSCLOUD_OAUTHCLIENT_SECRET": "canary-secret",
                "GENESYSCLOUD_ACCESS_TOKEN": "canary-token",
                "GENESYSCLOUD_REGION": "eu-west-1",
                "GENESYS_MEDIA_BASE_URL": "https://gateway.example.com",
                "GENESYS_MEDIA_LOGIN_URL": "https://login.example.com",
                "GENESYS_MEDIA_QUOTA": "100/30",
                "GENESYS_MEDIA_CONCURRENCY": "7",
                "GENESYS_MEDIA_EXPIRES_IN": "60",
                "GENESYS_MEDIA_ACCESS_LEVEL": "private",
                "GENESYS_MEDIA_TIMEOUT": "1.5",
                "GENESYS_MEDIA_DEADLINE": "90",
                "GENESYS_MEDIA_PROXY": "http://proxy.example.com:3128",
                "UNRELATED": "x",
            }
        )
        assert it.client_id == "some-client"
        assert it.client_secret == SecretStr("canary-secret")
        assert it.access_token == SecretStr("canary-token")
        assert it.region == "eu_west_1"
        assert it.api_url == "https://gateway.example.com"
        assert it.token_url == "https://login.example.com/oauth/token"
        assert it.quota == QuotaLimit(limit=100, seconds=30)
        assert (it.concurrency, it.expires_in, it.access_level) == (7, 60, "private")
        assert (it.timeout, it.deadline) == (1.5, 90)
        assert it.proxy == SecretStr("http://proxy.example.com:3128")

    @pytest.mark.parametrize(
        ("setting", "name"), [(setting, name) for setting, names in ENVIRONMENT.items() for name in names]
    )
    def test_has_for_each_setting_every_name_that_the_table_says(self, setting: str, name: str) -> None:
        values = {
            "client_id": "named-client",
            "client_secret": "named-secret",
            "access_token": "named-token",
            "region": "ap-south-1",
            "base_url": "https://named.example.com",
            "login_url": "https://named.example.com",
            "quota": "7/8",
            "concurrency": "77",
            "expires_in": "777",
            "access_level": "named",
            "timeout": "77.5",
            "deadline": "7777.5",
            "proxy": "http://named.example.com:1",
        }
        others = {"GENESYSCLOUD_OAUTHCLIENT_ID": "other", "GENESYSCLOUD_OAUTHCLIENT_SECRET": "other"}
        for each in ENVIRONMENT[setting]:
            others.pop(each, None)
        it = Settings.from_env({**others, name: values[setting]})
        found = getattr(it, setting)
        found = found.get_secret_value() if isinstance(found, SecretStr) else found
        assert str(found).replace("_", "-") == values[setting]

    @pytest.mark.parametrize("setting", [setting for setting, names in ENVIRONMENT.items() if len(names) > 1])
    def test_prefers_the_name_that_comes_first_unless_it_is_blank(self, setting: str) -> None:
        first, *aliases = ENVIRONMENT[setting]
        # A client that is named would set the token of the environment aside.
        base = {} if setting == "access_token" else {**CREDENTIALS, setting: None}
        regions = setting == "region"
        one, two = ("eu_west_1", "eu_west_2") if regions else ("one", "two")

        def read(environ: dict[str, str]) -> str:
            found = getattr(Settings.from_env(environ, **base), setting)
            return str(found.get_secret_value() if isinstance(found, SecretStr) else found)

        assert read({first: one, aliases[0]: two}) == one
        assert read({first: "  ", aliases[-1]: two}) == two
        assert read({first: "", aliases[0]: f" {two} "}) == two

    def test_gives_way_to_arguments_unless_they_are_none(self) -> None:
        environ = {"GENESYS_MEDIA_CONCURRENCY": "7", "GENESYS_MEDIA_TIMEOUT": "7"}
        it = Settings.from_env(environ, **CREDENTIALS, concurrency=9, timeout=None)
        assert (it.concurrency, it.timeout) == (9, 7)

    def test_is_the_programs_own_if_none_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for names in ENVIRONMENT.values():
            for name in names:
                monkeypatch.delenv(name, raising=False)
        with pytest.raises(SettingsError):
            Settings.from_env()
        monkeypatch.setenv("GENESYS_CLOUD_ACCESS_TOKEN", "canary-token")
        assert Settings.from_env().access_token == SecretStr("canary-token")

    def test_says_no_ceiling_as_none(self) -> None:
        assert Settings.from_env({"GENESYS_MEDIA_QUOTA": "none"}, **CREDENTIALS).quota is None

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("GENESYSCLOUD_OAUTHCLIENT_ID", "two words"),
            ("GENESYSCLOUD_OAUTHCLIENT_SECRET", "sécret"),
            ("GENESYSCLOUD_ACCESS_TOKEN", "a b"),
            ("GENESYSCLOUD_REGION", "mars"),
            ("GENESYS_MEDIA_BASE_URL", "gateway"),
            ("GENESYS_MEDIA_LOGIN_URL", "http://login.example.com"),
            ("GENESYS_MEDIA_QUOTA", "many"),
            ("GENESYS_MEDIA_QUOTA", "0/60"),
            ("GENESYS_MEDIA_QUOTA", "300/0"),
            ("GENESYS_MEDIA_CONCURRENCY", "many"),
            ("GENESYS_MEDIA_CONCURRENCY", "0"),
            ("GENESYS_MEDIA_EXPIRES_IN", "1h"),
            ("GENESYS_MEDIA_EXPIRES_IN", "86401"),
            ("GENESYS_MEDIA_ACCESS_LEVEL", "a/b"),
            ("GENESYS_MEDIA_TIMEOUT", "-1"),
            ("GENESYS_MEDIA_DEADLINE", "nan"),
            ("GENESYS_MEDIA_PROXY", "socks5://proxy.example.com"),
        ],
    )
    def test_that_is_wrong_is_refused_by_the_name_of_the_variable(self, name: str, value: str) -> None:
        environ = {"GENESYSCLOUD_OAUTHCLIENT_ID": "x", "GENESYSCLOUD_OAUTHCLIENT_SECRET": "y", name: value}
        with pytest.raises(SettingsError) as caught:
            Settings.from_env(environ)
        assert name in str(caught.value)


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
    def test_that_are_missing_are_named_with_what_to_do(self, given: dict[str, Any], missing: list[str]) -> None:
        said = str(refusal(Settings, **given))
        named = said.partition(" missing or empty")[0]
        assert re.findall(r"GENESYSCLOUD_OAUTHCLIENT_\w+", named) == missing
        assert "GENESYSCLOUD_ACCESS_TOKEN" in said

    def test_are_not_needed_with_an_access_token(self) -> None:
        it = Settings(access_token=SecretStr("canary-token"))
        assert it.client_id is None

    @pytest.mark.parametrize("setting", ["client_id", "client_secret", "access_token"])
    @pytest.mark.parametrize("value", ["canary x", "canary\n", "\tcanary", "canäry", "“canary”", "canary\x00", 7])
    def test_that_no_header_can_carry_are_refused_and_not_shown(self, setting: str, value: Any) -> None:
        said = refusal(configured, **{setting: value})
        assert setting in str(said)
        assert "canary" not in f"{said} {said!r}"
        assert "canäry" not in f"{said} {said!r}"

    def test_of_http_basic_have_no_colon_in_the_id(self) -> None:
        assert "client_id" in str(refusal(configured, client_id="a:b"))
        assert configured(client_secret="a:b").client_secret == SecretStr("a:b")


class TestSecrets:
    def test_are_in_no_repr_of_settings(self) -> None:
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
    def test_are_in_no_message_about_what_is_wrong(self, values: dict[str, Any]) -> None:
        error = refusal(configured, **values)
        assert "canary" not in f"{error} {error!r}"
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None

    def test_are_in_no_message_about_another_setting(self) -> None:
        error = refusal(Settings, client_id="x", client_secret="canary", access_token="canary", region="mars", nope=1)
        assert "region" in str(error)
        assert "nope" in str(error)
        assert "canary" not in f"{error} {error!r}"


class TestAWrongValue:
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
    def test_is_refused_with_the_name_of_the_setting(self, setting: str, value: Any) -> None:
        error = refusal(configured, **{setting: value})
        assert setting in str(error)
        assert len(str(error)) > len(setting) + 15
        assert error.code == "settings"
        assert not error.retryable
        assert isinstance(error, GenesysMediaError)

    @pytest.mark.parametrize(
        ("part", "setting", "value"),
        [
            (QuotaLimit, "limit", 0),
            (QuotaLimit, "limit", 10_000_001),
            (QuotaLimit, "seconds", 0),
            (QuotaLimit, "seconds", NAN),
            (QuotaLimit, "seconds", INFINITY),
            (QuotaLimit, "pace", "slow"),
            (RetryPolicy, "tries", 0),
            (RetryPolicy, "base", -1),
            (RetryPolicy, "base", NAN),
            (RetryPolicy, "longest", INFINITY),
            (RetryPolicy, "max_rate_limited", 0),
            (RetryPolicy, "budget", -1),
            (ValidationRule, "content_types", "audio/wav"),
            (ValidationRule, "content_types", ("audio",)),
            (ValidationRule, "content_types", ("audio/wav; codecs=1",)),
            (ValidationRule, "content_types", ("",)),
            (ValidationRule, "max_lifetime", 0),
            (ValidationRule, "max_url_length", 0),
            (ValidationRule, "hosts", ("https://media.example.com",)),
            (ValidationRule, "hosts", ("media.*.com",)),
            (ValidationRule, "hosts", ("",)),
            (ValidationRule, "checks", ("no function",)),
            (WebhookTarget, "url", ""),
            (WebhookTarget, "url", "http://hooks.example.com"),
            (WebhookTarget, "timeout", 0),
            (WebhookTarget, "timeout", NAN),
            (WebhookTarget, "tries", 0),
            (WebhookTarget, "concurrency", 0),
            (WebhookTarget, "queue", 0),
            (WebhookTarget, "drain", -1),
            (WebhookTarget, "drain", NAN),
            (WebhookTarget, "drain", INFINITY),
        ],
    )
    def test_in_a_part_is_refused_too_alone_and_inside(self, part: type, setting: str, value: Any) -> None:
        url = {"url": SecretStr("https://hooks.example.com")} if part is WebhookTarget else {}
        assert setting in str(refusal(part, **{**url, setting: value}))
        names: dict[type, str] = {QuotaLimit: "quota", RetryPolicy: "retry", ValidationRule: "rule"}
        where = names.get(part, "webhook")
        assert setting in str(refusal(configured, **{where: {**url, setting: value}}))

    def test_among_several_is_not_the_only_one_named(self) -> None:
        said = str(refusal(configured, concurrency=0, timeout=-1, region="mars"))
        assert all(name in said for name in ("concurrency", "timeout", "region"))

    @given(
        setting=st.sampled_from(sorted(Settings.model_fields)),
        value=st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text())
        ),
    )
    @settings(deadline=None, max_examples=300)
    def test_of_any_kind_is_a_settings_error_or_works(self, setting: str, value: Any) -> None:
        refused: SettingsError | None = None
        try:
            it = configured(**{setting: value})
        except SettingsError as error:
            refused = error
        else:
            assert it.api_url.startswith("http")
            assert it.token_url.startswith("http")
        assert "canary" not in str(refused)


class TestURLs:
    @pytest.mark.parametrize(
        "url",
        [
            "https://gateway.example.com",
            "https://gateway.example.com/",
            "https://gateway.example.com:8443/some/path",
            "HTTPS://gateway.example.com",
            "http://127.0.0.1:8080",
            "http://localhost:8080",
            "http://[::1]:8080",
        ],
    )
    def test_that_are_right_are_taken(self, url: str) -> None:
        assert configured(base_url=url).api_url == url.rstrip("/")
        assert secret_text(WebhookTarget(url=url + "?key=value").url).endswith("?key=value")

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("localhost", True),
            ("127.0.0.1", True),
            ("127.8.8.8", True),
            ("::1", True),
            ("0.0.0.0", False),
            ("10.0.0.1", False),
            ("localhost.evil.test", False),
            ("127.0.0.1.evil.test", False),
            ("", False),
            (None, False),
        ],
    )
    def test_mean_this_machine_only_where_they_can_mean_no_other(self, host: str | None, expected: bool) -> None:
        assert is_loopback(host) is expected

    @pytest.mark.parametrize(
        "proxy", ["http://proxy.example.com:3128", "https://u:p@proxy.example.com", "http://[::1]"]
    )
    def test_of_a_proxy_that_is_taken_also_make_a_client(self, proxy: str) -> None:
        transport = HttpxTransport.from_settings(configured(proxy=proxy))
        assert "HttpxTransport" in repr(transport)


class TestAQuota:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("300/60", QuotaLimit(limit=300, seconds=60)),
            (" 1 / 0.5 ", QuotaLimit(limit=1, seconds=0.5)),
            ("none", None),
            (" NONE ", None),
        ],
    )
    def test_is_written_as_requests_in_seconds(self, text: str, expected: QuotaLimit | None) -> None:
        assert QuotaLimit.parse(text) == expected

    @pytest.mark.parametrize(
        "text", ["", "300", "/60", "300/", "300/60s", "3e2/60", "٣/60", "300/-1", "0/60", "300/0", "300/100000"]
    )
    def test_that_is_not_is_refused(self, text: str) -> None:
        with pytest.raises(SettingsError):
            QuotaLimit.parse(text)

    @given(st.integers(1, 10_000), st.integers(1, 86_400))
    @settings(deadline=None, max_examples=40)
    def test_reads_what_it_writes(self, limit: int, seconds: int) -> None:
        quota = QuotaLimit(limit=limit, seconds=seconds)
        assert QuotaLimit.parse(str(quota)) == quota


def test_a_file_for_the_undelivered_may_be_given_as_text() -> None:
    it = configured(webhook={"url": "https://hooks.example.com", "undelivered_file": "u.jsonl"})
    assert it.webhook is not None
    assert it.webhook.undelivered_file == Path("u.jsonl")


def test_an_oauth_client_that_is_named_wins_over_a_token_left_in_the_environment() -> None:
    environ = {"GENESYSCLOUD_ACCESS_TOKEN": "left-over"}
    settings = Settings.from_env(environ, client_id="client", client_secret="secret")
    assert settings.access_token is None
    assert Settings.from_env(environ).access_token is not None


def test_a_life_of_thousands_of_digits_is_refused_like_any_other() -> None:
    with pytest.raises(SettingsError, match="far out of range"):
        Settings(access_token="token", expires_in=10**5_000)
