"""The arms of `benchmarks.transfer`: what each does with a target, and the row that comes of it.

All but the part `wall` count processor time on one thread: two runs side by side do not see each other.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.leave_out import excluded
from benchmarks.search_arms import residual
from benchmarks.transfer_plan import AS_AUTO, GENERALIST, NO_SLOW, SLOW, WALL, WITH_PROBE, Job
from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.encoders.probe import fit_probe
from snt_zoo.encoders.sketch import Sample
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import count_macs, count_parameters, evaluate
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.finetune import finetune
from snt_zoo.search.adapting.probe_network import probe_network
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import Run, RunOptions
from snt_zoo.search.stage import fit
from snt_zoo.zoo import Zoo
from zoo.sources import read_sources

ABLATION = {"search_share": 0.1, "search_passes": 0}
"""In the parts `ablation` and `long` there is a search, however few passes it makes: what is adapted is the
question."""

RESIDUAL_PARAMS = 120_000  # about those of the derived networks of the starter zoo
MOBILENET_RATE = 0.01  # of SGD on all weights of a network that was pretrained; a usual one


def measure(job: Job, data: Path, home: Path) -> dict[str, Any]:
    """Run a job; returns its row."""
    if job.part != WALL:
        torch.set_num_threads(1)
    file = data / f"{job.target}.npz"
    target = open_dataset(file if file.exists() else data / job.target)
    if job.per_class is not None:
        target = cut(target, job.per_class, job.seed)
    started = time.process_time()
    if job.arm == WITH_PROBE:
        found = _adapted(job, target, Zoo.open(home))
    elif job.part == "rivals":
        found = rival(job, target)
    elif job.part == "retrieval":
        found = _ranked(job, target, Zoo.open(home))
    else:
        found = _adapted(job, target, Zoo.open(home))
    known = read_sources().get(job.target)
    return {
        **vars(job),
        "domain": "photograph" if known is None else known.domain,
        "classes": target.num_classes,
        "train_images": len(target.train),
        "val_images": len(target.val),
        **found,
        "processor_seconds": round(time.process_time() - started, 2),
    }


def cut(data: ImageDataset, per_class: int, seed: int) -> ImageDataset:
    """A dataset with so many training images of each class, drawn by the seed; its other parts stay."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data.train), generator=generator)
    labels = data.train.labels[order]
    kept = [order[labels == label][:per_class] for label in range(data.num_classes)]
    train = data.train.subset(torch.cat(kept).sort().values)
    return ImageDataset(f"{data.name}-{per_class}", data.class_names, train, data.val, data.test)


def candidates(zoo: Zoo, target: str) -> list[str]:
    """Names of the supernets that may answer for a target."""
    gone = set(excluded(zoo, target))
    return sorted(record.name for record in zoo.list() if record.id not in gone)


def _adapted(job: Job, target: ImageDataset, zoo: Zoo) -> dict[str, Any]:
    options: dict[str, Any] = {
        "budget": None if job.part == "epochs" else job.budget,
        "epochs": round(job.budget) if job.part == "epochs" else None,
        "seed": job.seed,
        "device": "cpu",
        "timer": time.perf_counter if job.part == WALL else time.process_time,
    }
    exclude = excluded(zoo, job.target)
    if job.arm in ("auto", NO_SLOW):
        exclude += [SLOW] if job.arm == NO_SLOW else []
        return row_of(zoo.finetune("auto", target, exclude=exclude, **options))
    if job.arm in ("scratch", WITH_PROBE):
        return row_of(zoo.finetune("scratch", target, floor=job.arm == WITH_PROBE, **options))
    if job.arm == "source":
        assert job.source is not None
        return row_of(zoo.finetune(job.source, target, floor=False, **options))
    options["floor"] = False
    if job.arm == "neither":
        return row_of(zoo.finetune("scratch", target, **options))
    if job.arm == GENERALIST:
        names = {record.id for record in zoo.list(tag=GENERALIST)}
        match = next(m for m in zoo.query(target, k=100, exclude=exclude, probe=False) if m.id in names)
    else:
        match = zoo.query(target, k=1, exclude=exclude, probe=False)[0]
    if job.arm == "both":
        return row_of(zoo.finetune(match, target, recipe=ABLATION, **options))
    if job.arm in ("no search", "generalist"):
        return row_of(zoo.finetune(match, target, recipe={"search_share": 0.0}, **options))
    return row_of(_partly(job, target, zoo.load(match.id), match.id))


def _partly(job: Job, target: ImageDataset, source: Supernet, id: str) -> FinetuneResult:
    """From the weights of a source alone, or from its alphas alone."""
    fresh = Supernet.create(source.config, generator=torch.Generator().manual_seed(job.seed))
    id = f"{id} ({job.arm})"
    with torch.no_grad():
        if job.arm == "weights":
            for alpha in source.alphas.values():
                alpha.zero_()
            candidate = Candidate.of(id, source, ABLATION)
        else:
            fresh.alphas.load_state_dict(source.alphas.state_dict())
            # As from scratch: the recipe for transfer is made for weights that know something.
            candidate = Candidate(id, fresh, replace(Recipe(), selection="alpha"))
    options = RunOptions(Budget(seconds=job.budget), seed=job.seed, device="cpu", timer=time.process_time)
    return finetune(target, [candidate], options)


def row_of(result: FinetuneResult) -> dict[str, Any]:
    """What every arm that is adapted says of its run."""
    derived = result.derived or result
    return {
        "from": result.source,
        "returned": result.returned,
        "val": result.accuracy["val"],
        "test": result.accuracy["test"],
        "params": result.params,
        "macs": result.macs,
        "derived": {
            "val": derived.accuracy["val"],
            "test": derived.accuracy["test"],
            "params": derived.params,
            "macs": derived.macs,
            "genotype": derived.genotype.to_json()["cells"],
        },
        "probe": None if result.probe is None else dict(result.probe),
        "ensemble": None if result.ensemble is None else dict(result.ensemble),
        "race": [dict(row) for row in result.race],
        "search_steps": result.search["steps"],
        "steps": {name: round(value, 4) for name, value in result.steps.items()},
        "seconds": round(result.seconds, 2),
        "curve": [
            [record.stage, round(record.seconds, 2), round(record.val_accuracy, 4), record.who]
            for record in result.history
        ],
    }


def _ranked(job: Job, target: ImageDataset, zoo: Zoo) -> dict[str, Any]:
    """Sources by one way to rank them, best first."""
    began = time.process_time()
    found = zoo.query(target, k=100, distance=job.arm, exclude=excluded(zoo, job.target), probe=False)
    names = {record.id: record.name for record in zoo.list()}
    return {
        "ranking": [names[match.id] for match in found],
        "seconds": round(time.process_time() - began, 2),
    }


def rival(job: Job, target: ImageDataset) -> dict[str, Any]:
    """What a user would do without a zoo."""
    if job.arm == "residual":
        found = residual(target, job.budget, job.seed, params=RESIDUAL_PARAMS)
        return {
            "val": found["val_accuracy"],
            "test": found["test_accuracy"],
            "params": found["params"],
            "macs": found["macs"],
            "curve": [[*entry, None] for entry in found["epochs"]],
        }
    began = time.process_time()
    probe = fit_probe(target, Sample.of(target), seed=job.seed, timer=time.process_time)
    model = probe_network(probe)
    assert isinstance(model, DerivedModel)
    curve: list[list[Any]] = [["probe", round(time.process_time() - began, 2), probe.val_accuracy, None]]
    if job.arm in ("mobilenet", AS_AUTO):
        options = RunOptions(
            Budget(seconds=job.budget),
            seed=job.seed,
            spent=time.process_time() - began,
            timer=time.process_time,
        )
        run = Run(options, settings={}, val=target.val)
        recipe = Recipe.for_transfer() if job.arm == AS_AUTO else Recipe()
        learner = WeightLearner(
            model, target.train, recipe=recipe, generator=run.generator, peak_lr=MOBILENET_RATE
        )
        # From the probe on; it does not compete, so that the arm says what finetuning comes to.
        fit(run, "derived", learner, share=1.0)
        curve += [[r.stage, round(r.seconds, 2), round(r.val_accuracy, 4), None] for r in run.history]
    return {
        "val": evaluate(model.eval(), target.val),
        "test": evaluate(model, target.test),
        "params": count_parameters(model),
        "macs": count_macs(model),
        "curve": curve,
    }


def names_of(zoo: Zoo, targets: Sequence[str]) -> dict[str, list[str]]:
    """`candidates` of each target."""
    return {target: candidates(zoo, target) for target in targets}
