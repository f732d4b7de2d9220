"""Settings from environment variables: names, precedence, errors."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any

import pytest
from pydantic import SecretStr

from genesys_media_async.errors import SettingsError
from genesys_media_async.settings.environment import ENVIRONMENT
from genesys_media_async.settings.policies import QuotaLimit, WebhookTarget
from genesys_media_async.settings.settings import Settings
from tests.support.settings import CREDENTIALS


class TestEnvironment:
    def test_settings_are_read_from_their_variables(self) -> None:
        it = Settings.from_env(
            {
                "GENESYSCLOUD_OAUTHCLIENT_ID": "some-client",
                "GENESYSCLOUD_OAUTHCLIENT_SECRET": "canary-secret",
                "GENESYSCLOUD_ACCESS_TOKEN": "canary-token",
                "GENESYSCLOUD_REGION": "eu-west-1",
                "GENESYS_MEDIA_BASE_URL": "https://gateway.example.com",
                "GENESYS_MEDIA_LOGIN_URL": "https://login.example.com",
                "GENESYS_MEDIA_QUOTA": "100/30",
                "GENESYS_MEDIA_PACE": "even",
                "GENESYS_MEDIA_CONCURRENCY": "7",
                "GENESYS_MEDIA_EXPIRES_IN": "60",
                "GENESYS_MEDIA_ACCESS_LEVEL": "private",
                "GENESYS_MEDIA_TIMEOUT": "1.5",
                "GENESYS_MEDIA_DEADLINE": "90",
                "GENESYS_MEDIA_OUTAGE_TIMEOUT": "120",
                "GENESYS_MEDIA_PROXY": "http://proxy.example.com:3128",
                "GENESYS_MEDIA_WEBHOOK": "https://hooks.example.com/x?key=canary",
                "UNRELATED": "x",
            }
        )
        assert it.client_id == "some-client"
        assert it.client_secret == SecretStr("canary-secret")
        assert it.access_token == SecretStr("canary-token")
        assert it.region == "eu_west_1"
        assert it.api_url == "https://gateway.example.com"
        assert it.token_url == "https://login.example.com/oauth/token"
        assert (it.quota, it.pace) == (QuotaLimit(limit=100, seconds=30), "even")
        assert (it.concurrency, it.expires_in, it.access_level) == (7, 60, "private")
        assert (it.timeout, it.deadline, it.outage_timeout) == (1.5, 90, 120)
        assert it.proxy == SecretStr("http://proxy.example.com:3128")
        assert it.webhook == WebhookTarget(url="https://hooks.example.com/x?key=canary")
        assert "canary" not in repr(it)

    @pytest.mark.parametrize(
        ("setting", "name"), [(setting, name) for setting, names in ENVIRONMENT.items() for name in names]
    )
    def test_every_variable_sets_its_setting(self, setting: str, name: str) -> None:
        values = {
            "client_id": "named-client",
            "client_secret": "named-secret",
            "access_token": "named-token",
            "region": "ap-south-1",
            "base_url": "https://named.example.com",
            "login_url": "https://named.example.com",
            "quota": "7/8",
            "pace": "even",
            "concurrency": "77",
            "expires_in": "777",
            "access_level": "named",
            "timeout": "77.5",
            "deadline": "7777.5",
            "outage_timeout": "77.5",
            "proxy": "http://named.example.com:1",
            "webhook": "https://named.example.com/hook",
        }
        others = {"GENESYSCLOUD_OAUTHCLIENT_ID": "other", "GENESYSCLOUD_OAUTHCLIENT_SECRET": "other"}
        for each in ENVIRONMENT[setting]:
            others.pop(each, None)
        it = Settings.from_env({**others, name: values[setting]})
        found = getattr(it, setting)
        found = found.url if isinstance(found, WebhookTarget) else found
        found = found.get_secret_value() if isinstance(found, SecretStr) else found
        assert str(found).replace("_", "-") == values[setting]

    @pytest.mark.parametrize("setting", [setting for setting, names in ENVIRONMENT.items() if len(names) > 1])
    def test_the_first_variable_that_is_not_blank_wins(self, setting: str) -> None:
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

    def test_overrides_win_unless_they_are_none(self) -> None:
        environ = {"GENESYS_MEDIA_CONCURRENCY": "7", "GENESYS_MEDIA_TIMEOUT": "7"}
        overrides: dict[str, Any] = {**CREDENTIALS, "concurrency": 9, "timeout": None}
        it = Settings.from_env(environ, **overrides)
        assert (it.concurrency, it.timeout) == (9, 7)

    def test_the_default_is_the_environment_of_the_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for names in ENVIRONMENT.values():
            for name in names:
                monkeypatch.delenv(name, raising=False)
        with pytest.raises(SettingsError):
            Settings.from_env()
        monkeypatch.setenv("GENESYS_CLOUD_ACCESS_TOKEN", "canary-token")
        assert Settings.from_env().access_token == SecretStr("canary-token")

    def test_none_is_no_quota(self) -> None:
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
            ("GENESYS_MEDIA_PACE", "slow"),
            ("GENESYS_MEDIA_CONCURRENCY", "many"),
            ("GENESYS_MEDIA_CONCURRENCY", "0"),
            ("GENESYS_MEDIA_EXPIRES_IN", "1h"),
            ("GENESYS_MEDIA_EXPIRES_IN", "86401"),
            ("GENESYS_MEDIA_ACCESS_LEVEL", "a/b"),
            ("GENESYS_MEDIA_TIMEOUT", "-1"),
            ("GENESYS_MEDIA_DEADLINE", "nan"),
            ("GENESYS_MEDIA_OUTAGE_TIMEOUT", "-1"),
            ("GENESYS_MEDIA_PROXY", "socks5://proxy.example.com"),
        ],
    )
    def test_a_wrong_value_is_refused_with_the_name_of_its_variable(self, name: str, value: str) -> None:
        environ = {"GENESYSCLOUD_OAUTHCLIENT_ID": "x", "GENESYSCLOUD_OAUTHCLIENT_SECRET": "y", name: value}
        with pytest.raises(SettingsError) as caught:
            Settings.from_env(environ)
        assert name in str(caught.value)

    def test_an_oauth_client_in_the_call_wins_over_a_token_in_the_environment(self) -> None:
        environ = {"GENESYSCLOUD_ACCESS_TOKEN": "left-over"}
        it = Settings.from_env(environ, client_id="client", client_secret="secret")
        assert it.access_token is None
        assert Settings.from_env(environ).access_token is not None

    def test_names_that_are_no_settings_are_refused(self) -> None:
        overrides: dict[str, Any] = {"regoin": "eu-west-1"}
        with pytest.raises(SettingsError, match=r"^regoin: unknown setting; did you mean region\?$"):
            Settings.from_env({"GENESYSCLOUD_ACCESS_TOKEN": "x"}, **overrides)

    def test_every_setting_with_a_variable_is_a_setting(self) -> None:
        assert set(ENVIRONMENT) < set(Settings.model_fields)

    def test_no_signature_and_no_help_shows_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GENESYS_CLOUD_ACCESS_TOKEN", "canary-token")
        assert inspect.signature(Settings.from_env).parameters["environ"].default is None
        shown = pydoc.plain(pydoc.render_doc(Settings)) + str(inspect.signature(Settings))
        assert "canary" not in shown
        assert "environ(" not in shown
