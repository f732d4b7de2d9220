"""Settings that reach a simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..settings.policies import QuotaLimit
from ..settings.settings import Settings

if TYPE_CHECKING:
    from typing import Unpack

    from ..settings.settings import SettingsOptions
    from ..simulator.simulator import Simulator


def simulator_settings(simulator: Simulator, **overrides: Unpack[SettingsOptions]) -> Settings:
    """
    Return settings that reach a simulator: its URLs, its first OAuth client and its quota.

    `overrides` are other settings, or replace these. The simulator must be started, because its port is not known
    before. Raises `SettingsError` for a wrong setting.
    """
    client, quota = simulator.settings.clients[0], simulator.settings.quota
    options: SettingsOptions = {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "base_url": simulator.base_url,
        "login_url": simulator.login_url,
        "quota": None if quota is None else QuotaLimit(limit=quota.limit, seconds=quota.seconds),
    }
    options.update(overrides)
    return Settings(**options)
