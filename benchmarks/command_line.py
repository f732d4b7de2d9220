"""What the benchmarks' command lines share: numbers that make sense, files that can be written, a tidy end."""

from __future__ import annotations

import argparse
import math
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def at_least_one(text: str) -> int:
    """Read a whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def duration(text: str) -> float:
    """Read a time above zero."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no time that passes")
    return value


def writable(text: str) -> Path:
    """Read the path of a file to write, and find out before anything is measured whether it can be."""
    path = Path(text)
    try:
        path.open("a").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {error.strerror}") from None
    return path


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line. From here on SIGTERM, too, ends the servers before it ends the benchmark."""
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return options


def chosen(names: Iterable[str], words: Sequence[str] | None) -> list[str]:
    """Return the names that have one of the words, or all; ends the benchmark if there is none."""
    every = list(names)
    some = [name for name in every if not words or any(word.lower() in name.lower() for word in words)]
    if not some:
        sys.exit(f"--only: no row has {' or '.join(words or ())} in its name; there are: {'; '.join(every)}.")
    return some


def exit_code(*, measured: bool, errors: int) -> int:
    """Return 1 and say why, if there is nothing to show or some of it is wrong."""
    if errors:
        print(f"{errors:,} answers were wrong.", file=sys.stderr)
    elif not measured:
        print("Nothing was measured.", file=sys.stderr)
    return int(errors > 0 or not measured)
