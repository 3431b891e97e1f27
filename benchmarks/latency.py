"""How well a table of operations predicts what whole networks take.

    python -m benchmarks.latency --json [--networks 34] [--threads 1] [--space nas_bench_201]

For each search space, at the shape and size of its supernets in the starter zoo, a row of the table is
measured (`snt_zoo.networks.latency`), and then other random networks whole: none of them was among those by
which the table was fitted. By one thread what is measured is processor time, so that other work on the
machine does not count.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.document import RESULTS, document, tell, write
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.latency.measuring import Clock, measure_networks
from snt_zoo.networks.latency.table import WHOLE, LatencyTable, key_of, random_genotypes, this_machine
from snt_zoo.networks.supernet import NetworkConfig
from snt_zoo.workflows.latency import STARTER_NETWORK

COMMAND = "python -m benchmarks.latency --json"
NEAR = 0.1
CONFIGS = {
    "nas_bench_201": STARTER_NETWORK,
    "darts": NetworkConfig("darts", {"channels": 12, "cells": 5, "stem_stride": 2}),
    "mobile": NetworkConfig("mobile", {"width": 50, "depth": 50, "halvings": 3, "features": 320}),
}


def measure(config: NetworkConfig, networks: int, clock: Clock) -> dict[str, Any]:
    """A row: the space, and how its networks' latencies were predicted."""
    began, spent = time.perf_counter(), time.process_time()
    table = LatencyTable(this_machine(), clock.threads).measured([config], clock=clock)
    seconds = {"wall": time.perf_counter() - began, "processor": time.process_time() - spent}
    genotypes = random_genotypes(config.build_space(), networks, seed=1)
    predicted = [table.predict(config, genotype) for genotype in genotypes]
    generator = torch.Generator().manual_seed(1)
    whole = [DerivedModel.create(config, genotype, generator=generator).eval() for genotype in genotypes]
    measured = measure_networks(whole, clock)
    off = np.abs(np.array(predicted) / np.array(measured) - 1)
    return {
        "network": key_of(config),
        "threads": clock.threads,
        "fitted_to": WHOLE,
        "networks": len(genotypes),
        "within_10_percent": float((off <= NEAR).mean()),
        "mean_error": float(off.mean()),
        "largest_error": float(off.max()),
        "rank_correlation": _rank_correlation(predicted, measured),
        "milliseconds": [round(1000 * seconds, 4) for seconds in measured],
        "predicted_milliseconds": [round(1000 * seconds, 4) for seconds in predicted],
        "table_seconds": seconds,
    }


def _rank_correlation(left: list[float], right: list[float]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(left, right).statistic)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print the document as JSON")
    parser.add_argument("--networks", type=int, default=34, help="of each space")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--space", action="append", choices=sorted(CONFIGS), help="may be repeated")
    parser.add_argument("--out", type=Path, default=RESULTS / "latency.json")
    args = parser.parse_args()
    rows = []
    for space in args.space or CONFIGS:
        rows.append(measure(CONFIGS[space], args.networks, Clock(args.threads)))
        tell({name: value for name, value in rows[-1].items() if not isinstance(value, list)})
    count = sum(row["networks"] for row in rows)
    near = sum(row["networks"] * row["within_10_percent"] for row in rows) / count
    made = document(COMMAND, rows, {"networks": count, "within_10_percent": near})
    write(args.out, made)
    print(json.dumps(made if args.json else made["summary"], indent=1))


if __name__ == "__main__":
    main()
