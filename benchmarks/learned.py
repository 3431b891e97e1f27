"""Which network is best for a dataset, and how good it will be: every way of saying so, on datasets left out.

    python -m benchmarks.learned --data DIR… --home HOME --cache DIR [--arms NAME…]

Reads `benchmarks/results/outcomes.parquet` (made by `benchmarks.outcomes`). For each parent the outcomes of
it and of its relatives are left out, and the networks that were trained on a relative are no candidates for
it. The encoders are trained once for each of five groups of parents, which are left out together. Intervals
are of a paired bootstrap over parents.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks import learned_arms as arms
from benchmarks import learned_peers as peers
from benchmarks import learned_process as processes
from benchmarks.document import RESULTS, document, write
from benchmarks.learned_figures import Scores, auc, interval, table
from benchmarks.learned_world import Truth, World
from benchmarks.outcomes import TABLE, references
from benchmarks.transfer_plan import TARGETS
from snt_zoo.encoders.distances.moments import Frechet, MeanFeature
from snt_zoo.encoders.gaussian_process import PARTS
from snt_zoo.encoders.intervals import grouped_quantile
from snt_zoo.encoders.outcomes import read_outcomes, read_table
from snt_zoo.encoders.predictor_file import shipped_predictor
from snt_zoo.registry.registry import Registry
from zoo.parents import may_ship

SEEDS = (0, 1, 2)
RANDOM = 100
"""Random rankings, whose figures are averaged."""

Features = Callable[[str], Tensor]
"""A score that looks at features, by its name, of whole tasks and own networks."""
ABLATED = ("profile", "sources", "card", "topology", "id", "prior", "contrastive", "rank")
"""Parts of ours that are left out, with one seed each."""


def prediction(world: World, mean: Tensor, *, level: float = 0.9) -> dict[str, Any]:
    """How far predicted accuracies are off, and how wide and how true intervals of them are.

    Args:
        world: whose heads are predicted.
        mean: logits, ``W x N`` or with the probe ``W x (N + 1)``, each of a parent left out.
        level: of the intervals.
    """
    truth = world.heads[:, : mean.shape[1]]
    there = ~truth.isnan() & ~mean.isnan()
    there[:, len(world.own) :] = False
    errors = (truth.sigmoid() - mean.sigmoid()).abs()[there]
    by_task = [
        (truth.sigmoid() - mean.sigmoid())[r][there[r]].abs().mean().item()
        for r in range(len(truth))
        if there[r].any()
    ]
    residual = (truth - mean).abs()
    names = sorted(set(world.parent))
    parts = [residual[r_of(world, name)][there[r_of(world, name)]] for name in names]
    covered, widths = [], []
    for number, name in enumerate(names):
        others = [part for i, part in enumerate(parts) if i != number and len(part)]
        if not len(parts[number]):
            continue
        q = grouped_quantile(others, level)
        covered.append(float((parts[number] <= q).double().mean()))
        own = mean[r_of(world, name)][there[r_of(world, name)]]
        widths.append(float(((own + q).sigmoid() - (own - q).sigmoid()).mean()))
    return {
        "mae_points": round(100 * float(errors.mean()), 2),
        "mae_points_by_task_median": round(100 * float(np.median(by_task)), 2),
        "coverage": round(float(np.mean(covered)), 3),
        "coverage_interval": interval(np.array(covered)),
        "median_width_points": round(100 * float(np.median(widths)), 1),
        "parents": len(covered),
    }


def r_of(world: World, parent: str) -> Tensor:
    """Rows of a parent."""
    return torch.tensor([r for r, each in enumerate(world.parent) if each == parent])


def closeness(world: World, mean: Tensor, score: Tensor) -> dict[str, Any]:
    """Whether it can be told beforehand that a network beats the probe, by heads.

    Args:
        world: whose heads are asked.
        mean: predicted logits, the probe last, ``W x (N + 1)``.
        score: by which the network is chosen, ``W x N``.
    """
    rows, gain, said, near = [], [], [], []
    nearest = arms.class_ot(world)
    for r in range(len(world.whole)):
        may = (~world.heads[r, :-1].isnan()).nonzero().flatten()
        if not len(may) or world.heads[r, -1].isnan() or mean[r, -1].isnan():
            continue
        best = may[score[r, may].argsort(descending=True)[:3]]
        rows.append(r)
        gain.append(float(world.heads[r, best].max() - world.heads[r, -1]))
        said.append(float(mean[r, best].max() - mean[r, -1]))
        near.append(float(nearest[r, may].max()))
    won = np.array(gain) >= 0
    return {
        "tasks": len(rows),
        "supernet_wins": int(won.sum()),
        "told_right": round(float(((np.array(said) >= 0) == won).mean()), 3),
        "auc_of_predicted_gain": auc(np.array(said), won),
        "auc_of_distance": auc(np.array(near), won),
    }


def shipped(world: World, *, beside_probe: bool) -> dict[str, Any]:
    """How the predictor that ships does on the datasets that it must not learn from, as a user would meet it.

    Args:
        world: whose heads are predicted.
        beside_probe: whether the probe's accuracy on the dataset is known.
    """
    predictor = shipped_predictor()
    assert predictor is not None
    networks = [world.networks.facts[n] for n in world.own]
    near = world.nearest(world.to_sources)
    mean = torch.full_like(world.heads, torch.nan)
    covered, errors, widths, used = [], [], [], []
    for r, t in enumerate(world.whole):
        there = (~world.heads[r, :-1].isnan()).nonzero().flatten().tolist()
        if may_ship(world.tasks.keys[t][0]) or not there:
            continue
        true = world.heads[r].sigmoid().tolist()
        probe = (true[-1], int(world.asked[r])) if beside_probe else None
        said = predictor.predict(world.tasks.sketches[t], networks, near[r].tolist(), probe=probe)
        assert said is not None
        mean[r] = torch.tensor([one.accuracy for one in said]).double().logit()
        covered.append(float(np.mean([said[c].low <= true[c] <= said[c].high for c in there])))
        errors.append(float(np.mean([abs(said[c].accuracy - true[c]) for c in there])))
        widths.append(float(np.mean([said[c].high - said[c].low for c in there])))
        used.append(world.parent[r])
    names = sorted(set(used))
    by_name = [[c for c, own in zip(covered, used, strict=True) if own == name] for name in names]
    means = np.array([float(np.mean(each)) for each in by_name])
    told = {} if beside_probe else closeness(world, mean, mean[:, :-1].nan_to_num(-99.0))
    return {
        "datasets": len(used),
        "parents": len(names),
        "mae_points": round(100 * float(np.mean(errors)), 2),
        "coverage": round(float(means.mean()), 3),
        "coverage_interval": interval(means),
        "median_width_points": round(100 * float(np.median(widths)), 1),
        **told,
    }


def main() -> None:
    """Compare, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learned", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of datasets")
    parser.add_argument("--home", type=Path, required=True, help="folder of the registry that was measured")
    parser.add_argument("--cache", type=Path, required=True, help="folder for sketches and distances")
    parser.add_argument("--outcomes", type=Path, default=TABLE, help="the table, or a file of JSON lines")
    parser.add_argument("--arms", nargs="*", help="only these")
    parser.add_argument("--out", type=Path, default=RESULTS / "learned.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    read = read_table if arguments.outcomes.suffix == ".parquet" else read_outcomes
    outcomes = list(read(arguments.outcomes))
    refs, registry = references(arguments.data), Registry.open(arguments.home)
    world = World.of(outcomes, refs, registry, arguments.cache)
    features = functools.partial(peers.by_features, world, refs=refs, registry=registry)
    print(f"{len(world.tasks.keys)} tasks, {len(world.networks.keys)} networks", file=sys.stderr, flush=True)
    answers = run_arms(world, features, arguments.arms)
    summary: dict[str, Any] = {
        "datasets": len(world.whole),
        "parents": len(set(world.parent)),
        "networks": len(world.own),
        "ranking": {},
        "prediction": {},
    }
    fast, slow = world.truth("finetune", 5.0), world.truth("finetune", 60.0)
    heads = world.truth("head")
    targets = [r for r in heads.rows if world.tasks.keys[world.whole[r]][0] in TARGETS]
    kinds = {
        "head": heads,
        "head, targets of the transfer benchmark": replace(heads, rows=targets),
        "finetune 5 s": fast,
        "finetune 60 s": slow,
    }
    for kind, truth in kinds.items():
        if truth.rows:
            able = {name: a.scores for name, a in answers.items() if a.covers(truth)}
            summary["ranking"][kind] = {
                "targets": len(truth.rows),
                "parents": len({world.parent[r] for r in truth.rows}),
                "arms": table(truth, world.parent, able),
            }
    for name, answer in answers.items():
        if answer.predicted is not None:
            row = prediction(world, answer.predicted)
            if answer.predicted.shape[1] > len(world.own):
                row |= closeness(world, answer.predicted, answer.scores[0])
            summary["prediction"][name] = row
    summary["shipped, on datasets that it must not learn from"] = {
        "from the sketch": shipped(world, beside_probe=False),
        "the probe known": shipped(world, beside_probe=True),
    }
    command = "python -m benchmarks.learned --data DIR --home HOME --cache DIR"
    write(arguments.out, document(command, [], summary))
    print(json.dumps(summary, indent=1))


@dataclass(frozen=True, eq=False)
class Answer:
    """What an arm says.

    Args:
        scores: of whole tasks and own networks, one table for each seed, or for each random ranking.
        predicted: logits, with or without a column for the probe; None of an arm that only ranks.
    """

    scores: Scores
    predicted: Tensor | None = None

    def covers(self, truth: Truth) -> bool:
        """Whether every candidate of some tasks has a score; some arms are asked about few targets."""
        rows = torch.tensor(truth.rows)
        return not any(bool(score[rows][truth.may[rows]].isnan().any()) for score in self.scores)


def all_arms(world: World, features: Features) -> dict[str, Callable[[], Answer]]:
    """Every arm by name, in the order of the table."""
    generator = torch.Generator().manual_seed(0)
    shape = len(world.whole), len(world.own)

    def gp(**options: Any) -> Answer:
        mean = processes.gaussian_process(world, **options)
        return Answer([mean[:, :-1]], mean)

    def ours(seeds: Sequence[int] = SEEDS, **options: Any) -> Answer:
        made = [arms.learned(world, seed, **options) for seed in seeds]
        return Answer([score for score, _ in made], torch.stack([mean for _, mean in made]).mean(0))

    vectors = world.moments[world.whole]
    found: dict[str, Callable[[], Answer]] = {
        "random": lambda: Answer([torch.rand(shape, generator=generator) for _ in range(RANDOM)]),
        "largest": lambda: Answer([arms.largest(world)]),
        "static": lambda: Answer([arms.static(world)]),
        "broadest": lambda: Answer([arms.broadest(world)]),
        "mean-feature": lambda: Answer([arms.by_moments(MeanFeature)(world, 0)]),
        "frechet": lambda: Answer([arms.by_moments(Frechet)(world, 0)]),
        "embedding": lambda: Answer([arms.embedding(world)]),
        "class-ot": lambda: Answer([arms.class_ot(world)]),
        "ridge: static, class-ot": lambda: Answer([arms.ridge("static", "class-ot")(world, 0)]),
        "gp": lambda: gp(vectors=vectors),
        "gp, class-ot between datasets": lambda: gp(),
        "otdd": lambda: Answer([peers.ranked(world, "otdd")]),
        "logme": lambda: Answer([features("logme")]),
        "h-score": lambda: Answer([features("h-score")]),
        "tans": lambda: Answer([peers.tans(world, seed) for seed in SEEDS]),
        "mednns": lambda: Answer([peers.mednns(world, seed)[0] for seed in SEEDS]),
        "ours": lambda: ours(),
    }
    found["static of finetunings"] = lambda: Answer([arms.static(world, table=processes.finetunings(world))])
    found["gp of finetunings"] = lambda: Answer([processes.of_finetunings(world, vectors)])
    found["gp of heads and finetunings"] = lambda: Answer(
        [processes.of_finetunings(world, vectors, beside_heads=True)]
    )
    for part in PARTS:
        found[f"gp without {part}"] = functools.partial(gp, vectors=vectors, without=(part,))
    for part in ABLATED:
        found[f"ours without {part}"] = functools.partial(ours, SEEDS[:1], without=frozenset([part]))
    return found


def run_arms(world: World, features: Features, only: Sequence[str] | None) -> dict[str, Answer]:
    """What the arms say; what was said of the same outcomes before is not computed again.

    All learn from heads, and those with finetunings in their name from these.
    """
    seen = [(one.cell, one.view, one.accuracy) for one in world.outcomes if not one.budget]
    tuned = [(one.cell, one.accuracy, one.test) for one in world.outcomes if one.budget]
    heads, every = (hashlib.sha256(repr(each).encode()).hexdigest()[:12] for each in (seen, [seen, tuned]))
    answers = {}
    for name, make in all_arms(world, features).items():
        folder = world.cache / "answers" / (every if "finetunings" in name else heads)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name.replace(': ', ' ').replace(', ', ' ')}.safetensors"
        if path.is_file():
            kept = load_file(path)
            answers[name] = Answer(list(kept["scores"]), kept.get("predicted"))
        elif not only or name in only:
            began = time.process_time()
            answers[name] = made = make()
            known = {} if made.predicted is None else {"predicted": made.predicted}
            save_file({"scores": torch.stack(made.scores), **known}, path)
            print(f"{name}: {time.process_time() - began:.1f} s", file=sys.stderr, flush=True)
    return answers


if __name__ == "__main__":
    main()
