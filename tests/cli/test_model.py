"""`snt-zoo predict` and `evaluate`: what a saved network says of images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

import snt_zoo
from snt_zoo.cli.main import main

from .conftest import CLASSES, answer, invoke, reason


def test_predict_names_classes(finetuned: tuple[Path, Any], photos: Path, tmp_path: Path) -> None:
    out, _ = finetuned
    images = [photos / "one" / "1.png", photos / "two" / "1.png", photos / "one" / "1.png"]
    found = answer("predict", out, *images)["predictions"]
    assert [entry["image"] for entry in found] == [str(image) for image in images]
    assert found[0] == found[2]
    for entry in found:
        assert {guess["label"] for guess in entry["labels"]} == set(CLASSES)
        scores = [guess["score"] for guess in entry["labels"]]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-5)
    (best,) = answer("predict", out, images[0], "--top", 1)["predictions"][0]["labels"]
    # Another batch size may round otherwise.
    assert best["label"] == found[0]["labels"][0]["label"]
    assert best["score"] == pytest.approx(found[0]["labels"][0]["score"], abs=1e-5)
    assert best["label"] in invoke("predict", out, images[0]).stdout

    (tmp_path / "bad.png").write_bytes(b"no")
    assert "bad.png" in reason(invoke("predict", out, tmp_path / "bad.png", images[0]))
    skipping = ("predict", out, tmp_path / "bad.png", images[0], "--on-bad-image", "skip")
    assert [entry["image"] for entry in answer(*skipping)["predictions"]] == [str(images[0])]
    assert "MODEL_DIR" in reason(invoke("predict", tmp_path, images[0]))


def test_evaluate_measures_what_finetune_measured(finetuned: tuple[Path, Any], photos: Path) -> None:
    out, run = finetuned
    for split in ("val", "test"):
        found = answer("evaluate", out, photos, "--split", split)
        assert found["accuracy"] == run["accuracy"][split]
        assert found["split"] == split
    assert "(test)" in invoke("evaluate", out, photos).stdout
    told = reason(invoke("evaluate", out, "sklearn:digits"))
    assert "3 classes" in told
    assert "10" in told


def test_evaluate_leaves_out_what_was_trained_on(
    finetuned: tuple[Path, Any], photos: Path, tmp_path: Path
) -> None:
    out, _ = finetuned
    grown = Path(shutil.copytree(photos, tmp_path / "grown"))
    Image.effect_noise((8, 8), 90).save(grown / "one" / "0 new.png")
    found = answer("evaluate", out, grown)
    assert found["images"] + found["left_out"] >= 9
    everything = answer("evaluate", out, grown, "--all")
    # The new one, and those that were held out.
    assert everything["images"] == 1 + len(snt_zoo.open_dataset(photos).test)
    assert everything["images"] + everything["left_out"] == 61
    assert everything["split"] == "all"
    assert "left out" in invoke("evaluate", out, grown, "--all").stdout
    assert "not both" in reason(invoke("evaluate", out, grown, "--all", "--split", "val"), 2)


def test_evaluate_refuses_other_classes(finetuned: tuple[Path, Any], photos: Path, tmp_path: Path) -> None:
    out, run = finetuned
    other = Path(shutil.copytree(photos, tmp_path / "other"))
    (other / "one").rename(other / "eins")
    told = reason(invoke("evaluate", out, other))
    assert "'eins'" in told
    assert "--match position" in told
    assert answer("evaluate", out, other, "--match", "position")["accuracy"] == run["accuracy"]["test"]


def test_predict_takes_folders_patterns_and_the_standard_input(
    finetuned: tuple[Path, Any], photos: Path
) -> None:
    out, _ = finetuned
    folder = answer("predict", out, photos)["predictions"]
    assert len(folder) == 60
    pattern = answer("predict", out, photos / "*" / "1*.png")["predictions"]
    assert len(pattern) == 33
    lines = "".join(f"{entry['image']}\n" for entry in pattern)
    piped = CliRunner().invoke(main, ["predict", str(out), "-", "--json"], input=lines)
    assert json.loads(piped.stdout)["predictions"] == pattern
    assert "no file fits" in reason(invoke("predict", out, photos / "*.gif"))


def test_predict_and_evaluate_lay_transparency_on_the_ground_of_the_training(
    finetuned: tuple[Path, Any], photos: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(finetuned[0], tmp_path / "model"))
    config = out / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rendering": {"ground": "black"}}))
    for path in photos.rglob("*.png"):  # strokes of white on nothing, and on black
        strokes = Image.open(path)
        white = Image.new("L", strokes.size, 255)
        for kind, image in (("clear", Image.merge("LA", (white, strokes))), ("black", strokes)):
            target = tmp_path / kind / "test" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            image.save(target, compress_level=1)  # other bytes than those that were trained on
    clear, black = (answer("predict", out, tmp_path / kind)["predictions"] for kind in ("clear", "black"))
    assert [entry["labels"] for entry in clear] == [entry["labels"] for entry in black]
    measured = [answer("evaluate", out, tmp_path / kind)["accuracy"] for kind in ("clear", "black")]
    assert measured[0] == measured[1]
