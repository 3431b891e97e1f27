"""`benchmarks.photographs`: the plan, the figures of its report, and what its rivals are made of."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.photographs_images import centre, draw, listed, mild_crops, read, roomy, squash
from benchmarks.photographs_networks import SOURCES, cost, load, staged, through
from benchmarks.photographs_plan import (
    ARMS,
    AUTO,
    AUTO_MACS,
    FEW,
    MOBILENET_224,
    PARTS,
    PROBES,
    Finetuning,
    Probe,
    plan,
    strongest,
)
from benchmarks.photographs_probe import fit_head, run_probe
from benchmarks.photographs_report import summarise, tables
from benchmarks.photographs_training import Best, Task, run_finetuning, schedule, train_all

Row = dict[str, Any]
PROBE, TRAINED = "probe, Lite0, 224", "Lite0, 224"


def row(**fields: Any) -> Row:
    plain = {
        "part": "main",
        "set": "a",
        "arm": AUTO,
        "seed": 0,
        "budget": 60.0,
        "per_class": None,
        "test": 0.8,
        "val": 0.8,
        "params": 10,
        "macs": 100,
        "seconds": 59.0,
    }
    return plain | fields


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes that are told apart by their colour, of uneven sizes."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3), ("test", 2)):
        for name, channel in (("blue", 2), ("red", 0)):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 60, (40 + index, 60, 3), dtype=np.uint8)
                pixels[..., channel] += 150
                Image.fromarray(pixels).save(tmp_path / "set" / split / name / f"{index}.png")
    return tmp_path / "set"


def test_the_plan_asks_each_question_once_and_a_probe_for_no_budget() -> None:
    asked = {"sets": ["a", "b"], "arms": list(ARMS), "seeds": [0, 1], "budgets": [60.0, 600.0]}
    jobs = [job for part in PARTS for job in plan(part, **asked)]
    assert len({job.key() for job in jobs}) == len(jobs)
    main = [job for job in jobs if job.part == "main"]
    probes = [job for job in main if job.arm in PROBES]
    assert len(probes) == 2 * len(PROBES) and {job.budget for job in probes} == {None}
    assert len(main) - len(probes) == 2 * 2 * 2 * (len(ARMS) - len(PROBES))
    few = [job for job in jobs if job.part == "few"]
    assert len(few) == len(FEW) * 2 * 2 * len(ARMS)  # images are drawn by the seed, for probes as well


def test_the_strongest_rivals_are_those_that_end_in_time_and_were_run_everywhere() -> None:
    rows = [row(test=1.0)]
    for name in "ab":
        rows += [row(set=name, arm=TRAINED, test=0.7, seed=seed) for seed in (0, 1)]
        rows += [row(set=name, arm=PROBE, budget=None, test=0.8, seconds=20.0)]
        rows += [row(set=name, arm="probe, Lite2, 260", budget=None, test=0.9, seconds=61.0)]
    rows += [row(arm=MOBILENET_224, test=0.95), row(arm="Lite0, 128", test=0.99, budget=600.0)]
    assert strongest(rows) == [PROBE, TRAINED]
    assert strongest(rows, 1) == [PROBE] and strongest([]) == []


def test_auto_is_compared_with_the_best_rival_of_each_set() -> None:
    rows = []
    for name, auto, probe, trained in (("a", 0.8, 0.7, 0.6), ("b", 0.5, 0.3, 0.6)):
        rows += [row(set=name, seed=seed, test=auto + (-0.1, 0.1)[seed], macs=300) for seed in (0, 1)]
        rows += [row(set=name, arm=PROBE, budget=None, test=probe, seconds=12.0)]
        rows += [row(set=name, arm=TRAINED, test=trained, macs=700)]
    rows += [row(arm=TRAINED, test=0.9, budget=600.0), row(test=0.95, budget=600.0)]
    rows += [row(set="c", test=0.1)]  # without a rival it is not compared
    found = summarise(rows)
    assert found["sets_60"] == 2 and found["mean_auto_60"] == 0.65 and found["mean_best_rival_60"] == 0.65
    assert found["worst_gap_60"] == -0.1 and found["worst_set_60"] == "b" and found["mean_gap_60"] == 0.0
    assert found["best_single_rival_60"] == {"arm": TRAINED, "test": 0.6}
    assert found["by_set_60"]["a"]["rival"] == PROBE and found["by_set_60"]["a"]["gap"] == 0.1
    # In ten minutes the probe counts as well, and on `a` the finetuning is better.
    assert found["sets_600"] == 1 and found["mean_best_rival_600"] == 0.9 and found["worst_gap_600"] == 0.05
    assert found["macs"] == {AUTO: round((4 * 300 + 200) / 6), PROBE: 100, TRAINED: round(1500 / 3)}
    assert found["few"] == {} and found["late_probes"] == [] and found["max_macs_60"] == {}
    assert f"| {PROBE} | 0.700 | 0.300 |  |  | 12 |" in tables(rows)


def test_a_probe_that_comes_late_is_no_rival_and_is_told() -> None:
    rows = [row(test=0.5), row(arm=TRAINED, test=0.4)]
    rows += [
        row(arm=PROBE, budget=None, test=0.9, seconds=75.0),
        row(budget=600.0),
        row(arm=TRAINED, budget=600.0),
    ]
    found = summarise(rows)
    assert found["worst_gap_60"] == 0.1 and found["late_probes"] == [f"a: {PROBE}, 75 s"]
    assert found["worst_gap_600"] == -0.1


def test_few_images_and_the_limit_of_macs_are_reported_apart() -> None:
    rows = [row(test=0.8), row(arm=AUTO_MACS, test=0.79, macs=55), row(arm=MOBILENET_224, test=0.75)]
    rows += [row(part="few", per_class=5, seed=seed, test=0.6) for seed in (0, 1)]
    rows += [row(part="few", per_class=5, seed=0, arm=PROBE, budget=None, test=0.5, seconds=9.0)]
    found = summarise(rows)
    assert found["few"]["5"]["worst_gap"] == 0.1 and found["mean_best_rival_60"] == 0.75
    assert found["max_macs_60"] == {
        "sets": 1,
        "test": 0.79,
        "gap_to_auto": -0.01,
        "gap_to_mobilenet_224": 0.04,
        "most_macs": 55,
    }
    assert "5 a class, 60 s" in tables(rows)


def test_fewer_training_images_are_drawn_by_the_seed(folder: Path, tmp_path: Path) -> None:
    names = {}
    for attempt, seed in (("one", 0), ("same", 0), ("other", 1)):
        files = listed(draw(folder, tmp_path / attempt, 3, seed))
        assert files["train"].labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert len(files["val"].paths) == 6 and len(files["test"].paths) == 4
        names[attempt] = [(path.parent.name, path.name) for path in files["train"].paths]
    assert names["one"] == names["same"] != names["other"]


def test_views_have_the_size_that_is_asked_for(folder: Path) -> None:
    paths = listed(folder)["train"].paths[:3]
    for view in (squash(32), centre(32), centre(64)):
        assert {image.shape for image in read(paths, view)} in ({(3, 32, 32)}, {(3, 64, 64)})
    kept = read(paths, roomy(28))
    assert {min(image.shape[1:]) for image in kept} == {32} and kept[0].shape == (3, 32, 48)
    assert [image.shape[1] for image in read(paths, roomy(224))] == [40, 41, 42]  # nothing is enlarged
    assert mild_crops(28)(kept[0]).shape == (3, 28, 28)


@pytest.mark.parametrize("name", ["mobilenet_v2", "lite0"])
def test_the_stages_are_the_network(name: str) -> None:
    network = SOURCES[name].make().eval()
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (SOURCES[name].mean, SOURCES[name].std))
    with torch.no_grad():
        expected = network((pixels / 255 - mean) / std)
    expected = expected.mean((2, 3)) if expected.ndim == 4 else expected
    stages = staged(name, network)
    assert torch.allclose(through(stages, pixels), expected, atol=1e-4)
    assert torch.allclose(through(stages[7:], through(stages[:7], pixels)), expected, atol=1e-4)
    published = {"mobilenet_v2": 300e6, "lite0": 385e6}[name]
    assert cost(stages, 224)["macs"] == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_takes_features_as_they_come(classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % classes
    features = 100 + 5 * torch.randn(90, 8, generator=generator)
    features[torch.arange(90), labels] += 40
    head, strength = fit_head(features[:60], labels[:60], features[60:], labels[60:])
    assert float((head(features[60:]).argmax(1) == labels[60:]).float().mean()) > 0.95 and strength > 0


def test_training_ends_in_time_and_keeps_what_validation_likes() -> None:
    torch.manual_seed(0)
    labels = torch.arange(40) % 2
    inputs = torch.randn(40, 4) + 6 * labels[:, None] - 3
    task = Task(lambda indices: inputs[indices], labels, inputs, labels, 0.001, time.perf_counter())
    model, best = torch.nn.Sequential(torch.nn.Linear(4, 2)), Best()
    torch.nn.init.zeros_(model[0].weight)
    best.show(model, 0.1, task.spent(), None)
    train_all(model, task, best, an_epoch=1.0, until=0.5)
    assert 0.4 < task.spent() < 5.0 and best.val > 0.9 and best.setting is not None
    model.load_state_dict(best.weights)
    assert float((model(inputs).argmax(1) == labels).float().mean()) == pytest.approx(best.val, abs=1e-4)
    assert schedule(0.0) == 0.0 and schedule(0.05) == pytest.approx(0.994, abs=1e-3) and schedule(1.0) == 0.0


@pytest.mark.parametrize("arm", [Probe("lite0", 32), Finetuning("lite0", 32), Finetuning("lite0", 32, 7)])
def test_a_rival_runs_from_files_to_test_accuracy(
    folder: Path, tmp_path: Path, arm: Probe | Finetuning
) -> None:
    weights = SOURCES["lite0"].make().state_dict()
    kept = {name: value.half() for name, value in weights.items() if "num_batches" not in name}
    save_file(kept, tmp_path / "tf_efficientnet_lite0.safetensors")
    if isinstance(arm, Probe):
        found = run_probe(arm, folder, tmp_path)
    else:
        found = run_finetuning(arm, folder, tmp_path, budget=2.0, seed=0)
        assert found["curve"][0][1] >= 0.5 and found["val"] == max(val for _, val in found["curve"])
    assert found["test"] > 0.7 and found["params"] > 3_000_000 and 0 < found["seconds"] < 30
    with pytest.raises(FileNotFoundError, match="mobilenet_v2_features"):
        load("mobilenet_v2", tmp_path)


def test_what_is_missing_is_named() -> None:
    command = [sys.executable, "-m", "benchmarks.photographs", "--data", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "nowhere/photos has no trash6" in done.stderr
