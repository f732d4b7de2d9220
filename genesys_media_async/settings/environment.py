"""The environment variables that settings are read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT: Final[dict[str, tuple[str, ...]]] = {
    "client_id": ("GENESYSCLOUD_OAUTHCLIENT_ID", "GENESYS_CLOUD_CLIENT_ID"),
    "client_secret": ("GENESYSCLOUD_OAUTHCLIENT_SECRET", "GENESYS_CLOUD_CLIENT_SECRET"),
    "access_token": ("GENESYSCLOUD_ACCESS_TOKEN", "GENESYS_CLOUD_ACCESS_TOKEN"),
    "region": ("GENESYSCLOUD_REGION", "GENESYS_CLOUD_REGION", "GENESYS_CLOUD_ENVIRONMENT"),
    "base_url": ("GENESYS_MEDIA_BASE_URL",),
    "login_url": ("GENESYS_MEDIA_LOGIN_URL",),
    "quota": ("GENESYS_MEDIA_QUOTA",),
    "pace": ("GENESYS_MEDIA_PACE",),
    "concurrency": ("GENESYS_MEDIA_CONCURRENCY",),
    "expires_in": ("GENESYS_MEDIA_EXPIRES_IN",),
    "access_level": ("GENESYS_MEDIA_ACCESS_LEVEL",),
    "timeout": ("GENESYS_MEDIA_TIMEOUT",),
    "deadline": ("GENESYS_MEDIA_DEADLINE",),
    "outage_timeout": ("GENESYS_MEDIA_OUTAGE_TIMEOUT",),
    "proxy": ("GENESYS_MEDIA_PROXY",),
    "webhook": ("GENESYS_MEDIA_WEBHOOK",),
}
"""Environment variables of each setting; the first one that is set and not empty wins."""


def read_environment(environ: Mapping[str, str]) -> dict[str, object]:
    """Return the settings that the environment names, as text."""
    found: dict[str, object] = {}
    for setting, names in ENVIRONMENT.items():
        text = next((text for name in names if (text := environ.get(name, "").strip())), None)
        if text is not None:
            found[setting] = text
    return found
