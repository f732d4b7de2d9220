"""What the command lines of the benchmarks share: parsers of values, common options, and exit codes."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .interpreter import THIS, start_again

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def at_least_one(text: str) -> int:
    """Read a whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def whole_number(text: str) -> int:
    """Read a whole number, 0 or above."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return value


def duration(text: str) -> float:
    """Read a finite number of seconds above zero."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive, finite number of seconds")
    return value


def writable(text: str) -> Path:
    """Read the path of a file to write, and check before anything is measured that it can be written."""
    path = Path(text)
    try:
        path.open("a").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {error.strerror}") from None
    return path


def parser_of(name: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of a command, which is run as a module."""
    return argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)


def add_common_options(parser: argparse.ArgumentParser, environment: Path) -> None:
    """Add `--json`, `--environment` and `--python`."""
    parser.add_argument("--json", type=writable, metavar="FILE", help="write all numbers to this file")
    parser.add_argument(
        "--environment",
        type=Path,
        default=environment,
        metavar="DIR",
        help="virtual environment of the benchmarks, made if it does not exist (default: %(default)s)",
    )
    parser.add_argument(
        "--python",
        metavar="PATH",
        help=f"interpreter to run on, or {THIS!r} (default: {THIS}, or the newest with PGO if {THIS} has none)",
    )


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """
    Read the command line; a command with `--python` starts again if that or the build says so.

    From here on SIGTERM also stops the servers before it ends the benchmark.
    """
    options = parser.parse_args()
    if "python" in options:
        start_again(parser.prog.rpartition(".")[2], options.python)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return options


def chosen(names: Iterable[str], words: Sequence[str] | None) -> list[str]:
    """Return the names that contain one of the words, or all names; end the benchmark if there is none."""
    every = list(names)
    some = [name for name in every if not words or any(word.lower() in name.lower() for word in words)]
    if not some:
        sys.exit(f"--only: no row name contains {' or '.join(words or ())}; the rows are: {'; '.join(every)}.")
    return some


def write_json(file: Path | None, numbers: Mapping[str, object]) -> None:
    """Write the numbers of a report to the file of `--json`, if one is given."""
    if file is not None:
        file.write_text(json.dumps(numbers, indent=1) + "\n")


def exit_code(*, measured: bool, errors: int) -> int:
    """Return 1 and print the reason if nothing was measured or an answer was wrong."""
    if errors:
        print(f"{errors:,} answers were wrong.", file=sys.stderr)
    elif not measured:
        print("Nothing was measured.", file=sys.stderr)
    return int(errors > 0 or not measured)
