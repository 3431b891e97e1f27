"""Rebuild the starter zoo: `python -m zoo.build --data DIR… [--only NAME] [--workers N]`.

Every file in `zoo/recipes/` is one supernet: its sources, the search space and the training. A source is
`NAME.npz` or a folder `NAME` of class folders, in a DIR or its `collection` or `sources`; `zoo/sources.json`
says where it comes from, its licence and whom to name. A bundle that is there already is left as it is, and
an interrupted training goes on where it stopped, so the command can be stopped and started again. The
longest trainings begin first, so that the workers end together.

`--pack pictures` builds those of the second package, `packs/pictures`. `--folds a b --out DIR` trains the
generalists again without what a benchmark asks about: see `zoo.folds`.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snt_zoo.executor import LOCAL, RAY, Need, run_tasks
from zoo.folds import FOLDS, fold_recipes
from zoo.recipe import ZooRecipe, read_recipes

if TYPE_CHECKING:
    from snt_zoo.search.run import EpochRecord

ROOT = Path(__file__).parents[1]
PACKS = {"starter": ROOT / "snt_zoo/starter", "pictures": ROOT / "packs/pictures/snt_zoo_pictures/starter"}
LARGEST_ZOO = 80.0  # megabytes: with two backbones and the code a package stays under 100
PROGRESS_SECONDS = 20.0  # between two lines about one training


def choose(recipes: Sequence[ZooRecipe], only: Sequence[str]) -> list[ZooRecipe]:
    """Those that are named; all if none is."""
    unknown = sorted(set(only) - {recipe.name for recipe in recipes})
    if unknown:
        names = ", ".join(sorted(recipe.name for recipe in recipes))
        sys.exit(f"no recipe named {', '.join(unknown)}: there are {names}")
    return [recipe for recipe in recipes if not only or recipe.name in only]


def find_source(folders: Sequence[Path], name: str) -> Path | None:
    """The npz file or the folder of a source, in one of the folders or in their `collection` or `sources`."""
    places = [folder / inner for folder in folders for inner in (".", "collection", "sources")]
    paths = [path for place in places for path in (place / f"{name}.npz", place / name)]
    return next((path for path in paths if path.exists()), None)


def build(
    recipe: ZooRecipe, *, data: Sequence[Path], out: Path, threads: int, epochs: int | None = None
) -> dict[str, Any]:
    """Pretrain one supernet and write its bundle; returns a row of the summary."""
    import torch

    from snt_zoo.data import open_dataset
    from snt_zoo.registry.bundle.bundle import read_header
    from snt_zoo.search.checkpoint import CHECKPOINT
    from snt_zoo.workflows.pretrain import Provenance, pretrain

    folder = out / recipe.name
    began = time.process_time()
    if not (folder / "manifest.json").is_file():
        torch.set_num_threads(threads)
        paths = [find_source(data, name) for name in recipe.sources]
        datasets = [open_dataset(path) for path in paths if path is not None]
        length = recipe.epochs if epochs is None else min(epochs, recipe.epochs)
        pretrain(
            datasets,
            out=folder,
            space=recipe.space,
            init=recipe.init,
            input_size=recipe.input_size,
            hyperparameters=recipe.hyperparameters,
            epochs=length,
            name=recipe.name,
            description=recipe.description,
            licence=recipe.licence,
            provenance=[Provenance(s.source, s.licence, attribution=s.attribution) for s in recipe.rows],
            tags=recipe.tags,
            dtype="float16",
            seed=recipe.seed,
            device="cpu",
            recipe=recipe.training,
            resume=(out / f".{recipe.name}.run" / CHECKPOINT).is_file(),
            on_epoch=_teller(recipe.name, length),
        )
    config, _, digest = read_header(folder)
    return {
        "name": recipe.name,
        "sources": len(config.training.datasets),
        "classes": config.network.num_classes,
        "val_accuracy": config.metrics.val_accuracy,
        "test_accuracy": config.metrics.test_accuracy,
        "supernet_test_accuracy": (config.metrics.model_extra or {}).get("supernet_test_accuracy"),
        "epochs": config.training.epochs,
        "seconds": config.training.seconds,
        "processor_seconds": time.process_time() - began,
        "params": config.params,
        "macs": config.macs,
        "megabytes": sum(f.stat().st_size for f in folder.iterdir()) / 1e6,
        "digest": digest[:8],
    }


def _teller(name: str, epochs: int) -> Callable[[EpochRecord], None]:
    """Prints a line about a training now and then."""
    told = time.monotonic()

    def tell(record: EpochRecord) -> None:
        nonlocal told
        if time.monotonic() - told >= PROGRESS_SECONDS:
            told = time.monotonic()
            print(
                f"  {name}: epoch {record.epoch + 1} of {epochs}, validation {record.val_accuracy:.3f}",
                file=sys.stderr,
                flush=True,
            )

    return tell


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """The table of what was built, and its size in all."""
    lines = [
        f"{'name':30} {'sources':>7} {'classes':>7} {'val':>6} {'test':>6} {'paths':>6} {'epochs':>6} "
        f"{'seconds':>8} {'params':>9} {'MACs':>11} {'MB':>5}"
    ]
    for row in sorted(rows, key=lambda row: str(row["name"])):
        paths = row["supernet_test_accuracy"]
        lines.append(
            f"{row['name']:30} {row['sources']:7} {row['classes']:7} {row['val_accuracy']:6.3f} "
            f"{row['test_accuracy']:6.3f} {'' if paths is None else format(paths, '.3f'):>6} "
            f"{row['epochs']:6} {row['seconds']:8.0f} {row['params']:9,} {row['macs']:11,} "
            f"{row['megabytes']:5.2f}"
        )
    total = sum(row["megabytes"] for row in rows)
    lines.append(f"{len(rows)} supernets, {total:.1f} MB in all (at most {LARGEST_ZOO:.0f} may be shipped)")
    return "\n".join(lines)


def main() -> None:
    """Follow the recipes and print a table."""
    parser = argparse.ArgumentParser(prog="python -m zoo.build", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with the sources")
    parser.add_argument("--only", action="append", default=[], help="a recipe's name; may be repeated")
    parser.add_argument("--pack", choices=PACKS, default="starter", help="which package's supernets")
    parser.add_argument("--out", type=Path, help="where the bundles go  [default: the folder of the pack]")
    parser.add_argument("--workers", type=int, default=1, help="supernets trained side by side")
    parser.add_argument("--on", default=LOCAL, help="where: local, ray or ray://HOST:PORT  [default: local]")
    parser.add_argument("--folds", nargs="+", choices=FOLDS, help="a benchmark's generalists; with --out")
    parser.add_argument("--epochs", type=int, help="train no longer than that: for a trial, with --out")
    arguments = parser.parse_args()
    if arguments.on not in (LOCAL, RAY) and not arguments.on.startswith(f"{RAY}://"):
        parser.error(f"no executor {arguments.on!r}: choose {LOCAL}, {RAY} or {RAY}://HOST:PORT")
    if arguments.epochs is not None and arguments.out is None:
        parser.error("--epochs makes supernets that are not the zoo's: give --out too")
    if arguments.folds and arguments.out is None:
        parser.error("--folds makes supernets that are not the zoo's: give --out too")
    everything = fold_recipes(arguments.folds) if arguments.folds else read_recipes()
    recipes = choose([recipe for recipe in everything if recipe.pack == arguments.pack], arguments.only)
    out = arguments.out or PACKS[arguments.pack]
    names = sorted({name for recipe in recipes for name in recipe.sources})
    missing = [name for name in names if find_source(arguments.data, name) is None]
    if missing:
        there = ", ".join(map(str, arguments.data))
        parser.error(f"{there} lacks {missing[0]} ({len(missing)} of {len(names)}): name its folder too")
    threads = max(1, (os.cpu_count() or 1) // arguments.workers)
    job = functools.partial(build, data=arguments.data, out=out, threads=threads, epochs=arguments.epochs)
    rows, failures = [], []
    need = Need(cpus=threads)
    for ended in run_tasks(job, recipes, on=arguments.on, workers=arguments.workers, need=need):
        name, row = ended.task.name, ended.result
        if row is None:
            failures.append(name)
            told = f"failed: {name}: {type(ended.error).__name__}: {ended.error}"
        else:
            rows.append(row)
            told = f"[{len(rows)}/{len(recipes)}] {name}: test {row['test_accuracy']:.3f}, "
            told += f"{row['processor_seconds']:.0f} s of processor time; some {ended.left / 60:.0f} min left"
        print(told, file=sys.stderr, flush=True)
    print(summary(rows))
    if failures:
        sys.exit(f"{len(failures)} trainings failed: {', '.join(sorted(failures))}; see above why")
    if sum(row["megabytes"] for row in rows) > LARGEST_ZOO:
        sys.exit("the zoo is larger than may be shipped: see LARGEST_ZOO")


if __name__ == "__main__":
    main()
