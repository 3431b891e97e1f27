"""The probe's network is the backbone with the probe, and is handed back where it is better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import snt_zoo
from snt_zoo.data import ImageDataset
from snt_zoo.encoders.probe import Probe, fit_probe
from snt_zoo.encoders.sketch import draw
from snt_zoo.errors import UnknownComponentError
from snt_zoo.floor import Floor, probe_network, with_floor
from snt_zoo.registry.hub.package import pack_folder
from snt_zoo.search.best_head import BestHead
from snt_zoo.search.budget import Budget
from snt_zoo.search.constraints import Limits
from snt_zoo.search.derived import DerivedModel
from snt_zoo.search.evaluate import count_macs, count_parameters, evaluate
from snt_zoo.search.finetune import FinetuneResult, finetune
from snt_zoo.search.head import fit_head
from snt_zoo.search.pretrain import pretrain
from tests.conftest import TINY
from tests.encoders.making import cheap_backbone


@pytest.fixture(scope="module")
def probe(few_digits: ImageDataset) -> Probe:
    return fit_probe(few_digits, draw(few_digits))


@pytest.fixture(scope="module")
def searched(few_digits: ImageDataset) -> FinetuneResult:
    return finetune(few_digits, TINY["nas_bench_201"], budget=Budget(epochs=1), device="cpu", spent=5.0)


def test_the_network_gives_what_the_probe_gives(few_digits: ImageDataset, probe: Probe) -> None:
    model = probe_network(probe)
    images = few_digits.val.subset(torch.arange(8)).tensor(96)
    features = draw(few_digits).backbone.features(images)
    with torch.no_grad():
        found = model(model.config.normalisation(images))
    torch.testing.assert_close(found, probe.logits(features), rtol=1e-3, atol=1e-3)
    assert evaluate(model, few_digits.val) == pytest.approx(probe.val_accuracy, abs=1 / 60 + 1e-9)
    assert count_parameters(model) > 2e6 and count_macs(model) > 40e6
    with pytest.raises(UnknownComponentError, match="not one on cheap"):
        probe_network(fit_probe(few_digits, draw(few_digits, cheap_backbone())))


def test_the_better_one_is_handed_back_and_nothing_is_lost(
    few_digits: ImageDataset, probe: Probe, searched: FinetuneResult, tmp_path: Path
) -> None:
    result = with_floor(searched, probe, few_digits, device="cpu")
    assert result.returned == "probe" and result.derived is searched and result.source == "scratch"
    assert result.accuracy["val"] > searched.accuracy["val"]
    assert (result.params, result.macs) == (count_parameters(result.model), count_macs(result.model))
    assert result.history == searched.history and result.steps == searched.steps
    (told,) = result.warnings[len(searched.warnings) :]
    assert f"{searched.params:,} parameters" in told and "switch the floor off" in told

    loaded = snt_zoo.load_model(result.save(tmp_path / "model"))
    assert loaded.source == "probe"
    assert evaluate(loaded.model, few_digits.test) == loaded.accuracy["test"] == result.accuracy["test"]
    derived = snt_zoo.load_model(tmp_path / "model" / "derived")
    assert derived.source == "scratch" and derived.model.genotype == searched.genotype
    assert evaluate(derived.model, few_digits.test) == searched.accuracy["test"]


def test_it_is_shared_as_what_it_is(
    few_digits: ImageDataset, probe: Probe, searched: FinetuneResult, tmp_path: Path
) -> None:
    folder = with_floor(searched, probe, few_digits, device="cpu").save(tmp_path / "a secret place")
    asked: list[str] = []

    def base(source: str) -> str | None:
        asked.append(source)
        return None

    package = pack_folder(folder, base=base)
    card = package.card("alice/mine")
    assert "trained on ImageNet" in card and "base_model" not in card and asked == ["probe"]
    report = package.files["report.json"]
    assert isinstance(report, bytes) and b"secret place" not in report and b'"returned"' in report


def test_the_derived_network_stays_where_it_is_better_or_the_probe_too_large(
    few_digits: ImageDataset, probe: Probe, searched: FinetuneResult
) -> None:
    for reached in (probe.val_accuracy, 1.0):  # a tie goes to the smaller network
        good = replace(searched, accuracy={"val": reached, "test": 0.5})
        kept = with_floor(good, probe, few_digits)
        assert kept.model is searched.model and kept.returned == "derived" and kept.derived is None
        assert kept.warnings == searched.warnings
        assert kept.probe is not None and kept.probe["val_accuracy"] == probe.val_accuracy
    for limits in (Limits(max_params=100_000), Limits(max_macs=1_000_000)):
        kept = with_floor(searched, probe, few_digits, limits=limits)
        assert kept.model is searched.model and kept.returned == "derived"
        assert "too large for the limits" in kept.warnings[-1]


def test_the_floor_looks_at_more_images_only_where_that_can_matter(few_digits: ImageDataset) -> None:
    drawn = draw(few_digits, cheap_backbone())
    few = replace(drawn, indices=drawn.indices[::4], features=drawn.features[::4], labels=drawn.labels[::4])
    floor = Floor(few_digits, few, seconds=None)
    first = floor(None)
    assert first == floor.probe.val_accuracy and floor.probe.images == len(few.indices)
    assert floor(first + 0.01) is None and floor.probe.images == len(few.indices)
    assert floor(first) == floor.probe.val_accuracy >= first
    grown = floor.probe
    # With all images it is the probe that `fit_probe` gives; then there is nothing left to look at.
    whole = fit_probe(few_digits, few)
    assert whole.images == len(few_digits.train)
    if whole.val_accuracy >= first:
        assert grown.images == whole.images and torch.equal(grown.weight, whole.weight)
    assert floor(0.0) is None
    # One that is asked late, in a run that goes on, does at once what it would have done by then.
    late = Floor(few_digits, few, seconds=None)
    assert late(first) == grown.val_accuracy and torch.equal(late.probe.weight, grown.weight)


def test_what_is_spent_before_counts(searched: FinetuneResult) -> None:
    assert searched.history[0].seconds >= 5.0 and searched.seconds >= 5.0


def test_the_best_head_of_a_race_is_handed_back_where_it_is_better(
    few_digits: ImageDataset, probe: Probe, searched: FinetuneResult, tmp_path: Path
) -> None:
    """A race that a better head lost for being too slow to train."""
    good = FinetuneHead(few_digits)
    raced = replace(searched, best_head=BestHead("slow-1", good.model, good.accuracy))
    weak = replace(probe, val_accuracy=0.1)
    result = with_floor(raced, weak, few_digits, device="cpu")
    assert (result.returned, result.source) == ("head", "slow-1")
    assert result.derived is not None and result.derived.source == "scratch"
    assert result.accuracy["val"] == good.accuracy > searched.accuracy["val"]
    assert "a head fitted to slow-1 is better on validation" in result.warnings[-1]
    loaded = snt_zoo.load_model(result.save(tmp_path / "model"))
    assert loaded.source == "slow-1" and loaded.accuracy == dict(result.accuracy)
    assert snt_zoo.load_model(tmp_path / "model" / "derived").source == "scratch"
    assert "the head that was fitted to slow-1" in (tmp_path / "model" / "report.html").read_text("utf-8")
    # The probe where it is better still, and no larger than allowed; else the head.
    strong = replace(probe, val_accuracy=good.accuracy + 0.01)
    assert with_floor(raced, strong, few_digits, device="cpu").returned == "probe"
    small = with_floor(raced, strong, few_digits, limits=Limits(max_params=100_000), device="cpu")
    assert small.returned == "head" and "too large for the limits" in small.warnings[-2]
    # A head that is no better than the derived network changes nothing.
    level = replace(raced, best_head=BestHead("slow-1", good.model, searched.accuracy["val"]))
    assert with_floor(level, weak, few_digits).returned == "derived"


class FinetuneHead:
    """A tiny network that has learned digits."""

    def __init__(self, data: ImageDataset) -> None:
        made = pretrain(data, TINY["nas_bench_201"], budget=Budget(epochs=15), device="cpu")
        fit_head(made.supernet, data.train)
        self.model = DerivedModel.inherit(made.supernet).eval()
        self.accuracy = evaluate(self.model, data.val)
