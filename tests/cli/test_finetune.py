"""`snt-zoo finetune`, from end to end on a tiny registry and real images."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import snt_zoo
from snt_zoo.cli import progress
from snt_zoo.networks.genotype import Genotype
from snt_zoo.search.adapting.result import FinetuneResult

from .conftest import answer, invoke, reason


def test_finetune_answers_the_contract(finetuned: tuple[Path, Any], pretrained: tuple[Path, Any]) -> None:
    out, run = finetuned
    assert set(run) >= {"from", "genotype", "accuracy", "params", "macs", "history", "seconds", "out"}
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


def test_a_run_can_be_watched_while_it_goes_on(
    photos: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("uvicorn")
    args = ("finetune", photos, "--from", "tiny", "--epochs", 1, "--no-floor", "--home", home, "--watch")
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    assert re.search(r"watch it at http://127\.0\.0\.1:\d+/runs/photos-1", result.stderr)
    monkeypatch.setitem(sys.modules, "snt_zoo.service.page.watching", None)  # as without the extra
    assert "snt-zoo[serve]" in reason(invoke(*args))
    assert not Path("runs/photos-2").exists()


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


def test_a_search_is_chosen_and_bounded_on_the_command_line(photos: Path, home: Path) -> None:
    options = ("--searcher", "darts", "--selection", "perturbation", "--recipe", "batch_size=16")
    args = ("finetune", photos, "--from", "tiny", "--epochs", 1, "--no-floor", "--home", home)
    made = answer(*args, *options, "--recipe", "regularisers=", "--max-params", "100k")
    found = made["search"]
    assert found["searcher"] == "darts" and found["selection"]["method"] == "perturbation"
    assert found["regularisers"] == {} and "batch_size=16" in made["settings"]["recipe"]
    assert found["softened"]["least"] == 0.3  # the alphas came with the supernet
    assert found["constraints"]["max_params"] == 100_000 >= made["params"]
    assert "How it was found" in (Path(made["out"]) / "report.html").read_text()


def test_what_cannot_be_is_one_line_before_any_training(photos: Path, home: Path) -> None:
    args = ("finetune", photos, "--from", "tiny", "--epochs", 1, "--no-floor", "--home", home)
    line = reason(invoke(*args, "--max-macs", "1k"))
    assert re.search(
        r"at most 1,000 MACs: the smallest has [\d,]+ parameters, the cheapest [\d,]+ MACs", line
    )
    assert "choose one of darts" in reason(invoke(*args, "--searcher", "luck"))
    assert "choose one of " in reason(invoke(*args, "--recipe", "regularisers=luck"))
    assert "did you mean weight_lr" in reason(invoke(*args, "--recipe", "weight_rl=0.1"))
    assert "of the type float" in reason(invoke(*args, "--recipe", "weight_lr=fast"))
    assert "--set partial_channels=4" in reason(invoke(*args, "--searcher", "pc-darts"))
    vague = invoke(*args, "--recipe", "weight_lr")
    assert vague.exit_code == 2 and "weight_lr=0.05" in vague.stderr
    pretraining = ("pretrain", photos, "--set", "channels=2", "--epochs", 1, "--home", home)
    assert "at most 10 parameters" in reason(invoke(*pretraining, "--max-params", 10))


def test_several_networks_of_one_run_are_models_each(
    photos: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snt_zoo.search.adapting.front_choice.COMPARED", 6)
    out = tmp_path / "sizes"
    args = ("finetune", photos, "--from", "tiny", "--epochs", 1, "--no-floor", "--pareto", "--home", home)
    run = answer(*args, "--out", out)
    networks = run["pareto"]["networks"]
    assert [each["out"] for each in networks] == [
        str(out / "pareto" / str(n + 1)) for n in range(len(networks))
    ]
    assert [each["macs"] for each in networks] == sorted(each["macs"] for each in networks)
    best = max((each for each in networks if not each["dominated"]), key=lambda each: each["macs"])
    assert run["accuracy"] == best["accuracy"]
    image = next(photos.rglob("*.png"))
    for each in networks:
        assert answer("evaluate", each["out"], photos)["accuracy"] == each["accuracy"]["test"]
        assert answer("predict", each["out"], image)["predictions"]
    shown = invoke(*args, "--out", tmp_path / "shown")
    assert shown.exit_code == 0, shown.output
    assert "test accuracy" in shown.stdout and str(tmp_path / "shown" / "pareto" / "1") in shown.stdout
    refused = invoke("finetune", photos, "--from", "scratch", "--pareto", "--home", home)
    assert refused.exit_code == 2 and "inherited weights" in refused.stderr
