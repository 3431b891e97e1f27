"""The distance of datasets: as right as the peer's, how fast, and what it calls near.

    python -m benchmarks.distance --json --data DIR [--peer-otdd CHECKOUT] [--cache DIR] [--out FILE]

All times are processor time of one thread, ours and the peer's in turn within one run. DIR holds npz files,
and the `index.json` beside it their domains; only training parts are looked at.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.collection import read_collection
from benchmarks.distance_domains import draw_map, neighbours
from benchmarks.distance_peer import agreement, class_level_time, load_peer, sample_level_time
from benchmarks.distance_scale import scale
from benchmarks.document import document, write

COMMAND = "python -m benchmarks.distance --json --data DIR --peer-otdd CHECKOUT"


def main() -> None:
    """Measure everything, and print one document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distance", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files")
    parser.add_argument("--peer-otdd", type=Path, help="checkout of github microsoft/otdd")
    parser.add_argument("--cache", type=Path, help="folder where features are kept between runs")
    parser.add_argument("--pairs", type=int, default=50, help="random pairs that are compared")
    parser.add_argument("--sources", type=int, default=32, help="sources of a timed query")
    parser.add_argument("--picture", type=Path, help="where a map of the datasets is drawn")
    parser.add_argument("--out", type=Path, help="where the document goes, besides stdout")
    parser.add_argument("--json", action="store_true", help="print the document (it always is)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    peer = load_peer(arguments.peer_otdd)
    items = read_collection(arguments.data, cache=arguments.cache)
    parts = [class_level_time(items, sources=arguments.sources)]
    parts.append(sample_level_time(items, peer, sources=arguments.sources))
    if peer is not None:
        parts.append(agreement(items, peer, pairs=arguments.pairs))
    parts.append(scale())
    rows, summary, matrices = neighbours(items)
    parts.append((rows, summary))
    if arguments.picture is not None:
        draw_map(items, matrices, arguments.picture)
    all_rows: list[dict[str, Any]] = [row for rows, _ in parts for row in rows]
    merged: dict[str, Any] = {"datasets": len(items), "threads": 1, "device": "cpu"}
    for _, part in parts:
        merged |= part
    made = document(COMMAND, all_rows, merged)
    if arguments.out is not None:
        write(arguments.out, made)
    print(json.dumps(made, ensure_ascii=False))


if __name__ == "__main__":
    main()
