"""The simulator as one object, which serves over sockets inside `async with` or through `transport()` without any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..clock import SystemClock
from .carriers.in_process import InProcessTransport
from .carriers.socket_server import SocketServer
from .cloud import TOKEN_PATH, WEBHOOK_PATH, Cloud
from .outages import OutageKind
from .settings import SimulatorSettings

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

    from ..clock import Clock
    from .counts import Counts
    from .fault_kinds import Fault, JobFault
    from .organization import Organization
    from .outages import Part
    from .request_log import RequestLog
    from .services.batch import BatchJob
    from .services.webhooks import Delivery

UNSTARTED_PORT = 1


class Simulator:
    """
    A local Genesys Cloud: login service, API, object store and webhook receiver on one port.

    `async with` starts it; at the end of the block it closes every connection and leaves nothing running. Without
    `async with` only `transport()` reaches it. It can be started once. `port` 0 chooses any free port. `request_log`
    stays open.
    """

    def __init__(
        self,
        settings: SimulatorSettings | None = None,
        *,
        clock: Clock | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        request_log: RequestLog | None = None,
    ) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._host = host
        self._port = port
        self._scheme = "https" if ssl_context is not None else "http"
        self._cloud = Cloud(
            settings if settings is not None else SimulatorSettings(),
            self._clock,
            self._origin(UNSTARTED_PORT),
            request_log,
        )
        self._server = SocketServer(self._cloud, ssl_context=ssl_context)

    def __repr__(self) -> str:
        return f"<Simulator at {self.base_url}: {self.counts.api_requests} requests>"

    @property
    def base_url(self) -> str:
        """The origin of all endpoints; before the start a placeholder on port 1, which only `transport()` reaches."""
        return self._cloud.origin

    @property
    def login_url(self) -> str:
        """The origin of the login service: that of the API."""
        return self._cloud.origin

    @property
    def token_url(self) -> str:
        """The URL of the token endpoint."""
        return self._cloud.origin + TOKEN_PATH

    @property
    def webhook_url(self) -> str:
        """The URL of the webhook receiver."""
        return self._cloud.origin + WEBHOOK_PATH

    @property
    def settings(self) -> SimulatorSettings:
        """The settings of the simulator."""
        return self._cloud.settings

    @property
    def counts(self) -> Counts:
        """The counts of requests, replies and connections; the same live object every time."""
        return self._cloud.counts

    @property
    def deliveries(self) -> list[Delivery]:
        """The webhooks that were accepted; the same live list every time."""
        return self._cloud.receiver.deliveries

    @property
    def organization(self) -> Organization:
        """The simulated organization, with the ids of everything in it; a test can change its recordings."""
        return self._cloud.organization

    @property
    def batch_jobs(self) -> list[BatchJob]:
        """The known batch download jobs, in the order of their submission."""
        return self._cloud.batch.jobs()

    def script(self, *faults: Fault | None, operation: str | None = None) -> None:
        """
        Set the faults of the next API requests that their quota allows, in order; None is a good reply.

        With an operation id, such as `getRecordingBatchrequest`, the faults are for that operation alone, before those
        for all. Raises ValueError for an unknown operation.
        """
        if operation is None:
            self._cloud.api_faults.script(faults)
        else:
            self._cloud.script(operation, faults)

    def script_jobs(self, *faults: JobFault | None) -> None:
        """Set the faults of the next batch download jobs, in the order of their submission; None is a good job."""
        self._cloud.job_faults.script(faults)

    def script_token(self, *faults: Fault | None) -> None:
        """Set the faults of the next token requests. Raises ValueError for a fault that only the API has."""
        self._cloud.token_faults.script(faults)

    def script_webhook(self, *faults: Fault | None) -> None:
        """Set the faults of the next webhooks. Raises ValueError for one that spoils a body, since a 204 has none."""
        self._cloud.webhook_faults.script(faults)

    def schedule_outage(self, kind: OutageKind, seconds: float, *, after: float = 0.0, part: Part = "all") -> None:
        """
        Let a part of the cloud be away for some seconds, beginning `after` seconds from now.

        Over sockets there is one port for everything: `OutageKind.REFUSED` is of all parts then. Raises ValueError for
        negative times.
        """
        if kind is OutageKind.REFUSED and self._server.is_listening:
            self._server.refuse(after=after, seconds=seconds)
        self._cloud.outages.add(kind, seconds, after=after, part=part)

    @property
    def outages_met(self) -> list[float]:
        """When each request met an outage (seconds of the clock); such a request is in none of the counts."""
        return self._cloud.outages.met

    def revoke_tokens(self) -> None:
        """Revoke every token."""
        self._cloud.revoke_tokens()

    def forget_jobs(self) -> None:
        """Forget every batch and analytics job, as a restart of the service would; each is unknown from now on."""
        self._cloud.forget_jobs()

    def transport(self) -> InProcessTransport:
        """Return an httpx transport that needs no socket, whether the simulator is started or not."""
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
        """Stop listening and close every connection; does nothing before the start or after the first call."""
        await self._server.aclose()

    def _origin(self, port: int) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{port}"
