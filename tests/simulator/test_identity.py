"""The client of a token, its organization and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genesys_media_async.simulator import Quota, Simulator
from tests.support.virtual_simulators import in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock


def test_a_client_can_read_its_own_id_and_its_organization() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        token, organization = (
            (await http.get("/api/v2/tokens/me")).json(),
            (await http.get("/api/v2/organizations/me")).json(),
        )
        assert token["organization"]["id"] == organization["id"] == simulator.organization.id
        assert organization["state"] == "active"
        return token["OAuthClient"]["id"]

    assert in_virtual_time(scenario)[0] == "demo-client"


def test_the_limits_of_a_namespace_follow_the_settings_and_the_defaults_do_not() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        async def limits(name: str) -> dict[str, int]:
            entities = (await http.get(f"/api/v2/organizations/limits/namespaces/{name}")).json()["entities"]
            assert {entity["namespace"] for entity in entities} <= {name.partition("/")[0]}
            return {entity["key"]: entity["value"] for entity in entities}

        assert (await http.get("/api/v2/organizations/limits/namespaces/nothing")).status_code == 404
        return [await limits(name) for name in ("platform.api", "platform.api/defaults", "recording", "auth.api")]

    quotas: dict[str, Any] = {"quota": Quota(20, 30.0), "resource_quotas": {"recording": Quota(120, 60.0)}}
    (now, defaults, recording, auth), _ = in_virtual_time(scenario, **quotas)
    assert (now["client.credentials.token.rate.per.minute"], now["request.bytes.max"]) == (40, 512_000)
    assert defaults["client.credentials.token.rate.per.minute"] == 300
    assert (recording, auth) == ({"recordings.rate.per.minute": 120}, {})
    without = in_virtual_time(scenario, quota=None)[0]
    assert ("token.rate.per.minute" in without[0], without[2]) == (False, {})
