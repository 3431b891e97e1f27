"""The figures of `benchmarks.transfer`, on rows whose answers can be worked out by hand."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path
from typing import Any

import pytest

from benchmarks.transfer_arms import cut
from benchmarks.transfer_pictures import best_so_far
from benchmarks.transfer_plan import (
    METHODS,
    PARTS,
    TARGETS,
    WALL,
    WITH_PROBE,
    Budgets,
    plan,
    promising_sources,
)
from benchmarks.transfer_report import _best_of_three, answers, goal, ratio, reached, summarise
from benchmarks.transfer_tables import BEGIN, END, insert, tables
from snt_zoo.data import ImageDataset
from zoo.sources import left_out, read_sources

Row = dict[str, Any]


def row(**fields: Any) -> Row:
    plain = {
        "part": "main",
        "target": TARGETS[0],
        "arm": "auto",
        "seed": 0,
        "budget": 60.0,
        "per_class": None,
        "source": None,
        "domain": "glyph",
        "from": "a",
        "returned": "derived",
        "test": 0.8,
        "val": 0.8,
        "params": 10,
        "macs": 100,
        "curve": [["derived", 10.0, 0.8, None]],
    }
    made = plain | fields
    return {"derived": {"val": made["val"], "test": made["test"], "params": 5, "macs": 50}} | made


def test_the_plan_asks_each_question_once_and_no_relative() -> None:
    sources = {target: ["x", "y"] for target in TARGETS}
    jobs = list(plan(PARTS, Budgets(), sources, sources))
    assert len({job.key() for job in jobs}) == len(jobs)
    assert {job.part for job in jobs} == set(PARTS)
    assert [job.part for job in jobs[: 10 * len(TARGETS)]] == ["main"] * 10 * len(TARGETS)
    rows = read_sources()
    # Sprites and signs came later, and no target is of them.
    assert {rows[target].domain for target in TARGETS} == {of.domain for of in rows.values()} - {
        "sprite",
        "sign",
    }
    assert len(TARGETS) >= 12 and all(rows[target].target for target in TARGETS)
    assert all(target in rows and isinstance(left_out(target), list) for target in TARGETS)


def test_time_to_the_accuracy_of_a_search_from_scratch() -> None:
    scratch = row(
        arm="scratch",
        curve=[["search", 20.0, 0.5, None], ["derived", 40.0, 0.7, None], ["derived", 50.0, 0.7, None]],
    )
    assert goal(scratch) == (0.7, 40.0)
    curve = [
        ["probe", 2.0, 0.6, None],
        ["race", 3.0, 0.9, "b"],  # who lost the race
        ["race", 4.0, 0.65, "a"],
        ["derived", 10.0, 0.7, None],
    ]
    auto = row(curve=curve)
    assert reached(auto, 0.6) == 2.0 and reached(auto, 0.6, floor=False) == 4.0
    assert reached(auto, 0.7) == 10.0 and reached(auto, 0.71) is None
    assert ratio(scratch, auto) == pytest.approx(4.0)
    assert ratio(scratch, row(curve=curve[:3])) == pytest.approx(40 / 120)  # never: twice the budget
    # To 0.2 short of it scratch takes 20 seconds, and auto has that with its probe.
    assert goal(scratch, short=0.2) == (pytest.approx(0.5), 20.0)
    assert ratio(scratch, auto, short=0.2) == pytest.approx(10.0)
    assert best_so_far(auto, [0.0, 2.0, 3.5, 60.0]) == [0.0, 0.6, 0.6, 0.7]


def test_a_network_does_not_count_alone_where_it_would_not_be_handed_back_alone() -> None:
    curve = [
        ["probe", 2.0, 0.5, None],
        ["race", 3.0, 0.4, "a"],
        ["ensemble", 3.5, 0.6, None],
        ["derived", 10.0, 0.7, None],  # both together are worse on validation, and are handed back
        ["ensemble", 10.1, 0.65, None],
        ["derived", 20.0, 0.69, None],  # not its best: still both
        ["derived", 30.0, 0.72, None],  # alone
    ]
    auto = row(curve=curve)
    assert answers(auto) == [(2.0, 0.5), (3.0, 0.4), (3.5, 0.6), (10.1, 0.65), (30.0, 0.72)]
    assert answers(auto, floor=False) == [(3.0, 0.4), (10.0, 0.7), (30.0, 0.72)]
    assert reached(auto, 0.68) == 30.0 and reached(auto, 0.68, floor=False) == 10.0


def test_what_the_probe_brings_is_told_apart_from_what_the_transfer_brings() -> None:
    rows = []
    for target, with_probe, auto in ((TARGETS[0], 0.6, 0.7), (TARGETS[1], 0.8, 0.7)):
        curve = [["derived", 40.0, 0.7, None]]
        rows.append(row(part="rivals", arm=WITH_PROBE, target=target, test=with_probe, curve=curve))
        rows.append(row(target=target, arm="scratch", test=0.1, curve=curve))
        rows.append(row(target=target, test=auto, curve=[["derived", 10.0, 0.7, None]]))
    found = summarise(rows)["scratch_with_probe"]
    assert found["test"] == 0.7 and found["mean_gain"]["mean"] == 0.0 and found["share_not_worse"] == 0.5
    assert found["time_ratio_geomean"] == 4.0 and found["time_ratio_interval"]["low"] == 4.0


def test_the_interval_of_the_times_is_over_targets() -> None:
    rows = []
    for target, seconds in ((TARGETS[0], 10.0), (TARGETS[1], 40.0)):
        rows.append(row(target=target, arm="scratch", curve=[["derived", 40.0, 0.7, None]]))
        rows.append(row(target=target, curve=[["derived", seconds, 0.7, None]]))
    assert summarise(rows)["time_ratio_interval"] == {"mean": 2.0, "low": 1.0, "high": 4.0}


def test_gains_weigh_targets_alike() -> None:
    rows = []
    for target, seeds, gain in ((TARGETS[0], 3, 0.1), (TARGETS[1], 1, -0.3)):
        for seed in range(seeds):
            rows.append(row(target=target, seed=seed, arm="scratch", test=0.6))
            rows.append(row(target=target, seed=seed, test=0.6 + gain))
    found = summarise(rows)
    assert found["targets"] == 2 and found["share_not_worse"] == 0.5
    assert found["mean_gain"]["mean"] == pytest.approx(-0.1)
    assert found["mean_gain"]["low"] == pytest.approx(-0.3) and found["mean_gain"]["high"] == pytest.approx(
        0.1
    )
    assert found["time_ratio_geomean"] == pytest.approx(1.0)
    assert found["time_ratio_interval"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert found["mean_gain_20_per_class"] is None and found["ablation"] == {} and found["imagenet"] == {}


def test_regrets_are_to_the_source_that_validation_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    # On both targets: validation likes x best; its test accuracy is 0.8, that of y 0.9, that of z 0.1.
    scores = {"x": (0.9, 0.8), "y": (0.8, 0.9), "z": (0.2, 0.1)}
    rows = []
    for target in TARGETS[:2]:
        for name, (val, test) in scores.items():
            curve = [["head", 1.0, {"x": 0.3, "y": 0.2, "z": 0.4}[name], None]]
            rows.append(
                row(part="matrix", arm="source", target=target, source=name, val=val, test=test, curve=curve)
            )
        for method in METHODS:
            if method != "static":
                order = ["z", "y", "x"] if method == "class-ot" else ["x", "y", "z"]
                rows.append({"part": "retrieval", "target": target, "arm": method, "ranking": order})
    found = summarise(rows)
    assert found["regret_to_oracle"] == pytest.approx(0.8 - 0.1)
    assert found["regrets"]["otdd"] == 0.0 and found["regrets"]["class-ot@3"] == 0.0
    assert found["random_regret"] == pytest.approx(0.8 - statistics.fmean((0.8, 0.9, 0.1)))
    assert found["regrets"]["static"] == 0.0  # x is best on the other target
    assert found["regrets"]["heads of all"] == pytest.approx(0.7)
    # What won where it was run: y by two seeds of four, x by one; of the fourth's source there is no row.
    assert found["race_regret"] is None
    won = ["y-0a1b2c3d", "y-0a1b2c3d", "x-0a1b2c3d", "scratch"]
    main = [row(target=t, seed=i, **{"from": id}) for t in TARGETS[:2] for i, id in enumerate(won)]
    assert summarise(rows + main)["race_regret"] == pytest.approx(0.8 - (0.9 + 0.9 + 0.8) / 3, abs=1e-4)
    assert found["regrets"]["worst"] == pytest.approx(0.7)
    assert found["regrets"]["best"] == pytest.approx(-0.1)


def test_in_a_minute_the_oracle_is_the_best_of_those_that_were_promising() -> None:
    target = TARGETS[0]
    rows = [
        row(part="matrix", arm="source", source=name, val=val)
        for name, val in zip("vwxyz", (5, 4, 3, 2, 1), strict=True)
    ]
    rows += [row(seed=i, **{"from": f"{name}-0a1b2c3d"}) for i, name in enumerate("vyy")]
    rows += [{"part": "retrieval", "target": target, "arm": "class-ot", "ranking": ["not run", "z", "v"]}]
    assert promising_sources(rows) == {target: ["v", "w", "x", "y", "z"]}
    sources = {each: ["v"] for each in TARGETS}
    jobs = list(plan(["oracle"], Budgets(), sources, promising_sources(rows)))
    assert [(job.target, job.source, job.budget) for job in jobs] == [
        (target, name, 60.0) for name in "vwxyz"
    ]
    tests = {"v": (0.8, 0.7), "w": (0.9, 0.6), "x": (0.2, 0.1), "y": (0.5, 0.5), "z": (0.4, 0.2)}
    for name, (val, test) in tests.items():
        rows.append(row(part="oracle", arm="source", source=name, val=val, test=test))
    found = summarise(rows)["in_a_minute"]
    # w is the oracle by validation, 0.6 on test; the races chose v, y and y.
    assert found["targets"] == 1 and found["regrets"]["race"] == pytest.approx(0.6 - 1.7 / 3, abs=1e-4)
    assert found["regrets"]["class-ot"] == pytest.approx(0.4) and found["regrets"]["best"] == pytest.approx(
        -0.1
    )
    tie = [*rows[:-2], row(part="oracle", arm="source", source="y", val=0.9, test=0.5), rows[-1]]
    assert summarise(tie)["in_a_minute"]["regrets"]["class-ot"] == pytest.approx(0.55 - 0.2)
    assert summarise(rows[:-2])["in_a_minute"] == {}  # not all that it takes were run


def test_rivals_are_compared_where_each_was_run() -> None:
    rows = [row(target=target, test=0.6, params=10, macs=100) for target in TARGETS[:2]]
    rows += [row(part="rivals", arm="probe", target=target, test=0.4, macs=900) for target in TARGETS[:2]]
    rows += [row(part="rivals", arm="probe", target=TARGETS[0], seed=1, test=0.6, macs=900)]
    rows += [row(part="rivals", arm="residual", target=TARGETS[0], test=1.0)]
    found = summarise(rows)["imagenet"]
    assert set(found) == {"targets", "auto", "auto, derived", "probe"}  # the other was not run on all
    assert found["targets"] == 2 and found["auto"]["test"] == 0.6 and found["auto, derived"]["macs"] == 50
    assert found["probe"] == {
        "test": 0.45,  # both targets count alike
        "params": 10,
        "macs": 900,
        "seeds": 1,
        "by_domain": {"glyph": 0.45},
    }


def test_the_best_of_three_that_are_drawn() -> None:
    scores = [0.1, 0.4, 0.2, 0.9, 0.5]
    exact = statistics.fmean(max(three) for three in itertools.combinations(scores, 3))
    assert _best_of_three(scores) == pytest.approx(exact)
    assert _best_of_three(scores[:2]) == 0.4


def test_the_ablation_looks_at_what_every_arm_has() -> None:
    rows = [
        row(part=part, arm=arm, target=target, seed=seed, test=test, val=test)
        for part in ("ablation", "long")
        for arm, test in (("both", 0.8), ("weights", 0.6), ("neither", 0.5))
        for target in TARGETS[:2]
        for seed in (0, 1)
        if (arm, target, seed) != ("weights", TARGETS[1], 1)
    ]
    for part in ("ablation", "long"):
        found = summarise(rows)[part]
        assert found["runs"] == 3 and found["test"] == {"both": 0.8, "neither": 0.5, "weights": 0.6}
        assert found["gains"]["neither"]["both"] == {"mean": 0.3, "low": 0.3, "high": 0.3}
    assert tables(summarise(rows)).count("| weights | 0.600 | 0.600 | +10.0 (+10.0 to +10.0) |") == 2


def test_tables_go_between_their_marks(tmp_path: Path) -> None:
    rows = [row(arm=arm, seed=0, **{"from": "nb201-x-0123"}) for arm in ("scratch", "auto")]
    rows += [row(part="rivals", arm=WITH_PROBE, test=0.75)]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    for _ in range(2):  # written again it is the same
        insert(page, summarise(rows))
        text = page.read_text(encoding="utf-8")
        assert text.startswith("before\n") and text.endswith(f"{END}\nafter\n") and "old" not in text
        line = "| `font_khmer` | glyph | `nb201-x` | derived 1 | 1.0 | 1.0 | 0.800 | 0.750 | 0.800 | 0.800 |"
        assert text.count(line) == 1
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="put them where the tables belong"):
        insert(page, summarise(rows))


def test_fewer_training_images(few_digits: ImageDataset) -> None:
    small = cut(few_digits, 5, 0)
    counts = small.train.labels.bincount(minlength=10)
    assert counts.tolist() == few_digits.train.labels.bincount(minlength=10).clamp(max=5).tolist()
    assert small.val is few_digits.val and small.test is few_digits.test
    assert small.train.labels.tolist() == cut(few_digits, 5, 0).train.labels.tolist()
    assert small.fingerprint != cut(few_digits, 5, 1).fingerprint


def test_runs_by_the_wall_clock_are_summed_up_by_budget_and_beside_the_search_with_the_probe() -> None:
    target = "photographs-of-somebody"  # no row of the sources: it comes after the twelve
    curve = [["derived", 10.0, 0.5, None], ["derived", 40.0, 0.8, None]]
    rows = [
        row(part=WALL, arm="scratch", target=target, test=0.7, curve=curve),
        row(part=WALL, arm=WITH_PROBE, target=target, test=0.75, curve=curve),
        row(part=WALL, target=target, test=0.78, curve=[["derived", 8.0, 0.85, None]]),
        row(part=WALL, arm="scratch", target=target, budget=600.0),
    ]
    found = summarise(rows)[WALL]
    assert list(found) == ["60 s", "600 s"]
    assert found["60 s"]["time_ratio_geomean"] == pytest.approx(5.0)
    assert found["60 s"]["by_target"][target]["scratch"] == pytest.approx(0.7)
    assert found["60 s"]["mean_gain"]["mean"] == pytest.approx(0.08)
    assert found["60 s"]["scratch_with_probe"]["mean_gain"]["mean"] == pytest.approx(0.03)
    assert found["600 s"] == {"scratch_with_probe": {}}
