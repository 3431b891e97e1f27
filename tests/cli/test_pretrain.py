"""`snt-zoo pretrain`: a bundle from real images, in every space."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

import snt_zoo
from snt_zoo.networks.spaces.mobile import OPERATIONS
from tests.conftest import SAMPLES

from .conftest import answer, invoke, reason


def test_pretrain_answers_the_contract(pretrained: tuple[Path, Any]) -> None:
    _, made = pretrained
    assert set(made) >= {"id", "params", "metrics", "seconds", "out"}
    assert made["added"] is True
    assert made["id"].startswith("tiny-")
    assert (Path(made["out"]) / "manifest.json").is_file()


def test_pretrain_finetune_load_predict(tmp_path: Path) -> None:
    """From fresh weights, at a size that two cores train in a second."""
    shape = ("width=10", "depth=33", "halvings=3", "features=32")
    settings = [word for setting in shape for word in ("--set", setting)]
    home = tmp_path / "home"
    made = answer(
        *("pretrain", SAMPLES / "icon_files.npz", "--space", "mobile", *settings, "--epochs", 1),
        *("--size", 24, "--name", "chain", "--out", tmp_path / "bundle", "--home", home, "--add"),
    )
    assert made["id"].startswith("chain-")
    shown = answer("show", made["id"], "--home", home)
    assert shown["space"] == "mobile"

    out = tmp_path / "model"
    run = answer(
        *("finetune", SAMPLES / "textile_sim.npz", "--from", "chain"),
        *("--epochs", 1, "--no-floor", "--out", out, "--home", home),
    )
    assert run["from"] == made["id"]
    edges = run["genotype"]["cells"]["chain"]
    assert [edge[:2] for edge in edges] == [[i, i + 1] for i in range(7)]
    assert all(edge[2] in OPERATIONS for edge in edges)
    assert sum(edge[2] == "skip_connect" for edge in edges) <= 3

    loaded = snt_zoo.load_model(out)
    assert loaded.model.config.input_size == 24
    assert sum(p.numel() for p in loaded.model.parameters()) == run["params"]
    assert answer("evaluate", out, SAMPLES / "textile_sim.npz")["accuracy"] == run["accuracy"]["test"]
    assert json.loads((out / "genotype.json").read_text()) == run["genotype"]
    assert '<g class="edge"' in (out / "report.html").read_text()


def test_pretrain_from_the_imagenet_weights(tmp_path: Path) -> None:
    made = answer(
        *("pretrain", SAMPLES / "textile_sim.npz", "--space", "mobile", "--init", "mobilenet_v2"),
        *("--size", 32, "--epochs", 1, "--out", tmp_path / "bundle", "--home", tmp_path / "home", "--add"),
    )
    assert [record["stage"] for record in made["history"]] == ["head", "search"]
    config = json.loads((tmp_path / "bundle" / "config.json").read_text())
    assert config["training"]["parent"] == "mobilenet_v2"
    assert config["training"]["epochs"] == 1
    assert config["network"]["input_size"] == 32
    # One epoch of a few steps has changed weights, but not turned a pretrained network into another.
    supernet = snt_zoo.Zoo.open(tmp_path / "home").registry.get(made["id"]).supernet
    start = snt_zoo.starting_supernet(num_classes=3, input_size=32)
    stem = [net.trunk.state_dict()["stem.0.weight"] for net in (supernet, start)]
    similarity = torch.cosine_similarity(stem[0].flatten(), stem[1].flatten(), dim=0)
    assert 0.95 < float(similarity) < 0.9999999


def test_a_start_of_another_space_is_refused(tmp_path: Path) -> None:
    wrong = invoke(
        *("pretrain", SAMPLES / "textile_sim.npz", "--init", "mobilenet_v2"),
        *("--out", tmp_path / "bundle", "--home", tmp_path / "home"),
    )
    assert "choose the space mobile" in reason(wrong)
    unknown = invoke(
        *("pretrain", SAMPLES / "textile_sim.npz", "--space", "mobile", "--init", "resnet"),
        *("--out", tmp_path / "bundle", "--home", tmp_path / "home"),
    )
    assert "no starting point 'resnet': choose one of mobilenet_v2" in reason(unknown)
    narrower = invoke(
        *("pretrain", SAMPLES / "textile_sim.npz", "--space", "mobile", "--init", "mobilenet_v2"),
        *("--set", "width=50", "--out", tmp_path / "bundle", "--home", tmp_path / "home"),
    )
    assert "the weights do not fit the supernet" in reason(narrower)


def test_a_supernet_is_pretrained_with_partial_channels_and_found_to_collapse_or_not(
    photos: Path, home: Path, tmp_path: Path
) -> None:
    args = (
        "pretrain",
        photos,
        "--searcher",
        "pc-darts",
        "--set",
        "channels=4",
        "--epochs",
        1,
        "--home",
        home,
    )
    made = answer(*args, "--out", tmp_path / "bundle")
    assert made["search"]["searcher"] == "pc-darts"
    # After one epoch it may only guess, of which another warning tells.
    alarms = [text for text in made["warnings"] if "guessing" not in text]
    assert bool(alarms) == made["search"]["regularisers"]["skip-alarm"]["fired"]
    assert '"partial_channels": 4' in (tmp_path / "bundle" / "config.json").read_text()
