"""`benchmarks.looks`: one order of images for all, squares, answers together, rows that are made once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.looks import SINGLE, SMALL_LOOKS, TOGETHER, Job, plan, run, summarise
from benchmarks.looks_seen import CROP, PAD, SQUASH, Looking, macs, made_square, pixels
from snt_zoo import open_dataset
from snt_zoo.encoders.backbone import get_backbone

LOOKS = ("mobilenet_v2@32", "efficientnet_lite0@32")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Squares of 40 pixels, two classes that differ a little in colour, in folders whose order misleads."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 9), ("val", 6), ("test", 7)):
        for name, channel in (("b", 0), ("a", 2)):
            (tmp_path / "photos" / "some" / split / name).mkdir(parents=True)
            for index in range(count):
                image = generator.integers(0, 200, (40, 40, 3), dtype=np.uint8)
                image[..., channel] += 25
                path = tmp_path / "photos" / "some" / split / name / f"{index * 7 % 10}-{index}.png"
                Image.fromarray(image).save(path)
    return tmp_path


def test_all_ways_to_make_a_square_read_the_same_images_in_the_same_order(data: Path) -> None:
    split = open_dataset(data / "photos" / "some").train
    squashed = pixels(split, 32, SQUASH)
    assert len(torch.unique(squashed.flatten(1), dim=0)) == len(split) == 18
    assert torch.equal(pixels(split, 32, CROP), squashed) and torch.equal(pixels(split, 32, PAD), squashed)


def test_a_wide_image_loses_its_ends_or_gets_margins() -> None:
    wide = Image.new("RGB", (80, 40), (255, 0, 0))
    wide.paste((0, 0, 255), (20, 0, 60, 40))
    cropped, padded = (np.asarray(made_square(wide, 40, square)) for square in (CROP, PAD))
    assert cropped.shape == padded.shape == (40, 40, 3)
    assert (cropped[:, 2:-2] == (0, 0, 255)).all()
    assert (padded[:10] == 127).all() and (padded[30:] == 127).all()
    assert (padded[12:28, :8] == (255, 0, 0)).all() and (padded[12:28, 14:26] == (0, 0, 255)).all()


def test_looks_answer_together_by_the_mean_of_their_log_probabilities(data: Path) -> None:
    looking = Looking(open_dataset(data / "photos" / "some"))
    row = looking.row(LOOKS, SQUASH)
    seen = [looking.seen(look, SQUASH) for look in LOOKS]
    for split, index in (("val", 1), ("test", 2)):
        answers = torch.zeros(len(looking.splits[index]), 2)
        for each in seen:
            features = each.val if split == "val" else each.test
            answers += (features @ each.probe.weight.T + each.probe.bias).log_softmax(1)
        right = answers.argmax(1) == looking.splits[index].labels
        assert row[split] == pytest.approx(float(right.float().mean()), abs=1e-4)
    assert row["macs"] == sum(looking.row((look,), SQUASH)["macs"] for look in LOOKS)
    assert row["images"] == [18, 12, 14] and row["milliseconds"] > 0


def test_fewer_training_images_are_the_same_for_every_look(data: Path) -> None:
    dataset = open_dataset(data / "photos" / "some")
    one, other = Looking(dataset, most=10), Looking(dataset, most=10)
    assert len(one.splits[0]) == 10 and torch.equal(one.splits[0].labels, other.splits[0].labels)
    assert len(Looking(dataset, most=18).splits[0]) == 18


def test_rows_that_are_there_are_not_made_again(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    jobs = [
        Job("photos", "some", LOOKS[:1]),
        Job("photos", "some", LOOKS[:1], PAD),
        Job("photos", "some", LOOKS),
    ]
    run(jobs[:2], data, out)
    before = out.read_text()
    run(jobs, data, out)
    assert out.read_text().startswith(before) and len(out.read_text().splitlines()) == 3
    run(jobs, tmp_path / "nowhere", out)  # nothing is opened
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["looks"] for row in rows] == [[LOOKS[0]], [LOOKS[0]], list(LOOKS)]


def test_the_plan_has_each_row_once_and_members_before_those_that_answer_together() -> None:
    jobs = list(plan(["a", "b"], ["c"]))
    assert len(set(jobs)) == len(jobs) == 2 * (len(SINGLE) + 2 + len(TOGETHER)) + len(SMALL_LOOKS)
    for index, job in enumerate(jobs):
        if len(job.looks) > 1:
            assert all(Job(job.part, job.set, (look,)) in jobs[:index] for look in job.looks)


def test_means_are_over_sets_and_the_best_is_chosen_by_validation() -> None:
    def row(
        name: str, looks: tuple[str, ...], val: float, test: float, square: str = SQUASH
    ) -> dict[str, Any]:
        spent = {"milliseconds": 10 * test, "processor_milliseconds": 20 * test, "macs": 5}
        return Job("photos", name, looks, square)._asdict() | {"val": val, "test": test} | spent

    rows = [row("x", ("a",), 0.5, 0.9), row("y", ("a",), 0.7, 0.8), row("x", SINGLE, 0.8, 0.6)]
    rows += [row("y", SINGLE, 0.6, 0.5), row("x", ("a",), 0.99, 0.99, PAD)]
    found = summarise(rows)["photos"]
    assert found["means"]["a"] == {"sets": 2, "val": 0.6, "test": 0.85} | {
        "milliseconds": 8.0,  # of the quickest set
        "processor_milliseconds": 16.0,
        "macs": 5,
    }
    assert found["means"]["a, pad"]["sets"] == 1  # which is not on all sets, and so not the best
    assert found["best_on_validation"] == "all"
    assert found["best_by_set"] == {"x": {"val": 0.8, "test": 0.6}, "y": {"val": 0.6, "test": 0.5}}


@pytest.mark.parametrize(
    ("look", "published"), [("mobilenet_v2@224", 300e6), ("efficientnet_lite0@224", 385e6)]
)
def test_multiply_accumulates_are_those_that_were_published(look: str, published: float) -> None:
    assert macs(get_backbone(look).quick()) == pytest.approx(published, rel=0.01)
