"""Rebuild the starter zoo: `python -m zoo.build --data DIR [--only NAME] [--workers N]`.

Every file in `zoo/recipes/` is one supernet: its sources (npz files in DIR), where they come from, their
licence, the search space and the training. A bundle that is there already is left as it is, and an
interrupted training goes on where it stopped, so the command can be stopped and started again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).parent / "recipes"
STARTER = Path(__file__).parents[1] / "snt_zoo" / "starter"


@dataclass(frozen=True)
class ZooRecipe:
    """One supernet of the starter zoo, as a file in `zoo/recipes/` says it."""

    name: str
    description: str
    sources: list[dict[str, str]]
    tags: list[str]
    licence: str
    epochs: int
    seed: int = 0
    space: str = "nas_bench_201"
    hyperparameters: dict[str, int] = field(default_factory=dict)


def read_recipes(only: list[str]) -> list[ZooRecipe]:
    """The recipes by name; all of them, or those named."""
    recipes = [
        ZooRecipe(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(RECIPES.glob("*.json"))
    ]
    unknown = sorted(set(only) - {recipe.name for recipe in recipes})
    if unknown:
        sys.exit(f"no recipe named {', '.join(unknown)}: see {RECIPES}")
    return [recipe for recipe in recipes if not only or recipe.name in only]


def build(recipe: ZooRecipe, data: Path, out: Path, threads: int) -> dict[str, Any]:
    """Pretrain one supernet and write its bundle; returns a row of the summary."""
    import torch

    from snt_zoo.bundling import Provenance, pretrain_bundle
    from snt_zoo.data import open_dataset
    from snt_zoo.registry.bundle import read_header
    from snt_zoo.search.checkpoint import CHECKPOINT

    folder = out / recipe.name
    if not (folder / "manifest.json").is_file():
        torch.set_num_threads(threads)
        datasets = [open_dataset(data / f"{source['dataset']}.npz") for source in recipe.sources]
        pretrain_bundle(
            datasets,
            out=folder,
            space=recipe.space,
            hyperparameters=recipe.hyperparameters,
            epochs=recipe.epochs,
            name=recipe.name,
            description=recipe.description,
            licence=recipe.licence,
            provenance=[Provenance(s["source"], s["licence"], s.get("licence_url")) for s in recipe.sources],
            tags=recipe.tags,
            dtype="float16",
            seed=recipe.seed,
            device="cpu",
            resume=(out / f".{recipe.name}.run" / CHECKPOINT).is_file(),
        )
    config, _, digest = read_header(folder)
    return {
        "name": recipe.name,
        "classes": config.network.num_classes,
        "val_accuracy": config.metrics.val_accuracy,
        "test_accuracy": config.metrics.test_accuracy,
        "epochs": config.training.epochs,
        "seconds": config.training.seconds,
        "params": config.params,
        "macs": config.macs,
        "megabytes": sum(f.stat().st_size for f in folder.iterdir()) / 1e6,
        "digest": digest[:8],
    }


def main() -> None:
    """Follow the recipes and print a table."""
    parser = argparse.ArgumentParser(prog="python -m zoo.build", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the sources' npz files")
    parser.add_argument("--only", action="append", default=[], help="a recipe's name; may be repeated")
    parser.add_argument("--out", type=Path, default=STARTER, help="where the bundles go")
    parser.add_argument("--workers", type=int, default=1, help="supernets trained side by side")
    arguments = parser.parse_args()
    recipes = read_recipes(arguments.only)
    threads = max(1, (os.cpu_count() or 1) // arguments.workers)
    rows = []
    with ProcessPoolExecutor(arguments.workers) as pool:
        jobs = {
            pool.submit(build, recipe, arguments.data, arguments.out, threads): recipe.name
            for recipe in recipes
        }
        for job in as_completed(jobs):
            rows.append(job.result())
            print(f"[{len(rows)}/{len(jobs)}] {jobs[job]}", file=sys.stderr, flush=True)
    print(f"{'name':24} {'classes':>7} {'val':>6} {'test':>6} {'epochs':>6} {'seconds':>8} {'MB':>5}")
    for row in sorted(rows, key=lambda row: str(row["name"])):
        print(
            f"{row['name']:24} {row['classes']:7} {row['val_accuracy']:6.3f} "
            f"{row['test_accuracy']:6.3f} {row['epochs']:6} {row['seconds']:8.0f} "
            f"{row['megabytes']:5.2f}"
        )
    print(f"{len(rows)} supernets, {sum(row['megabytes'] for row in rows):.1f} MB in all")


if __name__ == "__main__":
    main()
