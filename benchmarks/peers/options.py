"""What every Python peer is given: the command line, the credentials and the ids."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT_ID, CLIENT_SECRET = "demo-client", "demo-secret"
EXPIRES_IN = 3_600


@dataclass(frozen=True)
class Options:
    """The command line that all peers share; options of one peer alone are in `rest`."""

    url: str
    token_url: str
    items: int
    seconds: float
    in_flight: int
    warm_up: int
    out: Path
    audit: Path | None
    loop: str
    rest: argparse.Namespace
    processes: int = 1
    first: int = 0
    """The number of the first id."""

    @classmethod
    def parse(cls, **choices: tuple[str, ...]) -> Options:
        """Read the command line; each of `choices` is one more option, whose first value is the default."""
        parser = _parser()
        for name, values in choices.items():
            parser.add_argument(f"--{name}", choices=values, default=values[0])
        given = parser.parse_args()
        return cls(
            given.url,
            given.token_url,
            given.items,
            given.seconds,
            given.in_flight,
            given.warm_up,
            given.out,
            given.audit,
            given.loop,
            given,
            given.processes,
        )

    def warm_up_ids(self) -> Iterator[str]:
        """Yield the ids that are not measured."""
        return map(file_id_of, range(self.first, self.first + self.warm_up))

    def ids(self) -> Iterator[str]:
        """Yield the measured ids, each made on demand."""
        first = self.first + self.warm_up
        return map(file_id_of, range(first, first + self.items))

    def shares(self) -> Iterator[Options]:
        """Yield what each process does: its share of the ids and of the number in flight, and a report of its own."""
        first = self.first
        for number in range(self.processes):
            items, in_flight, warm_up = (
                (total + number) // self.processes for total in (self.items, self.in_flight, self.warm_up)
            )
            out = self.out.with_suffix(f".{number}.json")
            yield replace(self, items=items, in_flight=in_flight, warm_up=warm_up, out=out, first=first, processes=1)
            first += warm_up + items


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--token-url", required=True)
    extent = parser.add_mutually_exclusive_group(required=True)
    extent.add_argument("--items", type=int, default=0)
    extent.add_argument("--seconds", type=float, default=0.0, help="instead of --items: whole turns for so long")
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--warm-up", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--audit", type=Path)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--processes", type=int, default=1, help="share --items and --in-flight among so many")
    return parser


def file_id_of(number: int) -> str:
    """Return an id in the form of a media id."""
    return f"00000000-0000-4000-8000-{number:012}"
