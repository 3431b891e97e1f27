"""Can a supernet be near everything? Crafted sketches and cards, and two halves of one dataset.

    python -m benchmarks.hubs --data DIR… --home HOME --cache DIR

Hostile: a supernet is made up whose sketch lies in the middle of all that the zoo was trained on (the mean,
with as much spread as a class or as everything has, ten times over, with a huge count, the centres of
clusters), or is a copy of every sketch of the zoo; and whose card claims the most. It is asked about every
dataset beside the zoo's supernets that saw no relative of it: how often it ranks first, by `class-ot` and by
predicted accuracy. The honest supernet that is first most often is told besides.

Halves: of each dataset with four images of a class or more the two disjoint halves of the sketch's sample:
how often one is the nearest of all halves to the other.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.document import RESULTS, document, write
from benchmarks.learned_world import World
from benchmarks.outcomes import TABLE, references
from snt_zoo.encoders.network_facts import NetworkFacts
from snt_zoo.encoders.outcomes import read_table
from snt_zoo.encoders.predictor import Predicted, Predictor
from snt_zoo.encoders.predictor_file import shipped_predictor
from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch
from snt_zoo.encoders.transport import class_distances
from snt_zoo.registry.registry import Registry

MOST = NetworkFacts("crafted, the most", 10**12, 10**15, 1.0, 10**5, 1024)
"""A card that claims all it can."""
EVERYTHING = "a copy of every source"


def crafted(sources: list[Sketch]) -> dict[str, Sketch]:
    """Sketches in the middle of some others, by what was tried."""
    means = torch.cat([each.means for each in sources])
    within = torch.cat([each.full_covariances() for each in sources])
    share = torch.cat([each.frequencies for each in sources]).float() / len(sources)
    centre = (share[:, None] * means).sum(0, keepdim=True)
    spread = (share[:, None, None] * within).sum(0, keepdim=True)
    apart = (means - centre)[:, :COVARIANCE_DIM]
    total = spread + torch.einsum("n,ni,nj->ij", share, apart, apart)
    nothing = 1e-6 * torch.eye(COVARIANCE_DIM)[None]

    def made(at: Tensor, covariance: Tensor, counts: list[int]) -> Sketch:
        return Sketch(
            name="crafted",
            backbone=sources[0].backbone,
            class_names=tuple(f"class {i}" for i in range(len(at))),
            counts=torch.tensor(counts),
            means=at,
            covariances=covariance.expand(len(at), -1, -1),
            samples=torch.empty(0, at.shape[1]),
            sample_labels=torch.empty(0, dtype=torch.int64),
        )

    return {
        "zeros": made(torch.zeros_like(centre), nothing, [10]),
        "the mean": made(centre, spread, [10]),
        "the mean, a point": made(centre, nothing, [10]),
        "the mean, spread like everything": made(centre, total, [10]),
        "the mean, ten times": made(centre.expand(10, -1), spread, [10] * 10),
        "the mean, a huge count": made(torch.cat([centre, centre + 9]), spread, [2**40, 1]),
        "3 clusters": made(clusters(means, 3), spread, [10] * 3),
        "30 clusters": made(clusters(means, 30), spread, [10] * 30),
    }


def clusters(points: Tensor, count: int) -> Tensor:
    """Centres by Lloyd's rule, ``count x dim``."""
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    centres = points[order[:count]].clone()
    for _ in range(20):
        nearest = torch.cdist(points, centres).argmin(1)
        for number in range(count):
            if bool((nearest == number).any()):
                centres[number] = points[nearest == number].mean(0)
    return centres


def hostile(world: World, predictor: Predictor) -> dict[str, Any]:
    """How often a crafted supernet is first, of how many datasets."""
    made = crafted(world.networks.sketches)
    networks = [world.networks.facts[n] for n in world.own]
    near = world.nearest(world.to_sources)
    first: dict[str, dict[str, int]] = {
        name: {"by distance": 0, "by accuracy": 0} for name in (*made, EVERYTHING)
    }
    honest = torch.zeros(len(networks), 2, dtype=torch.int64)
    for r, t in enumerate(world.whole):
        sketch, may = world.tasks.sketches[t], (~world.related[r]).nonzero().flatten()
        found = [each.distance for each in class_distances(sketch, list(made.values()))]
        # Of equally near ones that go first which were trained on fewer sources.
        every = [*found, float(near[r, may].min())]
        honest[may[near[r, may].argmin()], 0] += 1
        cards = [networks[c] for c in may.tolist()]
        own = [said.accuracy for said in _said(predictor, sketch, cards, near[r, may].tolist())]
        honest[may[torch.tensor(own).argmax()], 1] += 1
        for name, distance in zip(first, every, strict=True):
            accuracy = _said(predictor, sketch, [MOST], [distance])[0].accuracy
            first[name]["by distance"] += distance < float(near[r, may].min())
            first[name]["by accuracy"] += accuracy > max(own)
    by = {name: int(honest[:, column].max()) for column, name in enumerate(("by distance", "by accuracy"))}
    return {"datasets": len(world.whole), "crafted": first, "the most of an honest one": by}


def _said(
    predictor: Predictor, sketch: Sketch, networks: list[NetworkFacts], distances: list[float]
) -> list[Predicted]:
    found = predictor.predict(sketch, networks, distances)
    assert found is not None
    return found[:-1]


def halves(world: World) -> dict[str, Any]:
    """Of two disjoint halves of a dataset one is the nearest of all halves to the other, how often."""
    number = world.tasks.number
    pairs = [
        (number[name, "", "half0"], number[name, "", "half1"])
        for name, change, view in world.tasks.keys
        if (change, view) == ("", "half0")
    ]
    others = [world.tasks.sketches[second] for _, second in pairs]
    told, gaps = 0, []
    for place, (first, _) in enumerate(pairs):
        found = torch.tensor([one.distance for one in class_distances(world.tasks.sketches[first], others)])
        told += int(found.argmin()) == place
        gaps.append(float(found[torch.arange(len(found)) != place].min() / found[place]))
    return {
        "datasets": len(pairs),
        "nearest": told,
        "share": round(told / len(pairs), 4),
        "median of next over own distance": round(sorted(gaps)[len(gaps) // 2], 2),
    }


def main() -> None:
    """Measure, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hubs", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of datasets")
    parser.add_argument("--home", type=Path, required=True, help="folder of the registry that was measured")
    parser.add_argument("--cache", type=Path, required=True, help="folder for sketches and distances")
    parser.add_argument("--out", type=Path, default=RESULTS / "hubs.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    predictor = shipped_predictor()
    assert predictor is not None
    registry = Registry.open(arguments.home)
    world = World.of(read_table(TABLE), references(arguments.data), registry, arguments.cache)
    summary = {"hostile": hostile(world, predictor), "halves": halves(world)}
    write(
        arguments.out, document("python -m benchmarks.hubs --data DIR --home HOME --cache DIR", [], summary)
    )
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
