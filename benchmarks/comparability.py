"""Does the distance rank by likeness, or by the number of classes, colour and image size?

    python -m benchmarks.comparability --data DIR [--cache DIR] [--out FILE]

Three studies on training parts. *Variants*: how well ways to normalise tell pairs of one domain from pairs of
two, over all pairs and among pairs alike in number of classes, colour and size. *Interventions*: one thing of
a dataset is changed (half of its classes, grey, 16 pixels) and nothing else; does it still find itself, and
how far has it moved? *Shrinkage*: which estimate of a small class's covariance keeps the distances.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from benchmarks.collection import read_collection
from benchmarks.comparability_interventions import grey, half_of_the_classes, interventions, small
from benchmarks.comparability_shrinkage import shrinkage
from benchmarks.comparability_variants import variants
from benchmarks.document import document, write


def main() -> None:
    """Run the three studies."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comparability", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files")
    parser.add_argument("--cache", type=Path, help="folder where features are kept between runs")
    parser.add_argument("--out", type=Path, help="where the document goes, besides stdout")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    items = read_collection(arguments.data, cache=arguments.cache)
    altered = {
        "half of the classes": [half_of_the_classes(item) for item in items if len(item.counts) >= 4],
        "grey": read_collection(
            arguments.data,
            cache=arguments.cache,
            variant="grey",
            change=grey,
            only=lambda row: len(row["shape"]) == 3,
        ),
        "16 pixels": read_collection(
            arguments.data,
            cache=arguments.cache,
            variant="small",
            change=small,
            only=lambda row: row["shape"][0] > 16,
        ),
    }
    rows = [*shrinkage(items), *variants(items), *interventions(items, altered)]
    by_distance = {row["distance"]: row["auc"] for row in rows if row["study"] == "variants"}
    itself = {
        row["change"]: row["still_nearest_to_itself"]
        for row in rows
        if row["study"] == "interventions" and row["distance"] == "class-ot"
    }
    summary = {"datasets": len(items), "auc": by_distance, "class_ot_still_nearest_to_itself": itself}
    made = document("python -m benchmarks.comparability --data DIR", rows, summary)
    if arguments.out is not None:
        write(arguments.out, made)
    print(json.dumps(made, ensure_ascii=False))


if __name__ == "__main__":
    main()
