"""Options and environment variables made into settings: which wins, and which an error names."""

from __future__ import annotations

import pytest

from genesys_media_async import Settings
from genesys_media_async.cli import main
from genesys_media_async.cli.exit_codes import CommandFailed, ExitCode
from genesys_media_async.cli.options import (
    ConnectionOptions,
    SpeedOptions,
    UrlOptions,
    ValidationOptions,
    settings_for,
    unknown_value,
)

pytestmark = pytest.mark.usefixtures("unreachable_genesys")


def test_an_option_overrides_its_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GENESYS_MEDIA_QUOTA", "30/6")
    monkeypatch.setenv("GENESYS_MEDIA_PACE", "even")
    assert str(settings_for(SpeedOptions()).quota) == "30/6"
    settings = settings_for(SpeedOptions(quota="10/1", pace="burst"))
    assert (str(settings.quota), settings.pace) == ("10/1", "burst")


def test_without_options_the_settings_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GENESYS_MEDIA_PACE", "even")
    assert settings_for(ConnectionOptions(), SpeedOptions(), UrlOptions()) == Settings.from_env()


def test_an_option_hides_a_variable_with_a_bad_value(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GENESYS_MEDIA_TIMEOUT", "soon")
    assert settings_for(ConnectionOptions(timeout="5")).timeout == 5


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GENESYS_MEDIA_EXPIRES_IN", "0", "GENESYS_MEDIA_EXPIRES_IN is 0. It must be a whole number"),
        ("GENESYS_MEDIA_EXPIRES_IN", "1h", "GENESYS_MEDIA_EXPIRES_IN: '1h' must be a whole number of seconds"),
        ("GENESYS_MEDIA_BASE_URL", "http://example.com", "GENESYS_MEDIA_BASE_URL: must begin with https://"),
        ("GENESYS_MEDIA_PACE", "quick", "GENESYS_MEDIA_PACE: must be "),
        ("GENESYS_MEDIA_QUOTA", "0/1", "GENESYS_MEDIA_QUOTA: the number of requests must be at least 1."),
        ("GENESYS_CLOUD_ENVIRONMENT", "us-east1", "GENESYS_CLOUD_ENVIRONMENT: 'us-east1' is not a region"),
        ("GENESYSCLOUD_REGION", "nowhere", "set GENESYS_MEDIA_BASE_URL and GENESYS_MEDIA_LOGIN_URL"),
    ],
)
def test_a_bad_variable_ends_with_3_and_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(variable, value)

    assert main(["retrieve", "a"]) == ExitCode.CONFIGURATION
    assert message in capsys.readouterr().err


def test_a_bad_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("GENESYSCLOUD_ACCESS_TOKEN", "the canary")

    assert main(["retrieve", "a"]) == ExitCode.CONFIGURATION
    err = capsys.readouterr().err
    assert "GENESYSCLOUD_ACCESS_TOKEN: must be printable ASCII" in err
    assert "canary" not in err


def test_missing_credentials_end_with_3_and_their_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("GENESYSCLOUD_ACCESS_TOKEN")

    assert main(["retrieve", "a"]) == ExitCode.CONFIGURATION
    assert "GENESYSCLOUD_OAUTHCLIENT_ID" in capsys.readouterr().err


def test_validation_options_make_a_rule():
    assert ValidationOptions().rule() is None
    rule = ValidationOptions(host=["*.Example.com"]).rule()
    assert rule is not None
    assert (rule.content_types, rule.allowed_hosts) == (None, ("*.example.com",))
    rule = ValidationOptions(content_type=["audio/*", "video/mp4"]).rule()
    assert rule is not None
    assert (rule.content_types, rule.allowed_hosts) == (("audio/*", "video/mp4"), None)


def test_an_unknown_value_has_the_closest_one_or_all():
    def message(value: str) -> str:
        error = unknown_value("--media-format", value, ["WAV", "OGG_OPUS"])
        assert isinstance(error, CommandFailed)
        assert error.code is ExitCode.USAGE
        return str(error)

    assert message("wave") == "--media-format: unknown media format 'wave'; did you mean WAV?"
    assert message("mp9") == "--media-format: unknown media format 'mp9'; choose from WAV, OGG_OPUS."
