"""
The picture of the growth benchmark: CPU time for each id and memory, over the ids and over the number in flight.

    python -m benchmarks.harness.growth_picture FILE.svg < growth.json

Needs matplotlib; the benchmark runs it in the benchmarks' own environment. Horizontal axes are logarithmic; vertical
ones begin at 0, so that growth is not exaggerated. There is no background, and each colour is half-way between black
and white, so that the picture is legible on light pages and on dark ones.
"""

from __future__ import annotations

import json
import sys
from statistics import median
from typing import TypedDict

import matplotlib as mpl  # type: ignore[import-not-found]
from matplotlib.figure import Figure  # type: ignore[import-not-found]

SIZE = (8.5, 4.8)
INK, GRID = "#808080", "#80808040"
ROWS = (("cpu", "CPU time, µs for each id", "#3d7fe0"), ("peak_mib", "peak memory, MiB", "#cf6a17"))
STYLE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "font.size": 9,
    "grid.color": GRID,
    "svg.fonttype": "none",
    "svg.hashsalt": "growth",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


class Point(TypedDict):
    """The measurements of one size."""

    ids: int
    in_flight: int
    runs: list[dict[str, float]]


class Growth(TypedDict):
    """The report of the growth benchmark."""

    machine: str
    loop: str
    usual_ids: int
    usual_in_flight: int
    by_ids: list[Point]
    by_in_flight: list[Point]


def draw(growth: Growth) -> Figure:
    """Return the four curves."""
    figure = Figure(SIZE, layout="constrained")
    panels = figure.subplots(2, 2, sharex="col", sharey="row")
    by_ids, by_in_flight = growth["by_ids"], growth["by_in_flight"]
    columns = (
        (f"ids, {growth['usual_in_flight']:,} in flight", [point["ids"] for point in by_ids], by_ids),
        (f"in flight, {growth['usual_ids']:,} ids", [point["in_flight"] for point in by_in_flight], by_in_flight),
    )
    for (number, title, colour), row in zip(ROWS, panels, strict=True):
        row[0].set_title(title, loc="left")
        for (unit, sizes, points), panel in zip(columns, row, strict=True):
            medians = [median(run[number] for run in point["runs"]) for point in points]
            panel.plot(sizes, medians, color=colour, marker="o", markersize=4)
            panel.set_xscale("log")
            panel.minorticks_off()
            panel.xaxis.set_major_formatter("{x:,.0f}")
            panel.grid(axis="y")
            panel.set_xlabel(unit)
            panel.label_outer()
        highest = max(line.get_ydata().max(initial=1) for panel in row for line in panel.lines)
        row[0].set_ylim(0, 1.2 * highest)
    figure.supxlabel(f"{growth['loop']}; {growth['machine'].partition(';')[0]}", fontsize=7)
    return figure


def main() -> None:
    """Draw the report on standard input."""
    with mpl.rc_context(STYLE):
        draw(json.load(sys.stdin)).savefig(sys.argv[1], format="svg", transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main()
