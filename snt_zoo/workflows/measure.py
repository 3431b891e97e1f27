"""Measure what networks of the zoo come to on datasets: the outcomes from which a predictor learns.

A cell is one network on one dataset: its features are computed once, and a head is fitted to each view of the
dataset. What stands in the file is not measured again, and each cell is appended as it is done.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset, Split, open_dataset
from snt_zoo.encoders.changes import changed
from snt_zoo.encoders.kept_features import features_of
from snt_zoo.encoders.outcomes import PROBE, Outcome, append_outcomes, read_outcomes
from snt_zoo.encoders.sketch import Sample
from snt_zoo.encoders.views import FEW_VIEWS, WHOLE, View, first_of_each, views
from snt_zoo.errors import DivergenceError, warn
from snt_zoo.executor import LOCAL, run_tasks
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import accuracy, features, recalibrate
from snt_zoo.networks.logistic import LogisticRegressions
from snt_zoo.networks.ridge import ridge_head
from snt_zoo.networks.variants import OWN, Variant, variants
from snt_zoo.registry.bundle.bundle import Bundle
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.registry import Registry
from snt_zoo.version import __version__
from snt_zoo.workflows.finetune import finetune

TRAIN_IMAGES, VAL_IMAGES, TEST_IMAGES = 256, 64, 256
"""Images that a head is fitted to, of those that the sketch is made of, and images that are asked, at most:
with these a cell of a small network takes a fifth of a second."""

_L2, _TOLERANCE, _ITERATIONS = 1e-3, 3e-4, 100  # as `snt_zoo.networks.head` fits a head


class Cell(NamedTuple):
    """One network on one dataset.

    Args:
        ref: of the dataset, as `open_dataset` takes it.
        change: of its pixels; empty for none.
        bundle: id of the supernet, or `PROBE`.
        kind: of the genotype.
        few: whether only `FEW_VIEWS` are asked.
        budget: seconds of finetuning; 0 for heads.
    """

    ref: str
    change: str
    bundle: str
    kind: str
    few: bool = False
    budget: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Args:
        refs: datasets.
        bundles: ids of supernets; the probe is measured besides.
        kinds: of genotypes.
        changes: of pixels; the empty one is the dataset as it is.
        per_network: datasets on which each network is measured, drawn at random; None for all. Then only
            `FEW_VIEWS` are asked.
        budget: seconds of finetuning of each; 0 for heads.
        skip: names of datasets and ids of supernets that are not measured together.
    """

    refs: Sequence[str]
    bundles: Sequence[str]
    kinds: Sequence[str] = (OWN,)
    changes: Sequence[str] = ("",)
    per_network: int | None = None
    budget: float = 0.0
    skip: Collection[tuple[str, str]] = ()

    def cells(self) -> Iterator[Cell]:
        """In the order of the datasets, the probe first."""
        pairs = [(bundle, kind) for bundle in self.bundles for kind in self.kinds]
        chosen = {pair: self._drawn(pair) for pair in pairs}
        for ref in self.refs:
            for change in self.changes:
                if self.per_network is None and not self.budget:
                    yield Cell(ref, change, PROBE, OWN)
                for pair in pairs:
                    if ref in chosen[pair] and (Path(ref).stem, pair[0]) not in self.skip:
                        yield Cell(ref, change, *pair, self.per_network is not None, self.budget)

    def _drawn(self, pair: tuple[str, str]) -> Collection[str]:
        if self.per_network is None:
            return set(self.refs)
        named = sorted(
            (hashlib.sha256("/".join((*pair, Path(ref).stem)).encode()).digest(), ref) for ref in self.refs
        )
        return {ref for _, ref in named[: self.per_network]}


def measure(
    registry: Registry,
    plans: Sequence[Plan],
    out: Path,
    *,
    workers: int = 1,
    on: str = LOCAL,
    on_cells: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Measure what is not in a file yet.

    Args:
        registry: that has the supernets.
        plans: one after the other.
        out: file of outcomes, to which each cell is appended.
        workers: processes, each with one dataset at a time.
        on: where these run, as of `run_tasks`. On a cluster every machine needs the datasets, the registry
            and the file under the same paths.
        on_cells: called with how many cells are done, of how many.

    Returns:
        How many cells were measured. A dataset that a worker cannot measure is left out with a warning.
    """
    done = {one.cell for one in read_outcomes(out)}
    jobs: dict[tuple[int, str, str], list[Cell]] = defaultdict(list)
    for number, plan in enumerate(plans):
        for cell in dict.fromkeys(plan.cells()):
            if (_name(cell), cell.change, cell.bundle, cell.kind, cell.budget) not in done:
                jobs[number, cell.ref, cell.change].append(cell)
    total, measured = sum(map(len, jobs.values())), 0
    if on == LOCAL and workers <= 1:
        for cells in jobs.values():
            for _ in _measure_dataset(registry.home, cells, out):
                measured += 1
                on_cells(measured, total)
        return measured
    job = functools.partial(_count, registry.home, out)
    for ended in run_tasks(job, list(jobs.values()), on=on, workers=workers):
        if ended.error is not None:
            warn(f"left out {ended.task[0].ref}: {ended.error}")
        measured += ended.result or 0
        on_cells(measured, total)
    return measured


def _name(cell: Cell) -> str:
    """The name that the dataset will have."""
    return Path(cell.ref).stem


def _count(home: Path, out: Path, cells: Sequence[Cell]) -> int:
    torch.set_num_threads(1)
    return sum(1 for _ in _measure_dataset(home, cells, out))


def _measure_dataset(home: Path, cells: Sequence[Cell], out: Path) -> Iterator[None]:
    """Measure cells of one dataset and one change; gives something after each."""
    task = Task.of(open_dataset(cells[0].ref), cells[0].change, _name(cells[0]))
    for cell in cells:
        made = _finetuned(home, task, cell) if cell.budget else _measured(home, task, cell)
        append_outcomes(out, list(made))
        yield


@dataclass(frozen=True, eq=False)
class Task:
    """A dataset as it is asked about.

    Args:
        name: without the change.
        change: of its pixels.
        fingerprint: of the dataset.
        data: changed.
        sample: the training images, of those that a sketch is made of.
        train: those images.
        val: images that are asked.
        test: likewise.
        views: of the sample.
    """

    name: str
    change: str
    fingerprint: str
    data: ImageDataset
    sample: Sample
    train: Split
    val: Split
    test: Split
    views: Sequence[View]

    @classmethod
    def of(cls, data: ImageDataset, change: str, name: str) -> Task:
        """A dataset, changed."""
        made = changed(data, change)
        sample = Sample.of(made)
        rows = first_of_each(sample.labels, TRAIN_IMAGES)
        sample = replace(
            sample, indices=sample.indices[rows], features=sample.features[rows], labels=sample.labels[rows]
        )
        return cls(
            name,
            change,
            data.fingerprint[:16],
            made,
            sample,
            made.train.subset(sample.indices),
            made.val.thinned(VAL_IMAGES),
            made.test.thinned(TEST_IMAGES),
            views(sample.labels),
        )

    def splits(self) -> tuple[Split, Split, Split]:
        """Train, val and test."""
        return self.train, self.val, self.test


@functools.lru_cache(maxsize=256)
def _bundle(home: Path, id: str) -> tuple[Bundle, dict[str, Variant]]:
    """A supernet and its networks that were asked for so far, kept in a worker."""
    return Registry.open(home).get(id), {}


def _measured(home: Path, task: Task, cell: Cell) -> Iterator[Outcome]:
    """The outcomes of a cell: of each view a head in closed form, and of the whole a logistic one."""
    about: dict[str, Any] = {
        "target": task.name,
        "fingerprint": task.fingerprint,
        "change": task.change,
        "kind": cell.kind,
        "seed": 0,
        "budget": 0.0,
        "code_version": __version__,
    }
    if cell.bundle == PROBE:
        backbone = task.sample.backbone
        about |= {
            "name": PROBE, "bundle": PROBE, "digest": backbone.digest[:16], "genotype": backbone.id,
            "params": 0, "macs": 0,
        }  # fmt: skip
        parts = [task.sample.features, *(_seen(task, split) for split in (task.val, task.test))]
    else:
        bundle, known = _bundle(home, cell.bundle)
        if cell.kind not in known:
            (known[cell.kind],) = variants(bundle.supernet, [cell.kind])
        genotype = known[cell.kind].genotype
        network = DerivedModel.inherit(bundle.supernet, genotype)
        space = network.space
        params, macs = space.costs(network.config.input_size).of(space.pruned(space.choice(genotype)))
        about |= {
            "name": bundle.config.name, "bundle": bundle.id, "digest": bundle.digest[:16],
            "genotype": json.dumps(genotype.to_json(), separators=(",", ":")),
            "params": params, "macs": macs,
        }  # fmt: skip
        if not space.may_be_pretrained:  # as in a race: `snt_zoo.networks.head.quick_norms`
            recalibrate(network, task.train)
        parts = [features(network, split)[0] for split in task.splits()]
    for view in task.views:
        if not cell.few or view.name in FEW_VIEWS:
            yield from _heads(task, view, parts, about)


def _seen(task: Task, split: Split) -> Tensor:
    """Features of the backbone, ``n x dim``."""
    return features_of(task.sample.backbone, split, task.data.rendering, timer=lambda: 0.0)[0]


def _heads(task: Task, view: View, parts: Sequence[Tensor], about: dict[str, Any]) -> Iterator[Outcome]:
    own = torch.searchsorted(view.classes, task.train.labels[view.rows])
    asked = [view.relabelled(split.labels) for split in (task.val, task.test)]
    every = torch.cat([labels for _, labels in asked])
    classes = len(view.classes)
    about = about | {
        "view": view.name,
        "classes": classes,
        "images": len(view.rows),
        "chance": float(torch.bincount(every, minlength=classes).max()) / max(len(every), 1),
        "val_images": len(asked[0][0]),
        "test_images": len(asked[1][0]),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    for method in ("head", "ridge") if view.name == WHOLE else ("ridge",):
        try:
            weight, bias = _FITTED[method](parts[0][view.rows], own, classes)
            found = [
                accuracy(part[rows] @ weight.T + bias, labels) if len(rows) else None
                for part, (rows, labels) in zip(parts[1:], asked, strict=True)
            ]
        except DivergenceError:
            found = [None, None]
        yield Outcome(**about, method=method, val=found[0], test=found[1])


def _logistic(x: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    return LogisticRegressions(x, labels, num_classes, iterations=_ITERATIONS, tolerance=_TOLERANCE).fit(_L2)


_FITTED: dict[str, Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]] = {
    "head": _logistic,
    "ridge": ridge_head,
}


def _finetuned(home: Path, task: Task, cell: Cell) -> Iterator[Outcome]:
    """The outcome of a finetuning, whose seconds are counted in processor time."""
    zoo = _Registered(Registry.open(home))
    bundle, _ = _bundle(home, cell.bundle)
    result = finetune(
        zoo, cell.bundle, task.data, budget=cell.budget, floor=False, device="cpu", timer=time.process_time
    )
    yield Outcome(
        target=task.name,
        fingerprint=task.fingerprint,
        change=task.change,
        view=WHOLE,
        classes=task.data.num_classes,
        images=len(task.data.train),
        chance=float(torch.bincount(task.data.test.labels).max()) / len(task.data.test),
        name=bundle.config.name,
        bundle=bundle.id,
        digest=bundle.digest[:16],
        kind=cell.kind,
        genotype=json.dumps(result.genotype.to_json(), separators=(",", ":")),
        params=result.params,
        macs=result.macs,
        method="finetune",
        budget=cell.budget,
        seed=0,
        val_images=len(task.data.val),
        test_images=len(task.data.test),
        val=result.accuracy["val"],
        test=result.accuracy["test"],
        code_version=__version__,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


@dataclass(frozen=True)
class _Registered:
    """A registry without a Hub: all that a finetuning of a named supernet asks for."""

    registry: Registry

    @property
    def hub(self) -> HubClient:
        """None is asked."""
        return HubClient()
