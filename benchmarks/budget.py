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
FIRST, LAST = 40 * IN_FLIGHT, 50 * IN_FLIGHT
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
    """Counts over `ids` ids: instructions and calls of each piece of code, and value classes by name."""

    ids: int = LAST - FIRST
    bytecodes: Counter[CodeType] = field(default_factory=Counter["CodeType"])
    calls: Counter[CodeType] = field(default_factory=Counter["CodeType"])
    values: Counter[str] = field(default_factory=Counter[str])
    _loads: dict[CodeType, dict[int, str]] = field(default_factory=dict)

    def trace(self, frame: FrameType, event: str, _: object) -> TraceFunction | None:
        """Count a frame, and then its instructions; for `sys.settrace`."""
        code = frame.f_code
        if event == "call":
            if not self._is_counted(code):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            self.calls[code] += 1
        elif event == "opcode":
            self.bytecodes[code] += 1
            if (name := self._loads[code].get(frame.f_lasti)) is not None:
                self._note_value(frame.f_globals.get(name))
        return self.trace

    def _is_counted(self, code: CodeType) -> bool:
        if code in self._loads:
            return True
        file = code.co_filename.replace("\\", "/")
        if code.co_filename in NOT_COUNTED or "asyncio/" in file or file.endswith("selectors.py"):
            return False
        loads = (each for each in get_instructions(code) if each.opname == "LOAD_GLOBAL")
        self._loads[code] = {each.offset: each.argval for each in loads}
        return True

    def _note_value(self, loaded: object) -> None:
        """Note a value class that is loaded by its name, as it is to make a value of it."""
        if isinstance(loaded, type) and issubclass(loaded, msgspec.Struct):
            self.values[loaded.__name__] += 1

    @property
    def of_one_id(self) -> tuple[float, float]:
        """The bytecodes and the calls of one id."""
        return self.bytecodes.total() / self.ids, self.calls.total() / self.ids

    def by(self, *, functions: bool) -> Iterator[tuple[str, float, float]]:
        """Yield the bytecodes and calls of each room, or of each function, the most first."""
        bytecodes, calls = Counter[str](), Counter[str]()
        for code, count in self.bytecodes.items():
            bytecodes[name_of(code, function=functions)] += count
            calls[name_of(code, function=functions)] += self.calls[code]
        for name, count in bytecodes.most_common():
            yield name, count / self.ids, calls[name] / self.ids


def name_of(code: CodeType, *, function: bool) -> str:
    """Return the room of a piece of code, or its file and function."""
    path = Path(code.co_filename)
    file = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ELSEWHERE
    return f"{file} {code.co_qualname}" if function else file.partition("/")[0]


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
