"""`genesys-media simulate`: a simulated Genesys Cloud that listens until it is interrupted."""

# Annotations are evaluated: cyclopts reads those of the options at run time.

import shlex
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import anyio
from cyclopts import App, Group, Parameter, validators

from ...errors import SettingsError
from ...settings.policies import QuotaLimit
from ..exit_codes import CommandFailed, ExitCode, RunReport, usage_error
from ..options import quota_sentence, unknown_value
from ..output.progress import NoProgress
from ..output.streams import print_err, print_failure, reason
from ..sources import SOURCES
from ..supervisor import CancellableJob, run_supervised

if TYPE_CHECKING:
    from ...simulator.counts import Counts
    from ...simulator.fault_kinds import FaultT
    from ...simulator.settings import OAuthClient, Quota, SimulatorSettings
    from ...simulator.simulator import Simulator

QuotaKind = Literal["fixed", "aligned", "sliding"]

LISTENING = Group("Listening", sort_key=1)
BEHAVIOUR = Group("Behaviour", sort_key=2)

EPILOGUE = """\
Examples:
  genesys-media simulate
  genesys-media simulate --port 9000 --quota 30/6 --fault server-error-503=0.02
  genesys-media simulate --quota none --client my-client:my-secret"""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SimulateOptions:
    """The options of `simulate`, as they were typed; times are in seconds."""

    host: Annotated[str, Parameter(group=LISTENING, metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int,
        Parameter(
            group=LISTENING,
            metavar="N",
            validator=validators.Number(gte=0, lte=65_535),
            help="Port to listen on; 0 for any free one.",
        ),
    ] = 8080
    quota: Annotated[
        str,
        Parameter(
            group=BEHAVIOUR,
            metavar="REQUESTS/SECONDS",
            help="Requests allowed for each token in a number of seconds, or none.",
        ),
    ] = "300/60"
    quota_kind: Annotated[
        QuotaKind,
        Parameter(
            group=BEHAVIOUR,
            help="fixed: a window opens with a request. aligned: windows begin with the minute. sliding: the window "
            "before each request.",
        ),
    ] = "fixed"
    quota_headers: Annotated[
        bool, Parameter(group=BEHAVIOUR, show_default=False, help="Send inin-ratelimit-* headers with each reply.")
    ] = False
    latency: Annotated[
        float,
        Parameter(
            group=BEHAVIOUR,
            metavar="SECONDS",
            validator=validators.Number(gte=0),
            show_default="{:g}".format,
            help="Latency of every API reply.",
        ),
    ] = 0.0
    fault: Annotated[
        list[str] | None,
        Parameter(
            group=BEHAVIOUR,
            metavar="NAME=PROBABILITY",
            help="Fault and its probability, such as server-error-503=0.05; can be repeated.",
        ),
    ] = None
    job_fault: Annotated[
        list[str] | None,
        Parameter(
            group=BEHAVIOUR,
            metavar="NAME=PROBABILITY",
            help="Fault of a batch job and its probability, such as not-there-yet=0.1; can be repeated.",
        ),
    ] = None
    token_lifetime: Annotated[
        float,
        Parameter(
            group=BEHAVIOUR,
            metavar="SECONDS",
            validator=validators.Number(gte=0),
            show_default=str,
            help="Lifetime of a token.",
        ),
    ] = 86_400
    client: Annotated[
        list[str] | None,
        Parameter(
            group=BEHAVIOUR,
            metavar="ID:SECRET",
            show_default="demo-client:demo-secret",
            help="OAuth client; can be repeated.",
        ),
    ] = None


DEFAULTS = SimulateOptions()


app = App(name="simulate", help_epilogue=EPILOGUE)


@app.default
def simulate(*, options: SimulateOptions = DEFAULTS) -> int:
    """
    Run a simulated Genesys Cloud on this machine until Ctrl-C.

    It has a login service, the API, files and a webhook receiver. Ids that begin
    with missing- get a 404, with forbidden- a 403; every other id has a file.
    """
    job = SimulateJob(settings_of(options), options.host, options.port)
    report = anyio.run(run_supervised, job, NoProgress())
    return _conclude(report, job)


class SimulateJob(CancellableJob):
    """The job of `simulate`: keeps a simulator listening."""

    def __init__(self, settings: "SimulatorSettings", host: str, port: int) -> None:
        from ...simulator.simulator import Simulator

        self.simulator = Simulator(settings, host=host, port=port)
        self._address = f"{host} port {port}"

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Listen; raises `CommandFailed` if the address cannot be used."""
        try:
            await self.simulator.__aenter__()
        except (OSError, OverflowError) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            sentence = f"Cannot listen on {self._address}: {why}; choose others with --host and --port."
            raise CommandFailed(ExitCode.USAGE, sentence) from None
        try:
            yield
        finally:
            await self.simulator.aclose()

    async def work(self) -> None:
        """Print how to use the simulator, and wait."""
        print_err(greeting(self.simulator))
        await anyio.sleep_forever()

    def snapshot(self) -> None:
        """Return None: there is no progress to show."""


def _conclude(report: RunReport, job: SimulateJob) -> int:
    if report.failure is not None:
        print_failure(str(report.failure))
        return report.exit_code
    print_err(farewell(job.simulator.counts))
    return ExitCode.ALL_RETRIEVED


def settings_of(options: SimulateOptions) -> "SimulatorSettings":
    """Return the simulator's settings. Raises `CommandFailed` naming the option that breaks a rule."""
    from ...simulator.family_settings import BatchSettings
    from ...simulator.fault_kinds import Fault, JobFault
    from ...simulator.settings import SimulatorSettings

    settings = SimulatorSettings(
        quota=_quota(options),
        quota_headers=options.quota_headers,
        latency=options.latency,
        faults=_chances("--fault", options.fault or (), Fault),
        batch=BatchSettings(faults=_chances("--job-fault", options.job_fault or (), JobFault)),
        token_lifetime=options.token_lifetime,
    )
    return settings if not options.client else _with_clients(settings, options.client)


def _with_clients(settings: "SimulatorSettings", texts: Sequence[str]) -> "SimulatorSettings":
    try:
        return replace(settings, clients=tuple(_client(text) for text in texts))
    except ValueError as error:
        raise usage_error("--client", f"{error}.") from None


def _client(text: str) -> "OAuthClient":
    from ...simulator.settings import OAuthClient

    client_id, colon, secret = text.partition(":")
    if not (client_id and colon and secret):
        raise usage_error("--client", "write ID:SECRET, such as demo-client:demo-secret.")
    return OAuthClient(client_id, secret)


def _quota(options: SimulateOptions) -> "Quota | None":
    from ...simulator.settings import Quota

    try:
        limit = QuotaLimit.parse(options.quota)
    except SettingsError as error:
        raise usage_error("--quota", quota_sentence(str(error))) from None
    return None if limit is None else Quota(limit.limit, limit.seconds, options.quota_kind)


def _chances(option: str, texts: Sequence[str], kinds: "type[FaultT]") -> "Mapping[FaultT, float]":
    faults: dict[FaultT, float] = {}
    for text in texts:
        name, equals, chance = text.partition("=")
        if name not in {fault.value for fault in kinds}:
            raise unknown_value(option, name, [fault.value for fault in kinds])
        probability = _probability(chance)
        if not equals or probability is None:
            raise usage_error(
                option, f"{text[:60]!r} has no probability from 0 to 1; write NAME=PROBABILITY, such as {name}=0.05."
            )
        faults[kinds(name)] = probability
    if sum(faults.values()) > 1 + 1e-9:
        raise usage_error(option, "the probabilities together must be at most 1.")
    return faults


def _probability(text: str) -> float | None:
    try:
        probability = float(text)
    except ValueError:
        return None
    return probability if 0 <= probability <= 1 else None


def greeting(simulator: "Simulator") -> str:
    """Return how to use a simulator that listens: variables to export, and commands to try."""
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
            f"Webhooks can go to {simulator.webhook_url}.",
            "",
            "Ctrl-C stops it.",
        )
    )


def an_id_of_each_source(simulator: "Simulator") -> dict[str, str]:
    """Return an id for each source that the simulator has media for."""
    organization = simulator.organization
    conversation = next(each for each in organization.conversations() if each.recording_count)
    recording = organization.recordings_of(conversation)[0]
    communication = f"{conversation.id}/{conversation.communication_id}"
    ids = {
        "recording-batch": conversation.id,
        "recording": f"{conversation.id}/{recording.id}",
        "document": organization.document_ids()[0],
        "platform-download": organization.platform_download_ids()[0],
        "orphan-recording": organization.orphan_ids()[0],
        "transcript": communication,
        "message-media": f"{communication}/{organization.message_media_id(conversation)}",
    }
    return {source: some_id for source, some_id in ids.items() if source in SOURCES}


def farewell(counts: "Counts") -> str:
    """Return the counts of a simulator."""
    faults = "".join(f", {count:,} {fault.value}" for fault, count in counts.faults.items())
    return (
        f"Counted: {counts.token_requests:,} token requests, {counts.api_requests:,} API requests of which "
        f"{counts.api_ok:,} succeeded, {counts.refused_429:,} were refused with 429 for the quota{faults}; "
        f"{counts.webhook_requests:,} webhooks"
    )
