"""The probe's network is the backbone with the probe, and is handed back where it is better."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import snt_zoo
import snt_zoo.search.adapting.floor as flooring
from snt_zoo.data import ImageDataset
from snt_zoo.encoders.probe import Probe, fit_probe
from snt_zoo.encoders.sketch import Sample, sketch
from snt_zoo.encoders.target import Target
from snt_zoo.errors import ModelFolderError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.ensemble import Ensemble, Pool, fit_pool
from snt_zoo.networks.evaluate import count_macs, count_parameters, evaluate, logits
from snt_zoo.networks.head import fit_head
from snt_zoo.registry.hub.package import pack_folder
from snt_zoo.search.adapting.floor import Floor
from snt_zoo.search.adapting.probe_network import looks_size, probe_network
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.run import Run, RunOptions
from tests.conftest import TINY
from tests.encoders.making import cheap_backbone
from tests.search.runs import finetune, pretrain


@pytest.fixture(scope="module")
def probe(few_digits: ImageDataset) -> Probe:
    return fit_probe(few_digits, Sample.of(few_digits))


class FixedFloor(Floor):
    """A floor whose probe is given, and perhaps another than that of its accuracy."""

    def __init__(self, data: ImageDataset, probe: Probe, limits: Limits | None = None) -> None:
        super().__init__(Target.of(data), limits=limits or Limits())
        self._probe = probe


class Alone(FixedFloor):
    """A floor that never puts two networks together."""

    def pool(self) -> tuple[Pool, Pool] | None:
        return None


class Silent(Floor):
    """A floor that never puts the derived network and its probe together."""

    @classmethod
    def of(cls, floor: Floor) -> Silent:
        made = cls(floor.target, others=floor.others)
        made._probe = floor.probe
        return made

    def pool(self) -> tuple[Pool, Pool] | None:
        return None


def under(floor: Floor, result: FinetuneResult) -> FinetuneResult:
    return floor.under(result, torch.device("cpu"))


@pytest.fixture(scope="module")
def good(few_digits: ImageDataset) -> DerivedModel:
    """A tiny network that has learned digits."""
    made = pretrain(few_digits, TINY["nas_bench_201"], budget=Budget(epochs=60), seed=1)
    fit_head(made.supernet, few_digits.train)
    return DerivedModel.inherit(made.supernet).eval()


@pytest.fixture(scope="module")
def searched(few_digits: ImageDataset) -> FinetuneResult:
    return finetune(few_digits, TINY["nas_bench_201"], budget=Budget(epochs=1), spent=5.0)


@pytest.fixture(scope="module")
def trained(few_digits: ImageDataset, good: DerivedModel, searched: FinetuneResult) -> FinetuneResult:
    """A run that ended with this network."""
    accuracy = {"val": evaluate(good, few_digits.val), "test": 0.1}
    return replace(searched, model=good, genotype=good.genotype, accuracy=accuracy)


def test_the_better_one_is_handed_back_and_nothing_is_lost(
    few_digits: ImageDataset, probe: Probe, searched: FinetuneResult, tmp_path: Path
) -> None:
    result = under(Alone(few_digits, probe), searched)
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
    folder = under(Alone(few_digits, probe), searched).save(tmp_path / "a secret place")
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
        kept = under(Alone(few_digits, probe), good)
        assert kept.model is searched.model and kept.returned == "derived" and kept.derived is None
        assert kept.warnings == searched.warnings
        assert kept.probe is not None and kept.probe["val_accuracy"] == probe.val_accuracy
    for limits in (Limits(max_params=100_000), Limits(max_macs=1_000_000)):
        kept = under(FixedFloor(few_digits, probe, limits), searched)
        assert kept.model is searched.model and kept.returned == "derived"
        assert "too large for the limits" in kept.warnings[-1]


def test_the_floor_looks_at_more_images_only_where_that_can_matter(few_digits: ImageDataset) -> None:
    drawn = Sample.of(few_digits, cheap_backbone())
    few = replace(drawn, indices=drawn.indices[::4], features=drawn.features[::4], labels=drawn.labels[::4])
    floor = Floor(Target(sketch(few_digits, sample=few), few_digits, few))
    first = floor.probe.val_accuracy
    assert floor.probe.images == len(few.indices)
    assert not floor.matters(first + 0.01) and floor.matters(first)
    assert floor.grow() == floor.probe.val_accuracy >= first
    grown = floor.probe
    # With all images it is the probe that `fit_probe` gives; then there is nothing left to look at.
    whole = fit_probe(few_digits, few)
    assert whole.images == len(few_digits.train)
    if whole.val_accuracy >= first:
        assert grown.images == whole.images and torch.equal(grown.weight, whole.weight)
    assert not floor.matters(0.0)
    # One that is told late, in a run that goes on, does at once what it would have done by then.
    late = Floor(Target(sketch(few_digits, sample=few), few_digits, few))
    assert late.grow() == grown.val_accuracy and torch.equal(late.probe.weight, grown.weight)


def test_a_probe_without_time_is_judged_on_fewer_images(digits: ImageDataset) -> None:
    drawn = Sample.of(digits, cheap_backbone())
    target = Target(sketch(digits, sample=drawn), digits, drawn)
    assert len(digits.val) > 100
    assert len(Floor(target).growing.val) == len(Floor(target, seconds=60.0, pace=1e-3).growing.val)
    short = Floor(target, seconds=60.0, pace=1.0).growing.val
    assert 50 < len(short) <= 100


def test_what_is_spent_before_counts(searched: FinetuneResult) -> None:
    assert searched.history[0].seconds >= 5.0 and searched.seconds >= 5.0


def quarter(data: ImageDataset) -> Sample:
    """A quarter of the training images, as a sketch has looked at them."""
    drawn = Sample.of(data)
    return replace(drawn, indices=drawn.indices[::4], features=drawn.features[::4], labels=drawn.labels[::4])


@pytest.fixture(scope="module")
def modest(few_digits: ImageDataset) -> Probe:
    """A probe that is not as good as a small network, and knows other things."""
    drawn = quarter(few_digits)
    return fit_probe(few_digits, drawn, max_images=len(drawn.indices))


def test_the_network_and_the_probe_are_handed_back_together_where_that_is_clearly_better(
    few_digits: ImageDataset, good: DerivedModel, trained: FinetuneResult, modest: Probe, tmp_path: Path
) -> None:
    floor = FixedFloor(few_digits, modest)
    result = under(floor, trained)
    assert result.returned == "ensemble" and isinstance(result.model, Ensemble)
    assert result.derived is trained and result.source == "scratch"
    assert result.genotype == good.genotype and result.model.networks[0] is good
    # It is the pool of what both say, and better than either by the number that decides.
    labels = few_digits.val.labels
    each = [logits(network, few_digits.val) for network in (good, probe_network(modest))]
    pool = fit_pool(each, labels)
    torch.testing.assert_close(result.model.weights, pool.weights, rtol=1e-2, atol=1e-2)
    assert pool.clearly_better_than(fit_pool(each[:1], labels))
    assert result.accuracy["val"] == pytest.approx(pool.accuracy, abs=1 / 60 + 1e-9)
    assert result.params == count_parameters(good) + count_parameters(result.model.networks[1])
    told = result.warnings[-1]
    assert "better together on validation" in told and f"({result.params:,} parameters" in told
    assert result.ensemble is not None and result.ensemble["cross_entropy"] < result.ensemble["alone"]

    folder = result.save(tmp_path / "model")
    loaded = snt_zoo.load_model(folder)
    assert isinstance(loaded.model, Ensemble) and loaded.source == "scratch"
    torch.testing.assert_close(loaded.model.weights, result.model.weights, rtol=0, atol=0)
    assert evaluate(loaded.model, few_digits.test) == loaded.accuracy["test"] == result.accuracy["test"]
    assert isinstance(snt_zoo.load_model(folder / "derived").model, DerivedModel)
    page = (folder / "report.html").read_text("utf-8")
    assert "an ensemble of the network of the search and a linear probe" in page
    assert 'decode_image("image.jpg")' in page
    card = pack_folder(folder, base=lambda source: None).card("alice/mine")
    assert "answer together" in card and "16 × 16 and 96 × 96 pixels" in card
    # What is not an ensemble of this release says so.
    config = json.loads((folder / "config.json").read_text("utf-8"))
    for spoilt, why in (
        ({"others": []}, "2 to 8 members"),
        ({"others": 5 * config["others"] + 5 * config["others"]}, "2 to 8 members"),
        ({"version": 3}, "upgrade snt-zoo"),
        ({"version": 1}, "does not hold the weights"),
    ):
        (folder / "config.json").write_text(json.dumps(config | spoilt), encoding="utf-8")
        with pytest.raises(ModelFolderError, match=why):
            snt_zoo.load_model(folder)


def test_together_they_are_not_handed_back_where_one_is_enough_or_both_too_large(
    few_digits: ImageDataset, trained: FinetuneResult, modest: Probe
) -> None:
    # The probe knows nothing.
    nothing = replace(modest, weight=torch.zeros_like(modest.weight), val_accuracy=0.1)
    assert under(FixedFloor(few_digits, nothing), trained).returned == "derived"
    # The network has no error that another could mend.
    perfect = replace(trained, accuracy={"val": 1.0, "test": 0.1})
    assert under(FixedFloor(few_digits, modest), perfect).returned == "derived"
    # No larger than allowed; and no worse than the probe on validation.
    probe_alone = count_parameters(probe_network(modest))  # which would just do
    for limits in (Limits(max_params=probe_alone), Limits(max_macs=1_000_000)):
        small = FixedFloor(few_digits, modest, limits)
        assert under(small, trained).returned == "derived" and small.pool() is None
    proud = FixedFloor(few_digits, replace(modest, val_accuracy=0.999))
    assert under(proud, trained).returned == "probe"
    assert FixedFloor(few_digits, modest).pool() is None  # no network was seen yet


def test_on_the_way_the_floor_tells_what_it_would_hand_back(
    few_digits: ImageDataset, good: DerivedModel, trained: FinetuneResult
) -> None:
    floor = Floor(Target(sketch(few_digits), few_digits, quarter(few_digits)))
    reached = trained.accuracy["val"]
    first = floor.probe.val_accuracy
    floor.look(good, reached)
    assert floor.pool() is not None
    # A probe that helps is worth more images, though the network is ahead of it.
    assert reached > first and floor.matters(reached)
    assert floor.grow() > first and floor.probe.images == len(few_digits.train)
    assert not floor.matters(reached)  # all were looked at


def test_probes_of_several_looks_answer_together(
    few_digits: ImageDataset, searched: FinetuneResult, tmp_path: Path
) -> None:
    looks = ("efficientnet_lite0@64", "mobilenet_v2@48")
    samples = [Sample.of(few_digits, look) for look in looks]
    floor = Floor(Target(sketch(few_digits), few_digits, samples[0]), others=(samples[1],), limits=Limits())
    probe = floor.probe
    assert [each.backbone for each in probe.members] == list(looks)
    network = probe_network(probe)
    assert isinstance(network, Ensemble)
    assert [member.config.input_size for member in network.networks] == [64, 48]
    # One by one, from the features, and as the network that is handed back.
    seen = [sample.backbone.features(few_digits.val.tensor(sample.backbone.size)) for sample in samples]
    alone = [each.logits(features) for each, features in zip(probe.members, seen, strict=True)]
    summed = torch.stack([answer.log_softmax(1) for answer in alone]).mean(0)
    right = (summed.argmax(1) == few_digits.val.labels).double().mean()
    assert probe.val_accuracy == pytest.approx(float(right))
    assert evaluate(network, few_digits.val) == pytest.approx(float(right), abs=1 / 60 + 1e-9)
    assert looks_size(looks, 10) == (count_parameters(network), count_macs(network))

    kept = replace(searched, accuracy={"val": 0.0, "test": 0.0})
    result = under(Silent.of(floor), kept)
    assert result.returned == "probe" and isinstance(result.model, Ensemble)
    assert (result.params, result.macs) == looks_size(looks, 10)
    assert result.probe is not None and result.probe["backbone"] == " + ".join(looks)
    result.save(tmp_path / "model")
    again = snt_zoo.load_model(tmp_path / "model").model
    assert evaluate(again, few_digits.test) == evaluate(result.model, few_digits.test)


CLOSE = ("efficientnet_lite0@64", "efficientnet_lite0@96")


def a_run(data: ImageDataset, seconds: float, spent: float) -> Run:
    options = RunOptions(Budget(seconds=seconds), spent=spent, device="cpu")
    return Run(options, settings={}, val=data.val)


def test_a_better_backbone_looks_halfway_if_the_probe_answers_and_there_is_time(
    few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = quarter(few_digits)

    def floor_of(run: Run) -> Floor:
        target = Target(sketch(few_digits), few_digits, first)
        made = Floor(target, seconds=60.0, closer=CLOSE)
        made.attend(run)
        return made

    run = a_run(few_digits, seconds=600.0, spent=300.0)
    floor = floor_of(run)
    before = floor.probe.val_accuracy
    assert floor.halfway(1.1) == 0.0 and not run.facts.grown  # a network is out of its reach
    measuring = floor.halfway(0.0)
    assert run.facts.grown and run.facts.closer == 2
    looks = ["mobilenet_v2", *CLOSE]
    assert [one.sample.backbone.id for one in floor.each] == looks
    assert floor.probe.val_accuracy >= before
    if floor.probe.others:  # both together were no worse
        assert [one.backbone for one in floor.probe.members] == looks and 0 < measuring < 60
    else:
        assert measuring == 0.0
    # One that goes on in a killed run looks with the same backbones, whatever time is left.
    again = floor_of(a_run(few_digits, seconds=600.0, spent=599.0))
    assert again.grow(closer=2) == floor.probe.val_accuracy

    late = a_run(few_digits, seconds=60.0, spent=59.999)
    hurried = floor_of(late)
    assert hurried.halfway(0.0) == 0.0
    assert late.facts.grown and late.facts.closer == 0 and len(hurried.each) == 1

    def one(name: str, timer: object) -> float:
        return 2.0  # seconds of an image of 160 pixels

    monkeypatch.setattr(flooring, "pace", one)
    images, tests = len(first.indices) + len(few_digits.val), len(few_digits.test)
    seconds = [2.0 * (size / 160) ** 2 * (images + 2.8 * tests) for size in (64, 96)]
    for room, count in ((seconds[0] - 9, 0), (seconds[0] + 9, 1), (sum(seconds) + 9, 2)):
        floor = floor_of(a_run(few_digits, seconds=1e5, spent=1e5 - 2 * room))
        assert floor._affordable()[0] == count


def test_a_network_beside_several_looks_shares_the_weight_of_the_probe(
    few_digits: ImageDataset, good: DerivedModel, trained: FinetuneResult
) -> None:
    samples = [Sample.of(few_digits, look) for look in ("efficientnet_lite0@64", "mobilenet_v2@48")]
    floor = Floor(Target(sketch(few_digits), few_digits, samples[0]), others=(samples[1],))
    accuracy = {"val": evaluate(good, few_digits.val), "test": 0.1}
    size = {"params": count_parameters(good), "macs": count_macs(good)}
    result = under(floor, replace(trained, accuracy=accuracy, **size))
    assert result.returned == "ensemble" and isinstance(result.model, Ensemble)
    own, *shares = result.model.weights.tolist()
    assert len(shares) == 2 and shares[0] == shares[1] and own >= 0
    assert (result.params, result.macs) == (count_parameters(result.model), count_macs(result.model))
