"""The simulator as one object: made from settings, started and stopped with `async with`, or used without sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..clock import SystemClock
from .cloud import TOKEN_PATH, WEBHOOK_PATH, Cloud
from .in_process import InProcessTransport
from .server import Server
from .settings import SimulatorSettings

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

    from ..clock import Clock
    from .batch import BatchJob
    from .counts import Counts
    from .faults import Fault, JobFault
    from .organization import Organization
    from .webhooks import Delivery

UNSTARTED_PORT = 1


class Simulator:
    """
    A local Genesys Cloud: login service, API, object store and a webhook receiver on one port.

    Entered with `async with` it listens, and on the way out closes every connection and leaves nothing running. Without
    being entered it serves `transport()` alone. It can be entered once.
    """

    def __init__(
        self,
        settings: SimulatorSettings | None = None,
        *,
        clock: Clock | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._host = host
        self._port = port
        self._scheme = "https" if ssl_context is not None else "http"
        self._cloud = Cloud(
            settings if settings is not None else SimulatorSettings(), self._clock, self._origin(UNSTARTED_PORT)
        )
        self._server = Server(self._cloud, ssl_context=ssl_context)

    def __repr__(self) -> str:
        return f"<Simulator at {self.base_url}: {self.counts.api_requests} requests>"

    @property
    def base_url(self) -> str:
        """Where everything is; before the simulator listens a placeholder on port 1, which only `transport` serves."""
        return self._cloud.origin

    @property
    def login_url(self) -> str:
        """Where the login service is: the same origin, the path is `/oauth/token`."""
        return self._cloud.origin

    @property
    def token_url(self) -> str:
        """The whole URL of the token endpoint."""
        return self._cloud.origin + TOKEN_PATH

    @property
    def webhook_url(self) -> str:
        """Where webhooks may be sent."""
        return self._cloud.origin + WEBHOOK_PATH

    @property
    def settings(self) -> SimulatorSettings:
        """The settings it was made with."""
        return self._cloud.settings

    @property
    def counts(self) -> Counts:
        """What it has seen and done; the same live object every time."""
        return self._cloud.counts

    @property
    def deliveries(self) -> list[Delivery]:
        """The webhooks accepted so far; the same live list every time."""
        return self._cloud.receiver.deliveries

    @property
    def organization(self) -> Organization:
        """The simulated organization: the ids of all that it has, and how to change its recordings."""
        return self._cloud.organization

    @property
    def batch_jobs(self) -> list[BatchJob]:
        """The batch download jobs that it knows, in the order of their submission."""
        return self._cloud.batch.jobs()

    def script(self, *faults: Fault | None, operation: str | None = None) -> None:
        """
        Say what the next API requests that paid their quota meet, in order; None is a good reply.

        With an operation id, such as `getRecordingBatchrequest`, it is said of that operation alone, and comes first.
        Raises ValueError for an operation that the simulator does not have.
        """
        if operation is None:
            self._cloud.api_faults.script(faults)
        else:
            self._cloud.script(operation, faults)

    def script_jobs(self, *faults: JobFault | None) -> None:
        """Say what goes wrong with the next batch download jobs, in the order of their submission; None is nothing."""
        self._cloud.job_faults.script(faults)

    def script_token(self, *faults: Fault | None) -> None:
        """Say what the next token requests meet; ValueError for a fault that only the API has."""
        self._cloud.token_faults.script(faults)

    def script_webhook(self, *faults: Fault | None) -> None:
        """Say what the next webhooks meet; ValueError for a fault that spoils a body, since a 204 has none."""
        self._cloud.webhook_faults.script(faults)

    def revoke_tokens(self) -> None:
        """Let every token die now."""
        self._cloud.revoke_tokens()

    def forget_jobs(self) -> None:
        """Lose every batch and analytics job, as a restart of the service would; each is unknown from here on."""
        self._cloud.forget_jobs()

    def transport(self) -> InProcessTransport:
        """Return an httpx transport that needs no socket; works whether the simulator listens or not."""
        return InProcessTransport(self._cloud, self._clock)

    async def __aenter__(self) -> Self:
        port = await self._server.start(self._host, self._port)
        self._cloud.origin = self._origin(port)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close everything; harmless when it is closed already or was never started."""
        await self._server.aclose()

    def _origin(self, port: int) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{port}"
