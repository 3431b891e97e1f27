"""The pictures of `docs/transfer.md`: curves of every target, and accuracy against cost."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.transfer_plan import TARGETS
from benchmarks.transfer_report import answers

Row = Mapping[str, Any]
POINTS = 121
COLOURS = {
    "scratch": "#818b98",
    "auto": "#2f81f7",
    "auto, derived": "#2da44e",
    "probe": "#d0569a",
    "mobilenet": "#cf7010",
    "residual": "#a371f7",
}


def draw(rows: Sequence[Row], folder: Path) -> None:
    """Write `transfer_curves.png` and, if there are rivals, `transfer_cost.png`."""
    main = [row for row in rows if row["part"] == "main"]
    if main:
        _curves(main, folder / "transfer_curves.png")
    if main and any(row["part"] == "rivals" for row in rows):
        _costs(rows, folder / "transfer_cost.png")


def best_so_far(row: Row, seconds: Sequence[float]) -> list[float]:
    """The best validation accuracy of what a run would hand back, at each of some times."""
    events = answers(row)
    return [max((value for time, value in events if time <= now), default=0.0) for now in seconds]


def _curves(rows: Sequence[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    targets = [target for target in TARGETS if any(row["target"] == target for row in rows)]
    columns = 4
    lines = -(-len(targets) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(3.1 * columns, 2.3 * lines), squeeze=False)
    for axis in axes.flat[len(targets) :]:
        axis.set_visible(False)
    for axis, target in zip(axes.flat, targets, strict=False):
        for arm in ("scratch", "auto"):
            of = [row for row in rows if row["target"] == target and row["arm"] == arm]
            if not of:
                continue
            end = of[0]["budget"]
            seconds = [end * i / (POINTS - 1) for i in range(POINTS)]
            seeds = [best_so_far(row, seconds) for row in of]
            mean = [statistics.fmean(values) for values in zip(*seeds, strict=True)]
            axis.plot(seconds, mean, color=COLOURS[arm], label=arm)
            low, high = ([pick(v) for v in zip(*seeds, strict=True)] for pick in (min, max))
            axis.fill_between(seconds, low, high, color=COLOURS[arm], alpha=0.2, linewidth=0)
        axis.set_title(target, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=8)
    figure.supxlabel("seconds of processor time", fontsize=9)
    figure.supylabel("best validation accuracy so far", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _costs(rows: Sequence[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    points: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    for row in rows:
        if row["part"] in ("main", "rivals") and row["arm"] in COLOURS:
            points[row["arm"], row["domain"]].append((row["macs"], row["params"], row["test"]))
            if row["arm"] == "auto":
                derived = row["derived"]
                points["auto, derived", row["domain"]].append(
                    (derived["macs"], derived["params"], derived["test"])
                )
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), sharey=True)
    domains = sorted({domain for _, domain in points})
    marks = dict(zip(domains, "os^vD*PXhd<>", strict=False))
    for column, (axis, name) in enumerate(zip(axes, ("multiply-accumulates", "parameters"), strict=True)):
        for (arm, domain), found in points.items():
            cost = statistics.fmean(point[column] for point in found)
            test = statistics.fmean(point[2] for point in found)
            axis.scatter(cost, test, color=COLOURS[arm], marker=marks[domain], s=36, alpha=0.85)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel(f"{name} of the network that is handed back", fontsize=9)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("test accuracy, mean of a domain", fontsize=9)
    handles = [Line2D([], [], color=c, marker="o", linestyle="", label=a) for a, c in COLOURS.items()]
    handles += [
        Line2D([], [], color="black", marker=mark, linestyle="", label=domain)
        for domain, mark in marks.items()
    ]
    axes[1].legend(handles=handles, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
