"""The commands from end to end, on a tiny registry and real images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import snt_zoo
from snt_zoo.cli import model, progress
from snt_zoo.networks.genotype import Genotype
from snt_zoo.search.adapting.result import FinetuneResult

from .conftest import CLASSES, answer, invoke, reason


def test_pretrain_answers_the_contract(pretrained: tuple[Path, Any]) -> None:
    _, made = pretrained
    assert set(made) >= {"id", "params", "metrics", "seconds", "out"}
    assert made["added"] is True
    assert made["id"].startswith("tiny-")
    assert (Path(made["out"]) / "manifest.json").is_file()


def test_finetune_answers_the_contract(finetuned: tuple[Path, Any], pretrained: tuple[Path, Any]) -> None:
    out, run = finetuned
    assert set(run) >= {
        "from",
        "genotype",
        "accuracy",
        "params",
        "macs",
        "history",
        "seconds",
        "out",
    }
    assert run["from"] == pretrained[1]["id"]
    assert set(run["accuracy"]) == {"val", "test"}
    assert run["out"] == str(out)
    assert [record["stage"] for record in run["history"]] == ["head", "search", "derived"]
    assert run["race"] == []  # there is one supernet
    assert all(set(r) >= {"epoch", "seconds", "val_accuracy"} for r in run["history"])
    loaded = snt_zoo.load_model(out)
    assert loaded.model.genotype == Genotype.from_json(run["genotype"])
    report = json.loads((out / "report.json").read_text())
    assert {k: report[k] for k in ("from", "accuracy", "history")} == {
        k: run[k] for k in ("from", "accuracy", "history")
    }
    assert "<svg" in (out / "report.html").read_text()


def test_finetune_shows_people_where_the_model_lies(photos: Path, home: Path) -> None:
    args = ("finetune", photos, "--from", "tiny", "--epochs", 1, "--no-floor", "--home", home)
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    for line in ("source    tiny-", "genotype  cell: ", "accuracy  test ", "model     runs/photos-1"):
        assert line in result.stdout
    assert "search " in result.stderr
    assert "derived " in result.stderr
    assert Path("runs/photos-1/report.html").is_file()
    assert "in use" in reason(invoke(*args, "--out", "runs/photos-1"))


def test_finetune_has_a_floor(
    photos: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poor(**fields: Any) -> FinetuneResult:
        return FinetuneResult(**fields | {"accuracy": {**fields["accuracy"], "val": 0.25}})

    monkeypatch.setattr("snt_zoo.search.adapting.finetune.FinetuneResult", poor)
    out = tmp_path / "model"
    args = ("finetune", photos, "--from", "tiny", "--epochs", 1, "--home", home, "--out", out)
    run = answer(*args)
    assert run["returned"] == "probe"
    assert run["accuracy"]["val"] >= run["probe"]["val_accuracy"] > run["derived"]["accuracy"]["val"]
    assert run["derived"]["out"] == str(out / "derived")
    assert run["derived"]["params"] < run["params"] == run["probe"]["params"]
    assert "linear probe" in run["warnings"][-1]
    for folder, accuracy in ((out, run["accuracy"]), (out / "derived", run["derived"]["accuracy"])):
        assert answer("evaluate", folder, photos)["accuracy"] == accuracy["test"]
    assert "Handed back is a linear probe" in (out / "report.html").read_text()
    small = invoke(*args[:-1], tmp_path / "small", "--max-params", "100k")
    assert small.exit_code == 0 and "too large for the limits" in small.stderr
    assert "returned" not in small.stdout


def test_an_interrupted_run_says_how_it_goes_on_and_ends_alike(
    photos: Path, home: Path, finetuned: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = progress.epoch_line

    def interrupt(record: Any) -> str:
        if record.stage == "derived":
            raise KeyboardInterrupt
        return shown(record)

    args = ("finetune", photos, "--epochs", 1, "--no-floor", "--home", home)
    with monkeypatch.context() as patch:
        patch.setattr(progress, "epoch_line", interrupt)
        assert reason(invoke(*args), 130) == (
            "error: interrupted; go on with the same command and --resume --out runs/photos-1"
        )
    assert "interrupted run" in reason(invoke(*args, "--out", "runs/photos-1"))
    run = answer(*args, "--resume")
    assert run["out"] == "runs/photos-1"
    assert run["accuracy"] == finetuned[1]["accuracy"]
    assert run["genotype"] == finetuned[1]["genotype"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--from", "nobody"), "nobody"),
        (("--device", "cuda:99"), "--device cpu"),
        (("--resume",), "no interrupted run"),
        (("--exclude", "tiny"), "constraints"),
    ],
)
def test_finetune_fails_in_one_line(args: tuple[str, ...], told: str, photos: Path, home: Path) -> None:
    assert told in reason(invoke("finetune", photos, "--epochs", 1, "--home", home, *args))
    assert not list(Path().glob("runs/*"))


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


def test_skipped_images_are_told(photos: Path, home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    (copy / "one" / "bad.png").write_bytes(b"no image")
    assert "bad.png" in reason(invoke("query", copy, "--home", home))
    result = invoke("query", copy, "--home", home, "--on-bad-image", "skip", "--json")
    assert result.exit_code == 0
    assert "left out 1 unreadable" in result.stderr
    assert json.loads(result.stdout)["matches"]
