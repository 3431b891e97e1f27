"""What the rows of `benchmarks.transfer` come to: the summary, and the pictures of `docs/transfer.md`.

Validation accuracy decides (when a run has reached another's end, which source is the oracle's), test
accuracy is reported. Means over targets weigh each target alike, after the mean over its seeds.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.averages import geomean, geometric_interval, interval, mean, share
from benchmarks.transfer_plan import FEW, GENERALIST, METHODS, TARGETS, WALL, WITH_PROBE, winner
from zoo.folds import original

Row = Mapping[str, Any]
LATE = 2.0
"""A run that never has the search's accuracy counts as having it after so many budgets."""

OWN_STAGES = ("head", "search", "derived")
FLOOR_STAGES = ("probe", "ensemble")


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The summary of the document."""
    parts: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        parts[row["part"]].append(row)
    found: dict[str, Any] = {"targets": len({row["target"] for row in parts["main"]})}
    found |= _against_scratch(parts["main"])
    few = {count: [r for r in parts["few"] if r["per_class"] == count] for count in FEW}
    found["mean_gain_20_per_class"] = _against_scratch(few[20]).get("mean_gain")
    found["few"] = {str(count): _against_scratch(of) for count, of in sorted(few.items()) if of}
    found |= _choices(parts["matrix"], parts["retrieval"], parts["main"])
    found["in_a_minute"] = _in_a_minute(parts["oracle"], parts["retrieval"], parts["main"])
    found["ablation"] = _by_arm(parts["ablation"], over=("neither", "no search"))
    found["long"] = _by_arm(parts["long"], over=("neither", "no search"))
    found["equal_epochs"] = _by_arm(parts["epochs"], over=("scratch",))
    found["imagenet"] = _imagenet(parts["rivals"], parts["main"])
    found["scratch_with_probe"] = _against_scratch_with_probe([*parts["rivals"], *parts["main"]])
    found[WALL] = {
        f"{budget:g} s": _against_scratch(of) | {"scratch_with_probe": _against_scratch_with_probe(of)}
        for budget in sorted({row["budget"] for row in parts[WALL]})
        for of in [[row for row in parts[WALL] if row["budget"] == budget]]
    }
    return found


# ---- a search from scratch against --from auto --------------------------------------------------


def _against_scratch(rows: Sequence[Row]) -> dict[str, Any]:
    """Times and gains of `auto` over `scratch`, with the floor and of the derived network alone."""
    pairs = _paired(rows, "scratch", "auto")
    if not pairs:
        return {}
    by_target: dict[str, dict[str, Any]] = {}
    for target, both in pairs.items():
        ratios = [ratio(scratch, auto) for scratch, auto in both]
        alone = [ratio(scratch, auto, floor=False) for scratch, auto in both]
        by_target[target] = {
            "domain": both[0][0]["domain"],
            "seeds": len(both),
            "scratch": mean(s["test"] for s, _ in both),
            "auto": mean(a["test"] for _, a in both),
            "auto_derived": mean(a["derived"]["test"] for _, a in both),
            "time_ratios": [round(r, 2) for r in ratios],
            "time_ratios_derived": [round(r, 2) for r in alone],
            "time_ratios_to_a_point": [round(ratio(s, a, short=0.01), 2) for s, a in both],
            "returned": [a["returned"] for _, a in both],
            "from": [a["from"] for _, a in both],
        }
    gains = {t: _difference(both, lambda a: a["test"]) for t, both in pairs.items()}
    derived = {t: _difference(both, lambda a: a["derived"]["test"]) for t, both in pairs.items()}
    return {
        "time_ratio_geomean": geomean(by_target, "time_ratios"),
        "time_ratio_interval": geometric_interval(by_target, "time_ratios"),
        "time_ratio_geomean_derived": geomean(by_target, "time_ratios_derived"),
        "time_ratio_geomean_to_a_point": geomean(by_target, "time_ratios_to_a_point"),
        "share_not_worse": share(gain >= 0 for gain in gains.values()),
        "share_not_worse_derived": share(gain >= 0 for gain in derived.values()),
        "share_within_one_point": share(gain >= -0.01 for gain in gains.values()),
        "mean_gain": interval(list(gains.values())),
        "mean_gain_derived": interval(list(derived.values())),
        "by_target": by_target,
    }


def _against_scratch_with_probe(rows: Sequence[Row]) -> dict[str, Any]:
    """What of the gain is the transfer's, and not the probe's, which a search from scratch could have too."""
    pairs = _paired(rows, WITH_PROBE, "auto")
    if not pairs:
        return {}
    gains = [_difference(both, lambda auto: auto["test"]) for both in pairs.values()]
    ratios = {t: {"ratios": [ratio(s, a) for s, a in both]} for t, both in pairs.items()}
    return {
        "targets": len(pairs),
        "test": mean(mean(s["test"] for s, _ in both) for both in pairs.values()),
        "by_target": {target: mean(s["test"] for s, _ in both) for target, both in pairs.items()},
        "mean_gain": interval(gains),
        "share_not_worse": share(gain >= 0 for gain in gains),
        "time_ratio_geomean": geomean(ratios, "ratios"),
        "time_ratio_interval": geometric_interval(ratios, "ratios"),
    }


def goal(scratch: Row, *, short: float = 0.0) -> tuple[float, float]:
    """The best validation accuracy of a search from scratch, and the seconds at which it first has it.

    Args:
        scratch: its row.
        short: by how much less is asked for.
    """
    had = answers(scratch)
    best = max(value for _, value in had) - short
    return best, next(seconds for seconds, value in had if value >= best)


def reached(row: Row, accuracy: float, *, floor: bool = True) -> float | None:
    """Seconds at which a run first has an accuracy; None if it never has.

    Args:
        row: of the run.
        accuracy: on validation.
        floor: whether the probe counts, which the run hands back where it is better, or together with the
            network.
    """
    return next(
        (seconds for seconds, value in answers(row, floor=floor) if value >= accuracy - 1e-9),
        None,
    )


def answers(row: Row, *, floor: bool = True) -> list[tuple[float, float]]:
    """Seconds and validation accuracy of what a run would hand back, whenever that changes.

    Of a race only the winner's heads count. A derived network that would be handed back together with the
    probe is not counted alone, though its accuracy on validation may be the higher one.

    Args:
        row: of the run.
        floor: as in `reached`.
    """
    found, best = [], 0.0
    curve = row["curve"]
    for (stage, seconds, value, who), after in zip(curve, [*curve[1:], None], strict=True):
        own = stage in OWN_STAGES or (stage == "race" and who == row["from"])
        if stage == "derived":
            own = value >= best and not (floor and after is not None and after[0] == "ensemble")
            best = max(best, value)
        if own or (floor and stage in FLOOR_STAGES):
            found.append((float(seconds), float(value)))
    return found


def ratio(scratch: Row, other: Row, *, floor: bool = True, short: float = 0.0) -> float:
    """How many times sooner a run has the best validation accuracy of a search from scratch; see `goal`."""
    best, theirs = goal(scratch, short=short)
    mine = reached(other, best, floor=floor)
    return theirs / (LATE * other["budget"] if mine is None else max(mine, 0.01))


def _paired(rows: Sequence[Row], one: str, other: str) -> dict[str, list[tuple[Row, Row]]]:
    """For each target the rows of two arms with the same seed."""
    by_key = {(row["target"], row["arm"], row["seed"]): row for row in rows}
    pairs: dict[str, list[tuple[Row, Row]]] = defaultdict(list)
    for target, arm, seed in by_key:
        if arm == one and (target, other, seed) in by_key:
            pairs[target].append((by_key[target, one, seed], by_key[target, other, seed]))
    return {
        target: pairs[target] for target in (*TARGETS, *sorted(set(pairs) - {*TARGETS})) if target in pairs
    }


def _difference(both: Sequence[tuple[Row, Row]], of: Callable[[Row], float]) -> float:
    return statistics.fmean(of(other) - one["test"] for one, other in both)


# ---- which source -------------------------------------------------------------------------------


def _choices(matrix: Sequence[Row], retrieval: Sequence[Row], main: Sequence[Row]) -> dict[str, Any]:
    """Accuracies of the sources that each way of choosing comes to, on a short budget.

    `race` are those that won the races of the part `main`, the mean over its seeds.
    """
    winners: dict[str, list[str]] = defaultdict(list)
    for row in main:
        if row["arm"] == "auto":
            winners[row["target"]].append(winner(row))
    tests: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in matrix:
        tests[row["target"]][row["source"]] = row
    orders = {(row["target"], row["arm"]): row["ranking"] for row in retrieval}
    # A ranking that ignores the query: by the mean on the other targets.
    for target in tests:
        orders[target, "static"] = _static(tests, target)
    complete = [t for t in TARGETS if len(tests[t]) > 1 and all((t, m) in orders for m in METHODS)]
    if not complete:
        return {}
    rows: dict[str, dict[str, float]] = {}
    for target in complete:
        known = tests[target]
        scores = [row["test"] for row in known.values()]
        found = {
            "oracle": max(known.values(), key=lambda row: row["val"])["test"],
            "best": max(scores),
            "mean": statistics.fmean(scores),
            "worst": min(known.values(), key=lambda row: row["val"])["test"],
        }
        general = [row for name, row in known.items() if GENERALIST in name]
        if general:
            found["best generalist"] = max(general, key=lambda row: row["val"])["test"]
        for method in METHODS:
            order = [name for name in orders[target, method] if name in known]
            if method == "random":
                found["random"], found["random@3"] = found["mean"], _best_of_three(scores)
                continue
            picked = [known[name] for name in order[:3]]
            found[method] = picked[0]["test"]
            found[f"{method}@3"] = max(picked, key=lambda row: row["val"])["test"]
        found["heads of all"] = max(known.values(), key=head_accuracy)["test"]
        if won := [known[name]["test"] for name in winners[target] if name in known]:
            found["race"] = statistics.fmean(won)
        rows[target] = {name: round(value, 4) for name, value in found.items()}
    names = dict.fromkeys(name for row in rows.values() for name in row)
    regrets = {
        name: round(statistics.fmean(row["oracle"] - row[name] for row in rows.values()), 4)
        for name in names
        if all(name in row for row in rows.values())
    }
    return {
        "regret_to_oracle": regrets["class-ot"],
        "race_regret": regrets.get("race"),
        "random_regret": regrets["random"],
        "regrets": regrets,
        "head_rank_correlation": mean(_spearman_of_heads(tests[target]) for target in complete),
        "choice_by_target": rows,
    }


def _in_a_minute(oracle: Sequence[Row], retrieval: Sequence[Row], main: Sequence[Row]) -> dict[str, Any]:
    """Points lost on test to the best source by validation, where each had as long as the runs of `main`.

    Of the sources that the part `oracle` has: who is the best in five seconds, wins a race or lies nearest.
    Where several are the best by validation, the oracle has the mean of them.
    """
    runs: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in oracle:
        runs[row["target"]][row["source"]] = row
    nearest = {row["target"]: row["ranking"] for row in retrieval if row["arm"] == "class-ot"}
    lost: dict[str, dict[str, float]] = {}
    for target in TARGETS:
        known = runs[target]
        won = [winner(row) for row in main if row["target"] == target and row["arm"] == "auto"]
        near = [name for name in nearest.get(target, ()) if name in known][:1]
        if not (won and near and set(won) <= set(known)):
            continue
        most = max(row["val"] for row in known.values())
        best = statistics.fmean(row["test"] for row in known.values() if row["val"] == most)
        lost[target] = {
            "race": round(best - statistics.fmean(known[name]["test"] for name in won), 4),
            "class-ot": round(best - known[near[0]]["test"], 4),
            "best": round(best - max(row["test"] for row in known.values()), 4),
        }
    if not lost:
        return {}
    means = {name: mean(row[name] for row in lost.values()) for name in ("race", "class-ot", "best")}
    return {"targets": len(lost), "regrets": means, "by_target": lost}


def head_accuracy(row: Row) -> float:
    """Validation accuracy of the head that was fitted first."""
    return next((float(value) for stage, _, value, _ in row["curve"] if stage == "head"), 0.0)


def _static(tests: Mapping[str, Mapping[str, Row]], target: str) -> list[str]:
    """Sources by their mean rank on the other targets, on validation; a stand-in is what it stands in for."""
    ranks: dict[str, list[float]] = defaultdict(list)
    for other, known in tests.items():
        if other != target:
            order = sorted(known, key=lambda name: -known[name]["val"])
            for place, name in enumerate(order):
                ranks[original(name)].append(place / max(len(order) - 1, 1))
    return sorted(tests[target], key=lambda name: statistics.fmean(ranks.get(original(name)) or [1.0]))


def _best_of_three(scores: Sequence[float]) -> float:
    """The expected best of three that are drawn."""
    ordered, n = sorted(scores), len(scores)
    if n < 3:
        return max(scores)
    return sum(score * math.comb(i, 2) for i, score in enumerate(ordered)) / math.comb(n, 3)


def _spearman_of_heads(known: Mapping[str, Row]) -> float:
    from scipy.stats import spearmanr

    rows = list(known.values())
    value = float(spearmanr([head_accuracy(row) for row in rows], [row["val"] for row in rows]).statistic)
    return 0.0 if math.isnan(value) else value


# ---- ablation and rivals ------------------------------------------------------------------------


def _by_arm(rows: Sequence[Row], *, over: Sequence[str]) -> dict[str, Any]:
    """Mean accuracy of each arm over the targets and seeds that all have; gains on test over some of them."""
    arms = sorted({row["arm"] for row in rows})
    by_key: dict[tuple[str, int], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        by_key[row["target"], row["seed"]][row["arm"]] = row
    common = {key: of for key, of in by_key.items() if len(of) == len(arms)}
    if not common:
        return {}
    targets: dict[str, list[dict[str, Row]]] = defaultdict(list)
    for (target, _), of in common.items():
        targets[target].append(of)

    def means(what: str) -> dict[str, dict[str, float]]:
        return {
            target: {arm: mean(of[arm][what] for of in seeds) for arm in arms}
            for target, seeds in targets.items()
        }

    by_target = means("test")
    return {
        "runs": len(common),
        "test": {arm: mean(row[arm] for row in by_target.values()) for arm in arms},
        "val": {arm: mean(row[arm] for row in means("val").values()) for arm in arms},
        "gains": {
            base: {
                arm: interval([row[arm] - row[base] for row in by_target.values()])
                for arm in arms
                if arm != base
            }
            for base in over
            if base in arms
        },
        "by_target": by_target,
    }


def _imagenet(rivals: Sequence[Row], main: Sequence[Row]) -> dict[str, Any]:
    """What one would do without a zoo beside ours: accuracy, parameters and MACs.

    Of arms that were run on every target of `main`.
    """
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rivals:
        groups[row["arm"]].append(row)
    for row in main:
        groups[row["arm"]].append(row)
        if row["arm"] == "auto":
            groups["auto, derived"].append({**row, **row["derived"]})
    targets = sorted({row["target"] for row in main})
    groups = {arm: of for arm, of in groups.items() if {row["target"] for row in of} >= set(targets)}
    if not any(row["arm"] in groups for row in rivals):
        return {}
    found: dict[str, Any] = {}
    for arm, of in groups.items():
        per_target = {t: [row for row in of if row["target"] == t] for t in targets}
        found[arm] = {
            "test": mean(mean(r["test"] for r in some) for some in per_target.values()),
            "params": round(mean(mean(r["params"] for r in some) for some in per_target.values())),
            "macs": round(mean(mean(r["macs"] for r in some) for some in per_target.values())),
            "seeds": min(len(some) for some in per_target.values()),
            "by_domain": {
                domain: mean(
                    mean(r["test"] for r in some)
                    for some in per_target.values()
                    if some[0]["domain"] == domain
                )
                for domain in sorted({some[0]["domain"] for some in per_target.values()})
            },
        }
    return {"targets": len(targets), **found}
