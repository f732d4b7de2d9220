"""
Resident memory over a growing number of ids, which should not grow with it.

    python benchmarks/memory.py                         10,000, 100,000 and 1,000,000 ids (some minutes)
    python benchmarks/memory.py --ids 2000 20000        quicker
    python benchmarks/memory.py --json                  one JSON object a line instead of a table

Each size runs in a process of its own: the whole pipeline (token, permit, request, reply, validation, audit file,
metrics) over ids that come from an async generator, against the simulator through its in-process transport, so that
no socket buffers are measured. The resident size is read from the operating system after a tenth of the ids, when
every buffer is full, and at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from command_line import at_least_one

from genesys_media_async import JsonLinesSink, MediaRetriever, Settings
from genesys_media_async.simulator import Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MIB = 1024 * 1024
SIZES = (10_000, 100_000, 1_000_000)


def resident_mib() -> float:
    """Return the resident size of this process in MiB; the peak so far where the system does not tell."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def generate(count: int) -> AsyncIterator[str]:
    """Yield ids that are made only when they are asked for."""
    for number in range(count):
        yield f"recording-{number:09}"


async def measure(count: int, audit_file: Path) -> dict[str, float]:
    """Retrieve `count` ids and return what it took."""
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
    retriever = MediaRetriever(settings, transport=simulator.transport(), audit=[JsonLinesSink(audit_file)])
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
        "resident_after_a_tenth_mib": round(early, 1),
        "resident_at_the_end_mib": round(resident_mib(), 1),
        "largest_mib": round(largest, 1),
        "audit_file_mib": round(audit_file.stat().st_size / MIB, 1),
        "ids_per_second": round(count / seconds),
    }


def main() -> None:
    """Measure each size in a process of its own and print what was measured."""
    parser = argparse.ArgumentParser(description="Resident memory over a growing number of ids.")
    parser.add_argument("--ids", type=at_least_one, nargs="+", default=SIZES, metavar="N")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(anyio.run(measure, options.ids[0], Path(folder) / "audit.jsonl")))
        return
    if not options.json:
        print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}")
        print()
        print("| ids | MiB after a tenth | MiB at the end | largest MiB | audit file MiB | ids a second |")
        print("| --: | --: | --: | --: | --: | --: |")
    for count in options.ids:
        command = [sys.executable, __file__, "--here", "--ids", str(count)]
        measured = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        if options.json:
            print(measured, flush=True)
        else:
            cells = json.loads(measured).values()
            print("| " + " | ".join(f"{cell:,}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
