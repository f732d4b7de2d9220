"""Settings that reach a simulator."""

from __future__ import annotations

from typing import Any

import pytest

from genesys_media_async import QuotaLimit, SettingsError
from genesys_media_async.simulator import OAuthClient, Quota, Simulator, SimulatorSettings
from genesys_media_async.testing import simulator_settings


def test_urls_credentials_and_quota_are_those_of_the_simulator() -> None:
    clients = (OAuthClient("first", "secret-1"), OAuthClient("second", "secret-2"))
    simulator = Simulator(SimulatorSettings(clients=clients, quota=Quota(limit=30, seconds=2.5)))
    settings = simulator_settings(simulator)
    assert settings.api_url == simulator.base_url
    assert settings.token_url == simulator.token_url
    assert settings.client_id == "first"
    assert "secret-1" not in repr(settings)
    assert settings.quota == QuotaLimit(limit=30, seconds=2.5)


def test_a_simulator_without_a_quota_needs_none() -> None:
    assert simulator_settings(Simulator(SimulatorSettings(quota=None))).quota is None


def test_overrides_replace_these_settings_and_add_others() -> None:
    settings = simulator_settings(Simulator(), quota=None, expires_in=60, concurrency=3)
    assert (settings.quota, settings.expires_in, settings.concurrency) == (None, 60, 3)


@pytest.mark.parametrize("wrong", [{"expires_in": 0}, {"no_such_setting": 1}])
def test_a_wrong_setting_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        simulator_settings(Simulator(), **wrong)
