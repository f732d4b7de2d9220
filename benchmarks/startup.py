"""
The cost of starting: import time, memory after it, time to the first URL, size on disk; beside the official SDK.

    python -m benchmarks.startup                       20 fresh interpreters each
    python -m benchmarks.startup --runs 5              quicker

Each library is installed alone and without extras into an environment of its own, byte code included. Every number is
of a new interpreter. The time to the first URL is counted from the start of the interpreter: import, token, one
request, one validated URL, from a server on this machine that answers at once. "nothing" is Python itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from .harness.command_line import add_common_options, at_least_one, parse, parser_of, write_json
from .harness.environment import DEFAULT_DIRECTORY, PROJECT, last_line, make_venv, pip_install, prepare
from .harness.machine import Cores, describe, pinned
from .harness.servers import SlowServer

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
EXTRAS = ("uvloop", "cyclopts", "rich")

_IMPORT = """
import json, sys, time
before, started, cpu_before = set(sys.modules), time.perf_counter(), time.process_time()
{statement}
seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_before
with open("/proc/self/statm") as file:
    resident = int(file.read().split()[1])
print(json.dumps([seconds, cpu_seconds, resident, sorted(set(sys.modules) - before)]))
"""

_OURS = """
import anyio
from genesys_media_async import MediaRetriever, Settings

async def main():
    settings = Settings(client_id="demo-client", client_secret="demo-secret", base_url=URL, login_url=URL)
    async with MediaRetriever(settings) as retriever:
        return (await retriever.retrieve(FILE_ID)).url

url = anyio.run(main)
"""

_SDK = """
from urllib.parse import urlsplit
import PureCloudPlatformClientV2 as sdk

client = sdk.api_client.ApiClient()
parts = urlsplit(URL)
client.set_gateway(parts.hostname, parts.scheme, parts.port, "", "")
client.get_client_credentials_token("demo-client", "demo-secret")
reply = client.call_api(
    "/api/v2/media/storage/files/{fileId}/download-url",
    "POST",
    path_params={"fileId": FILE_ID},
    header_params={"Accept": "application/json", "Content-Type": "application/json"},
    body={"fileId": FILE_ID, "expiresIn": 3600},
    response_type="object",
    auth_settings=["PureCloud OAuth"],
)
url = reply["url"]
if urlsplit(url).scheme != "https" or reply["expiresIn"] > 3600 or not reply["contentType"].startswith("audio/"):
    raise SystemExit("The URL is not valid.")
"""

_CHECKED = """
import sys, time
URL, FILE_ID, STARTED = sys.argv[1], sys.argv[2], float(sys.argv[3])
{program}
if f"/recordings/{{FILE_ID}}/" not in url:
    raise SystemExit("another file's answer")
print(time.monotonic() - STARTED)
"""


@dataclass(frozen=True)
class Library:
    """A library: its requirement, and the programs that use it."""

    name: str
    requirement: str | None
    statement: str
    program: str | None


LIBRARIES = (
    Library("nothing", None, "pass", None),
    Library("genesys_media_async", str(PROJECT), "import genesys_media_async", _OURS),
    Library("PureCloudPlatformClientV2", "PureCloudPlatformClientV2", "import PureCloudPlatformClientV2", _SDK),
)


@dataclass(frozen=True)
class Costs:
    """Medians; None is what does not apply. Extras are imported modules that only an extra may install."""

    name: str
    import_seconds: float
    import_cpu_seconds: float
    resident_mib: float
    modules: int
    first_url_seconds: float | None
    installed_mib: float
    extras: list[str]


def install(library: Library, directory: Path) -> Path:
    """Install a library, and nothing else, into a new environment; return its Python."""
    shutil.rmtree(directory, ignore_errors=True)
    make_venv(directory)
    python = directory / "bin" / "python"
    if library.requirement is not None:
        pip_install(python, "--no-cache-dir", library.requirement)
    # pip itself is not part of the library.
    command = [str(python), "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools", "pip"]
    subprocess.run(command, check=True, capture_output=True)
    return python


def installed_mib(python: Path) -> float:
    """Return the size of all that was installed."""
    packages = next((python.parent.parent / "lib").glob("python*/site-packages"))
    return sum(file.stat().st_size for file in packages.rglob("*") if file.is_file()) / MIB


def run(python: Path, program: str, *arguments: str) -> str:
    """Run a program in a new interpreter and return its output. Ends the benchmark if it fails."""
    command = [str(python), "-I", "-c", program, *arguments]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    if finished.returncode:
        sys.exit(f"A program failed: {last_line(finished.stderr)}")
    return finished.stdout


@dataclass
class Candidate:
    """An installed library, and the numbers of its interpreters."""

    library: Library
    python: Path
    imports: list[tuple[float, float, int, list[str]]] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)

    def start(self, server: SlowServer, number: int) -> None:
        """Start an interpreter for each number."""
        self.imports.append(json.loads(run(self.python, _IMPORT.format(statement=self.library.statement))))
        if self.library.program is not None:
            program = _CHECKED.format(program=self.library.program)
            seconds = run(self.python, program, server.url, f"recording-{number}", str(time.monotonic()))
            self.firsts.append(float(seconds))

    def costs(self) -> Costs:
        """Return the medians without the first run, which only fills the caches of the operating system."""
        seconds, cpu_seconds, pages, modules = zip(*self.imports[1:], strict=True)
        return Costs(
            self.library.name,
            median(seconds),
            median(cpu_seconds),
            median(pages) * os.sysconf("SC_PAGE_SIZE") / MIB,
            len(modules[-1]),
            median(self.firsts[1:]) if self.firsts else None,
            installed_mib(self.python),
            [name for name in EXTRAS if name in modules[-1]],
        )


def install_all(directory: Path) -> tuple[list[Candidate], list[str]]:
    """Install every library; return them, and what was skipped and why."""
    candidates: list[Candidate] = []
    skipped: list[str] = []
    for library in LIBRARIES:
        try:
            python = install(library, directory / f"startup-{library.name}")
        except subprocess.CalledProcessError as error:
            skipped.append(f"Skipped: {library.name}: {last_line(error.stderr or '')}")
        else:
            candidates.append(Candidate(library, python))
    return candidates, skipped


def print_table(measured: list[Costs]) -> None:
    """Print the Markdown table."""
    print("| | import, s | import CPU, s | resident MiB | modules | first URL, s | installed MiB | extras imported |")
    print("| :-- | --: | --: | --: | --: | --: | --: | :-- |")
    for costs in measured:
        first = "" if costs.first_url_seconds is None else f"{costs.first_url_seconds:.2f}"
        print(
            f"| {costs.name} | {costs.import_seconds:.3f} | {costs.import_cpu_seconds:.3f} | {costs.resident_mib:.1f} "
            f"| {costs.modules:,} | {first} | {costs.installed_mib:.1f} | {', '.join(costs.extras) or 'none'} |"
        )


def main() -> None:
    """Print a row for each library."""
    parser = parser_of("startup", "The cost of starting, beside the official SDK.")
    parser.add_argument("--runs", type=at_least_one, default=20, metavar="N")
    add_common_options(parser, DEFAULT_DIRECTORY)
    options = parse(parser)
    environment, cores = prepare(options.environment), Cores.choose()
    machine = describe(environment.versions)
    print(f"{machine}\n{options.runs} interpreters each, {cores}.\n")
    candidates, skipped = install_all(options.environment)
    with SlowServer(environment, cores.server, 0.0) as server, pinned(cores.client):
        for number in range(options.runs + 1):
            for candidate in candidates:
                candidate.start(server, number)
    measured = [candidate.costs() for candidate in candidates]
    print_table(measured)
    print("\n".join(["", *skipped]))
    write_json(options.json, {"machine": machine, "libraries": [asdict(costs) for costs in measured]})


if __name__ == "__main__":
    main()
