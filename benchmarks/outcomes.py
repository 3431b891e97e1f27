"""What every network of the zoo comes to on every dataset.

    python -m benchmarks.outcomes --data DIR [--photos DIR] [--sources DIR] --out FILE [--workers N]

Measures, appended to FILE (JSON lines; what is there is skipped): heads of every supernet of the starter zoo
on every dataset and view of it; of `--networks` networks in those supernets each on three datasets;
finetunings of five seconds of all on 18 datasets; and the first again on greyed and on blurred images. The
finetunings of the parts `matrix` (5 s) and `oracle` (60 s) of `benchmarks/results/transfer.jsonl` are added.
`--write` makes `benchmarks/results/outcomes.parquet` of all that is there, and prints what it comes to.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.document import RESULTS, document, write
from benchmarks.json_lines import read_rows
from snt_zoo.encoders.outcomes import PROBE, Outcome, read_outcomes, write_table
from snt_zoo.encoders.views import WHOLE
from snt_zoo.networks.variants import OWN, random_kinds
from snt_zoo.workflows.measure import Plan, measure
from snt_zoo.zoo import Zoo
from zoo.parents import parents
from zoo.sources import read_sources

TABLE = RESULTS / "outcomes.parquet"

PER_NETWORK = 3
"""Datasets on which each network of a supernet is measured, besides its own genotype's, which has all."""

CHANGES = ("grey", "blurred")

FINETUNED = (
    "aerial7", "signdigits", "animals20", "gtsrb", "dishes10", "terrain9", "butterflies10", "asl36",
    "groceries25", "fer_subset", "paintings7", "dungeon14", "birds15", "blood_cells3", "objects25",
    "materials17", "trash6", "blackgram_leaf5",
)  # fmt: skip
"""Datasets, of those that the transfer benchmark has not, on which each supernet is finetuned for five
seconds, the sets of photographs among them: in this order, so that what is interrupted has many parents."""


def seen_before(zoo: Zoo, refs: Iterable[str]) -> set[tuple[str, str]]:
    """Names of datasets and ids of supernets that were trained on a relative: those need not be measured."""
    records = zoo.list()
    names = [Path(ref).stem for ref in refs]
    parent = parents([*names, *(source for record in records for source in record.sources)])
    theirs = {record.id: {parent[source] for source in record.sources} for record in records}
    return {(name, id) for name in names for id, each in theirs.items() if parent[name] in each}


def references(folders: Iterable[Path]) -> list[str]:
    """The datasets of some folders: npz files, and folders with a part `train`."""
    found: list[str] = []
    for folder in folders:
        found += [str(path) for path in sorted(folder.glob("*.npz"))]
        found += [str(path.parent) for path in sorted(folder.glob("*/train"))]
    return sorted(found, key=_order)


def _order(ref: str) -> tuple[bool, str]:
    """What the zoo was trained on comes last, so that what is interrupted has the others."""
    known = read_sources().get(Path(ref).stem)
    trained_on = known is not None and known.role == "source" and not known.target
    return trained_on and Path(ref).suffix == ".npz", hashlib.sha256(Path(ref).stem.encode()).hexdigest()


def finetunings(path: Path) -> Iterator[Outcome]:
    """The outcomes of a transfer benchmark's rows in which a named supernet was finetuned."""
    for row in read_rows(path):
        if row["part"] not in ("matrix", "oracle") or row["arm"] != "source":
            continue
        yield Outcome(
            target=row["target"],
            fingerprint="",
            change="",
            view=WHOLE,
            classes=row["classes"],
            images=row["train_images"],
            chance=0.0,
            name=row["source"],
            bundle=row["from"],
            digest="",
            kind=OWN,
            genotype=json.dumps(row["derived"]["genotype"], separators=(",", ":")),
            params=row["derived"]["params"],
            macs=row["derived"]["macs"],
            method="finetune",
            budget=row["budget"],
            seed=row["seed"],
            val_images=row["val_images"],
            test_images=0,
            val=row["derived"]["val"],
            test=row["derived"]["test"],
            code_version="",
            date="",
        )


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How many there are, and how near heads in closed form come to logistic ones."""
    counts: dict[str, int] = defaultdict(int)
    pairs: dict[tuple[str, str, str, str, float], dict[str, float]] = defaultdict(dict)
    for one in outcomes:
        counts[f"{one.method}, {one.budget:g} s" if one.budget else one.method] += 1
        if one.view == WHOLE and not one.budget and one.accuracy is not None:
            pairs[one.cell][one.method] = one.accuracy
    both: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for cell, found in pairs.items():
        if len(found) == 2 and cell[3] == OWN and cell[2] != PROBE:
            both[f"{cell[0]}/{cell[1]}"].append((found["head"], found["ridge"]))
    within = [
        float(np.corrcoef(np.array(rows).T)[0, 1])
        for rows in both.values()
        if np.array(rows).std(0).min() > 0
    ]
    gaps = [head - ridge for rows in both.values() for head, ridge in rows]
    return {
        "outcomes": len(outcomes),
        "by_method": dict(counts),
        "datasets": len({one.target for one in outcomes}),
        "tasks": len({(one.target, one.change, one.view) for one in outcomes}),
        "supernets": len({one.bundle for one in outcomes if one.bundle != PROBE}),
        "networks": len({(one.bundle, one.kind) for one in outcomes if one.bundle != PROBE}),
        "diverged": sum(one.val is None and one.test is None for one in outcomes),
        # Of a dataset's supernets, median over datasets.
        "correlation_of_ridge_and_logistic_heads": round(float(np.median(within)), 3) if within else None,
        "logistic_minus_ridge_points": round(100 * float(np.mean(gaps)), 2) if gaps else None,
    }


def main() -> None:
    """Measure, and write what there is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outcomes", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder of datasets")
    parser.add_argument("--home", type=Path, required=True, help="folder of a registry, made if need be")
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines")
    parser.add_argument("--networks", type=int, default=1500, help="in all supernets")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="measure nothing; write the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.write:
        zoo = Zoo.open(arguments.home)
        refs = references(arguments.data)
        named = {Path(ref).stem: ref for ref in refs}
        ids = [record.id for record in zoo.list()]
        kinds = random_kinds(-(-arguments.networks // len(ids)))[1:]
        skip = seen_before(zoo, refs)
        plans = [
            Plan(refs, ids),
            Plan(refs, ids, kinds, per_network=PER_NETWORK, skip=skip),
            Plan([named[name] for name in FINETUNED if name in named], ids, budget=5.0, skip=skip),
            Plan(refs, ids, changes=CHANGES, skip=skip),
        ]
        began = time.process_time()

        def tell(done: int, total: int) -> None:
            if done % 50 == 0 or done == total:
                print(
                    f"{done} of {total} cells, {time.process_time() - began:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )

        measure(zoo.registry, plans, arguments.out, workers=arguments.workers, on_cells=tell)
    outcomes = [*read_outcomes(arguments.out), *finetunings(RESULTS / "transfer.jsonl")]
    summary: Mapping[str, Any] = summarise(outcomes)
    if arguments.write:
        write_table(TABLE, sorted(outcomes, key=lambda one: (one.target, one.change, one.view, one.bundle)))
        command = "python -m benchmarks.outcomes --data DIR --home HOME --out FILE"
        write(RESULTS / "outcomes.json", document(command, [], summary))
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
