"""Does a dataset find its own supernet? `python -m benchmarks.retrieval --data DIR [--out FILE]`

Each supernet of the starter zoo that has one source is asked for with the **test** part of that (images that
neither trained it nor went into its sketch): the rank at which it comes among them, by the product's query
and by two simpler rankings. Then every other dataset in DIR is asked about, and the first match is written
down. Generalists, and supernets of a second search space, are left out: they have the sketches of the others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cosine_similarity

from benchmarks.document import document, write
from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.encoders.embedding import embed
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.zoo import Zoo


def mean_feature(sketch: Sketch) -> torch.Tensor:
    """Mean of all features, ``64``: the simplest description of a dataset."""
    return (sketch.frequencies[:, None] * sketch.means.double()).sum(0)


def rank_of(id: str, ranked: list[str]) -> int:
    """The place of an id in a ranking, from 1."""
    return ranked.index(id) + 1


def ask(zoo: Zoo, name: str, path: Path, supernets: Mapping[str, str]) -> dict[str, Any]:
    """One row: what is found for a dataset's test part among supernets, ids by source."""
    data = open_dataset(path)
    start = time.perf_counter()
    target = zoo.sketch(ImageDataset(name, data.class_names, data.test, data.val, data.test))
    sketched = time.perf_counter()
    others = [record.id for record in zoo.list() if record.id not in supernets.values()]
    matches = zoo.query(target, k=len(supernets), exclude=others)
    answered = time.perf_counter()
    row: dict[str, Any] = {
        "dataset": name,
        "first": matches[0].sources[0],
        "distance": round(matches[0].distance, 4),
        "second": matches[1].sources[0],
        "seconds_sketch": round(sketched - start, 3),
        "seconds_query": round(answered - sketched, 4),
    }
    own = supernets.get(name)
    if own is None:
        return row
    sketches = {id: zoo.registry.sketches(id)[0] for id in supernets.values()}
    similar = {
        "embedding": {id: float(embed(target) @ embed(other)) for id, other in sketches.items()},
        "mean_feature": {
            id: float(cosine_similarity(mean_feature(target), mean_feature(other), dim=0))
            for id, other in sketches.items()
        },
    }
    row["rank"] = rank_of(own, [match.id for match in matches])
    for method, scores in similar.items():
        row[f"rank_{method}"] = rank_of(own, sorted(scores, key=lambda id: -scores[id]))
    return row


def main() -> None:
    """Ask about every dataset in a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files")
    parser.add_argument("--out", type=Path, help="where the document goes, besides stdout")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as home:
        zoo = Zoo.open(home)
        own = {r.sources[0]: r.id for r in zoo.list() if len(r.sources) == 1 and r.space == "nas_bench_201"}
        for path in sorted(arguments.data.glob("*.npz")):
            rows.append(ask(zoo, path.stem, path, own))
            print(rows[-1], file=sys.stderr, flush=True)
    asked = [row for row in rows if "rank" in row]
    summary = {
        "supernets": len(own),
        "sources_asked": len(asked),
        "first": sum(row["rank"] == 1 for row in asked),
        "first_by_embedding_alone": sum(row["rank_embedding"] == 1 for row in asked),
        "first_by_mean_feature": sum(row["rank_mean_feature"] == 1 for row in asked),
        "expected_first_at_random": round(len(asked) / max(len(own), 1), 2),
        "median_seconds_sketch": statistics.median(row["seconds_sketch"] for row in rows),
        "median_seconds_query": statistics.median(row["seconds_query"] for row in rows),
    }
    made = document("python -m benchmarks.retrieval --data DIR", rows, summary)
    if arguments.out is not None:
        write(arguments.out, made)
    print(json.dumps(made, ensure_ascii=False))


if __name__ == "__main__":
    main()
