"""What every Python peer is given: the command line, the credentials and the ids."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
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
        )

    def warm_up_ids(self) -> Iterator[str]:
        """Yield the ids that are not measured."""
        return map(file_id_of, range(self.warm_up))

    def ids(self) -> Iterator[str]:
        """Yield the measured ids, each made on demand."""
        return map(file_id_of, range(self.warm_up, self.warm_up + self.items))


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
    return parser


def file_id_of(number: int) -> str:
    """Return an id in the form of a media id."""
    return f"00000000-0000-4000-8000-{number:012}"
