"""`genesys-media doctor`: check everything that a run needs; it retrieves no media."""

# Annotations are evaluated: cyclopts reads those of the options at run time.

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from ...clock import SystemClock
from ...settings.settings import Settings
from ..descriptors import require_descriptors
from ..doctor.examination import examine
from ..event_loop import run_in_event_loop
from ..exit_codes import SHARED_MEANINGS, ExitCode, exit_code_table
from ..options import CREDENTIALS, OUTPUT, ConnectionOptions, QuotaOptions, settings_for
from ..output.progress import NoProgress
from ..output.streams import print_failure
from ..sources import SOURCES
from ..supervisor import CancellableJob, run_supervised

if TYPE_CHECKING:
    from ..doctor.findings import Findings

MEANINGS = SHARED_MEANINGS | {
    ExitCode.ALL_RETRIEVED: "no problem was found",
    ExitCode.CONFIGURATION: "a problem that stays until it is repaired, as its finding says",
    ExitCode.RETRYABLE_FAILURES: "a problem that can pass: a host is not reached, or is too busy",
}

EPILOGUE = f"""\
{CREDENTIALS}

Examples:
  genesys-media doctor
  genesys-media doctor --source document --source transcript
  genesys-media doctor --json | jq -r '.findings[].repair // empty'

Exit codes:
{exit_code_table(MEANINGS)}"""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """The options of `doctor`, as they were typed."""

    source: Annotated[
        list[str] | None,
        Parameter(
            choices=tuple(SOURCES),
            metavar="NAME",
            help="Source that you will use: its refusal is a problem; can be repeated. Without it all sources are "
            "checked, and a refusal is a warning.",
        ),
    ] = None
    json: Annotated[
        bool, Parameter(group=OUTPUT, show_default=False, help="Write one JSON object instead of a table.")
    ] = False
    quota: QuotaOptions = field(default_factory=QuotaOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)


DEFAULTS = DoctorOptions()


app = App(name="doctor", help_epilogue=EPILOGUE)


@app.default
def doctor(*, options: DoctorOptions = DEFAULTS) -> int:
    """
    Check what a run needs: network, token, clock, permissions and quota.

    It makes about a dozen requests for media that do not exist, retrieves
    nothing, and suggests a fix for every problem.
    """
    settings = settings_for(options.quota, options.connection)
    require_descriptors()
    job = DoctorJob(settings, options.source or ())
    report = run_in_event_loop(run_supervised, job, NoProgress())
    if report.failure is not None:
        print_failure(str(report.failure))
    if job.findings is None:
        return report.exit_code
    text = job.findings.for_programs() if options.json else job.findings.for_people()
    print(text)  # noqa: T201 - the data of this command
    return job.findings.exit_code


class DoctorJob(CancellableJob):
    """The job of `doctor`: examines a setup."""

    def __init__(self, settings: Settings, sources: Sequence[str]) -> None:
        self.findings: Findings | None = None
        self._settings = settings
        self._sources = sources

    def opened(self) -> AbstractAsyncContextManager[object]:
        """Return a context with nothing in it: an examination opens and closes its transports itself."""
        return nullcontext()

    async def work(self) -> None:
        """Make the checks."""
        self.findings = await examine(self._settings, self._sources, SystemClock())

    def snapshot(self) -> None:
        """Return None: there is no progress to show."""
