"""The admission of an API call: the bearer token, then the token's quota, then the resource's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import resource_exhausted, too_many_requests
from .quota import open_window, quota_headers, retry_after

if TYPE_CHECKING:
    from .counts import Counts
    from .messages import Reply, Request
    from .operations import Call, Operation
    from .services.oauth import Grant, TokenStore
    from .settings import SimulatorSettings


class Admission:
    """Authenticates calls and charges their quotas; `phase` as in `AlignedWindow`."""

    def __init__(self, settings: SimulatorSettings, tokens: TokenStore, counts: Counts, *, phase: float) -> None:
        self._settings = settings
        self._tokens = tokens
        self._counts = counts
        self._phase = phase

    def __repr__(self) -> str:
        return f"<Admission by {self._tokens!r}>"

    def authenticate(self, request: Request, now: float) -> Grant | str:
        """Return the grant of the bearer token, or the error code of the 401."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        token = credentials.strip()
        if scheme.lower() != "bearer" or not token:
            return "authentication.required"
        grant = self._tokens.find(token)
        if grant is None:
            return "bad.credentials"
        return grant if now < grant.expires_at else self._settings.expired_token_code

    def charge(self, grant: Grant, operation: Operation, call: Call) -> Reply | None:
        """Charge the token's quota, then the resource's; return the 429 of the one that is exhausted."""
        settings = self._settings
        if grant.window is not None and settings.quota is not None:
            charge = grant.window.charge(call.now)
            if settings.quota_headers:
                call.headers = quota_headers(settings.quota, charge)
            if not charge.allowed:
                self._counts.refused_429 += 1
                seconds = retry_after(charge, settings.retry_after_rounding)
                return too_many_requests(call.correlation_id, seconds, headers=call.headers)
        return self._charge_resource(grant, operation, call)

    def _charge_resource(self, grant: Grant, operation: Operation, call: Call) -> Reply | None:
        family = operation.family
        quota = self._settings.resource_quotas.get(family)
        if quota is None:
            return None
        window = grant.family_windows.get(family)
        if window is None:
            window = grant.family_windows[family] = open_window(quota, phase=self._phase)
        charge = window.charge(call.now)
        if charge.allowed:
            return None
        self._counts.refused_by_family[family] += 1
        seconds = retry_after(charge, self._settings.retry_after_rounding)
        if self._settings.old_resource_429:
            return resource_exhausted(call.correlation_id, quota, seconds, headers=call.headers)
        return too_many_requests(call.correlation_id, seconds, headers=call.headers)
