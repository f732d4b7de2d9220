"""Settings for tests, and the error of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from genesys_media_async.errors import SettingsError
from genesys_media_async.settings.settings import Settings

CREDENTIALS: dict[str, Any] = {"client_id": "some-client", "client_secret": "canary-secret"}
NAN, INFINITY = float("nan"), float("inf")


def configured(**changes: Any) -> Settings:
    return Settings(**{**CREDENTIALS, **changes})


def refusal(make: Any, /, **values: Any) -> SettingsError:
    """Return the error for values that must be refused."""
    with pytest.raises(SettingsError) as caught:
        make(**values)
    return caught.value
