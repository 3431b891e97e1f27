"""Are a supernet's networks usable with inherited weights, and how are several of them trained in one budget?

    python -m benchmarks.inherited --json --data DIR [--part rank] [--part way]

- `rank`: networks of all sizes of a supernet, each with batch norms measured on the task. What says best how
  accurate each will be after some seconds of finetuning: the head of the supernet's own path (`shared`), a
  head of its own that is fitted to its features (`own`), or its multiply-accumulates alone (`macs`)? Rank
  correlations with the test accuracy that it comes to.
- `way`: five networks of a front and one budget. `alone`: each is finetuned from the supernet's weights for a
  share of it. `chain`: the largest first, as the path of the supernet, from which the next one begins.
  `distilled`: so too, and the smaller ones also learn the answers of the one before. `sandwich`: half of the
  budget trains the supernet by the sandwich rule, the rest each network. `down`, `up`, `outwards`: each takes
  over what those before it have in common with it, from the largest to the smallest, from the smallest to the
  largest, or from the middle to both ends. `double`, `quadruple`: outwards, and the first has so many times
  the time of another.
  `twice`: outwards with half of the time, and then all once more, each from its own weights and what those
  trained since have in common with it.

No dataset is a target of another benchmark. Seconds are processor time of one thread. Rows go into a file of
JSON lines and are skipped when they are there.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.document import RESULTS, document, tell, write
from benchmarks.json_lines import read_rows
from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.networks.bounds import derived_size
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import evaluate, recalibrate
from snt_zoo.networks.head import begin_on, fit_head, quick_norms
from snt_zoo.networks.spread import spread
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.bilevel import make_searcher
from snt_zoo.search.budget import Budget
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.run import Run, RunOptions
from snt_zoo.search.stage import fit
from snt_zoo.zoo import Zoo

COMMAND = "python -m benchmarks.inherited --json --data DIR"
DATASETS = ("gtsrb", "asl36")
SOURCES = ("nb201-generalist-all", "mobile-imagenet")
NETWORKS, SECONDS = 20, 4.0
PARTS = ("rank", "way")
WAYS = ("alone", "chain", "distilled", "sandwich", "down", "up", "outwards", "double", "quadruple", "twice")
_OUTWARDS = (2, 1, 3, 0, 4)
HANDED_ON = {
    "down": (0, 1, 2, 3, 4),
    "up": (4, 3, 2, 1, 0),
    "outwards": _OUTWARDS,
    "double": _OUTWARDS,
    "quadruple": _OUTWARDS,
    "twice": _OUTWARDS * 2,
}
"""In which order networks are trained, of which the largest is 0."""
FIRST = {"double": 2, "quadruple": 4}
"""How many times the time of another the first has."""
POINTS, SHARE = 5, 8.0
SIZE = 512
"""Training images to which heads are fitted."""
Row = dict[str, Any]


class Distilled(WeightLearner):
    """Learns the labels and, half and half, the answers of a larger network."""

    teacher: DerivedModel | None = None

    def loss(self, images: Tensor, labels: Tensor, *inputs: Tensor) -> Tensor:
        if self.teacher is None:
            return super().loss(images, labels, *inputs)
        with torch.no_grad():
            answers = self.teacher(images).softmax(1)
        outputs = self.outputs(images, *inputs)
        own = functional.cross_entropy(outputs, labels, label_smoothing=self.recipe.label_smoothing)
        return (own + functional.cross_entropy(outputs, answers)) / 2


def begun(zoo: Zoo, source: str, data: ImageDataset, seed: int) -> tuple[Candidate, Supernet]:
    """A supernet with a head for the task."""
    candidate = Candidate.of(source, zoo.load(source))
    run = _run(data, 1.0, seed)
    supernet = candidate.start(data, run.options.limits, seed, torch.device("cpu"))
    begin_on(supernet, data.train.thinned(SIZE), data.val, norms=quick_norms(supernet))
    return candidate, supernet


def _run(data: ImageDataset, seconds: float, seed: int) -> Run:
    options = RunOptions(Budget(seconds=seconds), seed=seed, device="cpu", timer=time.process_time)
    return Run(options, settings={}, val=data.val)


def finetuned(
    candidate: Candidate,
    network: DerivedModel | Supernet,
    data: ImageDataset,
    seconds: float,
    seed: int,
    *,
    teacher: DerivedModel | None = None,
) -> Row:
    """Train a network, or a supernet along its path, for some seconds; returns its accuracies."""
    recipe = candidate.recipe
    run = _run(data, seconds, seed)
    generator = torch.Generator().manual_seed(seed)
    learner = Distilled(network, data.train, recipe=recipe, generator=generator, peak_lr=recipe.derived_lr)
    learner.teacher = teacher
    val = fit(run, "derived", learner, share=1.0, initial=evaluate(network, data.val))
    return {"val": val, "test": evaluate(network, data.test), "steps": learner.steps}


def rank(zoo: Zoo, source: str, name: str, data: ImageDataset, seed: int) -> Iterator[Row]:
    """A row for each network of the part `rank`."""
    candidate, supernet = begun(zoo, source, data, seed)
    few = data.train.thinned(SIZE)
    for genotype in spread(supernet, NETWORKS, seed=seed):
        macs = derived_size(supernet.config, genotype)[1]
        started = time.process_time()
        network = DerivedModel.inherit(supernet, genotype)
        recalibrate(network, data.train)
        shared = evaluate(network, data.val)
        shared_seconds = time.process_time() - started
        fit_head(network, few)
        own = evaluate(network, data.val)
        seconds = {"shared": shared_seconds, "own": time.process_time() - started}
        found = finetuned(candidate, network, data, SECONDS, seed)
        told = {"genotype": str(genotype), "macs": macs, "shared": shared, "own": own, "seconds": seconds}
        yield {"part": "rank", "source": source, "data": name, "seed": seed, **told, **found}


def way(
    zoo: Zoo, source: str, name: str, data: ImageDataset, seed: int, ways: Sequence[str] = WAYS
) -> Iterator[Row]:
    """A row for each network of each way."""
    candidate, begins = begun(zoo, source, data, seed)
    networks = spread(begins, 24, seed=seed)[:: -(24 // POINTS)][:POINTS]  # the largest first
    for which in ways:
        supernet, share = copy.deepcopy(begins), SHARE
        before: DerivedModel | None = None
        if which == "sandwich":
            share = SHARE / 2
            _sandwich(candidate, supernet, data, POINTS * share, seed)
        trained: dict[int, DerivedModel] = {}
        order = HANDED_ON.get(which, tuple(range(POINTS)))
        for turn, index in enumerate(order):
            genotype = networks[index]
            chained = which in ("chain", "distilled")
            if chained:
                supernet.commit(genotype)
            network = supernet if chained else trained.pop(index, DerivedModel.inherit(supernet, genotype))
            if which in HANDED_ON:
                assert isinstance(network, DerivedModel)
                for other in trained.values():
                    network.take_over(other)
                trained[index] = network
            begin(network, data)
            start = evaluate(network, data.val)
            teacher: DerivedModel | None = before if which == "distilled" else None
            first = FIRST.get(which, 1)
            seconds = POINTS * share / (len(order) + first - 1) * (1 if turn else first)
            found = finetuned(candidate, network, data, seconds, seed, teacher=teacher)
            if chained:
                before = DerivedModel.inherit(supernet).eval()
            macs = derived_size(supernet.config, genotype)[1]
            row = {"part": "way", "way": which, "source": source, "data": name, "seed": seed}
            if turn < len(order) - POINTS:
                continue  # it is trained once more
            yield row | {"macs": macs, "start": start, **found}


def begin(network: DerivedModel | Supernet, data: ImageDataset) -> None:
    """Measure its norms, and fit a head of its own where that is better than the one that it has."""
    recalibrate(network, data.train)
    kept, before = copy.deepcopy(network.head.state_dict()), evaluate(network, data.val)
    fit_head(network, data.train.thinned(SIZE))
    if evaluate(network, data.val) < before:
        network.head.load_state_dict(kept)


def _sandwich(
    candidate: Candidate, supernet: Supernet, data: ImageDataset, seconds: float, seed: int
) -> None:
    recipe = replace(
        candidate.recipe, searcher="sandwich", alpha_share=0.05, warmup_share=1.0, selection="alpha"
    )
    generator = torch.Generator().manual_seed(seed)
    searcher = make_searcher(supernet, data.train, recipe=recipe, generator=generator, seed=seed)
    fit(_run(data, seconds, seed), "search", searcher, share=1.0)


def summary(rows: list[Row]) -> dict[str, Any]:
    """Rank correlations of each source and set, and each way's mean test accuracy, in percent, by seed."""
    from scipy.stats import spearmanr

    found: dict[str, Any] = {"rank": {}, "way": {}}
    for source, name in dict.fromkeys((row["source"], row["data"]) for row in rows):
        here = [row for row in rows if (row["source"], row["data"]) == (source, name)]
        ranked = [row for row in here if row["part"] == "rank"]
        if ranked:
            tests = [row["test"] for row in ranked]
            found["rank"][f"{source}, {name}"] = {
                key: round(float(spearmanr([row[key] for row in ranked], tests).statistic), 3)
                for key in ("shared", "own", "macs")
            }
        ways = {row["way"]: [r for r in here if r.get("way") == row["way"]] for row in here if "way" in row}
        if ways:
            found["way"][f"{source}, {name}"] = {
                which: [_mean_percent(row for row in those if row["seed"] == seed) for seed in seeds]
                for which, those in ways.items()
                for seeds in [sorted({row["seed"] for row in those})]
            }
    return found


def _mean_percent(rows: Iterable[Row]) -> float:
    tests: list[float] = [row["test"] for row in rows]
    return round(100 * sum(tests) / len(tests), 1)


def _key(row: Row) -> tuple[Any, ...]:
    return row["part"], row.get("way"), row["source"], row["data"], row["seed"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inherited", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the document as JSON")
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz sets")
    parser.add_argument("--part", action="append", choices=PARTS, help="may be repeated")
    parser.add_argument("--way", action="append", choices=WAYS, help="may be repeated")
    parser.add_argument("--source", action="append", help="a supernet of the starter zoo; may be repeated")
    parser.add_argument("--dataset", action="append", help="a set of the folder; may be repeated")
    parser.add_argument("--home", type=Path, help="of the registry; by default the user's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, default=RESULTS / "inherited.jsonl")
    parser.add_argument("--out", type=Path, default=RESULTS / "inherited.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    zoo = Zoo.open(args.home)
    rows = read_rows(args.rows)
    there = {_key(row) for row in rows}
    with args.rows.open("a", encoding="utf-8") as file:
        for source in args.source or SOURCES:
            for name in args.dataset or DATASETS:
                data = open_dataset(args.data / f"{name}.npz")
                for part, which in [("rank", None), *(("way", each) for each in args.way or WAYS)]:
                    if part not in (args.part or PARTS) or (part, which, source, name, args.seed) in there:
                        continue
                    made = list(
                        rank(zoo, source, name, data, args.seed)
                        if which is None
                        else way(zoo, source, name, data, args.seed, [which])
                    )
                    file.writelines(json.dumps(row) + "\n" for row in made)
                    file.flush()
                    rows += made
                    tell({"part": part, "way": which, "source": source, "data": name, "rows": len(made)})
    whole = document(COMMAND, rows, summary(rows))
    write(args.out, whole)
    print(json.dumps(whole if args.json else whole["summary"], indent=1))


if __name__ == "__main__":
    main()
