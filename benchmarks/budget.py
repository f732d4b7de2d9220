"""
The Python that runs for one id: bytecodes and Python calls of a steady success, counted exactly, by room.

    python -m benchmarks.budget                      the table by room
    python -m benchmarks.budget --functions          by function as well

The whole pipeline runs with 64 in flight, its audit trail and metrics on, against a server in the same event loop, so
that a busy machine changes nothing. Counted is every instruction of every Python frame but those of the event loop, the
server and this program; a call is also each time that a coroutine goes on. The numbers belong to the version of Python.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from dis import get_instructions
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import genesys_media_async
from genesys_media_async import JsonLinesSink, MediaRetriever, QuotaLimit, Settings, SystemClock

from .harness import lockstep_server as server_module
from .harness.command_line import parser_of
from .harness.lockstep_server import lockstep_server
from .harness.machine import describe_briefly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType

    from _typeshed import TraceFunction

ROOT = Path(genesys_media_async.__file__).parent
IN_FLIGHT = 64
FIRST, LAST = 40 * IN_FLIGHT, 60 * IN_FLIGHT
"""The results between which is counted; before, connections, tokens and caches are made."""

NOT_COUNTED = {__file__, server_module.__file__}
ELSEWHERE = "libraries"


SLOWNESS = 100
"""How many times slower a traced program is, about."""


class SlowClock(SystemClock):
    """A clock as slow as a traced program: otherwise each id would seem to come long after the one before."""

    @staticmethod
    def monotonic() -> float:
        """Return the time of `SlowLoop`."""
        return time.monotonic() / SLOWNESS

    @staticmethod
    def wall() -> float:
        """Return the same date for ever: it is written once for each millisecond, in which many ids end."""
        return 1_800_000_000.0


class SlowLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers are as slow as its clock."""

    def time(self) -> float:
        """Return the time of `SlowClock`."""
        return time.monotonic() / SLOWNESS


@dataclass
class Budget:
    """Counts over `ids` ids: instructions and calls by file and function, and value classes by name."""

    ids: int = LAST - FIRST
    bytecodes: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    calls: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    values: Counter[str] = field(default_factory=Counter[str])
    _globals_loaded: dict[CodeType, dict[int, str]] = field(default_factory=dict)

    def trace(self, frame: FrameType, event: str, _: object) -> TraceFunction | None:
        """Count a frame, and then its instructions; for `sys.settrace`."""
        if event == "call":
            file = frame.f_code.co_filename
            if file in NOT_COUNTED or "asyncio/" in file.replace("\\", "/") or file.endswith("selectors.py"):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            self.calls[place_of(frame.f_code)] += 1
        elif event == "opcode":
            self.bytecodes[place_of(frame.f_code)] += 1
            self._note_value(frame)
        return self.trace

    def _note_value(self, frame: FrameType) -> None:
        """Note that a value class is loaded by its name, as it is to make a value of it."""
        code = frame.f_code
        if code not in self._globals_loaded:
            loads = (each for each in get_instructions(code) if each.opname == "LOAD_GLOBAL")
            self._globals_loaded[code] = {each.offset: each.argval for each in loads}
        name = self._globals_loaded[code].get(frame.f_lasti)
        found = frame.f_globals.get(name) if name is not None else None
        if isinstance(found, type) and issubclass(found, msgspec.Struct):
            self.values[found.__name__] += 1

    @property
    def of_one_id(self) -> tuple[float, float]:
        """The bytecodes and the calls of one id."""
        return self.bytecodes.total() / self.ids, self.calls.total() / self.ids

    def by(self, *, functions: bool) -> Iterator[tuple[str, float, float]]:
        """Yield the bytecodes and calls of each room, or of each function, the most first."""
        sums: Counter[str] = Counter()
        calls: Counter[str] = Counter()
        for place, count in self.bytecodes.items():
            sums[named(place, function=functions)] += count
        for place, count in self.calls.items():
            calls[named(place, function=functions)] += count
        for name, count in sums.most_common():
            yield name, count / self.ids, calls[name] / self.ids


def place_of(code: CodeType) -> tuple[str, str]:
    """Return the file and the function of a piece of code."""
    file = Path(code.co_filename)
    return file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else ELSEWHERE, code.co_qualname


def named(place: tuple[str, str], *, function: bool) -> str:
    """Return the name of a row."""
    file, name = place
    return f"{file} {name}" if function else file.partition("/")[0]


async def measure(folder: Path) -> Budget:
    """Retrieve ids, and count from `FIRST` to `LAST`."""
    budget = Budget()
    async with lockstep_server() as url:
        settings = Settings(
            client_id="budget",
            client_secret="secret-of-the-budget",
            base_url=url,
            login_url=url,
            quota=QuotaLimit(limit=10_000_000),
        )
        sink = JsonLinesSink(folder / "audit.jsonl")
        async with MediaRetriever(settings, audit=[sink], clock=SlowClock()) as retriever:
            ids = (f"recording-{number}" for number in range(LAST + 3 * IN_FLIGHT))
            done = 0
            async with retriever.retrieve_many(ids, concurrency=IN_FLIGHT) as run:
                async for result in run:
                    assert result.ok, result.error
                    done += 1
                    if done == FIRST:
                        sys.settrace(budget.trace)
                    elif done == LAST:
                        sys.settrace(None)
    return budget


def count() -> Budget:
    """Return the budget of one id on asyncio."""
    before = sys.gettrace()
    try:
        with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=SlowLoop) as runner:
            return runner.run(measure(Path(folder)))
    finally:
        sys.settrace(before)


def main() -> int:
    """Print the tables."""
    parser = parser_of("budget", "Bytecodes and Python calls of one id, by room.")
    parser.add_argument("--functions", action="store_true", help="also by function")
    options = parser.parse_args()
    budget = count()
    print(f"{describe_briefly()}\n")
    for functions in (False, True)[: 1 + options.functions]:
        print(f"| {'function' if functions else 'room'} | bytecodes | calls |\n| :-- | --: | --: |")
        for name, bytecodes, calls in budget.by(functions=functions):
            print(f"| {name} | {bytecodes:,.0f} | {calls:.1f} |")
        bytecodes, calls = budget.of_one_id
        print(f"| **one id** | **{bytecodes:,.0f}** | **{calls:.1f}** |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
