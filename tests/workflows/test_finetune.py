"""From a supernet of the starter zoo to a network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import snt_zoo.workflows.finetune as finetuning
from benchmarks.limits import files_of_at_most
from snt_zoo.cli.runs import is_interrupted
from snt_zoo.data import ImageDataset
from snt_zoo.encoders.looking import CLOSER
from snt_zoo.encoders.target import Target
from snt_zoo.errors import (
    BudgetError,
    HubNotFoundError,
    ModelFolderError,
    NoMatchError,
    NotInRegistryError,
    SntZooWarning,
    TensorError,
    UnwritableError,
)
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.evaluate import evaluate, recalibrate
from snt_zoo.networks.head import fit_head
from snt_zoo.networks.supernet import Supernet
from snt_zoo.registry import Registry
from snt_zoo.registry.bundle.bundle import Bundle
from snt_zoo.registry.own_outcomes import SWITCH, forget_outcomes, own_outcomes
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.checkpoint import CHECKPOINT
from snt_zoo.search.run import RunOptions
from snt_zoo.workflows import share
from snt_zoo.workflows.finetune import RACERS
from snt_zoo.workflows.latency import STARTER_NETWORK
from snt_zoo.zoo import Zoo


def test_transfer_from_other_concepts_beats_fresh_weights_at_once(zoo: Zoo, digits: ImageDataset) -> None:
    """The point of it all: with the trunk frozen, a pretrained one separates unseen digits better."""
    best = zoo.query(digits, k=1, exclude=["digits"])[0]
    accuracies = []
    for start in (zoo.load(best.id), None):
        generator = torch.Generator().manual_seed(0)
        if start is None:
            net = Supernet.create(replace(STARTER_NETWORK, num_classes=10), generator=generator)
        else:
            net = start.with_head(10, generator=generator)
        recalibrate(net, digits.train)
        fit_head(net, digits.train)
        accuracies.append(evaluate(net, digits.val))
    assert accuracies[0] > accuracies[1] + 0.02


def test_finetune_takes_a_match_an_id_auto_or_scratch(
    zoo: Zoo, few_digits: ImageDataset, tmp_path: Path
) -> None:
    match = zoo.query(few_digits, k=1)[0]
    told: list[str] = []
    for source, expected in ((match, match.id), (match.id[:-4], match.id)):
        result = zoo.finetune(source, few_digits, epochs=1, on_source=told.append, device="cpu", floor=False)
        assert result.returned == "derived" and result.probe is None and result.derived is None
        assert result.source == told.pop() == expected
    scratch = zoo.finetune("scratch", few_digits, epochs=1, out=tmp_path / "model", device="cpu")
    assert scratch.source == "scratch"
    files = {"config.json", "model.safetensors", "genotype.json", "seen.safetensors"}
    files |= {"report.json", "report.html"}
    # A probe is better than one epoch from scratch; what was derived lies beside it, the checkpoint is gone.
    assert scratch.returned == "probe" and scratch.derived is not None
    assert {path.name for path in (tmp_path / "model").iterdir()} == files | {"derived"}
    assert {path.name for path in (tmp_path / "model" / "derived").iterdir()} == files
    with pytest.raises(NotInRegistryError):
        zoo.finetune("no-such-supernet", few_digits, epochs=1)
    with pytest.raises(BudgetError, match="not both"):
        zoo.finetune("scratch", few_digits, epochs=1, budget="1m")


def test_auto_races_what_is_predicted_to_be_good_what_is_near_and_the_broadest(
    zoo: Zoo, few_digits: ImageDataset
) -> None:
    told: list[str] = []
    predicted, nearest = (
        [match.id for match in zoo.query(few_digits, k=RACERS, by=by, probe=False)]
        for by in ("accuracy", "distance")
    )
    every = zoo.query(few_digits, k=64, probe=False)
    broadest = max(every, key=lambda match: len(match.sources)).id
    expected = [*dict.fromkeys([*predicted, *nearest, broadest])]
    assert len(expected) > RACERS
    options: dict[str, Any] = {"epochs": 1, "device": "cpu", "floor": False}
    result = zoo.finetune("auto", few_digits, on_source=told.append, **options)
    assert [row["id"] for row in result.race] == expected
    assert told == [result.source]
    # The broadest of the good heads: no other good one was trained on more datasets.
    good = {row["id"] for row in result.race if row["out"] in (None, "narrower")}
    assert len(zoo.show(result.source).sources) == max(len(zoo.show(id).sources) for id in good)
    assert json.loads(json.dumps(result.to_json()))["race"] == [dict(row) for row in result.race]


def test_a_candidate_that_cannot_be_had_does_not_race(
    zoo: Zoo, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = [record.id for record in zoo.list(space="nas_bench_201")[:RACERS]]
    others = [record.id for record in zoo.list() if record.id not in three]
    options: dict[str, Any] = {"epochs": 1, "device": "cpu", "floor": False, "exclude": others}
    spoilt, gone, kept = [match.id for match in zoo.query(few_digits, k=3, probe=False, exclude=others)]
    whole, had = Registry.get, share.id_of

    def get(self: Registry, id: str) -> Bundle:
        if id == spoilt:
            raise TensorError("model.safetensors: the file is cut off")
        return whole(self, id)

    def id_of(zoo: Zoo, source: Any, **options: Any) -> str:
        if getattr(source, "id", source) == gone:
            raise HubNotFoundError("alice/gone: no such repository")
        return had(zoo, source, **options)

    monkeypatch.setattr(Registry, "get", get)
    monkeypatch.setattr("snt_zoo.workflows.finetune.id_of", id_of)
    with pytest.warns(SntZooWarning) as told:
        result = zoo.finetune("auto", few_digits, **options)
    assert result.source == kept
    assert [str(w.message) for w in told if w.category is SntZooWarning] == [
        f"left out {gone}: alice/gone: no such repository",
        f"left out {spoilt}: model.safetensors: the file is cut off",
    ]
    with pytest.raises(TensorError):  # the one that was asked for
        zoo.finetune(spoilt, few_digits, epochs=1, device="cpu", floor=False)
    monkeypatch.setattr("snt_zoo.workflows.finetune.id_of", lambda zoo, source, **options: spoilt)
    with pytest.warns(SntZooWarning), pytest.raises(NoMatchError, match=r"none of the \d nearest"):
        zoo.finetune("auto", few_digits, **options)


def test_a_run_whose_disk_is_full_in_the_end_goes_on_when_there_is_room(
    zoo: Zoo, few_digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"epochs": 1, "device": "cpu"}
    whole = zoo.finetune("scratch", few_digits, out=tmp_path / "whole", **options)
    assert whole.derived is not None  # so files of `derived/` come first
    out, save = tmp_path / "model", FinetuneResult.save

    def without_room(self: FinetuneResult, folder: Any) -> Path:
        with files_of_at_most(2000):
            return save(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(FinetuneResult, "save", without_room)
        with pytest.raises(ModelFolderError, match=r"File too large.*room.*--resume ends it"):
            zoo.finetune("scratch", few_digits, out=out, **options)
    assert [path.name for path in out.iterdir()] == [CHECKPOINT] and is_interrupted(out)
    again = zoo.finetune("scratch", few_digits, out=out, resume=True, **options)
    assert again.accuracy == whole.accuracy and not is_interrupted(out)
    for name in ("model.safetensors", "derived/model.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with files_of_at_most(2000), pytest.raises(UnwritableError, match="make room, then start again"):
        zoo.finetune("scratch", few_digits, out=tmp_path / "other", **options)


def test_a_recipe_is_given_as_what_to_change(zoo: Zoo, few_digits: ImageDataset) -> None:
    """A whole one would drop the rate that is right for a transfer."""
    options: dict[str, Any] = {"epochs": 1, "device": "cpu", "floor": False}
    result = zoo.finetune("nb201-font-arabic", few_digits, recipe={"searcher": "drnas"}, **options)
    assert result.search["searcher"] == "drnas" and "weight_lr=0.02" in result.settings["recipe"]


def test_a_candidate_brings_the_licences_of_what_it_was_made_from(
    zoo: Zoo, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Candidate] = []

    def stop(data: object, candidates: list[Candidate], *_: object, **__: object) -> None:
        seen.extend(candidates)
        raise KeyboardInterrupt

    monkeypatch.setattr("snt_zoo.workflows.finetune.adapt", stop)
    record = zoo.list()[0]
    with pytest.raises(KeyboardInterrupt):
        zoo.finetune(record.id, few_digits, epochs=1, floor=False)
    (candidate,) = seen
    assert candidate.licences == {
        record.id: record.licence,
        **{data.name: data.licence for data in record.config.training.datasets},
    }
    with pytest.raises(NoMatchError, match="constraints"):
        zoo.finetune("auto", few_digits, epochs=1, licence="nobody's", floor=False)


def test_a_run_adds_what_it_came_to_and_what_was_expected(
    zoo: Zoo, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "1")
    try:
        result = zoo.finetune("auto", few_digits, epochs=1, device="cpu", floor=False)
        *heads, end = own_outcomes(zoo.registry.home)
    finally:
        forget_outcomes(zoo.registry.home)
    assert [head.bundle for head in heads] == [
        row["id"] for row in result.race if row["val_accuracy"] is not None
    ]
    assert all(head.method == "head" and head.expected is not None for head in heads)
    assert (end.method, end.bundle, end.test) == ("finetune", result.source, result.accuracy["test"])


def test_the_floor_looks_with_what_suits_the_images_and_the_limits(
    few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backbones(limits: Limits) -> tuple[list[str], tuple[str, ...]]:
        options = RunOptions(Budget(seconds=60.0), limits=limits, device="cpu")
        floor = finetuning._floor(Target.of(few_digits), options)
        return [one.sample.backbone.id for one in floor.each], floor.closer

    assert backbones(Limits()) == (["mobilenet_v2"], CLOSER)
    assert backbones(Limits(max_macs=300_000_000)) == (["mobilenet_v2"], CLOSER[:1])
    assert backbones(Limits(max_macs=60_000_000)) == (["mobilenet_v2"], ())
    looks = ("efficientnet_lite0@64", "mobilenet_v2@48")  # as of photographs, but quick
    monkeypatch.setattr(finetuning, "choose_looks", lambda *_, **__: looks)
    assert backbones(Limits()) == ([*looks], ())
