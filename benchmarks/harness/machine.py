"""The machine: its line in every report, its cores, and processes pinned to one of them."""

from __future__ import annotations

import os
import platform
import resource
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .interpreter import Interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cores:
    """The client's core and the server's; the same one on a machine with a single core."""

    client: int
    server: int

    @classmethod
    def choose(cls) -> Cores:
        """Take the first two that this process may use."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[1 % len(usable)])

    def __str__(self) -> str:
        if self.client == self.server:
            return f"client and server share core {self.client}, the only one: compare CPU times, not rates"
        return f"client on core {self.client}, server on core {self.server}"


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Pin processes that are started in this context to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def describe(versions: dict[str, str]) -> str:
    """Return the line of a report that names the date, the machine and all versions."""
    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    programs = ", ".join(f"{name} {versions[name]}" for name in sorted(versions, key=str.lower))
    return (
        f"{time.strftime('%Y-%m-%d')}: {cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"{Interpreter.this()}; {programs}"
    )


def describe_briefly() -> str:
    """Return the line of a report whose numbers hardly depend on the machine."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, {Interpreter.this()}"


@dataclass(frozen=True)
class Usage:
    """Seconds for which a core was busy, and CPU seconds of our finished child processes."""

    at: float
    busy: float
    children: float

    @classmethod
    def of(cls, core: int) -> Usage:
        """Read the system's counters."""
        ticks = [0] * 10
        for line in Path("/proc/stat").read_text().splitlines():
            if line.startswith(f"cpu{core} "):
                ticks = [int(number) for number in line.split()[1:]]
        user, nice, system, _idle, _iowait, interrupt, soft_interrupt, steal = ticks[:8]
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = (user + nice + system + interrupt + soft_interrupt + steal) / TICKS
        return cls(time.monotonic(), busy, spent.ru_utime + spent.ru_stime)

    def others_share(self, before: Usage) -> float:
        """Return the share of the core since `before` that other processes than our children used, 0 to 1."""
        seconds = max(self.at - before.at, 1e-9)
        others = (self.busy - before.busy) - (self.children - before.children)
        return min(1.0, max(0.0, others / seconds))
