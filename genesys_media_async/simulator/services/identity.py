"""The client of a token, its organization and its limits: harmless requests with which a setup can be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..messages import MAX_BODY_BYTES
from ..operations import Call, Operation, Refused
from ..settings import Quota

if TYPE_CHECKING:
    from ..messages import Reply
    from ..organization import Organization
    from ..settings import SimulatorSettings

LIMITS_PATH = "/api/v2/organizations/limits/namespaces/{namespaceName}"
NAME = "Simulated Organization"
REQUESTS_PER_MINUTE = 300
"""The limit of a token that Genesys documents, and the default limit of the namespace."""

_MINUTE = 60.0


class Identity:
    """Serves the token's client, its organization and its limits."""

    def __init__(self, settings: SimulatorSettings, organization: Organization) -> None:
        self._settings = settings
        self._organization = organization

    def __repr__(self) -> str:
        return "<Identity>"

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations about the token, the organization and its limits."""
        name = "getOrganizationsLimitsNamespace"
        return (
            Operation("getTokensMe", "GET", "/api/v2/tokens/me", "organization", self._token),
            Operation("getOrganizationsMe", "GET", "/api/v2/organizations/me", "organization", self._organization_me),
            Operation(name, "GET", LIMITS_PATH, "organization", self._limits),
            Operation(f"{name}Defaults", "GET", f"{LIMITS_PATH}/defaults", "organization", self._default_limits),
        )

    def _token(self, call: Call) -> Reply:
        organization = {"id": self._organization.id, "name": NAME}
        client: dict[str, object] = {
            "id": call.client_id,
            "name": call.client_id,
            "authorizedGrantType": "CLIENT-CREDENTIALS",
            "scope": [],
            "state": "active",
            "organization": organization,
        }
        body: dict[str, object] = {
            "organization": organization,
            "homeOrganization": organization,
            "authorizedScope": [],
            "OAuthClient": client,
        }
        return call.reply(body)

    def _organization_me(self, call: Call) -> Reply:
        return call.reply(
            {
                "id": self._organization.id,
                "name": NAME,
                "defaultLanguage": "en-us",
                "defaultCountryCode": "US",
                "domain": "simulator",
                "version": 1,
                "state": "active",
                "voicemailEnabled": False,
                "productPlatform": "GenesysCloud",
                "selfUri": f"/api/v2/organizations/{self._organization.id}",
                "features": {},
            }
        )

    def _limits(self, call: Call) -> Reply:
        settings = self._settings
        return _listing(call, settings.quota, settings.resource_quotas.get("recording"))

    def _default_limits(self, call: Call) -> Reply:
        return _listing(call, Quota(REQUESTS_PER_MINUTE, _MINUTE), None)


def _listing(call: Call, quota: Quota | None, recording: Quota | None) -> Reply:
    """Return the limits of a namespace, without those that are None."""
    (namespace,) = call.ids
    per_minute = _per_minute(quota)
    limits: dict[str, dict[str, int | None]] = {
        "platform.api": {
            "token.rate.per.minute": per_minute,
            "client.credentials.token.rate.per.minute": per_minute,
            "org.app.user.rate.per.minute": 10 * REQUESTS_PER_MINUTE,
            "request.bytes.max": MAX_BODY_BYTES,
        },
        "recording": {"recordings.rate.per.minute": _per_minute(recording)},
        "auth.api": {},
    }
    if namespace not in limits:
        raise Refused("not.found")
    entities = [
        {"key": key, "namespace": namespace, "value": value}
        for key, value in limits[namespace].items()
        if value is not None
    ]
    return call.reply({"entities": entities})


def _per_minute(quota: Quota | None) -> int | None:
    return None if quota is None else round(quota.limit * _MINUTE / quota.seconds)
