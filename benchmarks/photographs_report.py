"""What the rows of `benchmarks.photographs` come to: the summary, and a table of arms by sets.

Test accuracies, from 0 to 1: the mean over the seeds of each set, then over sets. The best rival of a set is
the one that test accuracy likes best there, which is more than a user could choose. A rival without a budget
counts where it comes to its end in time.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.averages import mean
from benchmarks.photographs_plan import ARMS, AUTO, AUTO_MACS, FEW_BUDGET, MOBILENET_224, RIVALS, in_time
from benchmarks.transfer_tables import table

Row = Mapping[str, Any]
Tests = dict[str, dict[str, float]]


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The summary of the document."""
    main = [row for row in rows if row["part"] == "main"]
    found: dict[str, Any] = {}
    for budget in budgets_of(main):
        fields = _compare([row for row in main if in_time(row, budget)])
        found |= {f"{name}_{budget:g}": value for name, value in fields.items()}
    few: dict[str, Any] = {}
    for count in sorted({row["per_class"] for row in rows if row["part"] == "few"}):
        some = [row for row in rows if row["part"] == "few" and row["per_class"] == count]
        few[str(count)] = _compare([row for row in some if in_time(row, FEW_BUDGET)])
    found["few"] = few
    found["macs"] = _means(rows, "macs")
    found["late_probes"] = sorted(
        {f"{row['set']}: {row['arm']}, {row['seconds']:.0f} s" for row in main if _late(row)}
    )
    return found


def budgets_of(rows: Iterable[Row]) -> list[float]:
    """Budgets in seconds that there are rows of."""
    return sorted({row["budget"] for row in rows if row["budget"] is not None})


def tests_of(rows: Iterable[Row]) -> Tests:
    """By set and arm, the mean over seeds."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        values[row["set"]][row["arm"]].append(row["test"])
    return {
        name: {arm: statistics.fmean(of[arm]) for arm in ARMS if arm in of} for name, of in values.items()
    }


def _compare(rows: Sequence[Row]) -> dict[str, Any]:
    """`auto` beside the best rival of each set that has both."""
    tests = tests_of(rows)
    by_set: dict[str, dict[str, Any]] = {}
    for name, of in tests.items():
        rivals = {arm: of[arm] for arm in RIVALS if arm in of}
        if AUTO not in of or not rivals:
            continue
        best = max(rivals, key=lambda arm: rivals[arm])
        by_set[name] = {
            "auto": round(of[AUTO], 4),
            "best_rival": round(rivals[best], 4),
            "rival": best,
            "rivals": len(rivals),
            "gap": round(of[AUTO] - rivals[best], 4),
        }
    if not by_set:
        return {}
    everywhere = [arm for arm in RIVALS if all(arm in tests[name] for name in by_set)]
    means = {arm: mean(tests[name][arm] for name in by_set) for arm in everywhere}
    single = max(means, key=lambda arm: means[arm], default=None)
    worst = min(by_set, key=lambda name: by_set[name]["gap"])
    return {
        "sets": len(by_set),
        "mean_auto": mean(of["auto"] for of in by_set.values()),
        "mean_best_rival": mean(of["best_rival"] for of in by_set.values()),
        "mean_gap": mean(of["gap"] for of in by_set.values()),
        "worst_gap": by_set[worst]["gap"],
        "worst_set": worst,
        "best_single_rival": None if single is None else {"arm": single, "test": means[single]},
        "max_macs": _limited(rows, tests),
        "most_seconds": _most_seconds(rows),
        "by_set": by_set,
    }


def _limited(rows: Sequence[Row], tests: Tests) -> dict[str, Any]:
    """`auto` under the limit of MACs: beside itself without one, and beside the whole MobileNetV2."""
    both = [name for name, of in tests.items() if AUTO in of and AUTO_MACS in of]
    if not both:
        return {}
    beside = [name for name in both if MOBILENET_224 in tests[name]]
    over = [tests[name][AUTO_MACS] - tests[name][MOBILENET_224] for name in beside]
    return {
        "sets": len(both),
        "test": mean(tests[name][AUTO_MACS] for name in both),
        "gap_to_auto": mean(tests[name][AUTO_MACS] - tests[name][AUTO] for name in both),
        "gap_to_mobilenet_224": mean(over) if over else None,
        "most_macs": max(row["macs"] for row in rows if row["arm"] == AUTO_MACS),
    }


def _means(rows: Iterable[Row], what: str) -> dict[str, int]:
    """Of each arm of the part `main`, over all its rows."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["part"] == "main":
            values[row["arm"]].append(row[what])
    return {arm: round(statistics.fmean(values[arm])) for arm in ARMS if arm in values}


def _most_seconds(rows: Iterable[Row]) -> dict[str, float]:
    most: dict[str, float] = {}
    for row in rows:
        most[row["arm"]] = max(row["seconds"], most.get(row["arm"], 0.0))
    return {arm: most[arm] for arm in ARMS if arm in most}


def _late(row: Row) -> bool:
    return row["budget"] is None and row["seconds"] > FEW_BUDGET


def tables(rows: Sequence[Row]) -> str:
    """For each budget, and each number of images a class, the test accuracies of arms and sets."""
    main = [row for row in rows if row["part"] == "main"]
    groups = {f"{budget:g} s": [row for row in main if in_time(row, budget)] for budget in budgets_of(main)}
    for row in rows:
        if row["part"] == "few" and in_time(row, FEW_BUDGET):
            groups.setdefault(f"{row['per_class']} a class, {FEW_BUDGET:g} s", [])
            groups[f"{row['per_class']} a class, {FEW_BUDGET:g} s"].append(row)
    return "\n\n".join(_table(title, of) for title, of in groups.items())


def _table(title: str, rows: Sequence[Row]) -> str:
    tests = tests_of(rows)
    sets = list(tests)
    lines = []
    for arm in ARMS:
        there = [tests[name][arm] for name in sets if arm in tests[name]]
        if there:
            cells = [f"{tests[name][arm]:.3f}" if arm in tests[name] else "" for name in sets]
            whole = f"{statistics.fmean(there):.3f}" if len(there) == len(sets) else ""
            lines.append([arm, *cells, whole, f"{_most_seconds(rows)[arm]:.0f}"])
    return table([title, *sets, "mean", "seconds, at most"], lines)
