"""What a step of each searcher costs. `python -m benchmarks.searcher_steps [--rounds 7] [--out FILE]`

A step is an alpha step and a weight step on batches of 64 images of 32 × 32 pixels, with the starter zoo's
network, on scikit-learn's digits. All searchers take turns in one process on one thread, timed in processor
time; the figure to read is the ratio to `gdas` in the same round, its median over the rounds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path

import torch

import benchmarks.methods  # noqa: F401  # for the names that it registers
from benchmarks.document import document, write
from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers import Searcher, get_searcher, list_searchers

STEPS = 3  # in each turn
CONFIG = NetworkConfig("nas_bench_201", {"channels": 16, "stem_stride": 2}, 10)
REGULARISERS = ("auxiliary-skip", "early-stopping")


def arms() -> dict[str, Recipe]:
    """Every searcher without regularisers, and with them the two that the defaults are chosen between."""
    plain = {name: Recipe(searcher=name, regularisers=()) for name in list_searchers()}
    with_one = {
        f"{name}+{each}": Recipe(searcher=name, regularisers=(each,))
        for name in ("darts", "gdas")
        for each in REGULARISERS
        if (name, each) != ("gdas", "auxiliary-skip")  # which does not apply to it
    }
    return plain | with_one


def make(recipe: Recipe, data: ImageDataset) -> Searcher:
    """A searcher with a fresh supernet."""
    cls = get_searcher(recipe.searcher)
    generator = torch.Generator().manual_seed(0)
    net = Supernet.create(cls.prepared(CONFIG), generator=generator)
    return cls(net, data.train, data.val, recipe=recipe, generator=generator, peak_lr=0.01)


def turn(searcher: Searcher) -> float:
    """Seconds of processor time of one step, the mean over a few."""
    progress = itertools.chain(itertools.repeat(0.5, STEPS), itertools.repeat(1.0))
    start = time.process_time()
    searcher.epoch(lambda: next(progress))
    return (time.process_time() - start) / STEPS


def main() -> None:
    """Measure, and print the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.searcher_steps", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: JSON is all there is")
    parser.add_argument("--out", type=Path, help="also write the document there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = open_dataset("sklearn:digits")
    searchers = {name: make(recipe, data) for name, recipe in arms().items()}
    times: dict[str, list[float]] = {name: [] for name in searchers}
    for round_ in range(arguments.rounds + 1):
        for name, searcher in searchers.items():
            seconds = turn(searcher)
            if round_:  # the first round warms up
                times[name].append(seconds)
    rows = [
        {
            "searcher": name,
            "seconds": round(statistics.median(found), 4),
            "ratio_to_gdas": round(
                statistics.median(a / b for a, b in zip(found, times["gdas"], strict=True)), 2
            ),
        }
        for name, found in times.items()
    ]
    summary = {"ratio_to_gdas": {row["searcher"]: row["ratio_to_gdas"] for row in rows}}
    made = document(f"python -m benchmarks.searcher_steps --rounds {arguments.rounds}", rows, summary)
    if arguments.out:
        write(arguments.out, made)
    print(json.dumps(made, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
