"""The picture at the head of the README: what a minute brings, with the zoo and without it.

    python -m benchmarks.glance [--out docs/glance.svg]

Each curve is the best validation accuracy so far, the mean over the targets of `benchmarks.transfer` of the
mean over seeds, drawn from its rows.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.document import RESULTS
from benchmarks.json_lines import read_rows
from benchmarks.transfer_pictures import best_so_far
from benchmarks.transfer_plan import TARGETS

Row = Mapping[str, Any]

ARMS = {
    "auto": ("snt-zoo", "#3f51b5", 2.6, 3),
    "scratch": ("search from scratch", "#8a8f98", 1.8, 0),
    "mobilenet": ("MobileNetV2, finetuned", "#cf7010", 1.8, -3),
}
"""What each arm is called in the picture, its colour, the width of its line, and by how many points its name
is moved up."""


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.glance", description=__doc__)
    parser.add_argument("--rows", type=Path, default=RESULTS / "transfer.jsonl")
    parser.add_argument("--out", type=Path, default=Path("docs/glance.svg"))
    arguments = parser.parse_args()
    draw(read_rows(arguments.rows), arguments.out)


def curves(rows: Sequence[Row], seconds: Sequence[float]) -> dict[str, list[float]]:
    """Of each arm that was run on every target the mean accuracy at each of some times."""
    found = {}
    for arm in ARMS:
        of = [row for row in rows if row["part"] in ("main", "rivals") and row["arm"] == arm]
        if {row["target"] for row in of} >= set(TARGETS):
            found[arm] = _mean(
                [
                    _mean([best_so_far(row, seconds) for row in of if row["target"] == target])
                    for target in TARGETS
                ]
            )
    return found


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the picture, as svg or png."""
    import matplotlib

    matplotlib.use("Agg")
    # The same bytes for the same rows.
    matplotlib.rcParams["svg.hashsalt"] = "snt-zoo"
    from matplotlib import pyplot

    end = int(next(row["budget"] for row in rows if row["part"] == "main"))
    seconds = [i / 4 for i in range(4 * end + 1)]
    found = curves(rows, seconds)
    figure, axis = pyplot.subplots(figsize=(7.2, 3.4))
    for arm, values in found.items():
        name, colour, width, up = ARMS[arm]
        axis.plot(seconds, values, color=colour, linewidth=width)
        axis.annotate(
            name,
            (end, values[-1]),
            xytext=(6, up),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=10,
            fontweight="bold" if arm == "auto" else "normal",
        )
    goal = found["scratch"][-1]
    soon = next(at for at, value in zip(seconds, found["auto"], strict=True) if value >= goal)
    axis.plot([soon, end], [goal, goal], color="#3f51b5", linewidth=1, linestyle=(0, (2, 3)))
    axis.plot(soon, goal, marker="o", color="#3f51b5", markersize=6)
    axis.annotate(
        f"what the search has after {end} s, snt-zoo has after {soon:.0f} s",
        (soon, goal),
        xytext=(soon, 0.95),
        fontsize=9.5,
        va="center",
        arrowprops={"arrowstyle": "-", "linewidth": 0.8, "relpos": (0, 0)},
    )
    axis.set_xlim(0, end)
    axis.set_ylim(0, 1)
    axis.set_xlabel("seconds on one processor core")
    axis.set_ylabel("best validation accuracy so far")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)
    figure.tight_layout()
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _mean(columns: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.fmean(values) for values in zip(*columns, strict=True)]


if __name__ == "__main__":
    main()
