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
    """The client's cores and the server's: one each, or all for both."""

    client: frozenset[int]
    server: frozenset[int]

    @classmethod
    def choose(cls, processes: int = 1) -> Cores:
        """Take the first two that this process may use, or all for both if a client has more than one process."""
        usable = sorted(os.sched_getaffinity(0))
        if processes > 1:
            return cls(frozenset(usable), frozenset(usable))
        return cls(frozenset(usable[:1]), frozenset(usable[:2][-1:]))

    @property
    def are_shared(self) -> bool:
        """Whether the client and the server take CPU time from each other."""
        return self.client == self.server

    def __str__(self) -> str:
        client, server = (", ".join(map(str, sorted(cores))) for cores in (self.client, self.server))
        if self.are_shared:
            if len(self.client) > 1:
                return f"client and server share cores {client}, none pinned apart: the server's work lowers the rates"
            return f"client and server share core {client}, the only one: compare CPU times, not rates"
        return f"client on core {client}, server on core {server}"


@contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Pin processes that are started in this context to some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
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
    """Seconds for which some cores were busy, and CPU seconds of our finished child processes."""

    at: float
    busy: float
    children: float

    @classmethod
    def of(cls, cores: frozenset[int]) -> Usage:
        """Read the system's counters."""
        names, busy = {f"cpu{core}" for core in cores}, 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *ticks = line.split()
            if name in names:
                user, nice, system, _idle, _iowait, interrupt, soft_interrupt, steal = map(int, ticks[:8])
                busy += user + nice + system + interrupt + soft_interrupt + steal
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(time.monotonic(), busy / TICKS, spent.ru_utime + spent.ru_stime)

    def others_share(self, before: Usage) -> float:
        """Return the share of the core since `before` that other processes than our children used, 0 to 1."""
        seconds = max(self.at - before.at, 1e-9)
        others = (self.busy - before.busy) - (self.children - before.children)
        return min(1.0, max(0.0, others / seconds))
