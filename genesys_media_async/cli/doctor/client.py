"""The requests of an examination: each is sent once, without retries and outside the quota."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import anyio

from ...api.masks import Mask
from ...api.tokens import TokenManager
from ...errors import GenesysMediaError
from ...quota.headers import Reading
from ...transports.base import HttpRequest

if TYPE_CHECKING:
    from ...clock import Clock
    from ...settings.settings import Settings
    from ...transports.base import HttpReply
    from ...transports.choice import Transports


class DoctorClient:
    """Sends single requests; `sent` counts them, and `reading` is the newest state of the quota in a reply."""

    def __init__(self, settings: Settings, transports: Transports, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.sent = 0
        self.reading: Reading | None = None
        self._transports = transports
        self._token = ""
        self._mask = Mask.of(settings)

    async def log_in(self) -> None:
        """Get a token for the requests. Raises `AuthenticationError` or `ConnectionSetupError`."""
        refused: GenesysMediaError | None = None
        async with anyio.create_task_group() as task_group:
            tokens = TokenManager(
                self.settings,
                self._transports.login,
                clock=self.clock,
                rng=random.Random(),  # noqa: S311 - jitter is no secret
                spawn=task_group.start_soon,
                emit=lambda _: None,
            )
            try:
                self._token = await tokens.get()
                self._mask = self._mask.including(self._token)
            except GenesysMediaError as error:
                # Raised in here, it would leave as an exception group.
                refused = error
            task_group.cancel_scope.cancel()
        if refused is not None:
            raise refused

    async def send(self, method: str, path: str, body: bytes = b"") -> HttpReply | GenesysMediaError:
        """Send a request and return its reply, or the error of one without a reply."""
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": self.settings.user_agent,
            "authorization": f"Bearer {self._token}",
        }
        self.sent += 1
        request = HttpRequest.to(method, self.settings.api_url + path, headers, body)
        try:
            reply = await self._transports.api.exchange(request, timeout=self.settings.timeout)
        except GenesysMediaError as error:
            return self._mask.error(error)
        reply = self._mask.reply(reply)
        self.reading = Reading.from_headers(reply.headers) or self.reading
        return reply
