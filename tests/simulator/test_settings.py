"""The settings of a simulator: impossible ones are refused, and no secret is shown."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest

from genesys_media_async.simulator import Fault, OAuthClient, Quota, SimulatorSettings
from genesys_media_async.simulator.services.oauth import TokenStore
from genesys_media_async.simulator.signing import Signer


@pytest.mark.parametrize(
    "wrong",
    [
        {"content_types": ()},
        {"live_tokens": 0},
        {"token_requests_per_minute": 0},
        {"max_url_lifetime": 86401},
        {"latency": -1.0},
        {"latency": (0.0, 1.0)},
        {"fault_seconds": -1.0},
        {"faults": {Fault.HANG: 0.6, Fault.LATE: 0.5}},
        {"faults": {Fault.HANG: -0.1}},
        {"path_template": "/no/id"},
        {"webhook_secret": "secret"},
        {"clients": (OAuthClient("a", "b"), OAuthClient("a", "c"))},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SimulatorSettings(**wrong)


def test_no_secret_is_shown() -> None:
    secret = "whsec_" + base64.b64encode(b"canary").decode()
    settings = SimulatorSettings(
        clients=(OAuthClient("id", "canary-secret"),), signing_key=b"canary-key", webhook_secret=secret
    )
    grant = TokenStore(settings, random.Random(1)).issue("id", 0.0)
    shown = f"{settings!r} {Signer(b'canary-key')!r} {grant!r}"
    assert "canary" not in shown
    assert secret not in shown
    assert grant.token not in shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"resource_quotas": {"coffee": Quota()}},
        {"url_styles": {"coffee": "s3"}},
        {"url_styles": {"batch": "curly"}},
    ],
)
def test_unknown_families_and_styles_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"unknown (family|style of URL): "):
        SimulatorSettings(**wrong)
