"""The options of a search, from the command line to the report."""

from __future__ import annotations

import re
from pathlib import Path

from snt_zoo.search.searchers import get_searcher, list_searchers

from .conftest import answer, invoke, reason


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


def test_the_help_names_every_searcher() -> None:
    for command in ("finetune", "pretrain"):
        text = " ".join(invoke(command, "--help").output.split()).replace("- ", "-")  # lines break there
        shipped = [n for n in list_searchers() if get_searcher(n).__module__.startswith("snt_zoo.")]
        for name in shipped:
            assert name in text
