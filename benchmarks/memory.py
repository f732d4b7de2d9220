"""
Resident memory over a growing number of ids, which should not grow with it.

    python -m benchmarks.memory                         10,000, 100,000 and 1,000,000 ids (some minutes)
    python -m benchmarks.memory --ids 2000 20000        quicker
    python -m benchmarks.memory --json                  one JSON object a line instead of a table

Each size runs in a process of its own: the whole pipeline (token, permit, request, reply, validation, audit file,
metrics) over ids from an async generator, against the simulator through its in-process transport, so that no socket
buffers are measured. The resident size is read from the operating system after 10 % of the ids, when every buffer is
full, and at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from genesys_media_async import JsonLinesSink, MediaRetriever, Settings
from genesys_media_async.simulator import Simulator, SimulatorSettings

from .harness.command_line import at_least_one, parser_of
from .harness.environment import PROJECT, module_command
from .harness.machine import describe_briefly

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MIB = 1024 * 1024
SIZES = (10_000, 100_000, 1_000_000)


def resident_mib() -> float:
    """Return the resident size of this process in MiB; where the system does not report it, the peak so far."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def generate(count: int) -> AsyncIterator[str]:
    """Yield ids, each made on demand."""
    for number in range(count):
        yield f"recording-{number:09}"


def retriever_for(audit_file: Path) -> MediaRetriever:
    """Return a retriever for a simulator without a quota, in the same process."""
    simulator = Simulator(SimulatorSettings(quota=None, count_file_ids=False, keep_deliveries=False))
    settings = Settings.model_validate(
        {
            "client_id": "demo-client",
            "client_secret": "demo-secret",
            "base_url": simulator.base_url,
            "login_url": simulator.login_url,
            "quota": None,
            "concurrency": 50,
        }
    )
    return MediaRetriever(settings, transport=simulator.transport(), audit=[JsonLinesSink(audit_file)])


async def measure(count: int, audit_file: Path) -> dict[str, float]:
    """Retrieve `count` ids and return the row of the table."""
    retriever = retriever_for(audit_file)
    started = time.perf_counter()
    early = largest = 0.0
    done = 0
    async with retriever, retriever.retrieve_many(generate(count)) as results:
        async for result in results:
            result.unwrap()
            done += 1
            if done == count // 10:
                early = resident_mib()
            if done % 1_000 == 0:
                largest = max(largest, resident_mib())
    if done != count:
        raise SystemExit(f"{done} results for {count} ids")
    seconds = time.perf_counter() - started
    return {
        "ids": count,
        "resident_at_a_tenth_mib": round(early, 1),
        "resident_at_the_end_mib": round(resident_mib(), 1),
        "largest_mib": round(largest, 1),
        "audit_file_mib": round(audit_file.stat().st_size / MIB, 1),
        "ids_per_second": round(count / seconds),
    }


def main() -> None:
    """Measure each size in a process of its own and print its row."""
    parser = parser_of("memory", "Resident memory over a growing number of ids.")
    parser.add_argument("--ids", type=at_least_one, nargs="+", default=SIZES, metavar="N")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(anyio.run(measure, options.ids[0], Path(folder) / "audit.jsonl")))
        return
    if not options.json:
        print(f"{describe_briefly()}\n")
        print("| ids | MiB at 10 % | MiB at the end | max. MiB | audit file MiB | ids/s |")
        print("| --: | --: | --: | --: | --: | --: |")
    for count in options.ids:
        command = module_command(Path(sys.executable), "memory", "--here", "--ids", str(count))
        measured = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=PROJECT).stdout.strip()
        if options.json:
            print(measured, flush=True)
        else:
            cells = json.loads(measured).values()
            print("| " + " | ".join(f"{cell:,}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
