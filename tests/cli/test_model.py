"""`snt-zoo predict` and `evaluate`: what a saved network says of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import snt_zoo
from snt_zoo.cli import model

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


def test_labels_follow_class_names(capsys: pytest.CaptureFixture[str]) -> None:
    from snt_zoo.data.stores import ArrayStore

    store = ArrayStore(torch.zeros(4, 2, 2, 3, dtype=torch.uint8))
    split = snt_zoo.data.Split(store, torch.tensor([0, 1, 2, 0]))
    mapped = model.relabelled(split, ("a", "b", "c"), ("c", "a", "b"))
    assert mapped.labels.tolist() == [1, 2, 0, 1]
    assert model.relabelled(split, ("a", "b", "c"), ("a", "b", "c")) is split
    assert capsys.readouterr().err == ""
    assert model.relabelled(split, ("a", "b", "x"), ("a", "b", "c")) is split
    assert "'x'" in capsys.readouterr().err
