"""`genesys-media demo`: a whole run against a simulated Genesys Cloud in this process, without credentials."""

# Annotations are evaluated: cyclopts reads those of the command at run time.

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter, validators

from ...retrieval.retriever import MediaRetriever
from ...settings.policies import QuotaLimit
from ...settings.settings import Settings
from ..descriptors import require_descriptors
from ..event_loop import run_in_event_loop
from ..input.id_files import IdStream
from ..options import OUTPUT, Progress, stream_or_file
from ..output.formats import encoder
from ..output.progress import ProgressKind
from ..output.summary import RetrievalReport
from ..output.writer import Output, Target, open_target
from ..retrieve_job import RetrieveJob, conclude, run_retrieval

if TYPE_CHECKING:
    from ...simulator.simulator import Simulator

# Genesys allows 300 requests in 60 s; the demo's minute has 1.5 s.
LIMIT: Final = 300
WINDOW: Final = 1.5
LATENCY: Final = (0.035, 0.25)

DEMO_FILE: Final = "genesys-media-demo.jsonl"
DEMO_ITEMS: Final = 2_000

EPILOGUE = """\
Examples:
  genesys-media demo
  genesys-media demo --items 600 --output /tmp/demo.jsonl --progress log"""


app = App(name="demo", help_epilogue=EPILOGUE)


@app.default
def demo(
    *,
    items: Annotated[
        int,
        Parameter(
            group=OUTPUT,
            metavar="N",
            validator=validators.Number(gte=1, lte=1_000_000),
            help="Number of ids; 2000 take about ten seconds.",
        ),
    ] = DEMO_ITEMS,
    output: Annotated[
        str,
        stream_or_file("--output", "-o", group=OUTPUT, text="Output file for JSON lines, overwritten if it exists."),
    ] = DEMO_FILE,
    progress: Progress = "auto",
) -> int:
    """
    Retrieve made-up ids from a simulated Genesys Cloud; needs no credentials.

    The simulator runs in this process, without the network. Its quota is the one
    of Genesys Cloud, 300 requests in a window, but a window lasts 1.5 s instead of
    a minute. The URLs end with the demo.
    """
    require_descriptors()
    target = open_target(output)
    return conclude(run_in_event_loop(_run, items, target, progress), progress)


async def _run(items: int, target: Target, progress: ProgressKind) -> RetrievalReport:
    from ...simulator.settings import Quota, SimulatorSettings
    from ...simulator.simulator import Simulator

    quota = Quota(limit=LIMIT, seconds=WINDOW)
    async with Simulator(SimulatorSettings(quota=quota, latency=LATENCY, count_file_ids=False)) as simulator:
        # A proxy named in the environment cannot reach this machine.
        retriever = MediaRetriever(_settings_for(simulator), transport="direct")
        ids = IdStream([f"recording-{number:06}" for number in range(1, items + 1)], None, ()).read()
        report = await run_retrieval(
            RetrieveJob(retriever, ids, Output(target, *encoder("jsonl")), total=items), progress
        )
        counts = simulator.counts
    remarks: tuple[str, ...] = (
        f"The simulator, which allows {quota.limit} requests in {quota.seconds:g} s, counted {counts.api_requests:,} "
        f"and refused {counts.refused_429:,} of them with 429",
    )
    if report.is_complete:
        remarks += ("Next: genesys-media retrieve --help",)
    return replace(report, remarks=remarks)


def _settings_for(simulator: "Simulator") -> Settings:
    client = simulator.settings.clients[0]
    return Settings.from_env(
        {},
        client_id=client.client_id,
        client_secret=client.client_secret,
        base_url=simulator.base_url,
        login_url=simulator.login_url,
        quota=QuotaLimit(limit=LIMIT, seconds=WINDOW),
    )
