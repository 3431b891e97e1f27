"""The tables of `docs/transfer.md`, made of the summary and put between two marks on the page."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN = "<!-- tables of benchmarks.transfer: written by --report -->"
END = "<!-- end of the tables -->"


def insert(page: Path, summary: Mapping[str, Any]) -> None:
    """Replace what lies between the marks of a page.

    Raises:
        ValueError: the page lacks the marks.
    """
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page} lacks the lines {BEGIN!r} and {END!r}: put them where the tables belong")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    page.write_text(f"{before}{BEGIN}\n\n{tables(summary)}\n\n{END}{after}", encoding="utf-8")


def tables(summary: Mapping[str, Any]) -> str:
    """All tables for which there are rows."""
    parts = [
        _targets(summary),
        _choices(summary.get("choice_by_target", {}), summary.get("regrets", {})),
        _ablation("what is transferred, 20 s", summary.get("ablation", {})),
        _ablation("what is transferred, 180 s", summary.get("long", {})),
        _imagenet(summary.get("imagenet", {})),
    ]
    return "\n\n".join(part for part in parts if part)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _targets(summary: Mapping[str, Any]) -> str:
    by_target = summary.get("by_target", {})
    with_probe = summary.get("scratch_with_probe", {}).get("by_target", {})
    rows = []
    for target, of in by_target.items():
        rows.append(
            [
                f"`{target}`",
                of["domain"],
                ", ".join(dict.fromkeys(f"`{name.rsplit('-', 1)[0]}`" for name in of["from"])),
                ", ".join(f"{what} {count}" for what, count in Counter(of["returned"]).most_common()),
                ", ".join(f"{ratio:.1f}" for ratio in of["time_ratios"]),
                ", ".join(f"{ratio:.1f}" for ratio in of["time_ratios_derived"]),
                f"{of['scratch']:.3f}",
                f"{with_probe[target]:.3f}" if target in with_probe else "",
                f"{of['auto']:.3f}",
                f"{of['auto_derived']:.3f}",
            ]
        )
    if not rows:
        return ""
    ratios = [summary["time_ratio_geomean"], summary["time_ratio_geomean_derived"]]
    means = [
        f"{_mean(of[name] for of in by_target.values()):.3f}" for name in ("scratch", "auto", "auto_derived")
    ]
    means.insert(1, f"{_mean(with_probe.values()):.3f}" if with_probe.keys() == by_target.keys() else "")
    rows.append(["mean", "", "", "", *(f"geometric {ratio:.2f}" for ratio in ratios), *means])
    head = [
        "target",
        "domain",
        "from",
        "handed back",
        "sooner by",
        "search alone",
        "test: scratch",
        "scratch, with the probe",
        "auto",
        "search alone",
    ]
    return table(head, rows)


def _choices(by_target: Mapping[str, Mapping[str, float]], regrets: Mapping[str, float]) -> str:
    if not by_target:
        return ""
    rows = [
        [name, f"{100 * regret:+.1f}", f"{_mean(row[name] for row in by_target.values()):.3f}"]
        for name, regret in sorted(regrets.items(), key=lambda pair: pair[1])
    ]
    return table(["source chosen by", "points lost to the oracle", "mean test accuracy"], rows)


def _ablation(title: str, ablation: Mapping[str, Any]) -> str:
    if not ablation:
        return ""
    base, gains = next(iter(ablation["gains"].items()), ("neither", {}))
    rows = [
        [arm, f"{ablation['val'][arm]:.3f}", f"{test:.3f}", _points(gains[arm]) if arm in gains else ""]
        for arm, test in sorted(ablation["test"].items(), key=lambda pair: -pair[1])
    ]
    return table([title, "validation", "test", f"gain over {base}, points"], rows)


def _points(interval: Mapping[str, float]) -> str:
    mean, low, high = (100 * interval[name] for name in ("mean", "low", "high"))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def _imagenet(imagenet: Mapping[str, Any]) -> str:
    arms = {name: of for name, of in imagenet.items() if isinstance(of, Mapping)}
    if not arms:
        return ""
    domains = sorted({domain for of in arms.values() for domain in of["by_domain"]})
    rows = [
        [
            name,
            f"{of['test']:.3f}",
            f"{of['params']:,}",
            f"{of['macs']:,}",
            *(f"{of['by_domain'][domain]:.3f}" for domain in domains),
        ]
        for name, of in sorted(arms.items(), key=lambda pair: -float(pair[1]["test"]))
    ]
    return table(["arm", "test", "parameters", "MACs", *domains], rows)


def _mean(values: Any) -> float:
    return statistics.fmean(values)
