"""`genesys-media demo`: a whole run against a simulated Genesys Cloud in this process, without credentials."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ...retrieval.retriever import MediaRetriever
from ...settings.policies import QuotaLimit
from ...settings.settings import Settings
from ..event_loop import run_in_event_loop
from ..input.id_files import read_ids
from ..output.formats import encoder
from ..output.progress import ProgressKind, progress_for
from ..output.writer import Output, Target, open_target
from ..supervisor import Names, Run
from .retrieve import conclude

if TYPE_CHECKING:
    from ...simulator.simulator import Simulator
    from ..output.summary import Ended

# Genesys allows 300 requests in 60 s; the demo's minute has 1.5 s.
LIMIT: Final = 300
WINDOW: Final = 1.5
LATENCY: Final = (0.035, 0.25)


def demo(items: int, output: str, progress: ProgressKind) -> int:
    """Retrieve so many made-up ids into a file, and return the exit code. Raises `CommandFailed`."""
    target = open_target(output)
    ended = run_in_event_loop(_run, items, target, progress)
    return conclude(ended, progress)


async def _run(items: int, target: Target, progress: ProgressKind) -> Ended:
    from ...simulator.settings import Quota, SimulatorSettings
    from ...simulator.simulator import Simulator

    quota = Quota(limit=LIMIT, seconds=WINDOW)
    async with Simulator(SimulatorSettings(quota=quota, latency=LATENCY, count_file_ids=False)) as simulator:
        settings = _settings_for(simulator)
        ended = await Run(
            # A proxy named in the environment cannot reach this machine.
            MediaRetriever(settings, transport="direct"),
            read_ids([f"recording-{number:06}" for number in range(1, items + 1)], None),
            Output(target, *encoder("jsonl")),
            progress_for(progress),
            total=items,
            quiet=progress == "none",
            names=Names(),
        ).to_its_end()
        counts = simulator.counts
    said = (
        f"The simulator, which allows {quota.limit} requests in {quota.seconds:g} s, counted {counts.api_requests:,} "
        f"and refused {counts.refused_429:,} of them with 429"
    )
    return replace(ended, remarks=(said, "Next: genesys-media retrieve --help"))


def _settings_for(simulator: Simulator) -> Settings:
    client = simulator.settings.clients[0]
    return Settings.from_env(
        {},
        client_id=client.client_id,
        client_secret=client.client_secret,
        base_url=simulator.base_url,
        login_url=simulator.login_url,
        quota=QuotaLimit(limit=LIMIT, seconds=WINDOW),
    )
