"""`genesys-media simulate`: a simulated Genesys Cloud that listens until it is told to stop."""

from __future__ import annotations

import shlex
import signal
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import anyio

from ...errors import SettingsError
from ...settings.policies import QuotaLimit
from ..exit_codes import CommandFailed, ExitCode
from ..output.streams import reason, say
from ..sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...simulator.counts import Counts
    from ...simulator.fault_kinds import Fault
    from ...simulator.settings import OAuthClient, Quota, SimulatorSettings
    from ...simulator.simulator import Simulator

QuotaKind = Literal["fixed", "aligned", "sliding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What `simulate` was asked for, as it was typed; times are seconds."""

    host: str
    port: int
    quota: str
    quota_kind: QuotaKind
    quota_headers: bool
    latency: float
    faults: Sequence[str]
    token_life: float
    clients: Sequence[str]


def simulate(order: Order) -> int:
    """Listen until interrupted, and return the exit code. Raises `CommandFailed`."""
    settings = settings_for(order)
    anyio.run(_run, order, settings)
    return ExitCode.ALL_RETRIEVED


async def _run(order: Order, settings: SimulatorSettings) -> None:
    from ...simulator.simulator import Simulator

    simulator = Simulator(settings, host=order.host, port=order.port)
    try:
        await simulator.__aenter__()
    except (OSError, OverflowError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise CommandFailed(
            ExitCode.USAGE,
            f"Cannot listen on {order.host} port {order.port}: {why}; choose others with --host and --port.",
        ) from None
    try:
        say(greeting(simulator))
        await _until_told_to_stop()
    finally:
        await simulator.aclose()
    say(farewell(simulator.counts))


async def _until_told_to_stop() -> None:
    if sys.platform == "win32":
        await anyio.sleep_forever()
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        async for _ in received:
            return


def settings_for(order: Order) -> SimulatorSettings:
    """Return the simulator's settings. Raises `CommandFailed` naming the option that cannot be."""
    from ...simulator.settings import SimulatorSettings

    quota, faults = _quota(order), _faults(order.faults)
    try:
        settings = SimulatorSettings(
            quota=quota,
            quota_headers=order.quota_headers,
            latency=order.latency,
            faults=faults,
            token_lifetime=order.token_life,
        )
        return settings if not order.clients else _with_clients(settings, order.clients)
    except ValueError as error:
        raise CommandFailed(ExitCode.USAGE, f"{error}.") from None


def _with_clients(settings: SimulatorSettings, texts: Sequence[str]) -> SimulatorSettings:
    return replace(settings, clients=tuple(_client(text) for text in texts))


def _client(text: str) -> OAuthClient:
    from ...simulator.settings import OAuthClient

    client_id, colon, secret = text.partition(":")
    if not (client_id and colon and secret):
        raise CommandFailed(ExitCode.USAGE, "--client: write ID:SECRET, as in demo-client:demo-secret.")
    return OAuthClient(client_id, secret)


def _quota(order: Order) -> Quota | None:
    from ...simulator.settings import Quota

    try:
        limit = QuotaLimit.parse(order.quota)
    except SettingsError as error:
        raise CommandFailed(ExitCode.USAGE, f"--quota: {error}") from None
    return None if limit is None else Quota(limit.limit, limit.seconds, order.quota_kind)


def _faults(texts: Sequence[str]) -> Mapping[Fault, float]:
    from ...simulator.fault_kinds import Fault

    faults: dict[Fault, float] = {}
    for text in texts:
        name, _, chance = text.partition("=")
        try:
            faults[Fault(name)] = float(chance)
        except ValueError:
            names = ", ".join(fault.value for fault in Fault)
            raise CommandFailed(
                ExitCode.USAGE,
                f"--fault: {text!r} does not fit; write NAME=PROBABILITY, as in server-error-503=0.05. "
                f"The names are {names}.",
            ) from None
    return faults


def greeting(simulator: Simulator) -> str:
    """Return what to do with a simulator that listens: variables to export, and a command to try."""
    settings = simulator.settings
    quota = settings.quota
    client = settings.clients[0]
    variables = {
        "GENESYSCLOUD_OAUTHCLIENT_ID": client.client_id,
        "GENESYSCLOUD_OAUTHCLIENT_SECRET": client.client_secret,
        "GENESYS_MEDIA_BASE_URL": simulator.base_url,
        "GENESYS_MEDIA_LOGIN_URL": simulator.login_url,
        "GENESYS_MEDIA_QUOTA": "none" if quota is None else f"{quota.limit}/{quota.seconds:g}",
    }
    ids = an_id_of_each_source(simulator)
    width = max(map(len, ids)) + 2
    a_day_ago = datetime.now(UTC) - timedelta(days=1)
    allowed = "without a quota" if quota is None else f"{quota.limit} requests in {quota.seconds:g} s for each token"
    return "\n".join(
        (
            f"A simulated Genesys Cloud listens on {simulator.base_url}, {allowed}. In another terminal:",
            "",
            *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
            "genesys-media doctor",
            "genesys-media retrieve recording-1 recording-2 missing-3",
            f"genesys-media discover --from {a_day_ago:%Y-%m-%dT%H:%M}Z",
            "genesys-media retrieve --source SOURCE ID, with",
            *(f"  {source:<{width}}{some_id}" for source, some_id in ids.items()),
            "",
            "Ctrl-C ends it.",
        )
    )


def an_id_of_each_source(simulator: Simulator) -> dict[str, str]:
    """Return an id for each source, which the simulator has something for."""
    organization = simulator.organization
    conversation = next(each for each in organization.conversations() if each.recording_count)
    recording = organization.recordings_of(conversation)[0]
    communication = f"{conversation.id}/{conversation.communication_id}"
    ids = {
        "recording-batch": conversation.id,
        "recording": f"{conversation.id}/{recording.id}",
        "document": organization.document_ids()[0],
        "download": organization.platform_download_ids()[0],
        "orphan-recording": organization.orphan_ids()[0],
        "transcript": communication,
        "message-media": f"{communication}/{organization.message_media_id(conversation)}",
    }
    return {source: some_id for source, some_id in ids.items() if source in SOURCES}


def farewell(counts: Counts) -> str:
    """Return what the simulator has seen."""
    faults = "".join(f", {count:,} {fault.value}" for fault, count in counts.faults.items())
    return (
        f"Counted: {counts.token_requests:,} token requests, {counts.api_requests:,} API requests of which "
        f"{counts.api_ok:,} were answered well, {counts.refused_429:,} times 429 for the quota{faults}, "
        f"{counts.webhook_requests:,} webhooks"
    )
